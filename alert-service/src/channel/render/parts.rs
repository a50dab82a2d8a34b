use chrono::{DateTime, Utc};
use url::Url;

use super::budget::{Unit, cut, is_shown, one_line};
use crate::channel::{Message, MessageKind, Severity};

/// From this on a message says that it is late.
const LATE_SECONDS: i64 = 60;
/// The longest link, in bytes.
const LINK_BYTES_MAX: usize = 2000;
/// The longest heading, in characters.
const HEADING_CHARACTERS_MAX: usize = 200;

/// One line: what happened to what.
pub(in crate::channel) fn heading(message: &Message) -> String {
    let what = match (message.kind, message.severity) {
        (MessageKind::Firing, Severity::Critical) => "Critical",
        (MessageKind::Firing, Severity::Warning) => "Warning",
        (MessageKind::Firing, Severity::Info) => "Info",
        (MessageKind::Resolved, _) => "Resolved",
        (MessageKind::Correction, _) => "Correction",
        (MessageKind::Test, _) => "Test",
    };
    let heading = format!("{what}: {}", one_line(&message.title));
    cut(&heading, HEADING_CHARACTERS_MAX, Unit::Utf16).into_owned()
}

/// When it happened, whether it comes late, and the labels; a line each.
pub(in crate::channel) fn facts(message: &Message, now: DateTime<Utc>) -> String {
    let mut facts = message
        .occurred_at
        .format("%Y-%m-%d %H:%M:%S UTC")
        .to_string();
    let late_seconds = (now - message.occurred_at).num_seconds();
    if late_seconds >= LATE_SECONDS && message.kind != MessageKind::Test {
        facts.push_str(&format!(", sent {} late", span(late_seconds)));
    }
    for (name, value) in &message.labels {
        facts.push_str(&format!("\n{}: {}", one_line(name), one_line(value)));
    }
    facts
}

fn span(seconds: i64) -> String {
    match seconds / 60 {
        minutes @ ..120 => format!("{minutes} min"),
        minutes @ ..2880 => format!("{} h", minutes / 60),
        minutes => format!("{} days", minutes / 1440),
    }
}

/// The text and the facts in at most `max` units. Labels give way down to a quarter, then the text.
pub(in crate::channel) fn body(
    message: &Message,
    now: DateTime<Utc>,
    max: usize,
    unit: Unit,
) -> String {
    let text = tidy(&message.text);
    let facts = facts(message, now);
    let gap = if text.is_empty() { "" } else { "\n\n" };
    let room = max.saturating_sub(unit.width(&text) + gap.len());
    let facts = cut(&facts, room.max(max / 4), unit);
    let room = max.saturating_sub(unit.width(&facts) + gap.len());
    format!("{}{gap}{facts}", cut(&text, room, unit))
}

/// Whether a link can stand in every channel. A longer one is left out: cut, it would lead elsewhere.
pub(in crate::channel) fn is_short(url: &Url) -> bool {
    url.as_str().len() <= LINK_BYTES_MAX
}

/// What can be opened or pressed, with the link to more first.
pub(in crate::channel) fn links(message: &Message) -> impl Iterator<Item = (String, &Url)> {
    let more = message.url.iter().map(|url| ("Open".to_owned(), url));
    let actions = message.actions.iter();
    more.chain(actions.map(|action| (one_line(&action.label), &action.url)))
        .filter(|(_, url)| is_short(url))
}

/// Lines without control characters, without empty ones at the ends.
pub(in crate::channel) fn tidy(text: &str) -> String {
    let shown = |character: &char| *character == '\n' || is_shown(*character);
    let text: String = text.replace('\t', " ").chars().filter(shown).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::TimeDelta;
    use ulid::Ulid;

    use super::*;

    fn message(kind: MessageKind) -> Message {
        Message {
            delivery_id: Ulid::nil(),
            alert_id: Ulid::nil(),
            sequence: 1,
            kind,
            severity: Severity::Info,
            title: "title".to_owned(),
            text: "text".to_owned(),
            occurred_at: DateTime::UNIX_EPOCH,
            labels: BTreeMap::from([("a".to_owned(), "b\nc".to_owned())]),
            url: None,
            actions: Vec::new(),
            chat_actions: Vec::new(),
            unsubscribe_url: None,
            data: serde_json::Value::Null,
        }
    }

    #[test]
    fn a_late_message_says_how_late_it_is() {
        for (seconds, expected) in [
            (-5, ""),
            (59, ""),
            (60, ", sent 1 min late"),
            (7199, ", sent 119 min late"),
            (7200, ", sent 2 h late"),
            (3 * 86_400, ", sent 3 days late"),
        ] {
            let now = DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
            let expected = format!("1970-01-01 00:00:00 UTC{expected}\na: b c");
            assert_eq!(facts(&message(MessageKind::Firing), now), expected);
        }
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        assert!(!facts(&message(MessageKind::Test), now).contains("late"));
    }

    #[test]
    fn labels_give_way_before_the_text() {
        let mut message = message(MessageKind::Firing);
        message.text = "t".repeat(60);
        message.labels = (0..50).map(|n| (format!("{n}"), "v".repeat(9))).collect();
        let body = body(&message, DateTime::UNIX_EPOCH, 120, Unit::Utf16);
        assert!(body.starts_with(&message.text), "{body}");
        assert!(body.contains("\n\n1970-01-01"), "{body}");
        assert!(body.ends_with(" more"), "{body}");
    }
}
