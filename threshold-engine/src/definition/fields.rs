use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::place::Refusal;
use crate::calendar::{BusinessAge, BusinessCalendar, BusinessDays, Frequency, Span, Term};
use crate::expression::{Input, InputNames};

/// At most this many inputs in one definition.
const INPUTS_MAX: usize = 32;
/// At most this many characters in a name, as in the contract.
const NAME_CHARS_MAX: usize = 100;
/// At most this many labels, and characters in the value of one.
const LABELS_MAX: usize = 50;
const LABEL_CHARS_MAX: usize = 1_000;
/// At most this many characters in a series id, as in the contract.
const SERIES_ID_CHARS_MAX: usize = atlas_events::SERIES_ID_CHARS_MAX;

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

/// A series as a file declares it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawInput {
    series: Option<String>,
    unit: String,
    frequency: Frequency,
    /// For how long an observation counts.
    max_age: Option<Term>,
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
    raw: &BTreeMap<Spanned<String>, RawInput>,
    business: &BusinessCalendar,
) -> Result<Vec<Input>, Refusal> {
    let mut inputs = Vec::new();
    for (name, input) in raw {
        if inputs.len() == INPUTS_MAX {
            return Err(Refusal::at(name, format!("more than {INPUTS_MAX} inputs")));
        }
        inputs.push(input_of(name, input, business)?);
    }
    Ok(inputs)
}

fn input_of(
    name: &Spanned<String>,
    raw: &RawInput,
    business: &BusinessCalendar,
) -> Result<Input, Refusal> {
    if let Some(reason) = InputNames::refusal(name.get_ref()) {
        return Err(Refusal::at(name, reason));
    }
    let series = raw.series.as_ref().unwrap_or(name.get_ref());
    if !(1..=SERIES_ID_CHARS_MAX).contains(&series.chars().count())
        || series.chars().any(char::is_control)
    {
        let reason = format!("a series id has 1 to {SERIES_ID_CHARS_MAX} characters, on one line");
        return Err(Refusal::at(name, reason));
    }
    let business_age = match raw.max_age {
        Some(Term::Business(days)) => Some(BusinessAge {
            days,
            calendar: business.clone(),
        }),
        _ => None,
    };
    let max_age_days = match raw.max_age {
        Some(Term::Span(Span::Days(days))) => Some(days),
        Some(Term::Span(months)) => Some(months.days_max()),
        Some(Term::Business(_)) => business_age.as_ref().map(BusinessAge::days_max),
        None => raw.frequency.max_age_days(),
    };
    let Some(max_age_days) = max_age_days else {
        let reason = format!(
            "input {name}: an irregular series needs max_age",
            name = name.get_ref()
        );
        return Err(Refusal::at(name, reason));
    };
    Ok(Input {
        name: name.get_ref().clone(),
        series: series.clone(),
        unit: raw.unit.clone(),
        frequency: raw.frequency,
        max_age_days,
        business_age,
    })
}
