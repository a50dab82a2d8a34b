use alert_service::channel::{Channel, MessageKind, Outcome, Secret, Severity};
use serde_json::json;

use crate::support::{
    http_server::{HttpServer, Reply},
    sample::{hostile_messages, impatient, message, reason, secret, sender},
};

fn to(server: &HttpServer) -> Channel {
    Channel::Ntfy {
        server: server.url("/"),
        topic: "alerts_7".to_owned(),
    }
}

/// As a server answers that took a message.
fn published() -> Reply {
    let answer = json!({
        "id": "sPs71M8A2T3Y", "time": 1772366430, "expires": 1772409630, "event": "message",
        "topic": "alerts_7", "message": "x",
    });
    Reply::text(200, &answer.to_string())
}

fn refusal(http: u16, code: u32, error: &str) -> Reply {
    let link = "https://ntfy.sh/docs/publish/#limitations";
    let answer = json!({"code": code, "http": http, "error": error, "link": link});
    Reply::text(http, &answer.to_string())
}

#[tokio::test]
async fn a_message_is_json_to_the_root() {
    let server = HttpServer::start().await.will(published());
    let outcome = sender()
        .send(&to(&server), &Secret::default(), &message())
        .await;
    let receipt = Some("sPs71M8A2T3Y".to_owned());
    assert_eq!(outcome, Outcome::Accepted { receipt });
    let received = server.take_one();
    assert_eq!(received.path, "/");
    assert_eq!(received.header("authorization"), "");
    let payload = received.json();
    assert_eq!(payload["topic"], "alerts_7");
    assert_eq!(payload["title"], "Critical: Yield curve inverted");
    let text = "T10Y2Y is -0.12, below 0.\n\n2026-03-01 12:00:00 UTC\nseries: fred/T10Y2Y";
    assert_eq!(payload["message"], text);
    assert_eq!(payload["priority"], 5);
    assert_eq!(payload["sequence_id"], "01JNABCDEFGHJKMNPQRSTVWXYZ");
    assert_eq!(
        payload["click"],
        "https://atlas.example.org/alerts/7?a=1&b=2"
    );
    let action = json!({
        "action": "view", "label": "Acknowledge", "url": "https://atlas.example.org/a/token",
    });
    assert_eq!(payload["actions"], json!([action]));
}

#[tokio::test]
async fn credentials_are_a_token_or_a_user() {
    let server = HttpServer::start().await;
    let token = secret(|secret| secret.token = Some("tk_abc".into()));
    reason(
        sender().send(&to(&server), &token, &message()).await,
        "accepted",
    );
    assert_eq!(server.take_one().header("authorization"), "Bearer tk_abc");
    let user = secret(|secret| {
        secret.user = Some("Aladdin".into());
        secret.password = Some("open sesame".into());
    });
    reason(
        sender().send(&to(&server), &user, &message()).await,
        "accepted",
    );
    // The example of RFC 7617.
    let expected = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    assert_eq!(server.take_one().header("authorization"), expected);
}

#[tokio::test]
async fn the_bounds_are_bytes() {
    let server = HttpServer::start().await;
    for mut message in hostile_messages() {
        message.actions = vec![message.actions[0].clone(); 5];
        let outcome = sender()
            .send(&to(&server), &Secret::default(), &message)
            .await;
        reason(outcome, "accepted");
        let received = server.take_one();
        assert!(received.body.len() <= 8192, "{} bytes", received.body.len());
        let payload = received.json();
        assert!(payload["message"].as_str().unwrap().len() <= 4096);
        assert!(payload["title"].as_str().unwrap().len() <= 1024);
        assert_eq!(payload["actions"].as_array().unwrap().len(), 3);
        assert_eq!(payload["click"], message.url.unwrap().as_str());
    }
}

#[tokio::test]
async fn urgency_is_a_priority() {
    let server = HttpServer::start().await;
    for (kind, severity, priority) in [
        (MessageKind::Firing, Severity::Critical, 5),
        (MessageKind::Firing, Severity::Warning, 4),
        (MessageKind::Firing, Severity::Info, 3),
        (MessageKind::Resolved, Severity::Critical, 3),
    ] {
        let message = alert_service::channel::Message {
            kind,
            severity,
            ..message()
        };
        let outcome = sender()
            .send(&to(&server), &Secret::default(), &message)
            .await;
        reason(outcome, "accepted");
        assert_eq!(server.take_one().json()["priority"], priority);
    }
}

#[tokio::test]
async fn an_error_says_how_long_to_wait() {
    for (reply, expected, starts) in [
        (
            refusal(429, 42_901, "limit reached: too many requests"),
            "slower",
            "10 s answered 429",
        ),
        // The clock of these tests is 30 s past noon.
        (
            refusal(429, 42_908, "limit reached: daily message quota"),
            "slower",
            "43170 s answered",
        ),
        (
            refusal(401, 40_101, "unauthorized"),
            "disabled",
            "answered 401",
        ),
        (
            refusal(403, 40_301, "forbidden"),
            "disabled",
            "answered 403",
        ),
        (
            refusal(400, 40_024, "invalid request"),
            "refused",
            "answered 400",
        ),
        (refusal(413, 41_301, "too large"), "refused", "answered 413"),
        (refusal(500, 50_001, "internal"), "failed", "answered 500"),
    ] {
        let server = HttpServer::start().await.will(reply);
        let outcome = sender()
            .send(&to(&server), &Secret::default(), &message())
            .await;
        let reason = reason(outcome, expected);
        assert!(reason.starts_with(starts), "{reason}");
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_it_unknown() {
    let server = HttpServer::start().await.will(Reply::Silence);
    let outcome = impatient()
        .send(&to(&server), &Secret::default(), &message())
        .await;
    reason(outcome, "unknown");
}

#[tokio::test]
async fn more_than_the_server_takes_is_not_sent() {
    let server = HttpServer::start().await;
    let sender = sender();
    for _ in 0..60 {
        let outcome = sender
            .send(&to(&server), &Secret::default(), &message())
            .await;
        reason(outcome, "accepted");
    }
    let outcome = sender
        .send(&to(&server), &Secret::default(), &message())
        .await;
    assert_eq!(
        reason(outcome, "slower"),
        "5 s the limit of the service is reached"
    );
    assert_eq!(server.take().len(), 60);
}
