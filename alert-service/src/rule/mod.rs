//! Rules: what becomes an alert, and where it is sent.

mod combination;
mod condition;
mod hours;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::channel::Severity;

pub(crate) use combination::{COMBINATION, Combination};
pub(crate) use condition::{Condition, Subject};
pub(crate) use hours::ActiveHours;

const NAME_CHARS_MAX: usize = 100;
const NOTE_CHARS_MAX: usize = 2_000;
/// At most this many channels of a rule.
pub(crate) const CHANNELS_MAX: usize = 20;
const LABELS_MAX: usize = 50;
const TAGS_MAX: usize = 20;
/// What matchers know an alert by beside its labels.
const RESERVED: [&str; 3] = ["rule", "fingerprint", "severity"];
/// A month.
const COOLDOWN_SECONDS_MAX: u64 = 31 * 86_400;
const DAILY_MAX: u32 = 10_000;

/// What a person wants to be notified of, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// For people; 1 to 100 characters.
    #[schema(example = "Volatility")]
    pub(crate) name: String,
    pub(crate) condition: Condition,
    /// `info`, `warning` or `critical`. Absent: that of the crossing, where it is one of these, or else
    /// `info`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) severity: Option<Severity>,
    /// Ids of channels, at most 20. Without any, the routes of the owner's preferences say where alerts go.
    #[serde(default)]
    pub(crate) channels: Vec<String>,
    /// After an alert was notified the next ones of the same pattern or model are not, for so long; at
    /// most 31 days.
    #[serde(default)]
    pub(crate) cooldown_seconds: u64,
    /// At most this many alerts are notified in any 24 hours; critical ones always are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) daily_max: Option<u32>,
    /// From then on nothing is notified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// Notify one alert only.
    #[serde(default)]
    pub(crate) once: bool,
    /// Alerts that begin outside of these hours are not notified; any hour if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) active_hours: Option<ActiveHours>,
    /// Labels that its alerts have beside those of their own, for routes, silences and lists; at most 20.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
    /// For people; at most 2,000 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) note: String,
    /// What alerts of a rule over series say, with `{rule}`, `{series}`, `{value}`, `{threshold}` and `{date}` in it; at most
    /// 2,000 characters. Absent: all of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

impl Rule {
    /// Everything that is wrong with it, whatever channels there are: fields and problems.
    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut refuse = |field: &str, problem: String| problems.push((field.to_owned(), problem));
        let is_text = |text: &str, least: usize, most: usize| {
            (least..=most).contains(&text.chars().count()) && !text.chars().any(is_forbidden)
        };
        if !is_text(self.name.trim(), 1, NAME_CHARS_MAX) {
            refuse(
                "name",
                format!("is to have 1 to {NAME_CHARS_MAX} characters"),
            );
        }
        if !is_text(&self.note, 0, NOTE_CHARS_MAX) {
            refuse(
                "note",
                format!("is to have at most {NOTE_CHARS_MAX} characters"),
            );
        }
        if self.channels.len() > CHANNELS_MAX {
            refuse(
                "channels",
                format!("is to name at most {CHANNELS_MAX} channels"),
            );
        }
        for (index, id) in self.channels.iter().enumerate() {
            if self.channels[..index].contains(id) {
                refuse(&format!("channels[{index}]"), "is named twice".to_owned());
            }
        }
        if self.cooldown_seconds > COOLDOWN_SECONDS_MAX {
            let problem = format!("is to be at most {COOLDOWN_SECONDS_MAX}");
            refuse("cooldown_seconds", problem);
        }
        if self
            .daily_max
            .is_some_and(|most| !(1..=DAILY_MAX).contains(&most))
        {
            refuse("daily_max", format!("is to be from 1 to {DAILY_MAX}"));
        }
        if self.tags.len() > TAGS_MAX {
            refuse("tags", format!("has more than {TAGS_MAX} entries"));
        }
        for (tag, value) in &self.tags {
            if !is_text(value, 1, NAME_CHARS_MAX) {
                let problem = format!("is to have 1 to {NAME_CHARS_MAX} characters");
                refuse(
                    &format!("tags.{}", atlas_events::clip(tag, NAME_CHARS_MAX)),
                    problem,
                );
            }
            if !is_tag(tag) {
                let tag = atlas_events::clip(tag, NAME_CHARS_MAX);
                let problem = format!(
                    "{tag:?} is no name of a tag: letters, digits and _, at most {NAME_CHARS_MAX}, and none of {}",
                    RESERVED.join(", ")
                );
                refuse("tags", problem);
            }
        }
        let mut name = |field: &str, value: Option<&String>| {
            if value.is_some_and(|value| !is_text(value, 1, NAME_CHARS_MAX)) {
                let problem = format!("is to have 1 to {NAME_CHARS_MAX} characters");
                refuse(&format!("condition.{field}"), problem);
            }
        };
        match &self.condition {
            Condition::Pattern {
                pattern_id,
                severity,
                labels,
                ..
            } => {
                name("pattern_id", pattern_id.as_ref());
                name("severity", severity.as_ref());
                if labels.len() > LABELS_MAX {
                    refuse(
                        "condition.labels",
                        format!("has more than {LABELS_MAX} entries"),
                    );
                }
            }
            Condition::Regime { model_id, from, to } => {
                name("model_id", model_id.as_ref());
                name("from", from.as_ref());
                name("to", to.as_ref());
            }
            Condition::External {
                source,
                severity,
                labels,
            } => {
                name("source", source.as_ref());
                name("severity", severity.as_ref());
                if labels.len() > LABELS_MAX {
                    refuse(
                        "condition.labels",
                        format!("has more than {LABELS_MAX} entries"),
                    );
                }
            }
            Condition::Rules(combination) => problems.extend(combination.problems()),
            over_series => problems.extend(crate::series::problems(over_series)),
        }
        problems.extend(self.active_hours.iter().flat_map(ActiveHours::problems));
        if let Some(message) = &self.message {
            problems.extend(crate::series::problem_of_message(&self.condition, message));
        }
        problems
    }
}

fn is_tag(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.chars().all(is_word)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !RESERVED.contains(&name)
}

fn is_forbidden(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t'
}

/// As it is stored and written.
pub(crate) fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// What a text says; `info` if it is none of the three.
pub(crate) fn severity_of(text: &str) -> Severity {
    match text {
        "critical" => Severity::Critical,
        "warning" => Severity::Warning,
        _ => Severity::Info,
    }
}
