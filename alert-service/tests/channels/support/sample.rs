use std::{collections::BTreeMap, time::Duration};

use alert_service::channel::{
    Action, AddressRules, Message, MessageKind, Outcome, Secret, Sender, SenderConfig, Severity,
    TELEGRAM_URL,
};
use atlas_events::Clock;
use chrono::{DateTime, Utc};
use serde_json::json;
use ulid::Ulid;

/// The time of every sender in these tests.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-03-01T12:00:30Z".parse().unwrap()
}

pub(crate) fn message() -> Message {
    Message {
        delivery_id: "01JNABCDEFGHJKMNPQRSTVWXYZ".parse().unwrap(),
        alert_id: Ulid::from(7_u128),
        sequence: 1,
        kind: MessageKind::Firing,
        severity: Severity::Critical,
        title: "Yield curve inverted".to_owned(),
        text: "T10Y2Y is -0.12, below 0.".to_owned(),
        occurred_at: "2026-03-01T12:00:00Z".parse().unwrap(),
        labels: BTreeMap::from([("series".to_owned(), "fred/T10Y2Y".to_owned())]),
        url: Some(
            "https://atlas.example.org/alerts/7?a=1&b=2"
                .parse()
                .unwrap(),
        ),
        chat_actions: Vec::new(),
        unsubscribe_url: None,
        actions: vec![Action {
            label: "Acknowledge".to_owned(),
            url: "https://atlas.example.org/a/token".parse().unwrap(),
        }],
        data: json!({"state": "firing"}),
    }
}

/// Messages that strain every budget.
pub(crate) fn hostile_messages() -> Vec<Message> {
    let texts = [
        "😀".repeat(9000),
        "&<>\"'*_`[](){}#+-=|.!~\\".repeat(2000),
        "line of text\n".repeat(3000),
        "\u{1}\u{1b}[31m\u{202e}\r\n\t".repeat(3000),
        "ä".repeat(30_000),
        "\"\\".repeat(9000),
        String::new(),
    ];
    let messages = texts.into_iter().map(|text| Message {
        title: text.chars().take(700).collect(),
        labels: (0..200)
            .map(|number| (format!("label{number}"), text.chars().take(90).collect()))
            .collect(),
        data: json!({"text": text}),
        text,
        ..message()
    });
    messages.collect()
}

/// A sender that may reach the loopback, with a fixed clock.
pub(crate) fn config() -> SenderConfig {
    let mut config = SenderConfig::new(TELEGRAM_URL.parse().unwrap(), Clock::from_fn(now));
    config.addresses = AddressRules {
        allowed_prefixes: vec!["127.0.0.0/8".parse().unwrap()],
        http_allowed: true,
    };
    config
}

pub(crate) fn sender() -> Sender {
    Sender::new(config()).unwrap()
}

/// One that gives up soon, for servers that answer late or never.
pub(crate) fn impatient() -> Sender {
    let mut config = config();
    config.answer_timeout = Duration::from_millis(300);
    Sender::new(config).unwrap()
}

pub(crate) fn secret(set: impl FnOnce(&mut Secret)) -> Secret {
    let mut secret = Secret::default();
    set(&mut secret);
    secret
}

/// The reason of an outcome, of which the kind is checked by `is`.
#[track_caller]
pub(crate) fn reason(outcome: Outcome, expected: &str) -> String {
    let (kind, reason) = match outcome {
        Outcome::Accepted { receipt } => ("accepted", receipt.unwrap_or_default()),
        Outcome::Slower { pause, reason } => ("slower", format!("{} s {reason}", pause.as_secs())),
        Outcome::Failed { reason } => ("failed", reason),
        Outcome::Unknown { reason } => ("unknown", reason),
        Outcome::Refused {
            reason,
            disables_channel: false,
        } => ("refused", reason),
        Outcome::Refused { reason, .. } => ("disabled", reason),
        Outcome::Moved { to } => ("moved", to),
    };
    assert_eq!(kind, expected, "{reason}");
    assert!(reason.len() <= 1100, "{} bytes", reason.len());
    assert!(!reason.chars().any(char::is_control), "{reason:?}");
    reason
}
