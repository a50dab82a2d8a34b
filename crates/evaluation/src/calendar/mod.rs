//! Spans of the calendar: "3mo", "90d", "52w", "1y", and how often a series has observations.

mod business;
mod term;

use std::fmt;

use chrono::{Datelike, Days, Months, NaiveDate};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use business::{BusinessAge, BusinessCalendar, BusinessDays};
pub use term::{Hold, Term};

/// At most this many days, weeks, months or years in one span.
const SPAN_COUNT_MAX: u32 = 36_600;

/// A length of time by the calendar. Weeks are seven days, years are twelve months.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Span {
    /// So many days.
    Days(u32),
    /// So many months; the day of the month is kept, or the last one where there is none such.
    Months(u32),
}

impl Span {
    /// Reads "90d", "52w", "3mo" or "1y". `None` for anything else, and for more than a century.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let count: u32 = text[..digits].parse().ok()?;
        if count > SPAN_COUNT_MAX {
            return None;
        }
        let span = match &text[digits..] {
            "d" => Self::Days(count),
            "w" => Self::Days(count * 7),
            "mo" => Self::Months(count),
            "y" => Self::Months(count * 12),
            _ => return None,
        };
        (span.days_max() <= SPAN_COUNT_MAX).then_some(span)
    }

    /// The date this long before, or the first there is.
    pub fn before(self, date: NaiveDate) -> NaiveDate {
        match self {
            Self::Days(days) => date.checked_sub_days(Days::new(days.into())),
            Self::Months(months) => date.checked_sub_months(Months::new(months)),
        }
        .unwrap_or(NaiveDate::MIN)
    }

    /// The date this long after, or the last there is.
    pub fn after(self, date: NaiveDate) -> NaiveDate {
        match self {
            Self::Days(days) => date.checked_add_days(Days::new(days.into())),
            Self::Months(months) => date.checked_add_months(Months::new(months)),
        }
        .unwrap_or(NaiveDate::MAX)
    }

    /// No fewer days than this span ever has.
    pub fn days_max(self) -> u32 {
        match self {
            Self::Days(days) => days,
            Self::Months(months) => months.saturating_mul(31),
        }
    }

    /// So many times as long.
    pub fn times(self, factor: u32) -> Self {
        match self {
            Self::Days(days) => Self::Days(days.saturating_mul(factor)),
            Self::Months(months) => Self::Months(months.saturating_mul(factor)),
        }
    }

    /// Whether it has no length.
    pub fn is_zero(self) -> bool {
        matches!(self, Self::Days(0) | Self::Months(0))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Days(days) => write!(f, "{days}d"),
            Self::Months(months) => write!(f, "{months}mo"),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(format_args!(
                "\"{text}\" is no span: write \"90d\", \"52w\", \"3mo\" or \"1y\""
            ))
        })
    }
}

/// A span of the calendar, or a number of observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// By the calendar.
    Span(Span),
    /// So many observations.
    Count(u32),
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Span(span) => span.fmt(f),
            Self::Count(1) => f.write_str("1 observation"),
            Self::Count(count) => write!(f, "{count} observations"),
        }
    }
}

/// How often a series has an observation. From the finest to the coarsest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Frequency {
    /// At no fixed distance.
    Irregular,
    /// On trading or calendar days.
    Daily,
    /// On one day of the week.
    Weekly,
    /// Once a month, dated by a day of that month.
    Monthly,
    /// Once a quarter.
    Quarterly,
    /// Once a year.
    Annual,
}

impl Frequency {
    /// For how long an observation counts as current where a file does not say: the distance of two
    /// observations, their usual delay of publication, and a little. `None`: the file must say.
    pub fn max_age_days(self) -> Option<u32> {
        match self {
            Self::Irregular => None,
            Self::Daily => Some(7),
            Self::Weekly => Some(21),
            Self::Monthly => Some(75),
            Self::Quarterly => Some(220),
            Self::Annual => Some(800),
        }
    }

    /// Observations of such a series stand for a calendar period rather than a day.
    pub fn is_by_period(self) -> bool {
        self >= Self::Monthly
    }

    /// Roughly how many days lie between two observations, rounded up.
    pub fn period_days_max(self) -> u32 {
        match self {
            Self::Irregular => 0,
            Self::Daily => 5,
            Self::Weekly => 7,
            Self::Monthly => 31,
            Self::Quarterly => 92,
            Self::Annual => 366,
        }
    }

    /// First and last day of the month, quarter or year that holds `date`; the date itself for
    /// other frequencies.
    pub fn period_of(self, date: NaiveDate) -> (NaiveDate, NaiveDate) {
        let months = match self {
            Self::Monthly => 1,
            Self::Quarterly => 3,
            Self::Annual => 12,
            _ => return (date, date),
        };
        let first_month = date.month0() / months * months + 1;
        let first = NaiveDate::from_ymd_opt(date.year(), first_month, 1).unwrap_or(NaiveDate::MIN);
        let next = Span::Months(months).after(first);
        (first, next.pred_opt().unwrap_or(NaiveDate::MIN))
    }

    /// A series covers a window from `start` if its first observation lies before this date: one
    /// period later at most, as the first one need not fall on the first day.
    pub fn covered_before(self, start: NaiveDate) -> NaiveDate {
        match self {
            Self::Irregular => Span::Days(1),
            Self::Daily => Span::Days(5),
            Self::Weekly => Span::Days(7),
            Self::Monthly => Span::Months(1),
            Self::Quarterly => Span::Months(3),
            Self::Annual => Span::Months(12),
        }
        .after(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn spans_are_read_and_others_refused() {
        assert_eq!(Span::parse("3mo"), Some(Span::Months(3)));
        assert_eq!(Span::parse("1y"), Some(Span::Months(12)));
        assert_eq!(Span::parse("52w"), Some(Span::Days(364)));
        assert_eq!(Span::parse("0d"), Some(Span::Days(0)));
        for text in [
            "",
            "d",
            "3",
            "3m",
            "-3d",
            "1.5y",
            "3 mo",
            "99999999999d",
            "101y",
            "6000w",
        ] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }

    #[test]
    fn months_keep_the_day_where_there_is_one() {
        assert_eq!(
            Span::Months(3).before(date("2024-05-31")),
            date("2024-02-29")
        );
        assert_eq!(
            Span::Months(1).after(date("2023-01-31")),
            date("2023-02-28")
        );
        assert_eq!(Span::Days(1).before(NaiveDate::MIN), NaiveDate::MIN);
    }

    #[test]
    fn periods_hold_their_dates() {
        let period = Frequency::Quarterly.period_of(date("2024-05-31"));
        assert_eq!(period, (date("2024-04-01"), date("2024-06-30")));
        let period = Frequency::Monthly.period_of(date("2024-02-29"));
        assert_eq!(period, (date("2024-02-01"), date("2024-02-29")));
        let period = Frequency::Annual.period_of(date("2024-02-29"));
        assert_eq!(period, (date("2024-01-01"), date("2024-12-31")));
    }
}
