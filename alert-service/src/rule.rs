//! Rules: which crossings and transitions become alerts, and where they are sent.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    channel::Severity,
    series::{Composite, Indicator, Price, Silence, Times},
};

const NAME_CHARS_MAX: usize = 100;
const NOTE_CHARS_MAX: usize = 2_000;
/// At most this many channels of a rule.
pub(crate) const CHANNELS_MAX: usize = 20;
const LABELS_MAX: usize = 50;
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
    /// For people; at most 2,000 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) note: String,
    /// What alerts of a rule over series say, with `{rule}`, `{series}`, `{value}`, `{threshold}` and `{date}` in it; at most
    /// 2,000 characters. Absent: all of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

/// What makes an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Condition {
    /// A pattern is entered. The alert ends when it is cleared.
    Pattern {
        /// Id of the pattern; any if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pattern_id: Option<String>,
        /// Severity of the pattern; any if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        severity: Option<String>,
        /// Labels that the pattern has to have, with these values.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<String, String>,
        /// Whether an alert begins also when the pattern has no data any more.
        #[serde(default)]
        no_data: bool,
    },
    /// A regime model changes its state. The alert ends with the next change.
    Regime {
        /// Id of the model; any if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model_id: Option<String>,
        /// State before; any if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// State after; any if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// An alert that another program sends: `POST /v1/alerts` or `POST /v1/alertmanager`. It ends when that
    /// program says so.
    External {
        /// Who sends it, such as `alertmanager`; any if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
        /// Severity, as it is sent; any if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        severity: Option<String>,
        /// Labels that it has to have, with these values.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<String, String>,
    },
    /// The latest value of a series compares so. The alert ends when it does not any more.
    Price(Price),
    /// An expression over series holds. The alert ends when it does not any more.
    Indicator(Indicator),
    /// Conditions over series, combined.
    Composite(Composite),
    /// A time of the clock has come. The alert has no end.
    Time(Times),
    /// Nothing was received of a series. The alert ends with its next observation.
    #[serde(rename = "no_data")]
    Silence(Silence),
}

/// What a condition is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Crossing {
        pattern_id: String,
        severity: String,
        labels: BTreeMap<String, String>,
        no_data: bool,
    },
    Transition {
        model_id: String,
        from: String,
        to: String,
    },
    External {
        source: String,
        severity: String,
        labels: BTreeMap<String, String>,
    },
}

