use alert_service::channel::{Channel, MessageKind, Secret};
use serde_json::Value;

use crate::support::{
    http_server::{HttpServer, Reply},
    sample::{hostile_messages, impatient, message, reason, secret, sender},
};

fn to(server: &HttpServer) -> Secret {
    let url = server.url("/services/T0/B0/XXXXSECRET");
    secret(|secret| secret.url = Some(url.as_str().into()))
}

fn units(text: &Value) -> usize {
    text.as_str().unwrap().encode_utf16().count()
}

#[tokio::test]
async fn a_message_is_text_and_blocks() {
    let server = HttpServer::start().await.will(Reply::text(200, "ok"));
    let outcome = sender()
        .send(&Channel::Slack {}, &to(&server), &message())
        .await;
    assert_eq!(reason(outcome, "accepted"), "ok");
    let received = server.take_one();
    assert_eq!(received.path, "/services/T0/B0/XXXXSECRET");
    let payload = received.json();
    let text = payload["text"].as_str().unwrap();
    for part in [
        "*Critical: Yield curve inverted*",
        "T10Y2Y is -0.12, below 0.",
        "2026-03-01 12:00:00 UTC",
        "series: fred/T10Y2Y",
        "<https://atlas.example.org/alerts/7?a=1&amp;b=2|Open>",
        "<https://atlas.example.org/a/token|Acknowledge>",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(
        payload["blocks"][0]["text"]["text"],
        "Critical: Yield curve inverted"
    );
    assert_eq!(payload["unfurl_links"], false);
}

#[tokio::test]
async fn text_cannot_mention_link_or_format() {
    let server = HttpServer::start().await;
    let mut message = message();
    message.title = "<!channel> *a* & b".to_owned();
    message.text = "<https://evil.example|click> &amp; <@U1>".to_owned();
    let outcome = sender()
        .send(&Channel::Slack {}, &to(&server), &message)
        .await;
    reason(outcome, "accepted");
    let payload = server.take_one().json();
    let section = &payload["blocks"][1]["text"];
    let expected = "&lt;https://evil.example|click&gt; &amp;amp; &lt;@U1&gt;";
    assert!(
        section["text"].as_str().unwrap().starts_with(expected),
        "{section}"
    );
    assert_eq!(section["verbatim"], true);
    let text = payload["text"].as_str().unwrap();
    assert!(
        text.starts_with("*Critical: &lt;!channel&gt; ∗a∗ &amp; b*\n"),
        "{text}"
    );
}

#[tokio::test]
async fn every_block_is_within_its_bounds() {
    let server = HttpServer::start().await;
    for message in hostile_messages() {
        let outcome = sender()
            .send(&Channel::Slack {}, &to(&server), &message)
            .await;
        reason(outcome, "accepted");
        let payload = server.take_one().json();
        assert!(units(&payload["text"]) <= 40_000);
        assert!(units(&payload["blocks"][0]["text"]["text"]) <= 150);
        for block in &payload["blocks"].as_array().unwrap()[1..] {
            assert!(units(&block["text"]["text"]) <= 3000);
            // No escape is cut in two.
            let text = block["text"]["text"].as_str().unwrap();
            for part in text.split('&').skip(1) {
                assert!(
                    ["amp;", "lt;", "gt;"]
                        .iter()
                        .any(|end| part.starts_with(end)),
                    "{part}"
                );
            }
        }
        let links = payload["blocks"][2]["text"]["text"].as_str().unwrap();
        assert!(links.ends_with("|Acknowledge>"), "{links}");
    }
}

#[tokio::test]
async fn an_answer_says_whether_the_address_is_of_use() {
    for (status, text, expected) in [
        (400, "invalid_payload", "refused"),
        (400, "no_text", "refused"),
        (400, "user_not_found", "disabled"),
        (403, "action_prohibited", "disabled"),
        (403, "invalid_token", "disabled"),
        (404, "channel_not_found", "disabled"),
        (410, "channel_is_archived", "disabled"),
        (500, "rollup_error", "failed"),
        (502, "", "failed"),
        (302, "", "failed"),
    ] {
        let server = HttpServer::start().await.will(Reply::text(status, text));
        let outcome = sender()
            .send(&Channel::Slack {}, &to(&server), &message())
            .await;
        let reason = reason(outcome, expected);
        assert!(
            reason.contains(text) && !reason.contains("XXXXSECRET"),
            "{reason}"
        );
    }
    let reply = Reply::header(429, "retry-after", "30");
    let server = HttpServer::start().await.will(reply);
    let outcome = sender()
        .send(&Channel::Slack {}, &to(&server), &message())
        .await;
    assert!(reason(outcome, "slower").starts_with("30 s "));
}

#[tokio::test]
async fn a_lost_answer_leaves_it_unknown() {
    let server = HttpServer::start().await.will(Reply::Silence);
    let outcome = impatient()
        .send(&Channel::Slack {}, &to(&server), &message())
        .await;
    reason(outcome, "unknown");
}

#[tokio::test]
async fn what_a_message_reports_is_its_first_word() {
    let server = HttpServer::start().await;
    for (kind, word) in [
        (MessageKind::Firing, "Critical"),
        (MessageKind::Resolved, "Resolved"),
        (MessageKind::Correction, "Correction"),
        (MessageKind::Test, "Test"),
    ] {
        let message = alert_service::channel::Message { kind, ..message() };
        let outcome = sender()
            .send(&Channel::Slack {}, &to(&server), &message)
            .await;
        reason(outcome, "accepted");
        let payload = server.take_one().json();
        let expected = format!("{word}: Yield curve inverted");
        assert_eq!(payload["blocks"][0]["text"]["text"], expected.as_str());
    }
}
