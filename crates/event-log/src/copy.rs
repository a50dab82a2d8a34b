//! Rows of `events` in PostgreSQL's binary COPY format: the fastest way in.

use atlas_events::Draft;
use bytes::{BufMut, Bytes, BytesMut};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::{LogError, head::stored};

const STATEMENT: &str = "copy events (position, occurred_at, recorded_at, event_id, event_type, \
                         source_service, series_ids, payload, encoded) from stdin (format binary)";
const COLUMNS: i16 = 9;
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// PostgreSQL counts microseconds from 2000-01-01, chrono from 1970-01-01.
const EPOCH_SHIFT_MICROSECONDS: i64 = 946_684_800_000_000;
const TEXT_OID: u32 = 25;
const JSONB_VERSION: u8 = 1;

/// Stores drafts at consecutive positions from `first_position`.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    drafts: &[&Draft],
    first_position: u64,
    recorded_at: DateTime<Utc>,
) -> Result<(), LogError> {
    let rows = encode(drafts, first_position, recorded_at);
    let mut copy = connection.copy_in_raw(STATEMENT).await?;
    copy.send(rows).await?;
    copy.finish().await?;
    Ok(())
}

fn encode(drafts: &[&Draft], first_position: u64, recorded_at: DateTime<Utc>) -> Bytes {
    let payloads: usize = drafts
        .iter()
        .map(|d| d.payload_json.len() + d.encoded.len())
        .sum();
    let mut out = BytesMut::with_capacity(payloads + drafts.len() * 256 + 32);
    out.put_slice(SIGNATURE);
    out.put_i32(0); // flags
    out.put_i32(0); // length of the header's extension
    for (draft, position) in drafts.iter().zip(first_position..) {
        put_row(&mut out, draft, position, recorded_at);
    }
    out.put_i16(-1); // end of the rows
    out.freeze()
}

fn put_row(out: &mut BytesMut, draft: &Draft, position: u64, recorded_at: DateTime<Utc>) {
    out.put_i16(COLUMNS);
    out.put_i32(8);
    out.put_i64(stored(position));
    put_time(out, draft.occurred_at);
    put_time(out, recorded_at);
    let mut id = [0; ulid::ULID_LEN];
    put_bytes(out, draft.event_id.array_to_str(&mut id).as_bytes());
    put_bytes(out, draft.event_type.as_str().as_bytes());
    put_bytes(out, draft.source_service.as_bytes());
    put_text_array(out, &draft.series_ids);
    put_length(out, draft.payload_json.len() + 1);
    out.put_u8(JSONB_VERSION);
    out.put_slice(draft.payload_json.as_bytes());
    put_bytes(out, &draft.encoded);
}

fn put_time(out: &mut BytesMut, time: DateTime<Utc>) {
    out.put_i32(8);
    out.put_i64(time.timestamp_micros() - EPOCH_SHIFT_MICROSECONDS);
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.put_slice(bytes);
}

/// Events have at most 1 MiB, so that a field's length always fits.
fn put_length(out: &mut BytesMut, length: usize) {
    out.put_i32(i32::try_from(length).unwrap_or(i32::MAX));
}

/// One dimension, no nulls, numbered from 1; null for an empty list.
fn put_text_array(out: &mut BytesMut, texts: &[String]) {
    if texts.is_empty() {
        out.put_i32(-1);
        return;
    }
    let elements: usize = texts.iter().map(|text| 4 + text.len()).sum();
    put_length(out, 20 + elements);
    out.put_i32(1); // dimensions
    out.put_i32(0); // no nulls
    out.put_u32(TEXT_OID);
    put_length(out, texts.len());
    out.put_i32(1); // lower bound
    for text in texts {
        put_bytes(out, text.as_bytes());
    }
}
