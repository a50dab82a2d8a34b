//! What a token may see and change: its own, and with the scope admin everything.

use access::{Entry, Identity, Scope, Secret, render};
use chrono::{TimeDelta, Utc};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use test_support::eventually;

use crate::{
    bed::{Bed, DEADLINE, Running, entered},
    receiver::Receiver,
};

pub(crate) const OWN: [Scope; 2] = [Scope::AlertsRead, Scope::AlertsWrite];
const ALL: [Scope; 3] = [Scope::AlertsRead, Scope::AlertsWrite, Scope::Admin];

pub(crate) fn token(name: &str, scopes: &[Scope]) -> (String, Entry) {
    let secret = Secret::generate().unwrap();
    let entry = Entry::new(name, Identity::Token(secret.hash()), scopes.to_vec());
    (secret.expose().to_owned(), entry)
}

async fn make(service: &Running, token: &str, url: &str) -> (String, String) {
    let channel = json!({"name": "c", "configuration": {"kind": "webhook", "url": url}});
    let id = created(service, token, "/v1/channels", channel).await;
    let rule = json!({"name": "r", "condition": {"kind": "pattern"}, "channels": [id]});
    let rule = created(service, token, "/v1/rules", rule).await;
    (id, rule)
}

async fn created(service: &Running, token: &str, path: &str, body: Value) -> String {
    let answer = service
        .ask_as(Some(token), Method::POST, path, Some(body))
        .await;
    assert_eq!(answer.0, StatusCode::CREATED, "{answer:?}");
    answer.1["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_sees_and_changes_its_own_and_an_admin_everything() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let (ann, a) = token("ann", &OWN);
    let (bob, b) = token("bob", &OWN);
    let (admin, c) = token("operator", &ALL);
    let (reader, d) = token("reader", &[Scope::Read]);
    let (looks, e) = token("looks", &[Scope::AlertsRead]);
    let mut limited = Entry {
        series: Some(["A".to_owned()].into()),
        ..token("limited", &OWN).1
    };
    let secret = Secret::generate().unwrap();
    limited.identity = Identity::Token(secret.hash());
    let limits = secret.expose().to_owned();
    let file: String = [a, b, c, d, e, limited].iter().map(render).collect();
    let file = bed.file("tokens.toml", &file);
    let service = bed.start_with(&[format!("auth.tokens_file={file}")]).await;

    let (channel_a, rule_a) = make(&service, &ann, &receiver.url("a")).await;
    let (_, rule_b) = make(&service, &bob, &receiver.url("b")).await;
    bed.publish(entered("p")).await;
    eventually(DEADLINE, async || receiver.accepted().len() == 2).await;
    let list = async |token: &str, path: &str, what: &str| {
        let answer = service.ask_as(Some(token), Method::GET, path, None).await;
        assert_eq!(answer.0, StatusCode::OK, "{path} {answer:?}");
        let all = answer.1[what].as_array().unwrap().clone();
        all.iter()
            .map(|one| one["owner"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for what in ["channels", "rules", "alerts", "deliveries"] {
        let path = format!("/v1/{what}");
        assert_eq!(list(&ann, &path, what).await, ["ann"], "{what}");
        assert_eq!(list(&bob, &path, what).await, ["bob"], "{what}");
        let mut all = list(&admin, &path, what).await;
        all.sort();
        assert_eq!(all, ["ann", "bob"], "{what}");
        assert!(list(&looks, &path, what).await.is_empty(), "{what}");
        for token in [&reader, &limits] {
            let (status, _) = service.ask_as(Some(token), Method::GET, &path, None).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{what}");
        }
        let (status, _) = service.ask_as(None, Method::GET, &path, None).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{what}");
    }
    let answer = service
        .ask_as(Some(&ann), Method::GET, "/v1/alerts", None)
        .await;
    let alert = answer.1["alerts"][0]["id"].as_str().unwrap().to_owned();
    let answer = service
        .ask_as(Some(&ann), Method::GET, "/v1/deliveries", None)
        .await;
    let delivery = answer.1["deliveries"][0]["id"].as_str().unwrap().to_owned();
    let silence = json!({
        "matchers": ["pattern=x"], "reason": "r", "ends_at": Utc::now() + TimeDelta::hours(1),
    });
    let silence = created(&service, &ann, "/v1/silences", silence).await;
    let until = json!({"until": Utc::now() + TimeDelta::hours(1)});
    // Everything of ann's that names an id, asked for by bob, is not there.
    let channel = json!({"name": "x", "configuration": {"kind": "log"}, "version": 1});
    let rule = json!({"name": "r", "condition": {"kind": "pattern"}, "channels": [&channel_a]});
    for (method, path, body) in [
        (Method::GET, format!("/v1/channels/{channel_a}"), None),
        (
            Method::PUT,
            format!("/v1/channels/{channel_a}"),
            Some(channel),
        ),
        (Method::DELETE, format!("/v1/channels/{channel_a}"), None),
        (Method::POST, format!("/v1/channels/{channel_a}/test"), None),
        (Method::GET, format!("/v1/rules/{rule_a}"), None),
        (
            Method::PUT,
            format!("/v1/rules/{rule_a}"),
            Some(json!({"version": 1, "rule": rule})),
        ),
        (Method::DELETE, format!("/v1/rules/{rule_a}"), None),
        (Method::POST, format!("/v1/rules/{rule_a}/pause"), None),
        (Method::POST, format!("/v1/rules/{rule_a}/resume"), None),
        (
            Method::POST,
            format!("/v1/rules/{rule_a}/snooze"),
            Some(json!({"until": "2020-01-01T00:00:00Z"})),
        ),
        (Method::GET, format!("/v1/alerts/{alert}"), None),
        (
            Method::POST,
            format!("/v1/alerts/{alert}/acknowledge"),
            None,
        ),
        (Method::POST, format!("/v1/alerts/{alert}/resolve"), None),
        (
            Method::POST,
            format!("/v1/alerts/{alert}/snooze"),
            Some(until),
        ),
        (Method::GET, format!("/v1/silences/{silence}"), None),
        (Method::POST, format!("/v1/silences/{silence}/end"), None),
        (
            Method::POST,
            format!("/v1/deliveries/{delivery}/retry"),
            None,
        ),
        (
            Method::POST,
            format!("/v1/deliveries/{delivery}/discard"),
            None,
        ),
    ] {
        let answer = service
            .ask_as(Some(&bob), method.clone(), &path, body.clone())
            .await;
        assert_eq!(
            answer.0,
            StatusCode::NOT_FOUND,
            "{method} {path} {answer:?}"
        );
        if method != Method::GET {
            let answer = service
                .ask_as(Some(&looks), method.clone(), &path, body)
                .await;
            assert_eq!(
                answer.0,
                StatusCode::FORBIDDEN,
                "{method} {path} {answer:?}"
            );
        }
    }
    assert_eq!(list(&ann, "/v1/silences", "silences").await, ["ann"]);
    assert!(list(&bob, "/v1/silences", "silences").await.is_empty());
    // Preferences are of whoever asks, and name own channels only.
    let put = async |token: &str, preferences: Value| {
        let body = json!({"version": 0, "preferences": preferences});
        let path = "/v1/preferences";
        service
            .ask_as(Some(token), Method::PUT, path, Some(body))
            .await
    };
    let routes = json!({"routes": [{"channels": [channel_a]}]});
    let refused = put(&bob, routes.clone()).await;
    assert_eq!(refused.0, StatusCode::BAD_REQUEST, "{refused:?}");
    assert_eq!(refused.1["errors"][0]["field"], "routes[0].channels[0]");
    assert_eq!(put(&looks, json!({})).await.0, StatusCode::FORBIDDEN);
    assert_eq!(put(&ann, routes).await.0, StatusCode::OK);
    let shown = service
        .ask_as(Some(&bob), Method::GET, "/v1/preferences", None)
        .await;
    assert_eq!(shown.1["version"], 0, "{shown:?}");
    // A rule sends by channels of its owner only.
    let answer = service
        .ask_as(Some(&bob), Method::POST, "/v1/rules", Some(rule))
        .await;
    assert_eq!(answer.0, StatusCode::BAD_REQUEST, "{answer:?}");
    assert_eq!(answer.1["errors"][0]["field"], "channels[0]");
    assert_eq!(list(&bob, "/v1/rules", "rules").await, ["bob"]);
    // What one silences the other is notified of.
    bed.publish(entered("x")).await;
    bed.processed().await;
    for (token, reason) in [(&ann, Value::from("silenced")), (&bob, Value::Null)] {
        let path = "/v1/deliveries?limit=1";
        let answer = service.ask_as(Some(token), Method::GET, path, None).await;
        assert_eq!(
            answer.1["deliveries"][0]["suppressed_by"], reason,
            "{answer:?}"
        );
    }
    let pause = format!("/v1/rules/{rule_b}/pause");
    let answer = service
        .ask_as(Some(&admin), Method::POST, &pause, None)
        .await;
    assert_eq!(answer.0, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.1["history"][1]["by"], "operator");
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_not_shown_and_edits_name_their_version() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let body =
        json!({"name": "hook", "configuration": {"kind": "webhook", "url": receiver.url("a")}});
    let made = service.post("/v1/channels", body.clone()).await;
    let key = made["generated_key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("whsec_"));
    let path = format!("/v1/channels/{}", made["id"].as_str().unwrap());
    let shown = service.get(&path).await;
    assert_eq!(shown["has_secret"], true);
    assert!(!shown.to_string().contains("whsec_"), "{shown}");
    let pool = bed.pool().await;
    let sealed: Vec<u8> = sqlx::query_scalar("select sealed_secret from channels")
        .fetch_one(&pool)
        .await
        .unwrap();
    let plain = key.trim_start_matches("whsec_").as_bytes();
    assert!(!sealed.windows(plain.len()).any(|part| part == plain));
    let mut update = body;
    update["version"] = 1.into();
    update["name"] = "other".into();
    let put = async |body: Value| service.ask_as(None, Method::PUT, &path, Some(body)).await;
    assert_eq!(put(update.clone()).await.0, StatusCode::OK);
    let again = put(update.clone()).await;
    assert_eq!(
        (again.0, &again.1["version"]),
        (StatusCode::CONFLICT, &2.into()),
        "{again:?}"
    );
    // The secret was kept.
    let test = format!("{path}/test");
    let tested = service.ask_as(None, Method::POST, &test, None).await;
    assert_eq!(tested.1["outcome"], "accepted", "{tested:?}");
    assert_eq!(receiver.accepted().len(), 1);
    // Where a channel may not lead is refused with its field.
    update["configuration"]["url"] = "http://10.0.0.1:8080/".into();
    update["version"] = 2.into();
    let refused = put(update).await;
    assert_eq!(refused.0, StatusCode::BAD_REQUEST);
    assert_eq!(
        refused.1["errors"][0]["field"], "configuration.url",
        "{refused:?}"
    );
    service.end().await;
}
