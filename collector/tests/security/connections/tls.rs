//! Certificates of the server: taken up again when they change, refused when they cannot be used.

use atlas_events::SubscriptionRequest;
use test_support::{Authority, Folder, TestDatabase, Validity, custom_event, eventually};
use tokio::net::TcpStream;

use crate::{
    clients::{Client, Rest, Tls, next},
    harness::{Collector, DEADLINE, borrowed, configuration, metric, tls_settings},
};

const FAILURES: &str = "fredcollector_security_reload_failures_total{what=\"certificate\"}";

#[tokio::test]
async fn a_changed_certificate_is_taken_up_and_open_streams_go_on() {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let folder = Folder::create();
    let settings = tls_settings(&folder, &before.server());
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &borrowed(&settings)).await;
    let client = Client::over(&collector, Tls::trusting(&before.pem))
        .await
        .unwrap();
    let mut stream = client
        .subscribe(SubscriptionRequest::default())
        .await
        .unwrap();
    client.publish(vec![custom_event(1)]).await.unwrap();
    assert_eq!(next(&mut stream).await.position, 1);
    assert!(
        Client::over(&collector, Tls::trusting(&after.pem))
            .await
            .is_err()
    );

    tls_settings(&folder, &after.server());
    let rest = Rest::over(&collector, Tls::trusting(&after.pem));
    eventually(DEADLINE, async || {
        let answer = rest.try_send(reqwest::Method::GET, "/healthz", None).await;
        let connected = Client::over(&collector, Tls::trusting(&after.pem)).await;
        answer.is_ok_and(|answer| answer.status.is_success()) && connected.is_ok()
    })
    .await;
    assert!(
        Client::over(&collector, Tls::trusting(&before.pem))
            .await
            .is_err()
    );
    let renewed = Client::over(&collector, Tls::trusting(&after.pem))
        .await
        .unwrap();
    renewed.publish(vec![custom_event(2)]).await.unwrap();
    assert_eq!(next(&mut stream).await.position, 2);
    collector.stop().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_leaves_the_one_before() {
    let authority = Authority::new("authority");
    let folder = Folder::create();
    let settings = tls_settings(&folder, &authority.server());
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &borrowed(&settings)).await;
    let serves = async || {
        let client = Client::over(&collector, Tls::trusting(&authority.pem)).await;
        client.unwrap().info().await.unwrap();
    };
    serves().await;
    let expired = authority.issue("server", Validity::Past);
    let (one, other) = (authority.server(), authority.server());
    type Change<'a> = Box<dyn Fn() + 'a>;
    let changes: [Change<'_>; 4] = [
        Box::new(|| drop(folder.write("server.pem", &one.certificate))),
        Box::new(|| drop(tls_settings(&folder, &expired))),
        Box::new(|| drop(folder.write("server.pem", "not PEM"))),
        Box::new(|| std::fs::remove_file(folder.file("server.pem")).unwrap()),
    ];
    for change in changes {
        let failures = metric(FAILURES);
        change();
        // Each listener reports it, once.
        eventually(DEADLINE, async || metric(FAILURES) >= failures + 2.0).await;
        serves().await;
    }
    tls_settings(&folder, &other);
    let expires =
        "fredcollector_tls_certificate_expires_seconds{listener=\"grpc\",what=\"certificate\"}";
    eventually(DEADLINE, async || metric(expires) > 0.0).await;
    serves().await;
    collector.stop().await;
}

#[track_caller]
fn check_refused(settings: &[(&str, &str)], key: &str, words: &str) {
    let refused = configuration("postgres://atlas@localhost/atlas", settings).unwrap_err();
    let found = refused.0.iter().filter(|problem| problem.key == key);
    let reported: Vec<_> = found.map(|problem| problem.problem.clone()).collect();
    // Both listeners have these files in common, and it is reported once.
    assert_eq!(reported.len(), 1, "{refused}");
    assert!(reported[0].contains(words), "{words} is not in {refused}");
}

