//! Storing rows of `events`, by one of two statements.

use atlas_events::{Draft, SERIES_ID_SEPARATOR};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::{
    LogError,
    head::stored,
    rows::{COPY_END, COPY_EVENTS, COPY_HEADER, put_row},
};

/// What is sent at once: the server stores it while the next is put together.
const SENT_BYTES: usize = 128 * 1024;

/// Stores drafts at consecutive positions from `first_position`: one statement with arrays, on any
/// connection.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    drafts: &[&Draft],
    first_position: u64,
    recorded_at: DateTime<Utc>,
) -> Result<(), LogError> {
    let occurred_at: Vec<_> = drafts.iter().map(|draft| draft.occurred_at).collect();
    let event_ids: Vec<_> = drafts
        .iter()
        .map(|draft| draft.event_id.to_string())
        .collect();
    let event_types: Vec<_> = drafts
        .iter()
        .map(|draft| draft.event_type.as_str())
        .collect();
    let services: Vec<_> = drafts
        .iter()
        .map(|draft| draft.source_service.as_str())
        .collect();
    // SQL arrays of arrays cannot be ragged.
    let separator = SERIES_ID_SEPARATOR.to_string();
    let series_ids: Vec<_> = drafts
        .iter()
        .map(|draft| (!draft.series_ids.is_empty()).then(|| draft.series_ids.join(&separator)))
        .collect();
    let payloads: Vec<_> = drafts
        .iter()
        .map(|draft| draft.payload_json.as_str())
        .collect();
    let encoded: Vec<_> = drafts.iter().map(|draft| draft.encoded.as_ref()).collect();
    sqlx::query!(
        "insert into events (position, occurred_at, recorded_at, event_id, event_type,
                             source_service, series_ids, payload, encoded)
         select $1 + number - 1, occurred_at, $2, event_id, event_type, source_service,
                string_to_array(series_ids, $3), payload::jsonb, encoded
         from unnest($4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
                     $10::bytea[])
             with ordinality as draft (occurred_at, event_id, event_type, source_service,
                                       series_ids, payload, encoded, number)",
        stored(first_position),
        recorded_at,
        separator,
        &occurred_at,
        &event_ids as &[String],
        &event_types as &[&str],
        &services as &[&str],
        &series_ids as &[Option<String>],
        &payloads as &[&str],
        &encoded as &[&[u8]],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores rows ([`crate::rows::Rows`]) at consecutive positions from `first_position`: half the work
/// for the database, on a connection that does not delay it ([`crate::nodelay`]).
pub(crate) async fn copy(
    connection: &mut PgConnection,
    rows: impl Iterator<Item = &[u8]>,
    first_position: u64,
    recorded_at: DateTime<Utc>,
) -> Result<(), LogError> {
    let mut copy = connection.copy_in_raw(COPY_EVENTS).await?;
    let mut unsent = Vec::with_capacity(SENT_BYTES + SENT_BYTES / 4);
    unsent.extend_from_slice(COPY_HEADER);
    for (position, row) in (first_position..).zip(rows) {
        put_row(&mut unsent, stored(position), recorded_at, row);
        if unsent.len() >= SENT_BYTES {
            copy.send(unsent.as_slice()).await?;
            unsent.clear();
        }
    }
    unsent.extend_from_slice(&COPY_END);
    copy.send(unsent).await?;
    copy.finish().await?;
    Ok(())
}
