use alert_service::channel::{Channel, Message, Secret, Sender};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::support::{
    http_server::{HttpServer, Received, Reply},
    sample::{config, hostile_messages, message, now, reason, secret, sender},
};

pub(crate) const KEY: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const OLD_KEY: &str = "whsec_ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoOEhYaHiImKi4yNjo+QkZKTlJWWl5iZmpucnZ6foKGiow==";

pub(crate) fn keyed() -> Secret {
    secret(|secret| secret.key = Some(KEY.into()))
}

pub(crate) fn channel(server: &HttpServer) -> Channel {
    Channel::Webhook {
        url: server.url("/hook"),
    }
}

/// The signatures that Standard Webhooks 1.0.0 asks for, by another implementation of the HMAC.
fn signature(key: &str, received: &Received) -> String {
    let key = STANDARD.decode(&key["whsec_".len()..]).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    let (id, timestamp) = (
        received.header("webhook-id"),
        received.header("webhook-timestamp"),
    );
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&received.body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_message_is_signed_and_accepted() {
    let server = HttpServer::start()
        .await
        .will(Reply::text(200, "thank\tyou\n"));
    let outcome = sender().send(&channel(&server), &keyed(), &message()).await;
    assert_eq!(reason(outcome, "accepted"), "thank you");
    let received = server.take_one();
    assert_eq!(received.path, "/hook");
    assert_eq!(received.header("content-type"), "application/json");
    assert_eq!(received.header("webhook-id"), "01JNABCDEFGHJKMNPQRSTVWXYZ");
    assert_eq!(
        received.header("webhook-timestamp"),
        now().timestamp().to_string()
    );
    assert_eq!(
        received.header("webhook-signature"),
        signature(KEY, &received)
    );
    let body = received.json();
    assert_eq!(body["type"], "alert.firing");
    assert_eq!(body["timestamp"], "2026-03-01T12:00:00.000Z");
    let data = &body["data"];
    assert_eq!(data["sequence"], 1);
    assert_eq!(data["severity"], "critical");
    assert_eq!(data["labels"]["series"], "fred/T10Y2Y");
    assert_eq!(data["alert"]["state"], "firing");
    assert_eq!(data["truncated"], false);
    assert_eq!(
        data["actions"][0]["url"],
        "https://atlas.example.org/a/token"
    );
}

#[tokio::test]
async fn in_a_rotation_both_keys_sign() {
    let server = HttpServer::start().await;
    let both = Secret {
        previous_key: Some(OLD_KEY.into()),
        ..keyed()
    };
    let outcome = sender().send(&channel(&server), &both, &message()).await;
    reason(outcome, "accepted");
    let received = server.take_one();
    let expected = format!(
        "{} {}",
        signature(KEY, &received),
        signature(OLD_KEY, &received)
    );
    assert_eq!(received.header("webhook-signature"), expected);
}

#[tokio::test]
async fn a_new_key_signs() {
    let server = HttpServer::start().await;
    let key = Secret::new_webhook_key().unwrap();
    let text = secrecy::ExposeSecret::expose_secret(&key).to_owned();
    assert_ne!(
        text,
        secrecy::ExposeSecret::expose_secret(&Secret::new_webhook_key().unwrap())
    );
    let secret = secret(|secret| secret.key = Some(key));
    let outcome = sender().send(&channel(&server), &secret, &message()).await;
    reason(outcome, "accepted");
    let received = server.take_one();
    assert_eq!(
        received.header("webhook-signature"),
        signature(&text, &received)
    );
}

#[tokio::test]
async fn no_body_reaches_20_kb_and_links_are_kept() {
    let server = HttpServer::start().await;
    let near_the_bound = (17_000..25_000).step_by(500).map(|bytes| Message {
        text: "x".repeat(bytes),
        ..message()
    });
    for message in hostile_messages().into_iter().chain(near_the_bound) {
        let outcome = sender().send(&channel(&server), &keyed(), &message).await;
        reason(outcome, "accepted");
        let received = server.take_one();
        assert!(
            received.body.len() < 20_000,
            "{} bytes",
            received.body.len()
        );
        let body = received.json();
        assert_eq!(body["data"]["url"], message.url.as_ref().unwrap().as_str());
        assert_eq!(body["data"]["actions"][0]["label"], "Acknowledge");
        let is_whole = body["data"]["text"] == message.text.as_str();
        assert!(is_whole || body["data"]["truncated"] == true);
    }
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_used() {
    // The environment belongs to a process: the test above runs again in one of its own.
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "webhook::a_message_is_signed_and_accepted"])
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("http_proxy", "http://127.0.0.1:9")
        .env("ALL_PROXY", "http://127.0.0.1:9")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&child.stdout);
    assert!(printed.contains("1 passed"), "{printed}");
}

#[tokio::test]
async fn http_is_refused_unless_the_operator_allows_it() {
    let server = HttpServer::start().await;
    let mut config = config();
    config.addresses.http_allowed = false;
    let sender = Sender::new(config).unwrap();
    let outcome = sender.send(&channel(&server), &keyed(), &message()).await;
    assert_eq!(reason(outcome, "refused"), "url must begin with https");
    assert!(server.take().is_empty());
}