#[test]
fn certificates_that_cannot_be_used_stop_the_start_and_are_named() {
    let authority = Authority::new("authority");
    let folder = Folder::create();
    let (good, other) = (authority.server(), authority.server());
    let key = folder.write("good.key", &good.key);
    let certificate = folder.write("good.pem", &good.certificate);
    let check = |name: &str, pem: &str, at: &str, words: &str| {
        let changed = folder.write(name, pem);
        let mut settings = vec![("tls.certificate", &*certificate), ("tls.key", &*key)];
        settings.retain(|(key, _)| *key != at);
        settings.push((at, &changed));
        check_refused(&settings, at, words);
    };
    let of = |validity| authority.issue("server", validity).certificate;
    check(
        "past.pem",
        &of(Validity::Past),
        "tls.certificate",
        "has expired on 2002-01-01",
    );
    check(
        "future.pem",
        &of(Validity::Future),
        "tls.certificate",
        "is not valid before 2080",
    );
    check(
        "text.pem",
        "text",
        "tls.certificate",
        "holds no certificate",
    );
    check(
        "other.key",
        &other.key,
        "tls.key",
        "is not the key of the certificate",
    );
    check("text.key", "text", "tls.key", "holds no private key");
    check(
        "text.ca",
        "text",
        "tls.client_ca",
        "holds no certificate in PEM",
    );
    // Who has its key could make clients of their own.
    let leaf = authority.client("grafana").certificate;
    check("leaf.ca", &leaf, "tls.client_ca", "no authority's");
    let nowhere = folder.file("nowhere.pem");
    let settings = [("tls.certificate", &*nowhere), ("tls.key", &*key)];
    check_refused(&settings, "tls.certificate", "cannot be read");
    check_refused(
        &[("tls.certificate", &certificate)],
        "tls.key",
        "is to be set too where tls.certificate is",
    );
    check_refused(
        &[("tls.client_ca", &certificate)],
        "tls.certificate",
        "is to be set too where tls.client_ca is",
    );
}

#[tokio::test]
async fn who_stalls_in_the_handshake_keeps_nobody_waiting() {
    let authority = Authority::new("authority");
    let folder = Folder::create();
    let settings = tls_settings(&folder, &authority.server());
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &borrowed(&settings)).await;
    let address = collector.grpc.replace("https://", "");
    let mut stalled = Vec::new();
    for _ in 0..50 {
        stalled.push(TcpStream::connect(&address).await.unwrap());
    }
    let client = Client::over(&collector, Tls::trusting(&authority.pem)).await;
    client.unwrap().info().await.unwrap();
    collector.stop().await;
}

#[tokio::test]
async fn without_tls_there_is_no_answer_where_tls_is_served() {
    let authority = Authority::new("authority");
    let folder = Folder::create();
    let settings = tls_settings(&folder, &authority.server());
    let database = TestDatabase::create().await;
    let mut collector = Collector::start(&database, &borrowed(&settings)).await;
    let (rest, grpc) = (collector.rest.clone(), collector.grpc.clone());
    collector.rest = rest.replace("https", "http");
    collector.grpc = grpc.replace("https", "http");
    let asked = Rest::of(&collector);
    let asked = asked.try_send(reqwest::Method::GET, "/healthz", None);
    assert!(asked.await.is_err());
    if let Ok(client) = Client::over(&collector, Tls::default()).await {
        assert!(client.info().await.is_err());
    }
    let failed = "fredcollector_tls_handshakes_failed_total{listener=\"grpc\",reason=\"failed\"}";
    eventually(DEADLINE, async || metric(failed) > 0.0).await;
    collector.stop().await;
}

#[tokio::test]
async fn one_listener_may_be_without_tls() {
    let authority = Authority::new("authority");
    let folder = Folder::create();
    let settings = tls_settings(&folder, &authority.server());
    let mut settings = borrowed(&settings);
    settings.push(("rest.tls", "false"));
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &settings).await;
    Rest::of(&collector).get("/readyz").await.ok();
    let client = Client::over(&collector, Tls::trusting(&authority.pem)).await;
    client.unwrap().info().await.unwrap();
    collector.stop().await;
}
