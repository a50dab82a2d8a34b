use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use ulid::Ulid;
use url::Url;

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For the record.
    Info,
    /// To be looked at.
    Warning,
    /// To be acted on now: quiet hours and limits do not hold it back.
    Critical,
}

/// What a message reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageKind {
    /// An alert began.
    Firing,
    /// An alert ended.
    Resolved,
    /// An alert that was notified did not happen, by revised data.
    Correction,
    /// A sample that a person asked for.
    Test,
}

/// A notification, before it takes the shape of a channel. Text is plain; each channel escapes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Stays the same for all attempts: the idempotency key of channels that have one.
    pub delivery_id: Ulid,
    /// The alert that it is about. Messages of one alert on one channel belong together.
    pub alert_id: Ulid,
    /// 1, 2, 3, … within the alert and channel, so that a receiver can tell a late one.
    pub sequence: u32,
    /// What it reports.
    pub kind: MessageKind,
    /// How urgent it is.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// Some lines.
    pub text: String,
    /// When what it reports happened.
    pub occurred_at: DateTime<Utc>,
    /// Labels of the alert.
    pub labels: BTreeMap<String, String>,
    /// Where more can be seen.
    pub url: Option<Url>,
    /// What the receiver can do.
    pub actions: Vec<Action>,
    /// What the receiver can do within a chat, where the kind of channel has that.
    pub chat_actions: Vec<ChatAction>,
    /// Mail: where one click (RFC 8058) ends mail to this channel.
    pub unsubscribe_url: Option<Url>,
    /// For machines: the alert as REST shows it.
    pub data: serde_json::Value,
}

/// Something that a receiver can do with one press, within a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatAction {
    /// On the button.
    pub label: String,
    /// What comes back when it is pressed; at most 64 bytes.
    pub data: String,
}

/// Something that a receiver can do with one press.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// On the button.
    pub label: String,
    /// A link whose page asks before it acts.
    pub url: Url,
}
