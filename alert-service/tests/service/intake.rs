//! Alerts that others send: Alertmanager's notifications, and `POST /v1/alerts`.

use access::{Entry, Identity, Scope, Secret, render};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use test_support::eventually;

use crate::{
    bed::{Bed, DEADLINE, Running},
    receiver::Receiver,
};

/// A notification as Alertmanager writes it, of alerts (name, status, start, end).
fn notification(alerts: &[(&str, &str, &str, &str)]) -> Value {
    let alert = |(name, status, start, end): &(&str, &str, &str, &str)| {
        json!({
            "status": status,
            "labels": {"alertname": name, "severity": "critical", "instance": "db:5432"},
            "annotations": {"summary": format!("{name} is wrong"), "description": "Look at it.",
                "runbook_url": "docs/operations.md#down"},
            "startsAt": start, "endsAt": end,
            "generatorURL": "http://prometheus:9090/graph", "fingerprint": format!("fp-{name}"),
        })
    };
    let alerts: Vec<_> = alerts.iter().map(alert).collect();
    json!({
        "version": "4", "groupKey": "{}:{alertname=\"X\"}", "truncatedAlerts": 0, "status": "firing",
        "receiver": "atlas", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093", "orgId": 1, "alerts": alerts,
    })
}

const OPEN: &str = "0001-01-01T00:00:00Z";
const BEGAN: &str = "2026-01-02T03:04:05.123456789Z";
const ENDED: &str = "2026-01-02T04:00:00Z";

async fn notify(service: &Running, alerts: &[(&str, &str, &str, &str)]) -> Value {
    service.post("/v1/alertmanager", notification(alerts)).await
}

async fn alerts(service: &Running) -> Vec<Value> {
    let page = service.get("/v1/alerts").await;
    page["alerts"].as_array().unwrap().clone()
}

