use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Days, NaiveTime, Utc};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::channel::{
    Message, MessageKind, Outcome, Problem, Secret, Severity,
    outcome::{disabled, refused},
    render::{Unit, body, clean, cut, heading, is_short, links},
    secret::exposed,
    web::{Answer, KEPT_BYTES_MAX, Target, WebAttempt},
};

/// A longer message becomes an attachment.
const MESSAGE_BYTES_MAX: usize = 4096;
const TITLE_BYTES_MAX: usize = 250;
/// The server reads twice the message's bound.
const BODY_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;
const ACTIONS_MAX: usize = 3;
const TOPIC_BYTES_MAX: usize = 64;
/// The code of an error that says that the day's messages are used up.
const DAY_USED_UP: u32 = 42_908;

/// What is wrong with the server, the topic or the secret.
pub(in crate::channel) fn check(server: &Url, topic: &str, secret: &Secret) -> Vec<Problem> {
    let mut problems = Vec::new();
    if server.path() != "/" || server.query().is_some() || server.fragment().is_some() {
        problems.push(Problem::new("server", "must be the root of the server"));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX || !topic.bytes().all(plain) {
        problems.push(Problem::new("topic", "must be 1 to 64 of A-Z a-z 0-9 _ -"));
    }
    if secret.user.is_some() != secret.password.is_some() {
        let text = "must be given together with secret.password";
        problems.push(Problem::new("secret.user", text));
    }
    if secret.token.is_some() && secret.user.is_some() {
        problems.push(Problem::new("secret.token", "cannot be given with a user"));
    }
    let empty = secret.fields().into_iter();
    let empty = empty.filter(|(_, value)| exposed(*value) == Some(""));
    problems.extend(empty.map(|(name, _)| Problem::new(format!("secret.{name}"), "is empty")));
    if authorization(secret).is_none() {
        problems.push(Problem::new("secret.token", "cannot stand in a header"));
    }
    problems
}

/// The header's value, if any; `None` if there is one that is no value of a header.
fn authorization(secret: &Secret) -> Option<Option<HeaderValue>> {
    let user = exposed(secret.user.as_ref());
    let password = exposed(secret.password.as_ref()).unwrap_or_default();
    let text = match (exposed(secret.token.as_ref()), user) {
        (Some(token), _) => format!("Bearer {token}"),
        (None, Some(user)) => format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
        (None, None) => return Some(None),
    };
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(Some(value))
}

/// Sends a message.
pub(in crate::channel) async fn send(
    web: &WebAttempt<'_>,
    (server, topic): (&Url, &str),
    secret: &Secret,
    message: &Message,
    now: DateTime<Utc>,
) -> Outcome {
    let mut headers = HeaderMap::new();
    if let Some(Some(value)) = authorization(secret) {
        headers.insert(AUTHORIZATION, value);
    }
    let body = payload(topic, message, now);
    match web.post(Target::User(server), headers, body).await {
        Ok(answer) => outcome(&answer, now),
        Err(failure) => failure.unrepeatable(),
    }
}

#[derive(Deserialize)]
struct Published {
    id: String,
}

#[derive(Deserialize)]
struct Refusal {
    code: u32,
}

fn outcome(answer: &Answer, now: DateTime<Utc>) -> Outcome {
    match answer.status.as_u16() {
        200..=299 => Outcome::Accepted {
            receipt: match answer.json::<Published>() {
                Some(published) => Some(clean(&published.id, KEPT_BYTES_MAX)),
                None => answer.receipt(),
            },
        },
        401 | 403 => disabled(answer.reason()),
        400 | 413 => refused(answer.reason()),
        429 if answer
            .json::<Refusal>()
            .is_some_and(|refusal| refusal.code == DAY_USED_UP) =>
        {
            Outcome::Slower {
                pause: until_midnight(now),
                reason: answer.reason(),
            }
        }
        _ => answer.failure(now),
    }
}

/// Servers begin to count anew at midnight, UTC.
fn until_midnight(now: DateTime<Utc>) -> Duration {
    let tomorrow = now.date_naive().checked_add_days(Days::new(1));
    let midnight = tomorrow.map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let span = midnight.and_then(|midnight| (midnight - now).to_std().ok());
    span.unwrap_or_default().max(Duration::from_secs(1))
}

/// JSON for the root of the server: headers would not carry every character. The text gives way until
/// the whole is within what the server reads.
fn payload(topic: &str, message: &Message, now: DateTime<Utc>) -> Vec<u8> {
    let mut text_bytes_max = MESSAGE_BYTES_MAX;
    loop {
        let payload = json(topic, message, now, text_bytes_max).to_string();
        let over = payload.len().saturating_sub(BODY_BYTES_MAX);
        if over == 0 || text_bytes_max == 0 {
            return payload.into_bytes();
        }
        // A byte of text takes at most two in JSON, where control characters are dropped.
        text_bytes_max = text_bytes_max.saturating_sub(over.div_ceil(2).max(64));
    }
}

fn json(topic: &str, message: &Message, now: DateTime<Utc>, text_bytes_max: usize) -> Value {
    let (priority, tag) = match (message.kind, message.severity) {
        (MessageKind::Firing, Severity::Critical) => (5, "rotating_light"),
        (MessageKind::Firing, Severity::Warning) => (4, "warning"),
        (MessageKind::Firing, Severity::Info) => (3, "information_source"),
        (MessageKind::Resolved, _) => (3, "white_check_mark"),
        (MessageKind::Correction, _) => (3, "pencil2"),
        (MessageKind::Test, _) => (3, "test_tube"),
    };
    let mut payload = json!({
        "topic": topic,
        "title": cut(&heading(message), TITLE_BYTES_MAX, Unit::Bytes),
        "message": body(message, now, text_bytes_max, Unit::Bytes),
        "priority": priority,
        "tags": [tag],
        // A message that comes twice takes the place of the first, where the server knows this field.
        "sequence_id": message.delivery_id,
        // A link opens a page that asks: everybody who reads the topic sees it.
        "actions": actions(message),
    });
    if let Some(url) = message.url.as_ref().filter(|url| is_short(url)) {
        payload["click"] = url.as_str().into();
    }
    payload
}

fn actions(message: &Message) -> Value {
    // The link to more is what a press on the message itself opens.
    let skipped = usize::from(message.url.as_ref().is_some_and(is_short));
    let actions = links(message).skip(skipped).take(ACTIONS_MAX);
    let actions = actions.map(|(label, url)| {
        let label = cut(&label, 60, Unit::Bytes).into_owned();
        json!({"action": "view", "label": label, "url": url})
    });
    actions.collect()
}
