//! Tokens: who is known, what for, and until when.

use access::Scope;
use atlas_events::{
    PublishRequest, TimeRangeRequest, event_publisher_client::EventPublisherClient,
    publish_stream_response::Outcome,
};
use chrono::{SubsecRound, TimeDelta, Utc};
use serde_json::json;
use test_support::{Folder, TestDatabase, custom_event, eventually};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    clients::{Client, Rest, end, next, reason},
    harness::{Collector, DEADLINE, metric, token, write_tokens},
};

/// What a client can see of a status.
fn seen(status: &Status) -> (Code, String, String) {
    (
        status.code(),
        status.message().to_owned(),
        format!("{:?}", status.get_error_details()),
    )
}

#[tokio::test]
async fn a_wrong_a_missing_and_an_expired_token_look_alike() {
    let folder = Folder::create();
    let (good, entry) = token("good", &[Scope::Read]);
    let (expired, mut ended) = token("expired", &[Scope::Read]);
    ended.expires = Some(Utc::now() - TimeDelta::seconds(1));
    let file = write_tokens(&folder, &[&entry, &ended]);
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &[("auth.tokens_file", &file)]).await;
    let client = Client::of(&collector).await;
    client.with_token(&good).info().await.unwrap();
    client
        .with_authorization(&format!("bearer  {good}"))
        .info()
        .await
        .unwrap();

    let missing = client.info().await.unwrap_err();
    assert_eq!(missing.code(), Code::Unauthenticated);
    assert_eq!(reason(&missing), "UNAUTHENTICATED");
    let mut longer = good.clone();
    longer.push('0');
    for header in [
        format!("Bearer {expired}"),
        format!("Bearer {}", good.replace("atlas_", "atlas_0")),
        format!("Bearer {longer}"),
        format!("Bearer {}", entry_hash(&entry)),
        format!("Basic {good}"),
        good.clone(),
        String::new(),
    ] {
        let refused = client.with_authorization(&header).info().await;
        assert_eq!(seen(&refused.unwrap_err()), seen(&missing), "{header}");
    }
    let rest = Rest::of(&collector);
    let missing = rest.get("/v1/log").await;
    let problem = missing.denied(401, "UNAUTHENTICATED");
    assert_eq!(missing.headers["www-authenticate"], "Bearer");
    for token in [&expired, &longer] {
        let refused = rest.with_token(token).get("/v1/log").await;
        let reported = refused.denied(401, "UNAUTHENTICATED");
        assert_eq!(reported["detail"], problem["detail"]);
    }
    rest.with_token(&good).get("/v1/log").await.ok();
    let denied = "fredcollector_calls_denied_total{reason=\"UNAUTHENTICATED\"}";
    assert!(metric(denied) >= 11.0, "{}", metric(denied));
    collector.stop().await;
}

