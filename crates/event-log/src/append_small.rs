//! Appending a few events in one round trip: one statement that is a transaction of its own.
//!
//! It stores only where the head is as this process left it. Then nothing was committed to the log
//! since, the statement's snapshot holds all of it, and its look-up of ids sees every twin. Where the
//! head has moved, or an id is stored already, it changes nothing, and [`crate::append`] does it all
//! under the head's lock. The update locks the head row as ever: positions stay in commit order.

use std::collections::HashSet;

use atlas_events::{Draft, SERIES_ID_SEPARATOR};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use sqlx::PgConnection;

use crate::{
    LogError, Receipt,
    append::{Appended, Left, twin_bounds},
    head::{TWIN_MARGIN, stored},
    insert::Columns,
    segment::segment_of,
    writer::outcome_of_commit,
};

/// Whether drafts can be stored so, behind what was left.
pub(crate) fn can_append(drafts: &[Draft], left: Left) -> bool {
    let last_position = left.last_position + drafts.len() as u64;
    let mut ids = HashSet::with_capacity(drafts.len());
    // A segment that becomes full is stored by the other way.
    segment_of(left.last_position + 1) == segment_of(last_position + 1)
        && drafts.iter().all(|draft| ids.insert(draft.event_id))
        && left.dropped_before.is_none_or(|dropped| {
            let earliest = dropped + TWIN_MARGIN;
            drafts.iter().all(|draft| draft.occurred_at >= earliest)
        })
}

/// Stores drafts, for which [`can_append`] holds, and commits; `None` if nothing was stored, because
/// the head was not as it was left, an id is known, or the session had been ended.
///
/// # Errors
/// [`LogError::OutcomeUnknown`] if they may or may not be stored.
pub(crate) async fn append(
    connection: &mut PgConnection,
    drafts: &[Draft],
    left: Left,
    channel: &str,
) -> Result<Option<Appended>, LogError> {
    let Some(twins) = twin_bounds(drafts) else {
        return Ok(None);
    };
    let columns = Columns::of(&drafts.iter().collect::<Vec<_>>());
    let last_position = left.last_position + drafts.len() as u64;
    let mut rows = sqlx::query_scalar!(
        r#"with moved as (
               update log_head
               set last_position = $1,
                   latest_occurred_at = greatest(latest_occurred_at, $2),
                   latest_recorded_at = greatest(clock_timestamp(), latest_recorded_at),
                   segment_earliest = least(segment_earliest, $3),
                   segment_latest = greatest(segment_latest, $2)
               where last_position = $4 and dropped_before is not distinct from $5
                   and not exists (
                       select from events
                       where event_id = any($6) and occurred_at between $7 and $8
                   )
               returning latest_recorded_at as recorded_at
           ), added as (
               insert into events (position, occurred_at, recorded_at, event_id, event_type,
                                   source_service, series_ids, payload, encoded)
               select $4 + number, occurred_at, recorded_at, event_id, event_type,
                      source_service, string_to_array(series_ids, $9), payload::jsonb, encoded
               from moved,
                   unnest($10::timestamptz[], $6::text[], $11::text[], $12::text[], $13::text[],
                          $14::text[], $15::bytea[])
                   with ordinality as draft (occurred_at, event_id, event_type, source_service,
                                             series_ids, payload, encoded, number)
           ), notified as (
               select pg_notify($16, $1::bigint::text) from moved
           )
           select recorded_at as "recorded_at!" from moved, notified"#,
        stored(last_position),
        columns.occurred_at.iter().max().copied(),
        columns.occurred_at.iter().min().copied(),
        stored(left.last_position),
        left.dropped_before,
        &columns.event_ids as &[String],
        twins.earliest,
        twins.latest,
        SERIES_ID_SEPARATOR.to_string(),
        &columns.occurred_at,
        &columns.event_types as &[&str],
        &columns.services as &[&str],
        &columns.series_ids as &[Option<String>],
        &columns.payloads as &[&str],
        &columns.encoded as &[&[u8]],
        channel,
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
    let left = Left {
        last_position,
        ..left
    };
    Ok(Some(appended(drafts, recorded_at, left)))
}

fn appended(drafts: &[Draft], recorded_at: DateTime<Utc>, left: Left) -> Appended {
    let first_position = left.last_position + 1 - drafts.len() as u64;
    let receipts = (first_position..)
        .zip(drafts)
        .map(|(position, draft)| Receipt {
            event_id: draft.event_id,
            position,
            recorded_at,
            duplicate: false,
        });
    Appended {
        receipts: receipts.collect(),
        fresh: (0..drafts.len()).collect(),
        first_position,
        recorded_at,
        left,
    }
}

/// The server says that it ended the session (SQLSTATE 57P01), perhaps long before it was used again.
fn is_session_ended(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "57P01")
}

/// A server that tells of an error before it has answered with a row has not come to the commit; one
/// that is not heard of may have.
fn outcome_of_statement(error: sqlx::Error) -> LogError {
    match error {
        sqlx::Error::Database(_) => LogError::Database(error),
        _ => LogError::OutcomeUnknown(error),
    }
}
