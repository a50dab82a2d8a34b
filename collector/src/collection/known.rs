//! What the observations hold of a series, as far as a collection has to know.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;

/// The values of each date, in the order in which they became known.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<NaiveDate, Vec<Value>>);

/// From when it was known, and what it is; absent if an earlier one was withdrawn.
type Value = (DateTime<Utc>, Option<Decimal>);

impl Known {
    /// Reads the values that were known at `since` or later, of the dates from `from` to `to`.
    pub(super) async fn read(
        connection: &mut PgConnection,
        series_id: &str,
        (from, to): (NaiveDate, NaiveDate),
        since: DateTime<Utc>,
    ) -> Result<Self, sqlx::Error> {
        let rows = sqlx::query!(
            r#"(
                   select distinct on (date) date as "date!", known_from as "known_from!",
                          position as "position!", value
                   from observations
                   where series_id = $1 and date between $2 and $3 and known_from <= $4
                   order by date, known_from desc, position desc
               ) union all (
                   select date, known_from, position, value
                   from observations
                   where series_id = $1 and date between $2 and $3 and known_from > $4
               )
               order by 1, 2, 3"#,
            series_id,
            from,
            to,
            since,
        )
        .fetch_all(connection)
        .await?;
        let mut known = Self::default();
        for row in rows {
            known.add(row.date, row.known_from, row.value);
        }
        Ok(known)
    }

    /// Adds a value after those of the date that were known until then.
    pub(super) fn add(
        &mut self,
        date: NaiveDate,
        known_from: DateTime<Utc>,
        value: Option<Decimal>,
    ) {
        let values = self.0.entry(date).or_default();
        let place = values.partition_point(|(earlier, _)| *earlier <= known_from);
        values.insert(place, (known_from, value));
    }

    /// The value of a date that was the known one at a time; `None` if there was none, or it was
    /// withdrawn.
    pub(super) fn as_of(&self, date: NaiveDate, at: DateTime<Utc>) -> Option<Decimal> {
        let values = self.0.get(&date)?;
        let place = values.partition_point(|(known_from, _)| *known_from <= at);
        values[..place].last()?.1
    }
}
