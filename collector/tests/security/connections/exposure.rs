//! Which callers may do what by the configuration alone.

use access::Scope;
use test_support::{Authority, Folder, TestDatabase};

use crate::{
    clients::{Rest, Tls},
    harness::{Collector, borrowed, configuration, only, tls_settings, token, write_tokens},
};

const URL: &str = "postgres://atlas@localhost/atlas";

#[track_caller]
fn check_refused(settings: &[(&str, &str)], key: &str) {
    let refused = configuration(URL, settings).unwrap_err();
    let keys: Vec<_> = refused.0.iter().map(|problem| &*problem.key).collect();
    assert_eq!(keys, [key], "{refused}");
    for words in ["auth.tokens_file", "security.allow_insecure"] {
        assert!(refused.to_string().contains(words), "{refused}");
    }
}

#[test]
fn other_machines_are_not_served_without_asking_who_they_are() {
    check_refused(&[("rest.address", "0.0.0.0:5000")], "rest.address");
    check_refused(&[("grpc.address", "0.0.0.0:5001")], "grpc.address");
    check_refused(&[("grpc.address", "[::]:5001")], "grpc.address");
    check_refused(&[("rest.address", "192.0.2.1:5000")], "rest.address");
    configuration(URL, &[("grpc.address", "127.0.0.2:5001")]).unwrap();
    configuration(URL, &[("grpc.address", "[::1]:5001")]).unwrap();
}

#[test]
fn other_machines_are_served_with_tokens_certificates_or_if_explicitly_allowed() {
    let folder = Folder::create();
    let authority = Authority::new("authority");
    let open = [
        ("rest.address", "0.0.0.0:5000"),
        ("grpc.address", "0.0.0.0:5001"),
    ];
    let with = |more: &[(&str, &str)]| configuration(URL, &[&open[..], more].concat());
    with(&[("security.allow_insecure", "true")]).unwrap();
    let (_, entry) = token("a", &[Scope::Read]);
    let tokens = write_tokens(&folder, &[&entry]);
    with(&[("auth.tokens_file", &tokens)]).unwrap();
    // TLS alone authenticates the server to the client, not the client to the server.
    let tls = tls_settings(&folder, &authority.server());
    let mut tls = borrowed(&tls);
    with(&tls).unwrap_err();
    let ca = folder.write("clients.pem", &authority.pem);
    tls.push(("tls.client_ca", &ca));
    with(&tls).unwrap();
    // What REST asks does not guard gRPC.
    tls.push(("grpc.tls", "false"));
    let refused = with(&tls).unwrap_err();
    assert_eq!(refused.0.len(), 1, "{refused}");
    assert_eq!(refused.0[0].key, "grpc.address");
}

#[tokio::test]
async fn answers_carry_headers_that_keep_browsers_from_mischief() {
    let authority = Authority::new("authority");
    let folder = Folder::create();
    let settings = tls_settings(&folder, &authority.server());
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &borrowed(&settings)).await;
    let rest = Rest::over(&collector, Tls::trusting(&authority.pem));
    for path in ["/healthz", "/v1/nowhere", "/openapi.json"] {
        let answer = rest.get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            assert_eq!(answer.headers[name], value, "{path}");
        }
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
    }
    collector.stop().await;
    let plain = Collector::start(&database, &[]).await;
    let answer = Rest::of(&plain).get("/healthz").await;
    assert!(!answer.headers.contains_key("strict-transport-security"));
    plain.stop().await;
}

#[tokio::test]
async fn metrics_can_be_kept_for_those_who_may_read_everything() {
    let folder = Folder::create();
    let (reader, a) = token("prometheus", &[Scope::Read]);
    let (tenant, mut b) = token("tenant", &[Scope::Read]);
    b.series = only(&["NORTH"]);
    let file = write_tokens(&folder, &[&a, &b]);
    let settings = [("auth.tokens_file", &*file), ("auth.metrics", "readers")];
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &settings).await;
    let rest = Rest::of(&collector);
    rest.get("/metrics").await.denied(401, "UNAUTHENTICATED");
    let limited = rest.with_token(&tenant).get("/metrics").await;
    limited.denied(403, "UNLIMITED_ONLY");
    let answer = rest.with_token(&reader).get("/metrics").await;
    assert!(answer.text.contains("fredcollector_tokens 2"), "{answer:?}");
    collector.stop().await;
}
