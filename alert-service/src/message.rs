//! What a delivery says. It is made with the delivery and stored, so that each attempt sends the same.

use std::collections::BTreeMap;

use atlas_events::clip;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{
    channel::{Message, MessageKind, Severity},
    rule::severity_name,
};

/// At most this many characters of a title and of a text.
pub(crate) const TITLE_CHARS_MAX: usize = 300;
pub(crate) const TEXT_CHARS_MAX: usize = 4_000;
/// A message that is sent later than this says so.
const LATE: TimeDelta = TimeDelta::minutes(10);

/// A message as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) kind: MessageKind,
    pub(crate) severity: Severity,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) data: serde_json::Value,
}

/// The alert that a message is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) alert_id: &'a str,
    pub(crate) rule_id: &'a str,
    pub(crate) rule_name: &'a str,
    pub(crate) severity: Severity,
    pub(crate) title: &'a str,
    pub(crate) message: &'a str,
    pub(crate) labels: &'a BTreeMap<String, String>,
    pub(crate) started_at: DateTime<Utc>,
}

impl About<'_> {
    fn stored(&self, kind: MessageKind, title: String, text: &str, at: DateTime<Utc>) -> Stored {
        let state = match kind {
            MessageKind::Firing | MessageKind::Test => "firing",
            MessageKind::Resolved => "resolved",
            MessageKind::Correction => "withdrawn",
        };
        let mut data = serde_json::json!({
            "alert_id": self.alert_id,
            "rule_id": self.rule_id,
            "state": state,
            "severity": severity_name(self.severity),
            "title": clip(self.title, TITLE_CHARS_MAX),
            "started_at": shown(self.started_at),
        });
        if !self.rule_name.is_empty() {
            data["rule_name"] = self.rule_name.into();
        }
        Stored {
            kind,
            severity: self.severity,
            title: clip(&title, TITLE_CHARS_MAX).into_owned(),
            text: clip(text, TEXT_CHARS_MAX).into_owned(),
            occurred_at: at,
            labels: self.labels.clone(),
            data,
        }
    }

    /// It began.
    pub(crate) fn firing(&self) -> Stored {
        let title = self.title.to_owned();
        self.stored(MessageKind::Firing, title, self.message, self.started_at)
    }

    /// It began so many minutes ago, and nobody has acknowledged it.
    pub(crate) fn escalated(&self, minutes: u32) -> Stored {
        let title = format!("Not acknowledged for {minutes} min: {}", self.title);
        self.stored(MessageKind::Firing, title, self.message, self.started_at)
    }

    /// It ended. `is_news`: the message of its beginning was not sent.
    pub(crate) fn resolved(&self, ended_at: DateTime<Utc>, note: &str, is_news: bool) -> Stored {
        let (from, to) = (shown(self.started_at), shown(ended_at));
        let mut text = format!("Began {from}, ended {to}: {note}.");
        if is_news {
            text.push_str("\nThe message of its beginning could not be sent before.");
            if !self.message.is_empty() {
                text = format!("{text}\n{}", self.message);
            }
        }
        let title = format!("Resolved: {}", self.title);
        self.stored(MessageKind::Resolved, title, &text, ended_at)
    }

    /// It did not happen, which quotes what was sent.
    pub(crate) fn correction(&self, at: DateTime<Utc>, note: &str) -> Stored {
        let quoted = std::iter::once(self.title).chain(self.message.lines());
        let quoted: Vec<_> = quoted.map(|line| format!("> {line}")).collect();
        let from = shown(self.started_at);
        let mut text = format!("By revised data this did not happen. The message of {from} was:\n");
        text.push_str(&quoted.join("\n"));
        if !note.is_empty() {
            text = format!("{text}\n{note}");
        }
        let title = format!("Correction: {}", self.title);
        self.stored(MessageKind::Correction, title, &text, at)
    }
}

/// A sample for a channel.
pub(crate) fn sample(at: DateTime<Utc>) -> Stored {
    Stored {
        kind: MessageKind::Test,
        severity: Severity::Info,
        title: "Test".to_owned(),
        text: "A test of this channel, which somebody asked for.".to_owned(),
        occurred_at: at,
        labels: BTreeMap::new(),
        data: serde_json::json!({"test": true}),
    }
}

impl Stored {
    /// The message of a delivery, as it is sent now.
    pub(crate) fn message(
        self,
        (delivery_id, alert_id): (Ulid, Ulid),
        sequence: u32,
        now: DateTime<Utc>,
    ) -> Message {
        let late = now - self.occurred_at;
        let text = match late > LATE {
            true => {
                let (at, minutes) = (shown(self.occurred_at), late.num_minutes());
                format!(
                    "{}\nSent {minutes} minutes late; it happened {at}.",
                    self.text
                )
            }
            false => self.text,
        };
        Message {
            delivery_id,
            alert_id,
            sequence,
            kind: self.kind,
            severity: self.severity,
            title: self.title,
            text,
            occurred_at: self.occurred_at,
            labels: self.labels,
            url: None,
            actions: Vec::new(),
            chat_actions: Vec::new(),
            unsubscribe_url: None,
            data: self.data,
        }
    }
}

fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
