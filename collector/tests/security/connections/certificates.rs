//! What certificates of clients say is not to be forged, and holds no longer than they do.

use std::{sync::Arc, time::Duration};

use atlas_events::SubscriptionRequest;
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use test_support::{Authority, DnType, Folder, Issued, TestDatabase, custom_event, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::Code;

use crate::{
    clients::{Client, Rest, Tls, next},
    harness::{Collector, DEADLINE, borrowed, tls_settings},
};

/// A collector that asks for certificates of an authority, and for these entries.
async fn collector(
    database: &TestDatabase,
    folder: &Folder,
    authority: &Authority,
    entries: &str,
) -> Collector {
    let ca = folder.write("clients.pem", &authority.pem);
    let files = tls_settings(folder, &authority.server());
    let mut settings = borrowed(&files);
    settings.push(("tls.client_ca", &ca));
    let tokens = folder.write("tokens.toml", entries);
    if !entries.is_empty() {
        settings.push(("auth.tokens_file", &tokens));
    }
    Collector::start(database, &settings).await
}

fn entry(name: &str, certificate: &str) -> String {
    format!("[[token]]\nname = \"{name}\"\ncertificate = '{certificate}'\nscopes = [\"read\"]\n")
}

#[tokio::test]
async fn a_name_that_looks_like_that_of_another_is_not_that_of_the_other() {
    let authority = Authority::new("authority");
    let folder = Folder::create();
    let database = TestDatabase::create().await;
    let entries = [
        entry("admin", "CN=admin, O=Ops"),
        entry("orders", "URI:spiffe://shop/orders"),
    ];
    let collector = collector(&database, &folder, &authority, &entries.concat()).await;
    let tls = Tls::trusting(&authority.pem);
    let (cn, o) = (DnType::CommonName, DnType::OrganizationName);
    let none = "urn:none";
    let shown = [
        // Each of them reads like the entry where its parts are only joined.
        (vec![(cn.clone(), "admin, O=Ops")], none, false),
        (
            vec![(cn.clone(), "admin"), (o.clone(), "Ops, O=x")],
            none,
            false,
        ),
        (vec![(o.clone(), "Ops"), (cn.clone(), "admin")], none, false),
        (vec![(cn.clone(), "URI:spiffe://shop/orders")], none, false),
        (vec![(cn.clone(), "admin"), (o, "Ops")], none, true),
        (vec![(cn, "somebody")], "spiffe://shop/orders", true),
    ];
    for (parts, uri, is_known) in shown {
        let issued = authority.client_named(&parts, uri);
        let client = Client::over(&collector, tls.showing(&issued))
            .await
            .unwrap();
        let answer = client.info().await;
        assert_eq!(answer.is_ok(), is_known, "{parts:?}: {answer:?}");
        if let Err(status) = answer {
            assert_eq!(status.code(), Code::Unauthenticated);
        }
        let rest = Rest::over(&collector, tls.showing(&issued));
        let status = rest.get("/v1/log").await.status;
        assert_eq!(status.is_success(), is_known, "{parts:?}");
    }
    collector.stop().await;
}

fn config(authority: &Authority, shows: &Issued) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let of = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    roots.add(of(&authority.pem)).unwrap();
    let key = PrivateKeyDer::from_pem_slice(shows.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![of(&shows.certificate)], key)
        .unwrap()
}

/// A connection for REST, as it is once something was asked on it.
async fn connection(
    collector: &Collector,
    config: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let address = collector.rest.trim_start_matches("https://");
    let stream = TcpStream::connect(address).await?;
    let connector = TlsConnector::from(Arc::clone(config));
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector.connect(name, stream).await?;
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = [0; 12];
    timeout(DEADLINE, stream.read_exact(&mut answer))
        .await
        .unwrap()?;
    assert_eq!(&answer, b"HTTP/1.1 200");
    Ok(stream)
}

/// Waits until the other end has ended a connection.
async fn ended(mut stream: TlsStream<TcpStream>) {
    let reading = async {
        let mut buffer = [0; 1_024];
        // An error, for want of the end that TLS has, or the end.
        while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    };
    timeout(DEADLINE, reading).await.unwrap();
}

#[tokio::test]
async fn a_session_with_a_certificate_is_not_taken_up_again() {
    let authority = Authority::new("authority");
    let folder = Folder::create();
    let database = TestDatabase::create().await;
    let shows = authority.client("grafana");
    let asks = collector(&database, &folder, &authority, "").await;
    let client = Arc::new(config(&authority, &shows));
    for _ in 0..3 {
        let stream = connection(&asks, &client).await.unwrap();
        let kind = stream.get_ref().1.handshake_kind();
        assert_eq!(kind, Some(HandshakeKind::Full));
    }
    asks.stop().await;
    // Where nobody is asked for one, sessions are taken up again, as before.
    let files = tls_settings(&folder, &authority.server());
    let open = Collector::start(&database, &borrowed(&files)).await;
    let client = Arc::new(config(&authority, &shows));
    connection(&open, &client).await.unwrap();
    let stream = connection(&open, &client).await.unwrap();
    let kind = stream.get_ref().1.handshake_kind();
    assert_eq!(kind, Some(HandshakeKind::Resumed));
    open.stop().await;
}

