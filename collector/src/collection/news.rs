//! Which of the rows that FRED returned are new.

use atlas_events::DataPoint;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use rust_decimal::Decimal;

use super::known::Known;
use crate::fred::FredObservation;

/// A value that is new, revised or withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct News {
    pub(super) known_from: DateTime<Utc>,
    pub(super) date: NaiveDate,
    pub(super) value: Option<Decimal>,
}

impl From<&News> for DataPoint {
    fn from(news: &News) -> Self {
        Self {
            date: news.date.to_string(),
            value: news.value.map(|value| value.to_string()),
            known_from: Some(news.known_from.into()),
        }
    }
}

/// FRED gives a day; a value is taken as known from its midnight in UTC on.
pub(super) fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// The rows that differ from what is known as of their first day, in the order in which they became
/// known. A row that FRED has cut to the period asked for says nothing new about its first day
/// unless it differs from what was known then.
pub(super) fn news(rows: &[FredObservation], mut known: Known) -> Vec<News> {
    let mut news = Vec::new();
    for row in rows {
        let known_from = midnight(row.realtime_start);
        if known.as_of(row.date, known_from) == row.value {
            continue;
        }
        known.add(row.date, known_from, row.value);
        news.push(News {
            known_from,
            date: row.date,
            value: row.value,
        });
    }
    news.sort_by_key(|point| (point.known_from, point.date));
    news
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn decimal(text: &str) -> Option<Decimal> {
        atlas_events::parse_decimal(text)
    }

    /// Rows and expectations are (first day, date, value).
    #[track_caller]
    fn check(
        stored: &[(&str, &str, &str)],
        rows: &[(&str, &str, &str)],
        expected: &[(&str, &str, &str)],
    ) {
        let mut known = Known::default();
        for (start, date, value) in stored {
            known.add(day(date), midnight(day(start)), decimal(value));
        }
        let rows: Vec<_> = rows
            .iter()
            .map(|(start, date, value)| FredObservation {
                realtime_start: day(start),
                realtime_end: day("9999-12-31"),
                date: day(date),
                value: decimal(value),
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(start, date, value)| News {
                known_from: midnight(day(start)),
                date: day(date),
                value: decimal(value),
            })
            .collect();
        assert_eq!(news(&rows, known), expected);
    }

    const JANUARY: &str = "2020-01-01";
    const FEBRUARY: &str = "2020-02-01";

    #[test]
    fn everything_is_news_at_first_in_the_order_it_became_known() {
        check(
            &[],
            &[
                ("2020-02-05", JANUARY, "1"),
                ("2020-03-05", JANUARY, "1.1"),
                ("2020-03-05", FEBRUARY, "2"),
            ],
            &[
                ("2020-02-05", JANUARY, "1"),
                ("2020-03-05", JANUARY, "1.1"),
                ("2020-03-05", FEBRUARY, "2"),
            ],
        );
    }

    #[test]
    fn a_row_cut_to_the_period_is_no_news() {
        let stored = [("2020-02-05", JANUARY, "1")];
        check(&stored, &[("2020-03-01", JANUARY, "1.0")], &[]);
    }

    #[test]
    fn a_revision_is_news_and_so_is_the_return_to_an_earlier_value() {
        let stored = [("2020-02-05", JANUARY, "1"), ("2020-03-05", JANUARY, "2")];
        check(
            &stored,
            &[("2020-03-05", JANUARY, "2"), ("2020-04-05", JANUARY, "1")],
            &[("2020-04-05", JANUARY, "1")],
        );
    }

    #[test]
    fn no_value_is_news_only_after_one() {
        check(&[], &[("2020-02-05", JANUARY, ".")], &[]);
        let stored = [("2020-02-05", JANUARY, "1")];
        let withdrawn = [("2020-03-05", JANUARY, ".")];
        check(&stored, &withdrawn, &withdrawn);
        let both = [("2020-02-05", JANUARY, "1"), ("2020-03-05", JANUARY, ".")];
        check(&both, &[("2020-04-01", JANUARY, ".")], &[]);
    }

    #[test]
    fn a_value_corrected_on_the_day_of_its_release_is_news() {
        let stored = [("2020-02-05", JANUARY, "1")];
        let corrected = [("2020-02-05", JANUARY, "1.5")];
        check(&stored, &corrected, &corrected);
        check(&[stored[0], corrected[0]], &corrected, &[]);
    }
}
