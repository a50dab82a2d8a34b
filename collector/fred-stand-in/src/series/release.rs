//! A value made known: a new observation, or a revision of an old one.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::StandInError;

/// A new observation, or a revision of the one of the same date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The date that the value is of.
    pub date: NaiveDate,
    /// A decimal number as FRED would print it, or `.` for a missing value.
    pub value: String,
    /// The first day on which the value is known; the stand-in's today if absent. With a day in the future the value
    /// appears when the stand-in's clock reaches it.
    #[serde(default)]
    pub realtime_start: Option<NaiveDate>,
}

impl Release {
    /// A value that becomes known today.
    pub fn new(date: NaiveDate, value: impl Into<String>) -> Self {
        Self {
            date,
            value: value.into(),
            realtime_start: None,
        }
    }

    /// The same value, known since `realtime_start`.
    #[must_use]
    pub fn known_since(mut self, realtime_start: NaiveDate) -> Self {
        self.realtime_start = Some(realtime_start);
        self
    }
}

/// Refuses what FRED would never print as a value.
pub(crate) fn check_value(value: &str) -> Result<(), StandInError> {
    if value == "." || is_decimal(value) {
        return Ok(());
    }
    Err(StandInError::InvalidValue {
        value: value.to_owned(),
    })
}

fn is_decimal(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    all_digits(whole) && all_digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::check_value;

    #[test]
    fn values_are_decimals_or_a_dot() {
        for good in [".", "0", "28.5", "-3.44", "4.6900000000"] {
            assert!(check_value(good).is_ok(), "{good}");
        }
        for bad in ["", "-", "1.", ".5", "1e3", "NaN", "1,000", " 1", "-."] {
            assert!(check_value(bad).is_err(), "{bad}");
        }
    }
}
