//! Conditions over series as rules state them.

use std::{collections::BTreeMap, fmt};

use evaluation::calendar::Frequency;
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

/// The latest value of a series, compared with constants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Price {
    /// Id of the series.
    #[schema(example = "VIXCLS")]
    pub(crate) series: String,
    pub(crate) comparison: Comparison,
    /// What is compared with; of `changes_by` the amount, or the percentage if `is_percent`. Exact; a number or a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) value: Option<Number>,
    /// Of `between`: the lower bound, which belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) low: Option<Number>,
    /// Of `between`: the upper bound, which belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) high: Option<Number>,
    /// Of `changes_by`: within this span or number of observations, such as `5d`, `3mo` or `20`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) within: Option<String>,
    /// Of `changes_by`: the value is in percent of the value before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_percent: bool,
    /// Of `changes_by`: `up` or `down`; both if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) direction: Option<Direction>,
    /// Accept a series of which nothing was seen yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) series_may_be_unknown: bool,
}

impl Price {
    /// Whether it is about two observations, and has no duration.
    pub(crate) fn is_crossing(&self) -> bool {
        matches!(
            self.comparison,
            Comparison::CrossesAbove | Comparison::CrossesBelow
        )
    }
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Comparison {
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Equal.
    Eq,
    /// From `low` to `high`.
    Between,
    /// Above now, and not at the observation before. Each such observation is an alert of its own, which has no end.
    CrossesAbove,
    /// Below now, and not at the observation before.
    CrossesBelow,
    /// Differs by so much from a value within a window that ends now.
    ChangesBy,
}

/// Which way a value changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// It rises.
    Up,
    /// It falls.
    Down,
}

/// An expression over series, in the language of patterns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Indicator {
    /// Series by the names that expressions give them, 1 to 32.
    pub(crate) inputs: BTreeMap<String, InputDefinition>,
    /// It begins where this holds.
    #[schema(example = "VIXCLS.mean(20) > 30")]
    pub(crate) when: String,
    /// Once begun, it ends where this holds; absent: where `when` does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clear_when: Option<String>,
    /// It begins only once `when` has held for this span, such as `5d`, or at so many observations in a row.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) hold: Option<HoldDefinition>,
    /// It begins only once `when` has held at n of the last m observations, as `[n, m]`; m at most 64. In place of `for`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) n_of_m: Option<[u8; 2]>,
    /// It ends only once this span, or so many observations in a row, have passed since it should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) keep_for: Option<HoldDefinition>,
    /// It does not begin again for this span after it has ended, such as `5d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cooldown: Option<String>,
    /// Accept series of which nothing was seen yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) series_may_be_unknown: bool,
}

/// A series as an expression sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputDefinition {
    /// Id of the series; absent: the name of the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) series: Option<String>,
    /// `irregular`, `daily`, `weekly`, `monthly`, `quarterly` or `annual`.
    #[schema(value_type = String)]
    pub(crate) frequency: Frequency,
    /// For how long an observation counts, such as `10d`; absent: what suits the frequency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_age: Option<String>,
}

/// Conditions over series, combined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Composite {
    pub(crate) operator: Operator,
    /// Of `n_of_m`: so many of the conditions have to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) n: Option<u32>,
    /// What is combined; one of `not`. At most 20 in all, nested at most 4 deep.
    #[schema(no_recursion)]
    pub(crate) conditions: Vec<Part>,
    /// It begins only once it has held for this span, or at so many observations in a row. Of the outermost only.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) hold: Option<HoldDefinition>,
}

/// How conditions are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operator {
    /// All hold.
    And,
    /// One at least holds.
    Or,
    /// It does not hold.
    Not,
    /// `n` at least hold.
    NOfM,
}

/// A part of a composite condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Part {
    /// A series compared with constants.
    Price(Price),
    /// An expression; without `clear_when`, `for`, `n_of_m`, `keep_for` and `cooldown`.
    Indicator(Indicator),
    /// Conditions, combined.
    Composite(Composite),
}

/// Times of a clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Times {
    /// A cron expression of five fields, or six with seconds.
    #[schema(example = "30 8 * * 1-5")]
    pub(crate) cron: String,
    /// IANA name of the zone that it is in; UTC if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "America/New_York")]
    pub(crate) zone: Option<String>,
}

/// A series that should have come, and has not. Exactly one of `after_seconds` and `expected` is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Silence {
    /// Id of the series.
    pub(crate) series: String,
    /// Nothing was received of it for longer than this: 60 seconds to 366 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after_seconds: Option<u32>,
    /// Nothing was received since it was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<Times>,
    /// So much later than expected it may come; at most 31 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grace_seconds: Option<u32>,
    /// Accept a series of which nothing was seen yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) series_may_be_unknown: bool,
}

/// A span, or a number of observations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum HoldDefinition {
    Count(u32),
    Span(String),
}

/// An exact decimal, read from a number or a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) Decimal);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.normalize().fmt(f)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyNumber;
        impl de::Visitor<'_> for AnyNumber {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal of at most 28 digits, such as 30, -0.5 or \"4.69\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                atlas_events::parse_decimal(text)
                    .map(|value| Number(value.normalize()))
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            // Shortest digits that make this number, which are those that were written, up to 15 of them.
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Number, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value.into()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value.into()))
            }
        }
        deserializer.deserialize_any(AnyNumber)
    }
}
