use atlas_events::{Draft, SeriesCollectedEvent, event::Payload, parse_decimal};
use chrono::{DateTime, NaiveDate, Utc};
use event_log::Projection;
use futures::future::BoxFuture;
use rust_decimal::Decimal;
use sqlx::PgConnection;

/// Keeps the table `observations` in step with the log. For [`event_log::EventLog::open`], after
/// [`crate::series::migrate`].
#[derive(Debug, Clone, Copy, Default)]
pub struct ObservationProjection;

impl Projection for ObservationProjection {
    fn apply<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        events: &'a [(u64, &'a Draft)],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            let mut columns = Columns::default();
            for (position, draft) in events {
                if let Payload::SeriesCollected(collected) = &*draft.payload {
                    columns.add(*position, draft.occurred_at, collected)?;
                }
            }
            if columns.dates.is_empty() {
                return Ok(());
            }
            insert(connection, &columns).await
        })
    }
}

#[derive(Default)]
struct Columns {
    series_ids: Vec<String>,
    dates: Vec<NaiveDate>,
    known_from: Vec<DateTime<Utc>>,
    positions: Vec<i64>,
    values: Vec<Option<Decimal>>,
}

impl Columns {
    /// Adds the points of an event, which keep the rules of the contract.
    fn add(
        &mut self,
        position: u64,
        occurred_at: DateTime<Utc>,
        collected: &SeriesCollectedEvent,
    ) -> Result<(), sqlx::Error> {
        for point in &collected.data_points {
            let date = point.date.parse().map_err(decoding)?;
            let known_from = point.known_at(occurred_at);
            let value = point.value.as_deref().map(|text| {
                parse_decimal(text).ok_or_else(|| decoding("a value that is no decimal"))
            });
            self.series_ids.push(collected.series_id.clone());
            self.dates.push(date);
            self.known_from.push(known_from.unwrap_or(occurred_at));
            self.positions
                .push(i64::try_from(position).unwrap_or(i64::MAX));
            self.values.push(value.transpose()?);
        }
        Ok(())
    }
}

fn decoding(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

/// The contract refuses an event that repeats a date and time, as they are stored. Should one pass all
/// the same, its first point stays, rather than that one event stops the log.
async fn insert(connection: &mut PgConnection, columns: &Columns) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into observations (series_id, date, known_from, position, value)
         select * from unnest($1::text[], $2::date[], $3::timestamptz[], $4::bigint[], $5::numeric[])
         on conflict do nothing",
        &columns.series_ids,
        &columns.dates,
        &columns.known_from,
        &columns.positions,
        &columns.values as &[Option<Decimal>],
    )
    .execute(connection)
    .await?;
    Ok(())
}