/// The hash is in the file; whoever gets hold of that has no token.
fn entry_hash(entry: &access::Entry) -> String {
    let rendered = access::render(entry);
    let line = rendered.lines().find(|line| line.starts_with("sha256"));
    line.unwrap().split('"').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn each_scope_allows_its_own_and_nothing_else() {
    let folder = Folder::create();
    let (reader, a) = token("reader", &[Scope::Read]);
    let (publisher, b) = token("publisher", &[Scope::Publish]);
    let (admin, c) = token("admin", &[Scope::Admin]);
    let file = write_tokens(&folder, &[&a, &b, &c]);
    let database = TestDatabase::create().await;
    let settings = [("auth.tokens_file", &*file), ("fred.series", "NORTH")];
    let collector = Collector::start(&database, &settings).await;
    let client = Client::of(&collector).await;
    let event = || vec![custom_event(1)];
    client
        .with_token(&publisher)
        .publish(event())
        .await
        .unwrap();
    for (token, may_read, may_publish) in [
        (&reader, true, false),
        (&publisher, false, true),
        (&admin, false, false),
    ] {
        let client = client.with_token(token);
        let range = || TimeRangeRequest {
            start_from: Some((Utc::now() - TimeDelta::days(7)).into()),
            end_at: Some(Utc::now().into()),
            ..TimeRangeRequest::default()
        };
        let id = custom_event(1).event_id;
        let reads = [
            client.info().await.err(),
            client.find(&id).await.err(),
            client.latest_time().await.err(),
            client.follow().await.err(),
            client.since(range()).await.err(),
            client.between(range()).await.err(),
        ];
        let published = client.publish(event()).await.err();
        let expected = reads.into_iter().map(|refused| (refused, may_read));
        for (refused, allowed) in expected.chain([(published, may_publish)]) {
            let refused = refused.as_ref().map(|s| (s.code(), reason(s)));
            let scope = (Code::PermissionDenied, "SCOPE_MISSING".to_owned());
            assert_eq!(refused, (!allowed).then_some(scope));
        }
    }
    let rest = Rest::of(&collector);
    let body = json!({"events": [custom_event(2)]});
    for (token, read, publish, administer) in [
        (&reader, 200, 403, 403),
        (&publisher, 403, 201, 403),
        (&admin, 403, 403, 200),
    ] {
        let rest = rest.with_token(token);
        let nothing = json!({});
        let answers = [
            (rest.get("/v1/events").await, read),
            (rest.get("/v1/series").await, read),
            (rest.post("/v1/events", &body).await, publish),
            (
                rest.post("/v1/series/NORTH/pause", &nothing).await,
                administer,
            ),
            (rest.get("/v1/audit").await, administer),
        ];
        for (answer, status) in answers {
            assert_eq!(answer.status.as_u16(), status, "{answer:?}");
            if status == 403 {
                answer.denied(403, "SCOPE_MISSING");
            }
        }
        // The pages that describe the service need what its document needs.
        for path in ["/", "/docs", "/openapi.json"] {
            assert_eq!(rest.get(path).await.status.as_u16(), read, "{path}");
        }
        // Whoever watches the service needs no token.
        for path in ["/healthz", "/readyz", "/metrics"] {
            let answer = rest.get(path).await;
            assert!(answer.status.is_success(), "{path}: {answer:?}");
        }
    }
    collector.stop().await;
}

#[tokio::test]
async fn the_streams_of_a_revoked_token_end_and_no_others() {
    let folder = Folder::create();
    let (revoked, leaves) = token("leaves", &[Scope::Read, Scope::Publish]);
    let (kept, stays) = token("stays", &[Scope::Read, Scope::Publish]);
    let file = write_tokens(&folder, &[&leaves, &stays]);
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &[("auth.tokens_file", &file)]).await;
    let client = Client::of(&collector).await;
    let (leaving, staying) = (client.with_token(&revoked), client.with_token(&kept));
    let mut followed = leaving.follow().await.unwrap();
    let mut going_on = staying.follow().await.unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    let requests = futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|request| (request, receiver))
    });
    let mut publisher = EventPublisherClient::new(client.channel());
    let publishing = publisher.publish_stream(leaving.request(requests));
    let mut answers = publishing.await.unwrap().into_inner();
    let events = vec![custom_event(1)];
    sender
        .send(PublishRequest {
            events,
            ..PublishRequest::default()
        })
        .unwrap();
    let stored = timeout(DEADLINE, answers.message()).await.unwrap();
    let stored = stored.unwrap().unwrap().outcome;
    assert!(matches!(stored, Some(Outcome::Stored(_))), "{stored:?}");
    assert_eq!(next(&mut followed).await.position, 1);
    assert_eq!(next(&mut going_on).await.position, 1);

    write_tokens(&folder, &[&stays]);
    for status in [end(&mut followed).await, end(&mut answers).await] {
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(reason(&status), "TOKEN_ENDED");
    }
    let refused = leaving.info().await.unwrap_err();
    assert_eq!(reason(&refused), "UNAUTHENTICATED");
    staying.publish(vec![custom_event(2)]).await.unwrap();
    assert_eq!(next(&mut going_on).await.position, 2);
    collector.stop().await;
}

#[tokio::test]
async fn a_stream_ends_once_its_token_has_expired() {
    let folder = Folder::create();
    let (_, other) = token("other", &[Scope::Read]);
    let file = write_tokens(&folder, &[&other]);
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &[("auth.tokens_file", &file)]).await;
    let (text, mut entry) = token("short", &[Scope::Read]);
    let client = Client::of(&collector).await.with_token(&text);
    let expires = (Utc::now() + TimeDelta::seconds(7)).trunc_subsecs(0);
    entry.expires = Some(expires);
    write_tokens(&folder, &[&other, &entry]);
    eventually(DEADLINE, async || client.info().await.is_ok()).await;
    let mut stream = client.follow().await.unwrap();
    let status = end(&mut stream).await;
    assert_eq!(reason(&status), "TOKEN_ENDED");
    assert!(Utc::now() >= expires);
    let refused = client.info().await.unwrap_err();
    assert_eq!(reason(&refused), "UNAUTHENTICATED");
    collector.stop().await;
}

