use alert_service::channel::{AddressRules, Channel, Seal, Secret};
use serde_json::{Value, json};
use ulid::Ulid;

use crate::support::sample::{config, message, reason, secret};

fn channel(value: Value) -> Result<Channel, serde_json::Error> {
    serde_json::from_value(value)
}

/// The fields of which `check` complains.
fn fields(channel_value: Value, secret_value: Value) -> Vec<String> {
    let channel = channel(channel_value).unwrap();
    let secret: Secret = serde_json::from_value(secret_value).unwrap();
    let problems = channel.check(&secret, &AddressRules::default());
    problems.into_iter().map(|problem| problem.field).collect()
}

const KEY: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const TOKEN: &str = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11";

#[test]
fn good_channels_have_no_problem_and_survive_json() {
    for (value, secret) in [
        (
            json!({"kind": "webhook", "url": "https://example.org/hook"}),
            json!({"key": KEY}),
        ),
        (
            json!({"kind": "slack"}),
            json!({"url": "https://hooks.slack.com/services/T/B/X"}),
        ),
        (
            json!({"kind": "ntfy", "server": "https://ntfy.sh/", "topic": "a-B_9"}),
            json!({}),
        ),
        (
            json!({"kind": "telegram", "chat_id": -100}),
            json!({"token": TOKEN}),
        ),
        (
            json!({"kind": "telegram", "chat_id": "@name", "message_thread_id": 3}),
            json!({"token": TOKEN}),
        ),
        (json!({"kind": "mail", "to": "a.b@example.org"}), json!({})),
        (json!({"kind": "log"}), json!({})),
    ] {
        assert_eq!(
            fields(value.clone(), secret),
            Vec::<String>::new(),
            "{value}"
        );
        assert_eq!(json!(channel(value.clone()).unwrap()), value);
    }
}

#[test]
fn a_problem_names_its_field() {
    let webhook = json!({"kind": "webhook", "url": "https://10.0.0.1/"});
    assert_eq!(fields(webhook.clone(), json!({"key": KEY})), ["url"]);
    assert_eq!(fields(webhook, json!({})), ["url", "secret.key"]);
    let webhook = json!({"kind": "webhook", "url": "https://example.org/"});
    for bad in ["", "AAEC", "whsec_", "whsec_AAEC", "whsec_???"] {
        assert_eq!(
            fields(webhook.clone(), json!({"key": bad})),
            ["secret.key"],
            "{bad}"
        );
    }
    let both = json!({"key": KEY, "previous_key": "x", "token": "t"});
    assert_eq!(
        fields(webhook, both),
        ["secret.token", "secret.previous_key"]
    );
    for bad in [
        "",
        "no url",
        "https://127.0.0.1/",
        "http://hooks.slack.com/",
    ] {
        assert_eq!(
            fields(json!({"kind": "slack"}), json!({"url": bad})),
            ["secret.url"],
            "{bad}"
        );
    }
    let ntfy =
        |server: &str, topic: &str| json!({"kind": "ntfy", "server": server, "topic": topic});
    assert_eq!(
        fields(ntfy("https://ntfy.sh/topic", "a/b"), json!({})),
        ["server", "topic"]
    );
    let longest = "a".repeat(64);
    assert!(fields(ntfy("https://ntfy.sh", &longest), json!({})).is_empty());
    assert_eq!(
        fields(ntfy("https://ntfy.sh", &format!("{longest}a")), json!({})),
        ["topic"]
    );
    let ntfy = ntfy("https://ntfy.sh", "a");
    assert_eq!(fields(ntfy.clone(), json!({"user": "u"})), ["secret.user"]);
    assert_eq!(fields(ntfy, json!({"token": "a\nb"})), ["secret.token"]);
    let telegram = json!({"kind": "telegram", "chat_id": "name"});
    assert_eq!(
        fields(telegram, json!({"token": "1:a/../b"})),
        ["chat_id", "secret.token"]
    );
    for bad in [
        "",
        "a",
        "a@b@c",
        "A <a@example.org>",
        "a@example.org, b@example.org",
        "ä@example.org",
        "a@example.org\r\nBcc: b@example.org",
    ] {
        assert_eq!(
            fields(json!({"kind": "mail", "to": bad}), json!({})),
            ["to"],
            "{bad}"
        );
    }
    let mail = json!({"kind": "mail", "to": "a@example.org"});
    assert_eq!(fields(mail, json!({"token": "t"})), ["secret.token"]);
}

