//! The evaluation of rules over series by itself, to be measured.

use chrono::{DateTime, NaiveDate, Utc};
use evaluation::series::Future;
use rust_decimal::Decimal;

use super::{
    book::{Book, Points},
    condition::watched,
};

/// Rules over series, evaluated without a database.
#[derive(Debug, Default)]
pub struct Evaluation(Book);

impl Evaluation {
    /// Adds a rule by its condition, as REST reads it.
    ///
    /// # Errors
    /// What is wrong with the condition.
    pub fn add(&mut self, rule: &str, condition: &str) -> Result<(), String> {
        let condition = serde_json::from_str(condition).map_err(|error| error.to_string())?;
        let watched = watched(&condition).map_err(|problems| format!("{problems:?}"))?;
        let (whole, ends) = self.0.lacks(&watched);
        for (series, is_whole) in whole
            .iter()
            .map(|id| (id, true))
            .chain(ends.iter().map(|id| (id, false)))
        {
            self.0.load(series, Points::default(), is_whole);
        }
        self.0
            .put(rule, &watched)
            .map_err(|error| error.to_string())
    }

    /// Takes an observation in. Gives how many rules began or ended by it.
    pub fn observe(
        &mut self,
        series: &str,
        date: NaiveDate,
        known_from: DateTime<Utc>,
        value: Decimal,
    ) -> usize {
        let vintage = Future {
            known_from,
            value: Some(value),
        };
        let points = Points {
            points: vec![(date, vintage)],
            reached: Some(date),
        };
        self.0.observe(series, &points, NaiveDate::MIN).len()
    }
}