#[tokio::test]
async fn a_file_of_tokens_with_a_mistake_leaves_those_before() {
    let folder = Folder::create();
    let (text, entry) = token("reader", &[Scope::Read]);
    let file = write_tokens(&folder, &[&entry]);
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &[("auth.tokens_file", &file)]).await;
    let client = Client::of(&collector).await.with_token(&text);
    let failures = "fredcollector_security_reload_failures_total{what=\"tokens\"}";
    for mistake in ["[[token]]\nname = \"x\"", "not TOML", "[[tokens]]"] {
        let before = metric(failures);
        folder.write("tokens.toml", mistake);
        eventually(DEADLINE, async || metric(failures) > before).await;
        client.info().await.unwrap();
    }
    let (other, next) = token("other", &[Scope::Read]);
    write_tokens(&folder, &[&next]);
    eventually(DEADLINE, async || client.info().await.is_err()).await;
    client.with_token(&other).info().await.unwrap();
    collector.stop().await;
}

#[tokio::test]
async fn a_file_of_tokens_that_stays_unreadable_admits_nobody() {
    let folder = Folder::create();
    let (text, entry) = token("reader", &[Scope::Read]);
    let file = write_tokens(&folder, &[&entry]);
    let database = TestDatabase::create().await;
    let settings = [
        ("auth.tokens_file", &*file),
        ("security.tokens_unreadable_max_seconds", "2"),
    ];
    let collector = Collector::start(&database, &settings).await;
    let client = Client::of(&collector).await.with_token(&text);
    let failures = "fredcollector_security_reload_failures_total{what=\"tokens\"}";
    let mut stream = client.follow().await.unwrap();
    for mistake in [None, Some("not TOML")] {
        let before = metric(failures);
        match mistake {
            Some(mistake) => drop(folder.write("tokens.toml", mistake)),
            None => std::fs::remove_file(&file).unwrap(),
        }
        eventually(DEADLINE, async || metric(failures) == before + 1.0).await;
        // Not at once: somebody may be about to write it.
        client.info().await.unwrap();
        let status = end(&mut stream).await;
        assert_eq!(reason(&status), "TOKEN_ENDED");
        let refused = client.info().await.unwrap_err();
        assert_eq!(reason(&refused), "UNAUTHENTICATED");
        eventually(DEADLINE, async || metric("fredcollector_tokens") == 0.0).await;
        assert!(metric("fredcollector_tokens_unreadable_seconds") >= 2.0);
        // The same as before is enough.
        write_tokens(&folder, &[&entry]);
        eventually(DEADLINE, async || client.info().await.is_ok()).await;
        stream = client.follow().await.unwrap();
        let unreadable = "fredcollector_tokens_unreadable_seconds";
        eventually(DEADLINE, async || metric(unreadable) == 0.0).await;
    }
    collector.stop().await;
}

/// What is asked for while tokens are replaced again and again is never let in without one.
#[tokio::test]
async fn replacing_tokens_lets_nobody_in_between() {
    let folder = Folder::create();
    let (text, entry) = token("reader", &[Scope::Read]);
    let (_, other) = token("other", &[Scope::Read]);
    let file = write_tokens(&folder, &[&entry]);
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &[("auth.tokens_file", &file)]).await;
    let client = Client::of(&collector).await;
    let known = client.with_token(&text);
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let asking = tokio::spawn(async move {
        let mut asked = 0;
        while !stopping.is_cancelled() {
            assert!(client.info().await.is_err());
            known.info().await.unwrap();
            asked += 1;
        }
        asked
    });
    for round in 0..10 {
        let entries: &[_] = if round % 2 == 0 {
            &[&entry, &other]
        } else {
            &[&entry]
        };
        write_tokens(&folder, entries);
        let count = entries.len() as f64;
        eventually(DEADLINE, async || metric("fredcollector_tokens") == count).await;
    }
    stop.cancel();
    assert!(asking.await.unwrap() > 0);
    collector.stop().await;
}

#[test]
fn a_file_of_tokens_that_cannot_be_used_stops_the_start() {
    let folder = Folder::create();
    let bad = folder.write("bad.toml", "[[token]]\nname = \"a\"\nscopes = [\"raed\"]");
    let nowhere = folder.file("nowhere.toml");
    for (file, words) in [(bad, "token \"a\""), (nowhere, "cannot be read")] {
        let settings = [("auth.tokens_file", &*file)];
        let url = "postgres://atlas@localhost/atlas";
        let refused = crate::harness::configuration(url, &settings).unwrap_err();
        assert_eq!(refused.0[0].key, "auth.tokens_file");
        assert!(refused.to_string().contains(words), "{refused}");
    }
}
