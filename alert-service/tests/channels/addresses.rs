use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use alert_service::channel::{AddressRules, Channel, Sender};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::{
    support::{
        http_server::{HttpServer, Reply},
        sample::{config, message, reason},
    },
    webhook::keyed,
};

/// Not public, in every way of writing that a URL knows, and their names.
const INSIDE: [&str; 51] = [
    "127.0.0.1",
    "127.1",
    "127.255.255.255",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "１２７.0.0.1",
    "0.0.0.0",
    "0",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "169.254.169.254",
    "0xa9fea9fe",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::1]",
    "[2001:db8::1]",
    "[2001::1]",
    "[2002:7f00:1::]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "metadata.google.internal",
];

/// Public, next to those.
const OUTSIDE: [&str; 16] = [
    "1.1.1.1",
    "0x01010101",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "[2606:4700::1111]",
    "[::ffff:1.1.1.1]",
    "[64:ff9b::1.1.1.1]",
    "internal.example.org",
    "notlocalhost",
];

fn url(text: &str) -> url::Url {
    text.parse().unwrap()
}

#[test]
fn no_way_of_writing_an_inside_address_passes() {
    let rules = AddressRules::default();
    for host in INSIDE {
        assert!(
            rules.check(&url(&format!("https://{host}/x"))).is_err(),
            "{host}"
        );
    }
    for host in OUTSIDE {
        assert_eq!(
            rules.check(&url(&format!("https://{host}/x"))),
            Ok(()),
            "{host}"
        );
    }
}

#[test]
fn schemes_ports_and_users_are_checked() {
    let rules = AddressRules::default();
    for bad in [
        "http://example.org",
        "ftp://example.org",
        "file:///etc/passwd",
        "gopher://example.org",
        "https://user@example.org",
        "https://:password@example.org",
        "https://example.org:22",
        "https://example.org:25",
        "https://example.org:1023",
    ] {
        assert!(rules.check(&url(bad)).is_err(), "{bad}");
    }
    for good in [
        "https://example.org",
        "https://example.org:8443",
        "https://example.org:80",
    ] {
        assert_eq!(rules.check(&url(good)), Ok(()), "{good}");
    }
}

#[test]
fn an_operator_opens_prefixes_and_nothing_besides() {
    let rules = AddressRules {
        allowed_prefixes: vec!["10.1.0.0/16".parse().unwrap(), "fd00::/64".parse().unwrap()],
        http_allowed: false,
    };
    for (ip, allowed) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("64:ff9b::10.1.2.3", true),
        ("10.2.0.1", false),
        ("fd00::1", true),
        ("fd00:0:0:1::1", false),
        ("127.0.0.1", false),
        ("1.1.1.1", true),
    ] {
        assert_eq!(rules.allows(ip.parse::<IpAddr>().unwrap()), allowed, "{ip}");
    }
}

/// Answers each question with the next addresses.
struct Names(Mutex<VecDeque<Vec<&'static str>>>);

impl Names {
    fn answering<const N: usize>(answers: [&[&'static str]; N]) -> Arc<Self> {
        let answers = answers.into_iter().map(<[_]>::to_vec);
        Arc::new(Self(Mutex::new(answers.collect())))
    }

    fn left(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Resolve for Names {
    fn resolve(&self, _: Name) -> Resolving {
        let answer = self.0.lock().unwrap().pop_front().unwrap();
        let found = answer
            .into_iter()
            .map(|ip| SocketAddr::new(ip.parse().unwrap(), 0));
        let found: Vec<_> = found.collect();
        Box::pin(async { Ok(Box::new(found.into_iter()) as Addrs) })
    }
}

/// A sender that may reach 127.0.0.1 besides public addresses, and resolves by `names`.
fn sender(names: &Arc<Names>) -> Sender {
    let mut config = config();
    config.addresses.allowed_prefixes = vec!["127.0.0.1/32".parse().unwrap()];
    config.resolver = Some(names.clone());
    Sender::new(config).unwrap()
}

fn named(server: &HttpServer) -> Channel {
    Channel::Webhook {
        url: url(&format!(
            "http://rebind.example.org:{}/",
            server.address.port()
        )),
    }
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_dialled() {
    let inside = HttpServer::start_at("127.0.0.2:0").await;
    for address in [
        "127.0.0.2",
        "::ffff:127.0.0.2",
        "64:ff9b::127.0.0.2",
        "169.254.169.254",
        "::1",
    ] {
        let names = Names::answering([&[address]]);
        let outcome = sender(&names)
            .send(&named(&inside), &keyed(), &message())
            .await;
        let reason = reason(outcome, "refused");
        assert!(reason.contains("not public"), "{address}: {reason}");
    }
    assert!(inside.take().is_empty());
}

#[tokio::test]
async fn of_several_addresses_only_the_allowed_are_dialled() {
    let inside = HttpServer::start_at("127.0.0.2:0").await;
    let port = inside.address.port();
    let outside = HttpServer::start_at(&format!("127.0.0.1:{port}")).await;
    let names = Names::answering([&["127.0.0.2", "127.0.0.1"]]);
    let outcome = sender(&names)
        .send(&named(&inside), &keyed(), &message())
        .await;
    reason(outcome, "accepted");
    assert_eq!((inside.take().len(), outside.take().len()), (0, 1));
}

#[tokio::test]
async fn a_name_that_changes_between_attempts_gains_nothing() {
    let inside = HttpServer::start_at("127.0.0.2:0").await;
    let port = inside.address.port();
    let outside = HttpServer::start_at(&format!("127.0.0.1:{port}"))
        .await
        // A connection that is kept would not ask for the name again.
        .will(Reply::header(200, "connection", "close"));
    let names = Names::answering([&["127.0.0.1"], &["127.0.0.2"]]);
    let sender = sender(&names);
    let first = sender.send(&named(&inside), &keyed(), &message()).await;
    reason(first, "accepted");
    // It was asked once: what was checked is what was dialled.
    assert_eq!(names.left(), 1);
    let second = sender.send(&named(&inside), &keyed(), &message()).await;
    reason(second, "refused");
    assert_eq!((inside.take().len(), outside.take().len()), (0, 1));
}

#[tokio::test]
async fn a_name_without_addresses_is_tried_again() {
    let server = HttpServer::start().await;
    let names = Names::answering([&[]]);
    let outcome = sender(&names)
        .send(&named(&server), &keyed(), &message())
        .await;
    reason(outcome, "failed");
    assert!(server.take().is_empty());
}