#[test]
fn unknown_fields_and_kinds_are_refused() {
    for bad in [
        json!({"kind": "pager"}),
        json!({"url": "https://example.org"}),
        json!({"kind": "slack", "url": "https://example.org"}),
        json!({"kind": "webhook", "url": "https://example.org", "key": "k"}),
        json!({"kind": "log", "level": "info"}),
    ] {
        assert!(channel(bad.clone()).is_err(), "{bad}");
    }
    assert!(serde_json::from_value::<Secret>(json!({"pasword": "x"})).is_err());
}

#[test]
fn destinations_tell_hosts_bots_and_addresses_apart() {
    let destination = |value: Value, secret: Value| {
        let secret: Secret = serde_json::from_value(secret).unwrap();
        channel(value).unwrap().destination(&secret).to_string()
    };
    let webhook = |url: &str| destination(json!({"kind": "webhook", "url": url}), json!({}));
    assert_eq!(
        webhook("https://Example.org/a"),
        webhook("https://example.org:443/a")
    );
    // Another receiver behind the same host has pauses of its own.
    assert_ne!(
        webhook("https://example.org/a"),
        webhook("https://example.org/b")
    );
    assert_ne!(
        webhook("https://example.org/"),
        webhook("https://example.org:8443/")
    );
    let slack = |url: &str| destination(json!({"kind": "slack"}), json!({"url": url}));
    let (one, other) = (
        slack("https://hooks.slack.com/A"),
        slack("https://hooks.slack.com/B"),
    );
    assert_ne!(one, other);
    assert!(
        one.starts_with("slack:hooks.slack.com:") && !one.contains('/'),
        "{one}"
    );
    let telegram = destination(
        json!({"kind": "telegram", "chat_id": 1}),
        json!({"token": TOKEN}),
    );
    assert_eq!(telegram, "telegram:123456");
    assert_eq!(
        destination(json!({"kind": "mail", "to": "a@b.c"}), json!({})),
        "smtp"
    );
}

#[test]
fn a_view_shows_which_secrets_are_set_and_none_of_them() {
    let url = "https://hooks.slack.com/services/T/B/HIDDEN";
    let slack = secret(|secret| secret.url = Some(url.into()));
    let view = Channel::Slack {}.public_view(&slack);
    assert_eq!(
        view,
        json!({"kind": "slack", "secrets": ["url"], "host": "hooks.slack.com"})
    );
    assert_eq!(format!("{slack:?}"), "{\"url\"}");
}

#[test]
fn a_secret_is_stored_sealed_and_read_again() {
    let seal = Seal::from_keys(&[[7; 32]]).unwrap();
    let id = Ulid::from(1_u128);
    let stored = secret(|secret| {
        secret.user = Some("user".into());
        secret.password = Some("pass\"wörd".into());
    });
    let sealed = stored.seal(&seal, id).unwrap();
    let read = Secret::open(&seal, id, &sealed).unwrap();
    let shown = |field: &Option<secrecy::SecretString>| {
        let field = field.as_ref();
        field.map(|secret| secrecy::ExposeSecret::expose_secret(secret).to_owned())
    };
    assert_eq!(shown(&read.user).as_deref(), Some("user"));
    assert_eq!(shown(&read.password).as_deref(), Some("pass\"wörd"));
    assert_eq!(shown(&read.token), None);
    assert!(Secret::open(&seal, Ulid::from(2_u128), &sealed).is_err());
}

#[tokio::test]
async fn mail_without_a_server_is_a_problem_that_may_pass() {
    let sender = alert_service::channel::Sender::new(config()).unwrap();
    let mail = channel(json!({"kind": "mail", "to": "a@example.org"})).unwrap();
    let problems = sender.check(&mail, &Secret::default());
    assert_eq!(problems[0].field, "kind");
    let outcome = sender.send(&mail, &Secret::default(), &message()).await;
    assert_eq!(reason(outcome, "failed"), "no mail server is configured");
}
