//! Storing rows of `events`, by one of two statements.

use atlas_events::{Draft, SERIES_ID_SEPARATOR};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::{
    LogError,
    columns::stored,
    write::rows::{COPY_END, COPY_EVENTS, COPY_HEADER, put_row},
};

/// What is sent at once: the server stores it while the next is put together.
const SENT_BYTES: usize = 128 * 1024;

/// Drafts as the arrays that a statement takes.
pub(crate) struct Columns<'a> {
    pub(crate) occurred_at: Vec<DateTime<Utc>>,
    pub(crate) event_ids: Vec<String>,
    pub(crate) event_types: Vec<&'a str>,
    pub(crate) services: Vec<&'a str>,
    /// Joined, for SQL arrays of arrays cannot be ragged.
    pub(crate) series_ids: Vec<Option<String>>,
    pub(crate) payloads: Vec<&'a str>,
    pub(crate) encoded: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(drafts: impl Iterator<Item = &'a Draft> + Clone) -> Self {
        let separator = SERIES_ID_SEPARATOR.to_string();
        let joined = |draft: &Draft| {
            (!draft.series_ids.is_empty()).then(|| draft.series_ids.join(&separator))
        };
        let drafts = || drafts.clone();
        Self {
            occurred_at: drafts().map(|draft| draft.occurred_at).collect(),
            event_ids: drafts().map(|draft| draft.event_id.to_string()).collect(),
            event_types: drafts().map(|draft| draft.event_type.as_str()).collect(),
            services: drafts()
                .map(|draft| draft.source_service.as_str())
                .collect(),
            series_ids: drafts().map(joined).collect(),
            payloads: drafts().map(|draft| draft.payload_json.as_str()).collect(),
            encoded: drafts().map(|draft| draft.encoded.as_ref()).collect(),
        }
    }
}

/// Stores drafts at consecutive positions from `first_position`: one statement with arrays, on any
/// connection.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    drafts: &[&Draft],
    first_position: u64,
    recorded_at: DateTime<Utc>,
) -> Result<(), LogError> {
    let columns = Columns::of(drafts.iter().copied());
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
        SERIES_ID_SEPARATOR.to_string(),
        &columns.occurred_at,
        &columns.event_ids as &[String],
        &columns.event_types as &[&str],
        &columns.services as &[&str],
        &columns.series_ids as &[Option<String>],
        &columns.payloads as &[&str],
        &columns.encoded as &[&[u8]],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores rows ([`crate::write::rows::Rows`]) at consecutive positions from `first_position`: half the work
/// for the database, on a connection that does not delay it ([`crate::write::rows::proxy_socket`]).
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
