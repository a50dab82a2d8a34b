//! Appending a few events in one statement, which may be a transaction of its own.
//!
//! It stores only where the head is as this process left it, and only ids that are known to be new.
//! Where the head has moved it changes nothing, and [`crate::write::sequencing::locked`] does it all under the head's
//! lock. The update locks the head row as ever: positions stay in commit order.

use atlas_events::{Draft, SERIES_ID_SEPARATOR};
use chrono::DateTime;
use futures::TryStreamExt;
use sqlx::PgConnection;

use crate::{
    LogError,
    columns::stored,
    database::outcome::outcome_of_commit,
    head::{HeadState, segments::Bounds},
    write::{appended::Appended, rows::insert::Columns},
};

/// Stores drafts that are new and not too old, fewer than make two segments full, and commits unless
/// a transaction was begun; `None` if nothing was stored, because the head does not stand so, or the
/// session had been ended.
///
/// # Errors
/// [`LogError::OutcomeUnknown`] if they may or may not be stored.
pub(crate) async fn append(
    connection: &mut PgConnection,
    drafts: &[Draft],
    state: &HeadState,
    channel: &str,
) -> Result<Option<Appended>, LogError> {
    let columns = Columns::of(drafts.iter());
    // The database sets the time of storing.
    let (mut left, full) = state.behind(columns.occurred_at.iter().copied(), DateTime::default());
    let (segment_earliest, segment_latest) = Bounds::unzip(left.open_segment);
    let (full_segment, full_bounds) = full.first().copied().unzip();
    let (full_earliest, full_latest) = Bounds::unzip(full_bounds);
    let mut rows = sqlx::query_scalar!(
        r#"with moved as (
               update log_head
               set last_position = $1, latest_occurred_at = $2,
                   latest_recorded_at = greatest(clock_timestamp(), latest_recorded_at),
                   segment_earliest = $3, segment_latest = $4
               where last_position = $5 and latest_recorded_at is not distinct from $6
                   and dropped_before is not distinct from $7
                   and log_id = $20 and halted_after is null
               returning latest_recorded_at as recorded_at
           ), added as (
               insert into events (position, occurred_at, recorded_at, event_id, event_type,
                                   source_service, series_ids, payload, encoded)
               select $5 + number, occurred_at, recorded_at, event_id, event_type,
                      source_service, string_to_array(series_ids, $8), payload::jsonb, encoded
               from moved,
                   unnest($9::timestamptz[], $10::text[], $11::text[], $12::text[], $13::text[],
                          $14::text[], $15::bytea[])
                   with ordinality as draft (occurred_at, event_id, event_type, source_service,
                                             series_ids, payload, encoded, number)
           ), filled as (
               insert into segments (segment, earliest, latest)
               select $17::bigint, $18::timestamptz, $19::timestamptz
               from moved where $17 is not null
           ), notified as (
               select pg_notify($16, $1::bigint::text) from moved
           )
           select recorded_at as "recorded_at!"
           from moved, notified,
               -- Callers bring sessions of their own.
               (select case when current_setting('synchronous_commit') in ('off', 'local')
                            then set_config('synchronous_commit', 'on', true) end offset 0) as durable
           "#,
        stored(left.last_position),
        left.latest_occurred_at,
        segment_earliest,
        segment_latest,
        stored(state.last_position),
        state.latest_recorded_at,
        state.dropped_before,
        SERIES_ID_SEPARATOR.to_string(),
        &columns.occurred_at,
        &columns.event_ids as &[String],
        &columns.event_types as &[&str],
        &columns.services as &[&str],
        &columns.series_ids as &[Option<String>],
        &columns.payloads as &[&str],
        &columns.encoded as &[&[u8]],
        channel,
        full_segment.map(stored),
        full_earliest,
        full_latest,
        state.log_id,
    )
    .fetch(connection);
    let recorded_at = match rows.try_next().await {
        Ok(Some(recorded_at)) => recorded_at,
        Ok(None) => return Ok(None),
        Err(error) if is_session_ended(&error) => return Ok(None),
        Err(error) => return Err(outcome_of_statement(error)),
    };
    // Only now, behind the last of its rows, does it commit.
    while rows.try_next().await.map_err(outcome_of_commit)?.is_some() {}
    left.latest_recorded_at = Some(recorded_at);
    Ok(Some(Appended::all(drafts, recorded_at, (*state, left))))
}

/// The server says that it ended the session (SQLSTATE 57P01), perhaps long before it was used again.
fn is_session_ended(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "57P01")
}

/// A server that reports an error before it has answered with a row has not come to the commit; one
/// that is not heard of may have.
fn outcome_of_statement(error: sqlx::Error) -> LogError {
    match error {
        sqlx::Error::Database(_) => LogError::Database(error),
        _ => LogError::OutcomeUnknown(error),
    }
}
