use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use ring::hmac;
use serde_json::{Value, json};
use url::Url;

use crate::channel::{
    Message, MessageKind, Outcome, Problem, Secret,
    kind::required,
    outcome::{disabled, refused},
    render::{Unit, cut, one_line},
    secret::{KEY_PREFIX, exposed},
    web::{Answer, Target, WebAttempt},
};

/// The most that a body may have: Standard Webhooks asks for less than 20 kB.
const BODY_BYTES_MAX: usize = 19_999;
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What is wrong with the keys.
pub(in crate::channel) fn check_keys(secret: &Secret) -> Vec<Problem> {
    let mut problems = Vec::new();
    match required("key", secret.key.as_ref()) {
        Ok(key) => problems.extend(check_key("secret.key", key)),
        Err(problem) => problems.push(problem),
    }
    let previous = exposed(secret.previous_key.as_ref());
    problems.extend(previous.and_then(|key| check_key("secret.previous_key", key)));
    problems
}

fn check_key(field: &str, key: &str) -> Option<Problem> {
    let bytes = key_bytes(key).map(|bytes| bytes.len());
    let good = bytes.is_some_and(|bytes| KEY_BYTES.contains(&bytes));
    (!good).then(|| Problem::new(field, "must be whsec_ and base64 of 24 to 64 bytes"))
}

fn key_bytes(key: &str) -> Option<Vec<u8>> {
    STANDARD.decode(key.strip_prefix(KEY_PREFIX)?).ok()
}

/// Sends a message, signed at this moment.
pub(in crate::channel) async fn send(
    web: &WebAttempt<'_>,
    url: &Url,
    secret: &Secret,
    message: &Message,
    now: DateTime<Utc>,
) -> Outcome {
    let body = body(message);
    let id = message.delivery_id.to_string();
    let Some(headers) = headers(&id, now.timestamp(), secret, &body) else {
        return disabled("secret.key cannot sign");
    };
    // The receiver knows by the id what it has already.
    match web.post(Target::User(url), headers, body).await {
        Ok(answer) => outcome(&answer, now),
        Err(failure) => failure.repeatable(),
    }
}

fn outcome(answer: &Answer, now: DateTime<Utc>) -> Outcome {
    match answer.status {
        status if status.is_success() => Outcome::Accepted {
            receipt: answer.receipt(),
        },
        StatusCode::GONE => disabled(answer.reason()),
        StatusCode::PAYLOAD_TOO_LARGE => refused(answer.reason()),
        // Also 404 and 401: a receiver that is being deployed may answer so for a while.
        _ => answer.failure(now),
    }
}

fn headers(id: &str, seconds: i64, secret: &Secret, body: &[u8]) -> Option<HeaderMap> {
    let signatures = signatures(id, seconds, secret, body)?;
    let pairs = [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", signatures),
    ];
    let pairs = pairs.into_iter().map(|(name, value)| {
        let value = HeaderValue::try_from(value).ok()?;
        Some((HeaderName::from_static(name), value))
    });
    pairs.collect()
}

/// One signature for each key, separated by spaces.
fn signatures(id: &str, seconds: i64, secret: &Secret, body: &[u8]) -> Option<String> {
    let mut signed = format!("{id}.{seconds}.").into_bytes();
    signed.extend_from_slice(body);
    let keys = [secret.key.as_ref(), secret.previous_key.as_ref()];
    let signatures = keys.into_iter().flatten().map(|key| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key_bytes(exposed(Some(key))?)?);
        let tag = hmac::sign(&key, &signed);
        Some(format!("v1,{}", STANDARD.encode(tag)))
    });
    let signatures: Option<Vec<_>> = signatures.collect();
    signatures.map(|all| all.join(" "))
}

/// The body: whole if it fits, else without the alert as REST shows it, else with a shorter text and
/// without labels. Links are kept.
fn body(message: &Message) -> Vec<u8> {
    let whole = json(message, &message.text, Some(&message.data), true);
    if whole.len() <= BODY_BYTES_MAX {
        return whole;
    }
    let without_alert = json(message, &message.text, None, true);
    if without_alert.len() <= BODY_BYTES_MAX {
        return without_alert;
    }
    // A byte of text takes at most six in JSON: `\u001f`.
    let spare = BODY_BYTES_MAX.saturating_sub(json(message, "", None, false).len());
    let text = cut(&message.text, spare / 6, Unit::Bytes);
    json(message, &text, None, false)
}

fn json(message: &Message, text: &str, alert: Option<&Value>, labels: bool) -> Vec<u8> {
    let kind = match message.kind {
        MessageKind::Firing => "alert.firing",
        MessageKind::Resolved => "alert.resolved",
        MessageKind::Correction => "alert.correction",
        MessageKind::Test => "alert.test",
    };
    let title = one_line(&message.title);
    let links = message.actions.iter();
    let links = links.map(|action| json!({"label": action.label, "url": action.url}));
    let mut data = json!({
        "delivery_id": message.delivery_id,
        "alert_id": message.alert_id,
        "sequence": message.sequence,
        "severity": message.severity,
        "title": cut(&title, 500, Unit::Bytes),
        "text": text,
        "url": message.url,
        "actions": links.collect::<Value>(),
        "truncated": alert.is_none(),
    });
    if labels {
        data["labels"] = json!(message.labels);
    }
    if let Some(alert) = alert {
        data["alert"] = alert.clone();
    }
    let timestamp = message
        .occurred_at
        .to_rfc3339_opts(SecondsFormat::Millis, true);
    json!({"type": kind, "timestamp": timestamp, "data": data})
        .to_string()
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with another implementation, from the specification.
    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        let secret = Secret {
            key: Some("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX".into()),
            ..Secret::default()
        };
        let signatures = signatures("msg_1", 1_700_000_000, &secret, br#"{"a":1}"#);
        let expected = "v1,YOREwC5BRUvI4ezImQEgEteB7JbPr/Iy2YCZe049/5g=";
        assert_eq!(signatures.as_deref(), Some(expected));
    }
}
