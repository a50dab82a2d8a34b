//! The series that expressions read, and what is declared about them.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::terms::EXCLUDING;
use crate::calendar::{BusinessAge, BusinessCalendar, Frequency, Span, Term};

/// At most this many inputs of one condition.
pub const INPUTS_MAX: usize = 32;
/// At most this many characters in the name of an input.
const NAME_CHARS_MAX: usize = 50;
/// At most this many characters in a series id, as in the contract of events.
pub const SERIES_ID_CHARS_MAX: usize = 50;

/// A series as an expression sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Input {
    /// What expressions call it.
    pub name: String,
    /// Id of the series.
    pub series: String,
    /// Unit of the values, for people.
    pub unit: String,
    /// How often there is an observation.
    pub frequency: Frequency,
    /// An observation counts for so many days after its date; 0: on its date only. Where business days are counted, no
    /// longer than this.
    pub max_age_days: u32,
    /// Where its age is counted in business days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub business_age: Option<BusinessAge>,
}

impl Input {
    /// Whether an observation of one date counts at another one, which is not before it.
    pub fn counts_at(&self, observed: NaiveDate, date: NaiveDate) -> bool {
        (date - observed).num_days() <= i64::from(self.max_age_days)
            && (self.business_age.as_ref()).is_none_or(|age| age.allows(observed, date))
    }
}

/// An input as somebody declares it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputText {
    /// Id of the series; absent: it is the name of the input.
    pub series: Option<String>,
    /// Unit of the values, for people.
    pub unit: String,
    /// How often there is an observation.
    pub frequency: Frequency,
    /// For how long an observation counts; absent: [`Frequency::max_age_days`].
    pub max_age: Option<Term>,
}

/// Why an input is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// Expressions could not name it.
    #[error("{0:?} is no name of 1 to {NAME_CHARS_MAX} ASCII characters")]
    Name(String),
    /// The name is a word of the language.
    #[error("{0} is a word of the language")]
    Reserved(String),
    /// No series has such an id.
    #[error("a series id has 1 to {SERIES_ID_CHARS_MAX} characters, on one line")]
    SeriesId,
    /// Nothing says for how long an observation counts.
    #[error("input {0}: an irregular series needs max_age")]
    NoMaxAge(String),
}

impl InputText {
    /// The input of this name. `business`: which days are business days.
    ///
    /// # Errors
    /// [`InputError`].
    pub fn input(&self, name: &str, business: &BusinessCalendar) -> Result<Input, InputError> {
        let is_writable = |b: u8| (b' '..=b'~').contains(&b);
        if !(1..=NAME_CHARS_MAX).contains(&name.len()) || !name.bytes().all(is_writable) {
            return Err(InputError::Name(name.to_owned()));
        }
        if name == EXCLUDING {
            return Err(InputError::Reserved(name.to_owned()));
        }
        let series = self.series.as_deref().unwrap_or(name);
        if !(1..=SERIES_ID_CHARS_MAX).contains(&series.chars().count())
            || series.chars().any(char::is_control)
        {
            return Err(InputError::SeriesId);
        }
        let business_age = match self.max_age {
            Some(Term::Business(days)) => Some(BusinessAge {
                days,
                calendar: business.clone(),
            }),
            _ => None,
        };
        let max_age_days = match self.max_age {
            Some(Term::Span(Span::Days(days))) => Some(days),
            Some(Term::Span(months)) => Some(months.days_max()),
            Some(Term::Business(_)) => business_age.as_ref().map(BusinessAge::days_max),
            None => self.frequency.max_age_days(),
        };
        Ok(Input {
            name: name.to_owned(),
            series: series.to_owned(),
            unit: self.unit.clone(),
            frequency: self.frequency,
            max_age_days: max_age_days.ok_or_else(|| InputError::NoMaxAge(name.to_owned()))?,
            business_age,
        })
    }
}
