//! Groups: one message for alerts that have something in common.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{matcher::Traits, problems::Problems};
use crate::{channel::MessageKind, message::Stored};

const BY_MAX: usize = 10;
const SECONDS_MAX: u32 = 86_400;
/// So many alerts are listed in one message.
const LINES_MAX: usize = 50;

/// One message for alerts that have equal values of some labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grouping {
    /// Names of labels, or `rule` or `severity`, at most 10; without any, all alerts are one group.
    pub(crate) by: Vec<String>,
    /// How long the first message of a group waits for others; at most a day.
    #[serde(default = "wait_default")]
    wait_seconds: u32,
    /// How long after a message of a group the next one is sent at the earliest; at most a day.
    #[serde(default = "interval_default")]
    interval_seconds: u32,
}

fn wait_default() -> u32 {
    30
}

fn interval_default() -> u32 {
    300
}

impl Grouping {
    /// When a new message of a group is due, whose last one was due or sent at `last`.
    pub(crate) fn due(&self, last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
        let wait = now + TimeDelta::seconds(self.wait_seconds.into());
        let interval = TimeDelta::seconds(self.interval_seconds.into());
        last.map_or(wait, |last| wait.max(last + interval))
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        if self.by.len() > BY_MAX {
            problems.refuse("grouping.by", format!("has more than {BY_MAX} entries"));
        }
        for (field, seconds) in [
            ("wait_seconds", self.wait_seconds),
            ("interval_seconds", self.interval_seconds),
        ] {
            if seconds > SECONDS_MAX {
                let problem = format!("is to be at most {SECONDS_MAX}");
                problems.refuse(&format!("grouping.{field}"), problem);
            }
        }
    }
}

/// What the alerts of a group have in common, as it is stored.
pub(crate) fn group_key(grouping: &Grouping, traits: &Traits<'_>) -> String {
    let values: BTreeMap<_, _> = grouping
        .by
        .iter()
        .map(|name| (name.as_str(), traits.value(name)))
        .collect();
    serde_json::json!(values).to_string()
}

/// The message that stands for `first` and for others of its group.
pub(crate) fn joined(first: Stored, others: &[Stored]) -> Stored {
    if others.is_empty() {
        return first;
    }
    let all = || std::iter::once(&first).chain(others);
    let count = others.len() + 1;
    let mut lines: Vec<_> = all()
        .take(LINES_MAX)
        .map(|message| format!("- {}", message.title))
        .collect();
    if count > LINES_MAX {
        lines.push(format!("and {} more", count - LINES_MAX));
    }
    let what = match first.kind {
        MessageKind::Resolved => "ended",
        MessageKind::Firing | MessageKind::Correction | MessageKind::Test => "alerts",
    };
    let labels = first.labels.iter();
    let common = labels.filter(|(name, value)| {
        others
            .iter()
            .all(|other| other.labels.get(*name) == Some(value))
    });
    let labels = common
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let severity = all().map(|message| message.severity).max();
    let mut data = first.data.clone();
    let ids = all().map(|message| message.data["alert_id"].clone());
    data["grouped_alert_ids"] = ids.take(LINES_MAX).collect();
    data["grouped_count"] = count.into();
    Stored {
        severity: severity.unwrap_or(first.severity),
        title: format!("{count} {what}: {}", first.title),
        text: lines.join("\n"),
        labels,
        data,
        kind: first.kind,
        occurred_at: first.occurred_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Severity;

    fn message(title: &str, severity: Severity, team: &str) -> Stored {
        Stored {
            kind: MessageKind::Firing,
            severity,
            title: title.to_owned(),
            text: "text".to_owned(),
            occurred_at: DateTime::UNIX_EPOCH,
            labels: [("theme", "stress"), ("team", team)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            data: serde_json::json!({"alert_id": title}),
        }
    }

    #[test]
    fn one_message_stands_for_all() {
        let first = message("a", Severity::Info, "x");
        assert_eq!(joined(first.clone(), &[]), first);
        let others = [
            message("b", Severity::Warning, "y"),
            message("c", Severity::Info, "x"),
        ];
        let all = joined(first, &others);
        assert_eq!(all.title, "3 alerts: a");
        assert_eq!(all.text, "- a\n- b\n- c");
        assert_eq!(all.severity, Severity::Warning);
        assert_eq!(all.labels.keys().collect::<Vec<_>>(), ["theme"]);
        let ids = serde_json::json!(["a", "b", "c"]);
        assert_eq!(all.data["grouped_alert_ids"], ids);
    }

    #[test]
    fn the_first_message_waits_and_the_next_keeps_its_distance() {
        let json = r#"{"by":[],"wait_seconds":30,"interval_seconds":300}"#;
        let grouping: Grouping = serde_json::from_str(json).unwrap();
        let now: DateTime<Utc> = "2026-01-02T00:00:00Z".parse().unwrap();
        let after = |last: Option<i64>| {
            let last = last.map(|seconds| now - TimeDelta::seconds(seconds));
            (grouping.due(last, now) - now).num_seconds()
        };
        assert_eq!(after(None), 30);
        assert_eq!(after(Some(100)), 200);
        assert_eq!(after(Some(290)), 30);
        assert_eq!(after(Some(1_000)), 30);
    }
}
