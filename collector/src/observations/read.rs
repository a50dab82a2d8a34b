use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::PgPool;

/// Bounds of what PostgreSQL and the contract have in common.
const FIRST_DATE: NaiveDate = NaiveDate::from_ymd_opt(-4_712, 1, 1).unwrap();
const LAST_DATE: NaiveDate = NaiveDate::from_ymd_opt(9_999, 12, 31).unwrap();
const END_OF_TIME: DateTime<Utc> = LAST_DATE.and_hms_opt(23, 59, 59).unwrap().and_utc();

/// Reads observations; clones read the same.
#[derive(Debug, Clone)]
pub struct Observations {
    pool: PgPool,
}

/// The value of a date that was the known one at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The date that the value is for.
    pub date: NaiveDate,
    /// The exact value, in the units of the series.
    pub value: Decimal,
    /// From when it was known.
    pub known_from: DateTime<Utc>,
    /// Position of the event that reported it.
    pub position: u64,
}

/// A value of a date, whether it still is the known one or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vintage {
    /// The date that the value is for.
    pub date: NaiveDate,
    /// The exact value; `None` where an earlier one was withdrawn.
    pub value: Option<Decimal>,
    /// From when it was known.
    pub known_from: DateTime<Utc>,
    /// Position of the event that reported it.
    pub position: u64,
}

impl Observations {
    /// Those in the database of `pool`.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The values of a series for the dates from `from` to `to` (both inclusive; absent: no bound),
    /// by date, at most `rows_max`. The next page begins the day after the last date of this one.
    ///
    /// Of each date, the newest value known at `as_of`; absent: the newest of all. Dates whose value
    /// was withdrawn by then are left out. Empty for a series that nothing is known of.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn range(
        &self,
        series_id: &str,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
        as_of: Option<DateTime<Utc>>,
        rows_max: u32,
    ) -> Result<Vec<Observation>, sqlx::Error> {
        let rows = sqlx::query!(
            r#"select date as "date!", value as "value!", known_from as "known_from!",
                      position as "position!"
               from (
                   select distinct on (date) date, value, known_from, position
                   from observations
                   where series_id = $1 and date between $2 and $3 and known_from <= $4
                   order by date, known_from desc, position desc
               ) as newest
               where value is not null
               order by date
               limit $5"#,
            series_id,
            from.unwrap_or(FIRST_DATE),
            to.unwrap_or(LAST_DATE),
            as_of.unwrap_or(END_OF_TIME),
            i64::from(rows_max),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| Observation {
                date: row.date,
                value: row.value,
                known_from: row.known_from,
                position: row.position.unsigned_abs(),
            })
            .collect())
    }

    /// Every value that a series ever had for the dates from `from` to `to` (both inclusive; absent:
    /// no bound), by date, time from which it was known, and position; at most `rows_max`. The next
    /// page is that `after` those three of the last row of this one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn vintages(
        &self,
        series_id: &str,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
        after: Option<(NaiveDate, DateTime<Utc>, u64)>,
        rows_max: u32,
    ) -> Result<Vec<Vintage>, sqlx::Error> {
        let from = from.unwrap_or(FIRST_DATE);
        let (after_date, after_known_from, after_position) = match after {
            Some((date, known_from, position)) => (date, known_from, position.cast_signed()),
            None => (FIRST_DATE, DateTime::<Utc>::UNIX_EPOCH, 0),
        };
        let rows = sqlx::query!(
            "select date, value, known_from, position from observations
             where series_id = $1 and date between greatest($2, $3::date) and $4
               and ($5 or (date, known_from, position) > ($3, $6, $7))
             order by date, known_from, position
             limit $8",
            series_id,
            from,
            after_date,
            to.unwrap_or(LAST_DATE),
            after.is_none(),
            after_known_from,
            after_position,
            i64::from(rows_max),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| Vintage {
                date: row.date,
                value: row.value,
                known_from: row.known_from,
                position: row.position.unsigned_abs(),
            })
            .collect())
    }

    /// The newest known value of the newest date that has one; `None` if there is none.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn latest(&self, series_id: &str) -> Result<Option<Observation>, sqlx::Error> {
        let row = sqlx::query!(
            r#"select date as "date!", value as "value!", known_from as "known_from!",
                      position as "position!"
               from (
                   select distinct on (date) date, value, known_from, position
                   from observations
                   where series_id = $1
                   order by date desc, known_from desc, position desc
               ) as newest
               where value is not null
               order by date desc
               limit 1"#,
            series_id,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| Observation {
            date: row.date,
            value: row.value,
            known_from: row.known_from,
            position: row.position.unsigned_abs(),
        }))
    }
}
