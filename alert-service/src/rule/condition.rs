//! What makes an alert, and what it is compared with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::combination::Combination;
use crate::series::{Composite, Indicator, Price, Silence, Times};

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
    /// Other rules of the same owner hold, combined. The alert ends when that does not hold any more.
    Rules(Combination),
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
            Self::Rules(_) => "rules",
        }
    }

    /// Whether it is about series or the clock, and not about what the engine or other programs emit.
    pub(crate) fn is_over_series(&self) -> bool {
        match self {
            Self::Pattern { .. } | Self::Regime { .. } | Self::External { .. } | Self::Rules(_) => {
                false
            }
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
            Self::Indicator(_) | Self::Composite(_) | Self::Time(_) | Self::Rules(_) => None,
        }
    }

    /// Ids of the rules that it combines.
    pub(crate) fn rules_used(&self) -> &[String] {
        match self {
            Self::Rules(combination) => &combination.rules,
            _ => &[],
        }
    }

    /// Whether its alerts last for a time.
    pub(crate) fn has_duration(&self) -> bool {
        match self {
            Self::Time(_) => false,
            Self::Price(price) => !price.is_crossing(),
            _ => true,
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