#[tokio::test]
async fn a_connection_ends_with_the_certificate_that_it_began_with() {
    let authority = Authority::new("authority");
    let folder = Folder::create();
    let database = TestDatabase::create().await;
    let collector = collector(&database, &folder, &authority, "").await;
    let tls = Tls::trusting(&authority.pem);
    let lasting = authority.client("lasting");
    let lasting = Client::over(&collector, tls.showing(&lasting))
        .await
        .unwrap();
    let mut goes_on = lasting
        .subscribe(SubscriptionRequest::default())
        .await
        .unwrap();
    // Time enough for what begins with it.
    let short = authority.issue_for("short", Duration::from_secs(6));
    let client = Client::over(&collector, tls.showing(&short)).await.unwrap();
    let mut stream = client.follow().await.unwrap();
    let idle = connection(&collector, &Arc::new(config(&authority, &short)))
        .await
        .unwrap();
    lasting.publish(vec![custom_event(1)]).await.unwrap();
    assert_eq!(next(&mut stream).await.position, 1);
    assert_eq!(next(&mut goes_on).await.position, 1);
    ended(idle).await;
    assert!(timeout(DEADLINE, stream.message()).await.unwrap().is_err());
    lasting.publish(vec![custom_event(2)]).await.unwrap();
    assert_eq!(next(&mut goes_on).await.position, 2);
    collector.stop().await;
}

#[tokio::test]
async fn a_connection_ends_when_its_authority_is_not_trusted_any_more() {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let folder = Folder::create();
    let database = TestDatabase::create().await;
    let collector = collector(&database, &folder, &before, "").await;
    let tls = Tls::trusting(&before.pem);
    let shown = before.client("grafana");
    let client = Client::over(&collector, tls.showing(&shown)).await.unwrap();
    let mut stream = client
        .subscribe(SubscriptionRequest::default())
        .await
        .unwrap();
    let idle = connection(&collector, &Arc::new(config(&before, &shown)))
        .await
        .unwrap();
    // With both, those who are connected go on.
    folder.write("clients.pem", &format!("{}{}", after.pem, before.pem));
    let renewed = after.client("grafana");
    let mut renewed_client = None;
    eventually(DEADLINE, async || {
        let connected = Client::over(&collector, tls.showing(&renewed)).await;
        renewed_client = connected.ok();
        match &renewed_client {
            Some(client) => client.info().await.is_ok(),
            None => false,
        }
    })
    .await;
    let renewed_client = renewed_client.unwrap();
    renewed_client.publish(vec![custom_event(1)]).await.unwrap();
    assert_eq!(next(&mut stream).await.position, 1);
    folder.write("clients.pem", &after.pem);
    ended(idle).await;
    assert!(timeout(DEADLINE, stream.message()).await.unwrap().is_err());
    renewed_client.publish(vec![custom_event(2)]).await.unwrap();
    collector.stop().await;
}

#[tokio::test]
async fn a_connection_ends_when_the_certificate_of_its_authority_expires() {
    // Time enough for what begins with it.
    let short = Authority::lasting("short", Duration::from_secs(8));
    let other = Authority::new("other");
    let folder = Folder::create();
    let database = TestDatabase::create().await;
    let ca = folder.write("clients.pem", &format!("{}{}", short.pem, other.pem));
    let files = tls_settings(&folder, &other.server());
    let mut settings = borrowed(&files);
    settings.push(("tls.client_ca", &ca));
    let collector = Collector::start(&database, &settings).await;
    let tls = Tls::trusting(&other.pem);
    let (of_short, of_other) = (short.client("short"), other.client("other"));
    let goes_on = Client::over(&collector, tls.showing(&of_other))
        .await
        .unwrap();
    let client = Client::over(&collector, tls.showing(&of_short))
        .await
        .unwrap();
    let mut stream = client.follow().await.unwrap();
    goes_on.publish(vec![custom_event(1)]).await.unwrap();
    assert_eq!(next(&mut stream).await.position, 1);
    assert!(timeout(DEADLINE, stream.message()).await.unwrap().is_err());
    let late = connection(&collector, &Arc::new(config(&other, &of_short))).await;
    assert!(late.is_err());
    goes_on.publish(vec![custom_event(2)]).await.unwrap();
    collector.stop().await;
}
