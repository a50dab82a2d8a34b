use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use alert_service::channel::{Channel, ChatId, MessageKind, Outcome, Secret, Sender};
use serde_json::{Value, json};

use crate::support::{
    http_server::{HttpServer, Reply},
    sample::{config, hostile_messages, message, reason, secret},
};

const TOKEN: &str = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11";

fn bot() -> Secret {
    secret(|secret| secret.token = Some(TOKEN.into()))
}

fn chat() -> Channel {
    Channel::Telegram {
        chat_id: ChatId::Number(-1_001_234_567_890),
        message_thread_id: Some(5),
    }
}

fn sender(server: &HttpServer) -> Sender {
    let mut config = config();
    config.telegram_url = server.url("/");
    Sender::new(config).unwrap()
}

fn sent() -> Reply {
    let answer = json!({"ok": true, "result": {"message_id": 4711, "date": 1, "chat": {"id": 1}}});
    Reply::text(200, &answer.to_string())
}

fn error(code: u16, description: &str, parameters: Value) -> Reply {
    let answer = json!({
        "ok": false, "error_code": code, "description": description, "parameters": parameters,
    });
    Reply::text(code, &answer.to_string())
}

fn units(text: &Value) -> usize {
    text.as_str().unwrap().encode_utf16().count()
}

#[tokio::test]
async fn a_message_is_plain_text_with_a_bold_heading_and_buttons() {
    let server = HttpServer::start().await.will(sent());
    let outcome = sender(&server).send(&chat(), &bot(), &message()).await;
    let receipt = Some("4711".to_owned());
    assert_eq!(outcome, Outcome::Accepted { receipt });
    let received = server.take_one();
    assert_eq!(received.path, format!("/bot{TOKEN}/sendMessage"));
    let text = "Critical: Yield curve inverted\nT10Y2Y is -0.12, below 0.\n\n\
                2026-03-01 12:00:00 UTC\nseries: fred/T10Y2Y";
    let open = "https://atlas.example.org/alerts/7?a=1&b=2";
    let expected = json!({
        "chat_id": -1_001_234_567_890_i64,
        "message_thread_id": 5,
        "text": text,
        "entities": [{"type": "bold", "offset": 0, "length": 30}],
        "link_preview_options": {"is_disabled": true},
        "disable_notification": false,
        "reply_markup": {"inline_keyboard": [
            [{"text": "Open", "url": open}],
            [{"text": "Acknowledge", "url": "https://atlas.example.org/a/token"}],
        ]},
    });
    assert_eq!(received.json(), expected);
}

#[tokio::test]
async fn the_end_of_an_alert_makes_no_sound() {
    let server = HttpServer::start().await.will(sent());
    let mut message = message();
    message.kind = MessageKind::Resolved;
    reason(
        sender(&server).send(&chat(), &bot(), &message).await,
        "accepted",
    );
    assert_eq!(server.take_one().json()["disable_notification"], true);
}

#[tokio::test]
async fn the_bounds_are_units_of_utf_16() {
    for message in hostile_messages() {
        let refusal = error(400, "Bad Request: can't parse entities", json!({}));
        let server = HttpServer::start().await.will(refusal).will(sent());
        let outcome = sender(&server).send(&chat(), &bot(), &message).await;
        reason(outcome, "accepted");
        let received = server.take();
        assert_eq!(received.len(), 2);
        for received in &received {
            let text = received.json()["text"].clone();
            assert!(units(&text) <= 4096, "{}", units(&text));
            assert!(text.as_str().unwrap().starts_with("Critical: "));
        }
        let rich = received[0].json();
        let length = rich["entities"][0]["length"].as_u64().unwrap();
        let heading = rich["text"]
            .as_str()
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .to_owned();
        assert_eq!(length, heading.encode_utf16().count() as u64);
        let plain = received[1].json()["text"].as_str().unwrap().to_owned();
        assert!(
            plain.ends_with("Acknowledge: https://atlas.example.org/a/token"),
            "{plain}"
        );
    }
}