impl Condition {
    /// As the column `kind` has it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Pattern { .. } => "pattern",
            Self::Regime { .. } => "regime",
            Self::External { .. } => "external",
            Self::Price(_) => "price",
            Self::Indicator(_) => "indicator",
            Self::Composite(_) => "composite",
            Self::Time(_) => "time",
            Self::Silence(_) => "no_data",
        }
    }

    /// Whether it is about series or the clock, and not about what the engine or other programs emit.
    pub(crate) fn is_over_series(&self) -> bool {
        match self {
            Self::Pattern { .. } | Self::Regime { .. } | Self::External { .. } => false,
            Self::Price(_)
            | Self::Indicator(_)
            | Self::Composite(_)
            | Self::Time(_)
            | Self::Silence(_) => true,
        }
    }

    /// The one pattern, model or series that it is about, if it names one.
    pub(crate) fn subject(&self) -> Option<&str> {
        match self {
            Self::Pattern { pattern_id, .. } => pattern_id.as_deref(),
            Self::Regime { model_id, .. } => model_id.as_deref(),
            Self::External { .. } => None,
            Self::Price(price) => Some(&price.series),
            Self::Silence(silence) => Some(&silence.series),
            Self::Indicator(_) | Self::Composite(_) | Self::Time(_) => None,
        }
    }

    pub(crate) fn matches(&self, subject: &Subject) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        let holds = |wanted: &BTreeMap<String, String>, held: &BTreeMap<String, String>| {
            let mut wanted = wanted.iter();
            wanted.all(|(name, value)| held.get(name) == Some(value))
        };
        match (self, subject) {
            (
                Self::Pattern {
                    pattern_id,
                    severity,
                    labels,
                    no_data,
                },
                Subject::Crossing {
                    pattern_id: id,
                    severity: of,
                    labels: held,
                    no_data: is_missing,
                },
            ) => {
                is(pattern_id, id)
                    && is(severity, of)
                    && holds(labels, held)
                    && (*no_data || !*is_missing)
            }
            (
                Self::Regime { model_id, from, to },
                Subject::Transition {
                    model_id: id,
                    from: before,
                    to: after,
                },
            ) => is(model_id, id) && is(from, before) && is(to, after),
            (
                Self::External {
                    source,
                    severity,
                    labels,
                },
                Subject::External {
                    source: sent_by,
                    severity: of,
                    labels: held,
                },
            ) => is(source, sent_by) && is(severity, of) && holds(labels, held),
            _ => false,
        }
    }
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
            over_series => problems.extend(crate::series::problems(over_series)),
        }
        if let Some(message) = &self.message {
            problems.extend(crate::series::problem_of_message(&self.condition, message));
        }
        problems
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn crossing(id: &str, no_data: bool) -> Subject {
        Subject::Crossing {
            pattern_id: id.to_owned(),
            severity: "warning".to_owned(),
            labels: [("theme".to_owned(), "stress".to_owned())].into(),
            no_data,
        }
    }

    fn condition(json: &str) -> Condition {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_condition_matches_what_it_names_and_nothing_else() {
        for (json, matched) in [
            (r#"{"kind":"pattern"}"#, true),
            (r#"{"kind":"pattern","pattern_id":"a"}"#, true),
            (r#"{"kind":"pattern","pattern_id":"b"}"#, false),
            (r#"{"kind":"pattern","severity":"warning"}"#, true),
            (r#"{"kind":"pattern","severity":"critical"}"#, false),
            (r#"{"kind":"pattern","labels":{"theme":"stress"}}"#, true),
            (r#"{"kind":"pattern","labels":{"theme":"growth"}}"#, false),
            (
                r#"{"kind":"pattern","labels":{"theme":"stress","x":"y"}}"#,
                false,
            ),
            (r#"{"kind":"regime"}"#, false),
        ] {
            assert_eq!(
                condition(json).matches(&crossing("a", false)),
                matched,
                "{json}"
            );
        }
        let missing = crossing("a", true);
        assert!(!condition(r#"{"kind":"pattern"}"#).matches(&missing));
        assert!(condition(r#"{"kind":"pattern","no_data":true}"#).matches(&missing));
        let transition = Subject::Transition {
            model_id: "m".to_owned(),
            from: "a".to_owned(),
            to: "b".to_owned(),
        };
        for (json, matched) in [
            (r#"{"kind":"regime","to":"b"}"#, true),
            (r#"{"kind":"regime","from":"b"}"#, false),
            (r#"{"kind":"regime","model_id":"n"}"#, false),
        ] {
            assert_eq!(condition(json).matches(&transition), matched, "{json}");
        }
        let external = Subject::External {
            source: "api".to_owned(),
            severity: "page".to_owned(),
            labels: [("job".to_owned(), "backup".to_owned())].into(),
        };
        for (json, matched) in [
            (r#"{"kind":"external"}"#, true),
            (r#"{"kind":"external","source":"api"}"#, true),
            (r#"{"kind":"external","source":"alertmanager"}"#, false),
            (r#"{"kind":"external","severity":"page"}"#, true),
            (r#"{"kind":"external","severity":"info"}"#, false),
            (r#"{"kind":"external","labels":{"job":"backup"}}"#, true),
            (r#"{"kind":"external","labels":{"job":"other"}}"#, false),
            (r#"{"kind":"pattern"}"#, false),
        ] {
            assert_eq!(condition(json).matches(&external), matched, "{json}");
        }
        assert!(serde_json::from_str::<Condition>(r#"{"kind":"pattern","id":"a"}"#).is_err());
    }
}
