//! Certificates of clients, alone and beside tokens.

use access::{Entry, Identity, Scope};
use test_support::{Authority, Folder, TestDatabase, custom_event, eventually};
use tonic::Code;

use crate::{
    clients::{Client, Rest, Tls, reason},
    harness::{Collector, DEADLINE, borrowed, metric, tls_settings, token, write_tokens},
};

#[tokio::test]
async fn without_a_certificate_of_the_authority_nobody_gets_in() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let folder = Folder::create();
    let ca = folder.write("clients.pem", &clients.pem);
    let settings = tls_settings(&folder, &servers.server());
    let mut settings = borrowed(&settings);
    settings.push(("tls.client_ca", &ca));
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &settings).await;
    let tls = Tls::trusting(&servers.pem);
    let known = clients.client("grafana");
    let unknown = Authority::new("clients").client("grafana");
    for stranger in [tls, tls.showing(&unknown)] {
        // With TLS 1.3 the client gets the refusal after its handshake, with its first call.
        if let Ok(client) = Client::over(&collector, stranger).await {
            assert!(client.info().await.is_err());
        }
        let rest = Rest::over(&collector, stranger);
        let answer = rest.try_send(reqwest::Method::GET, "/healthz", None);
        assert!(answer.await.is_err());
    }
    let failed = "fredcollector_tls_handshakes_failed_total{listener=\"rest\",reason=\"failed\"}";
    eventually(DEADLINE, async || metric(failed) >= 2.0).await;
    let client = Client::over(&collector, tls.showing(&known)).await.unwrap();
    client.publish(vec![custom_event(1)]).await.unwrap();
    let rest = Rest::over(&collector, tls.showing(&known));
    assert_eq!(rest.get("/v1/log").await.ok()["last_position"], 1);
    collector.stop().await;
}

#[tokio::test]
async fn a_certificate_can_stand_for_a_token() {
    let authority = Authority::new("authority");
    let folder = Folder::create();
    let ca = folder.write("clients.pem", &authority.pem);
    let settings = tls_settings(&folder, &authority.server());
    let (publisher, by_token) = token("publisher", &[Scope::Publish]);
    let by_certificate = Entry::new(
        "grafana",
        Identity::Certificate("CN=grafana".to_owned()),
        vec![Scope::Read],
    );
    let tokens = write_tokens(&folder, &[&by_token, &by_certificate]);
    let mut settings = borrowed(&settings);
    settings.extend([
        ("tls.client_ca", &*ca),
        ("tls.client_auth", "optional"),
        ("auth.tokens_file", &tokens),
    ]);
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &settings).await;
    let tls = Tls::trusting(&authority.pem);

    let nobody = Client::over(&collector, tls).await.unwrap();
    let status = nobody.info().await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let publishing = nobody.with_token(&publisher);
    publishing.publish(vec![custom_event(1)]).await.unwrap();

    let shown = authority.client("grafana");
    let grafana = Client::over(&collector, tls.showing(&shown)).await.unwrap();
    assert_eq!(grafana.info().await.unwrap().last_position, 1);
    let status = grafana.publish(vec![custom_event(2)]).await.unwrap_err();
    assert_eq!(reason(&status), "SCOPE_MISSING");
    // A token that is sent counts.
    let both = grafana.with_token(&publisher);
    both.publish(vec![custom_event(2)]).await.unwrap();
    let status = both.info().await.unwrap_err();
    assert_eq!(reason(&status), "SCOPE_MISSING");

    let unlisted = authority.client("somebody");
    let somebody = Client::over(&collector, tls.showing(&unlisted))
        .await
        .unwrap();
    let status = somebody.info().await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let rest = Rest::over(&collector, tls.showing(&unlisted));
    rest.get("/v1/log").await.denied(401, "UNAUTHENTICATED");
    collector.stop().await;
}
