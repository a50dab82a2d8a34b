use std::{fmt, str::FromStr};

use chrono::{Months, NaiveDate};

use crate::series;

/// Backfills are at most this many months; longer ones are `all`.
const MONTHS_MAX: u32 = 12 * 200;

/// A series that the registry is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesSeed {
    /// Identifier at FRED, such as `UNRATE`.
    pub id: String,
    /// Cron expression, in UTC or in the time zone that it names; one that suits the frequency of the series if absent.
    pub schedule: Option<String>,
    /// How far back its first collection reaches.
    pub backfill: Backfill,
}

/// How far back the first collection of a series reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backfill {
    /// This many months before the day of the first collection.
    Months(u32),
    /// From this observation date on.
    Since(NaiveDate),
    /// Everything.
    All,
}

impl Backfill {
    /// The first observation date to collect, on a day; `None` for all there are.
    pub fn first_date(self, today: NaiveDate) -> Option<NaiveDate> {
        match self {
            // Before the beginning of the calendar there is nothing to collect.
            Self::Months(months) => today.checked_sub_months(Months::new(months)),
            Self::Since(date) => Some(date),
            Self::All => None,
        }
    }

    /// The same, as the registry takes it.
    pub fn on(self, today: NaiveDate) -> series::Backfill {
        match self.first_date(today) {
            Some(date) => series::Backfill::From(date),
            None => series::Backfill::All,
        }
    }
}

impl Default for Backfill {
    fn default() -> Self {
        Self::Months(24)
    }
}

/// The text names no backfill.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no backfill: give a number of months such as \"24mo\" (at most {MONTHS_MAX}mo), a \
     date such as \"1990-01-01\", or \"all\""
)]
pub struct NoBackfill(String);

impl FromStr for Backfill {
    type Err = NoBackfill;

    fn from_str(text: &str) -> Result<Self, NoBackfill> {
        let refusal = || NoBackfill(text.to_owned());
        if text.eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        if let Some(months) = text.strip_suffix("mo") {
            let months = months.parse().map_err(|_| refusal())?;
            return (1..=MONTHS_MAX)
                .contains(&months)
                .then_some(Self::Months(months))
                .ok_or_else(refusal);
        }
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| refusal())?;
        Ok(Self::Since(date))
    }
}

impl fmt::Display for Backfill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Months(months) => write!(f, "{months}mo"),
            Self::Since(date) => write!(f, "{date}"),
            Self::All => f.write_str("all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_shown_alike() {
        for text in ["24mo", "1990-01-01", "all"] {
            assert_eq!(text.parse::<Backfill>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "24", "0mo", "-3mo", "9999mo", "2y", "1990-02-30"] {
            assert!(text.parse::<Backfill>().is_err(), "{text}");
        }
    }
}
