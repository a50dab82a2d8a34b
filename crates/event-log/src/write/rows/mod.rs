//! Rows of `events` in the binary format of COPY.
//!
//! All of a row but its position and `recorded_at` is known before the head is locked, so it is made
//! by the tasks that publish, each on its own, and not by the one that appends.

pub(crate) mod insert;
pub(crate) mod proxy_socket;

use atlas_events::Draft;
use chrono::{DateTime, Utc};

/// What the rows here are for. The two columns that only the append knows come first.
pub(crate) const COPY_EVENTS: &str = "copy events (position, recorded_at, occurred_at, event_id, event_type, source_service, series_ids, payload, encoded) from stdin (format binary)";
const COLUMNS: i16 = 9;
/// Signature, flags, and the length of an extension that is not there.
pub(crate) const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
pub(crate) const COPY_END: [u8; 2] = (-1_i16).to_be_bytes();

/// Microseconds from the Unix epoch to that of the database, 2000-01-01.
const DATABASE_EPOCH_MICROS: i64 = 946_684_800_000_000;
const TEXT_OID: i32 = 25;
const JSONB_VERSION: u8 = 1;
/// Lengths and the fixed columns of a row, roughly.
const OVERHEAD_BYTES: usize = 128;

/// The rows of a batch from the third column on, each behind its length.
#[derive(Debug)]
pub(crate) struct Rows(Vec<u8>);

impl Rows {
    pub(crate) fn of(drafts: &[Draft]) -> Self {
        let mut bytes = Vec::with_capacity(drafts.iter().map(Self::length_of).sum());
        for draft in drafts {
            let start = open(&mut bytes);
            put_draft(&mut bytes, draft);
            close(&mut bytes, start);
        }
        Self(bytes)
    }

    /// What the row of a draft takes, roughly.
    pub(crate) fn length_of(draft: &Draft) -> usize {
        draft.payload_json.len() + draft.encoded.len() + OVERHEAD_BYTES
    }

    /// The row of each draft.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first_chunk()?;
            let (row, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            rest = behind;
            Some(row)
        })
    }
}

/// Completes a row and appends it to what is sent.
pub(crate) fn put_row(out: &mut Vec<u8>, position: i64, recorded_at: DateTime<Utc>, rest: &[u8]) {
    out.extend_from_slice(&COLUMNS.to_be_bytes());
    put(out, &position.to_be_bytes());
    put(out, &time(recorded_at));
    out.extend_from_slice(rest);
}

fn put_draft(out: &mut Vec<u8>, draft: &Draft) {
    put(out, &time(draft.occurred_at));
    put(
        out,
        draft
            .event_id
            .array_to_str(&mut [0; ulid::ULID_LEN])
            .as_bytes(),
    );
    put(out, draft.event_type.as_str().as_bytes());
    put(out, draft.source_service.as_bytes());
    put_series(out, &draft.series_ids);
    let start = open(out);
    out.push(JSONB_VERSION);
    out.extend_from_slice(draft.payload_json.as_bytes());
    close(out, start);
    put(out, &draft.encoded);
}

/// An array of one dimension, counted from 1; null if it is empty.
fn put_series(out: &mut Vec<u8>, series_ids: &[String]) {
    if series_ids.is_empty() {
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        return;
    }
    let start = open(out);
    let (dimensions, has_nulls, first) = (1, 0, 1);
    for number in [
        dimensions,
        has_nulls,
        TEXT_OID,
        length(series_ids.len()),
        first,
    ] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    for series_id in series_ids {
        put(out, series_id.as_bytes());
    }
    close(out, start);
}

fn put(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(&length(value.len()).to_be_bytes());
    out.extend_from_slice(value);
}

/// Leaves room for the length of what follows; returns where that begins.
fn open(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len()
}

fn close(out: &mut [u8], start: usize) {
    let bytes = length(out.len() - start).to_be_bytes();
    out[start - 4..start].copy_from_slice(&bytes);
}

fn time(time: DateTime<Utc>) -> [u8; 8] {
    (time.timestamp_micros() - DATABASE_EPOCH_MICROS).to_be_bytes()
}

/// Far below the limit: an event has at most a megabyte.
fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}