#[tokio::test]
async fn refused_markup_is_left_out_once() {
    for description in [
        "Bad Request: can't parse entities: entity beginning at byte offset 1 ends after the end",
        "Bad Request: BUTTON_URL_INVALID",
    ] {
        let refusal = || error(400, description, json!({}));
        let server = HttpServer::start().await.will(refusal()).will(sent());
        reason(
            sender(&server).send(&chat(), &bot(), &message()).await,
            "accepted",
        );
        let [rich, plain] = server.take().try_into().ok().unwrap();
        assert!(rich.json().get("entities").is_some());
        let plain = plain.json();
        assert!(plain.get("entities").is_none() && plain.get("reply_markup").is_none());
        let server = HttpServer::start().await.will(refusal()).will(refusal());
        reason(
            sender(&server).send(&chat(), &bot(), &message()).await,
            "refused",
        );
        assert_eq!(server.take().len(), 2);
    }
}

#[tokio::test]
async fn an_error_says_what_becomes_of_the_chat() {
    let migrated = json!({"migrate_to_chat_id": -1_001_999_999_999_i64});
    let text = "group chat was upgraded to a supergroup chat";
    for (reply, expected, starts) in [
        (error(400, text, migrated), "moved", "-1001999999999"),
        (
            error(429, "Too Many Requests", json!({"retry_after": 34})),
            "slower",
            "34 s ",
        ),
        (
            error(429, "Too Many Requests", json!({"retry_after": 999_999})),
            "slower",
            "3600 s ",
        ),
        (
            error(400, "Bad Request: chat not found", json!({})),
            "disabled",
            "answered 400",
        ),
        (
            error(400, "Bad Request: message is too long", json!({})),
            "refused",
            "answered 400",
        ),
        (
            error(401, "Unauthorized", json!({})),
            "disabled",
            "answered 401",
        ),
        (
            error(403, "Forbidden: bot was blocked by the user", json!({})),
            "disabled",
            "answered",
        ),
        (
            error(404, "Not Found", json!({})),
            "disabled",
            "answered 404",
        ),
        (
            error(500, "Internal Server Error", json!({})),
            "failed",
            "answered 500",
        ),
        (
            Reply::text(502, "<html>bad gateway</html>"),
            "failed",
            "answered 502",
        ),
        (
            Reply::text(200, "<html>a portal</html>"),
            "unknown",
            "answered 200",
        ),
    ] {
        let server = HttpServer::start().await.will(reply);
        let outcome = sender(&server).send(&chat(), &bot(), &message()).await;
        let reason = reason(outcome, expected);
        assert!(reason.starts_with(starts), "{reason}");
        assert_eq!(server.take().len(), 1);
    }
}

#[test]
fn a_moved_chat_keeps_its_thread() {
    let moved = chat().moved("-1001999999999").unwrap();
    let expected = Channel::Telegram {
        chat_id: ChatId::Number(-1_001_999_999_999),
        message_thread_id: Some(5),
    };
    assert_eq!(moved, expected);
    assert_eq!(chat().moved("elsewhere"), None);
    assert_eq!(Channel::Log {}.moved("1"), None);
}

/// What is logged, at every level.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_token_is_in_no_log_and_no_error() {
    let written = Written::default();
    let writer = written.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let server = HttpServer::start().await.will(Reply::Silence);
    let mut config = config();
    config.telegram_url = server.url("/");
    config.answer_timeout = std::time::Duration::from_millis(300);
    let sender = Sender::new(config).unwrap();
    let lost = reason(sender.send(&chat(), &bot(), &message()).await, "unknown");
    // Nobody listens here.
    let mut config = crate::support::sample::config();
    config.telegram_url = "http://127.0.0.1:9".parse().unwrap();
    let away = Sender::new(config).unwrap();
    let away = reason(away.send(&chat(), &bot(), &message()).await, "failed");
    let shown = format!("{lost} {away} {:?} {:?} {sender:?}", chat(), bot());
    assert!(!shown.contains("ABC-DEF"), "{shown}");
    // The log channel shows that the log is read here at all.
    reason(
        sender
            .send(&Channel::Log {}, &Secret::default(), &message())
            .await,
        "accepted",
    );
    let log = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("Critical: Yield curve inverted"), "{log}");
    assert!(!log.contains("ABC-DEF"), "{log}");
}
