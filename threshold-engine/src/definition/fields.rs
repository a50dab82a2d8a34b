use std::collections::BTreeMap;

use chrono::NaiveDate;
use evaluation::{
    calendar::{BusinessCalendar, BusinessDays},
    expression::{INPUTS_MAX, Input, InputText},
};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::place::Refusal;

/// At most this many characters in a name, as in the contract.
const NAME_CHARS_MAX: usize = 100;
/// At most this many labels, and characters in the value of one.
const LABELS_MAX: usize = 50;
const LABEL_CHARS_MAX: usize = 1_000;

/// At most this many single holidays in a definition.
const HOLIDAYS_MAX: usize = 500;

/// How grave an active pattern is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To be known.
    Info,
    /// To be looked at.
    Warning,
    /// To be acted upon.
    Critical,
}

impl Severity {
    /// "info", "warning", "critical".
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// At which dates a definition is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Evaluate {
    /// Where an input has an observation.
    Observations,
    /// There, and every day that passes.
    Daily,
}

impl Evaluate {
    pub(crate) fn is_daily(self) -> bool {
        self == Self::Daily
    }
}

/// The business days of a file: a rule, and single holidays.
pub(crate) fn business_days(
    rule: BusinessDays,
    holidays: &[Spanned<String>],
) -> Result<BusinessCalendar, Refusal> {
    if let Some(beyond) = holidays.get(HOLIDAYS_MAX) {
        let reason = format!("more than {HOLIDAYS_MAX} holidays");
        return Err(Refusal::at(beyond, reason));
    }
    let dates = holidays.iter().map(|text| {
        let date = text.get_ref().parse::<NaiveDate>();
        let reason = || format!("{:?} is no date such as \"2020-04-01\"", text.get_ref());
        date.map_err(|_| Refusal::at(text, reason()))
    });
    let mut holidays = dates.collect::<Result<Vec<_>, _>>()?;
    holidays.sort_unstable();
    holidays.dedup();
    Ok(BusinessCalendar { rule, holidays })
}

/// 1 to 100 of a-z, A-Z, 0-9, "-", "_", ".".
pub(crate) fn check_id(id: &Spanned<String>) -> Result<(), Refusal> {
    let text = id.get_ref();
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !(1..=100).contains(&text.len()) || !text.bytes().all(known) {
        let reason = format!("id {text:?} is not 1 to 100 letters, digits, \"-\", \"_\" or \".\"");
        return Err(Refusal::at(id, reason));
    }
    Ok(())
}

/// Checks the name of a definition, which its events carry: 1 to 100 characters on one line.
pub(crate) fn check_name(name: &Spanned<String>) -> Result<(), Refusal> {
    let chars = name.get_ref().chars();
    if chars.clone().any(char::is_control) || !(1..=NAME_CHARS_MAX).contains(&chars.count()) {
        let reason = format!("a name has 1 to {NAME_CHARS_MAX} characters, on one line");
        return Err(Refusal::at(name, reason));
    }
    Ok(())
}

/// Checks the labels of a definition, which its events carry.
pub(crate) fn check_labels(
    id: &Spanned<String>,
    labels: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    if labels.len() > LABELS_MAX {
        let reason = format!("more than {LABELS_MAX} labels");
        return Err(Refusal::at(id, reason));
    }
    for (key, value) in labels {
        let key_chars = key.chars().count();
        let is_good = (1..=NAME_CHARS_MAX).contains(&key_chars)
            && value.chars().count() <= LABEL_CHARS_MAX
            && !key.chars().chain(value.chars()).any(char::is_control);
        if !is_good {
            let reason = format!(
                "a label is 1 to {NAME_CHARS_MAX} characters, and its value at most \
                 {LABEL_CHARS_MAX}, on one line"
            );
            return Err(Refusal::at(id, reason));
        }
    }
    Ok(())
}

/// The inputs of a definition, by name. `business`: which days are business days.
pub(crate) fn inputs_of(
    raw: &BTreeMap<Spanned<String>, InputText>,
    business: &BusinessCalendar,
) -> Result<Vec<Input>, Refusal> {
    let mut inputs = Vec::new();
    for (name, input) in raw {
        if inputs.len() == INPUTS_MAX {
            return Err(Refusal::at(name, format!("more than {INPUTS_MAX} inputs")));
        }
        let input = input.input(name.get_ref(), business);
        inputs.push(input.map_err(|error| Refusal::at(name, error.to_string()))?);
    }
    Ok(inputs)
}