fn external() -> Value {
    json!({"condition": {"kind": "external"}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_begins_one_alert_however_often_it_comes_and_ends_it() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    let only = json!({"condition": {"kind": "external", "source": "alertmanager", "severity": "critical",
        "labels": {"instance": "db:5432"}}});
    service.rule(&channel, only).await;
    let other = json!({"condition": {"kind": "external", "source": "api"}});
    service.rule(&channel, other).await;
    let firing = [("Down", "firing", BEGAN, OPEN)];
    let first = notify(&service, &firing).await;
    assert_eq!(first["begun"], 1, "{first}");
    eventually(DEADLINE, async || receiver.accepted().len() == 1).await;
    let body = receiver.accepted()[0].body.clone();
    assert_eq!(body["data"]["title"], "Down is wrong", "{body}");
    let text = body["data"]["text"].as_str().unwrap().to_owned();
    assert!(
        text.contains("Look at it.\nRunbook: docs/operations.md#down"),
        "{text}"
    );
    // Each flush of the group repeats it, also to a service that was started again.
    assert_eq!(notify(&service, &firing).await["repeated"], 1);
    service.end().await;
    let service = bed.start().await;
    assert_eq!(notify(&service, &firing).await["repeated"], 1);
    let resolved = [("Down", "resolved", BEGAN, ENDED)];
    assert_eq!(notify(&service, &resolved).await["ended"], 1);
    assert_eq!(notify(&service, &resolved).await["repeated"], 1);
    eventually(DEADLINE, async || receiver.accepted().len() == 2).await;
    let all = alerts(&service).await;
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0]["state"], "resolved");
    assert_eq!(all[0]["ended_at"], ENDED);
    assert_eq!(all[0]["severity"], "critical");
    // What comes late of that episode begins nothing, the next episode does.
    assert_eq!(notify(&service, &firing).await["repeated"], 1);
    let again = [("Down", "firing", "2026-01-02T05:00:00Z", OPEN)];
    assert_eq!(notify(&service, &again).await["begun"], 1);
    // The end of the first does not end the second.
    assert_eq!(notify(&service, &resolved).await["repeated"], 1);
    let all = alerts(&service).await;
    assert_eq!((all.len(), &all[0]["episode"]), (2, &2.into()), "{all:?}");
    assert_eq!(all[0]["state"], "firing");
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_a_person_resolved_is_not_begun_again_by_a_repetition() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, external()).await;
    let firing = [("Down", "firing", BEGAN, OPEN)];
    notify(&service, &firing).await;
    let id = alerts(&service).await[0]["id"].as_str().unwrap().to_owned();
    let resolve = format!("/v1/alerts/{id}/resolve");
    let (status, _) = service.ask_as(None, Method::POST, &resolve, None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(notify(&service, &firing).await["repeated"], 1);
    assert_eq!(alerts(&service).await.len(), 1);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_alert_of_a_group_counts_for_itself_and_what_is_left_out_stays() {
    let bed = Bed::create(&[]).await;
    let service = bed.start().await;
    let log = json!({"name": "log", "configuration": {"kind": "log"}});
    let channel = service.post("/v1/channels", log).await;
    service
        .rule(channel["id"].as_str().unwrap(), external())
        .await;
    let three = ["A", "B", "C"].map(|name| (name, "firing", BEGAN, OPEN));
    assert_eq!(notify(&service, &three).await["begun"], 3);
    let mut some = notification(&[
        ("A", "resolved", BEGAN, ENDED),
        ("B", "firing", BEGAN, OPEN),
    ]);
    some["truncatedAlerts"] = 1.into();
    some["status"] = "resolved".into();
    // One that cannot be taken over does not hold up the others.
    some["alerts"].as_array_mut().unwrap().push(json!({
        "status": "firing", "labels": {"alertname": "D", "long": "x".repeat(1_001)}, "startsAt": BEGAN,
    }));
    let taken = service.post("/v1/alertmanager", some).await;
    let counts =
        ["ended", "repeated", "truncated", "begun"].map(|what| taken[what].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1, 0], "{taken}");
    assert_eq!(taken["refused"][0]["index"], 2, "{taken}");
    let mut open: Vec<_> = alerts(&service).await;
    open.retain(|alert| alert["state"] == "firing");
    let mut names: Vec<_> = open
        .iter()
        .map(|alert| alert["labels"]["alertname"].to_string())
        .collect();
    names.sort();
    assert_eq!(names, ["\"B\"", "\"C\""]);
    let refused = async |body: Value| {
        let answer = service
            .ask_as(None, Method::POST, "/v1/alertmanager", Some(body))
            .await;
        assert_eq!(answer.0, StatusCode::BAD_REQUEST, "{answer:?}");
        answer.1["errors"][0]["field"].as_str().unwrap().to_owned()
    };
    let mut other = notification(&[]);
    other["version"] = "3".into();
    assert_eq!(refused(other).await, "version");
    let many = vec![("A", "firing", BEGAN, OPEN); 1_001];
    assert_eq!(refused(notification(&many)).await, "alerts");
    let alone = json!({"version": "4", "alerts": [{"status": "firing", "labels": {"": "x"}}]});
    assert_eq!(refused(alone).await, "alerts[0]");
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_an_idempotency_key_is_carried_out_once() {
    let bed = Bed::create(&[]).await;
    let service = bed.start().await;
    let log = json!({"name": "log", "configuration": {"kind": "log"}});
    let channel = service.post("/v1/channels", log).await;
    service
        .rule(channel["id"].as_str().unwrap(), external())
        .await;
    let send = async |key: &str, body: &Value| {
        let request = Client::new().post(service.url("/v1/alerts"));
        let request = request.header("idempotency-key", key).json(body);
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, response.json::<Value>().await.unwrap())
    };
    let alert =
        json!({"title": "The backup failed", "severity": "warning", "labels": {"job": "backup"}});
    let resolved = json!({"title": "It works", "labels": {"job": "backup"}, "status": "resolved"});
    let first = send("k1", &alert).await;
    assert_eq!(
        (first.0, &first.1["outcome"]),
        (StatusCode::OK, &json!("begun")),
        "{first:?}"
    );
    assert_eq!(send("k2", &resolved).await.1["outcome"], "ended");
    // Without the key this would begin the next episode.
    assert_eq!(send("k1", &alert).await, first);
    assert_eq!(alerts(&service).await.len(), 1);
    assert_eq!(send("k1", &resolved).await.0, StatusCode::CONFLICT);
    assert_eq!(send("k 3", &alert).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(send("k3", &alert).await.1["outcome"], "begun");
    // Without one, what is open stays so.
    let repeated = service.post("/v1/alerts", alert).await;
    assert_eq!(repeated["outcome"], "repeated");
    // Both at once.
    let other = json!({"title": "Other", "labels": {"job": "other"}});
    let both = tokio::join!(send("k4", &other), send("k4", &other));
    assert_eq!(both.0, both.1);
    assert_eq!(alerts(&service).await.len(), 3);
    for (field, body) in [
        ("title", json!({"title": " "})),
        ("ends_at", json!({"title": "x", "ends_at": ENDED})),
        (
            "starts_at",
            json!({"title": "x", "starts_at": "1900-01-01T00:00:00Z"}),
        ),
        (
            "labels.a",
            json!({"title": "x", "labels": {"a": "x".repeat(1_001)}}),
        ),
    ] {
        let answer = service
            .ask_as(None, Method::POST, "/v1/alerts", Some(body))
            .await;
        assert_eq!(answer.0, StatusCode::BAD_REQUEST, "{answer:?}");
        assert_eq!(answer.1["errors"][0]["field"], field, "{answer:?}");
    }
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_tenant_sends_is_for_its_own_rules() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let mut file = String::new();
    let mut token = |name: &str, scopes: &[Scope]| {
        let secret = Secret::generate().unwrap();
        let entry = Entry::new(name, Identity::Token(secret.hash()), scopes.to_vec());
        file.push_str(&render(&entry));
        secret.expose().to_owned()
    };
    let own = [Scope::AlertsRead, Scope::AlertsWrite];
    let (ann, bob) = (token("ann", &own), token("bob", &own));
    let reads = token("reads", &[Scope::AlertsRead]);
    let file = bed.file("tokens.toml", &file);
    let service = bed.start_with(&[format!("auth.tokens_file={file}")]).await;
    for (token, path) in [(&ann, "a"), (&bob, "b")] {
        let channel =
            json!({"name": "c", "configuration": {"kind": "webhook", "url": receiver.url(path)}});
        let made = service
            .ask_as(Some(token), Method::POST, "/v1/channels", Some(channel))
            .await;
        let rule =
            json!({"name": "r", "condition": {"kind": "external"}, "channels": [made.1["id"]]});
        let made = service
            .ask_as(Some(token), Method::POST, "/v1/rules", Some(rule))
            .await;
        assert_eq!(made.0, StatusCode::CREATED, "{made:?}");
    }
    let send = async |token: &str, status: &str| {
        let path = "/v1/alertmanager";
        let body = notification(&[(
            "Down",
            status,
            BEGAN,
            if status == "firing" { OPEN } else { ENDED },
        )]);
        service
            .ask_as(Some(token), Method::POST, path, Some(body))
            .await
    };
    assert_eq!(send(&ann, "firing").await.1["begun"], 1);
    assert_eq!(send(&bob, "firing").await.1["begun"], 1);
    // The same fingerprint ends one's own alert only.
    assert_eq!(send(&bob, "resolved").await.1["ended"], 1);
    let state = async |token: &str| {
        let answer = service
            .ask_as(Some(token), Method::GET, "/v1/alerts", None)
            .await;
        answer.1["alerts"][0]["state"].clone()
    };
    assert_eq!(state(&ann).await, "firing");
    assert_eq!(state(&bob).await, "resolved");
    assert_eq!(send(&reads, "firing").await.0, StatusCode::FORBIDDEN);
    let body = notification(&[]);
    let (status, _) = service
        .ask_as(None, Method::POST, "/v1/alertmanager", Some(body))
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    eventually(DEADLINE, async || {
        receiver.accepted().iter().any(|one| one.path == "a")
    })
    .await;
    service.end().await;
}
