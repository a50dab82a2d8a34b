//! Rows of the table `events` as the measured limits write them: what a log stores of an event, made
//! with as little work as possible, for the database's own cost is to be seen.

use atlas_events::{Event, Timestamp, event::Payload};
use bytes::{BufMut, Bytes, BytesMut};
use chrono::{DateTime, Utc};
use prost::Message;
use tokio_postgres::types::{ToSql, Type};

pub(crate) const COPY_IN: &str = "copy events (position, occurred_at, recorded_at, event_id, \
    event_type, source_service, series_ids, payload, encoded) from stdin (format binary)";
pub(crate) const INSERT: &str = "insert into events (position, occurred_at, recorded_at, event_id, \
    event_type, source_service, series_ids, payload, encoded) \
    values ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9)";

const EVENT_TYPE: &str = "SeriesCollectedEvent";
const COLUMNS: i16 = 9;
const COPY_SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
const JSONB_VERSION: u8 = 1;
/// 2000-01-01, from which PostgreSQL counts, in seconds since the Unix epoch.
const POSTGRES_EPOCH_SECONDS: i64 = 946_684_800;

/// An event as the log stores it.
pub(crate) struct Row<'a> {
    position: i64,
    occurred_at: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
    event: &'a Event,
    series_ids: Vec<&'a str>,
    payload: String,
    encoded: Vec<u8>,
}

impl<'a> Row<'a> {
    pub(crate) fn new(position: u64, recorded_at: DateTime<Utc>, event: &'a Event) -> Self {
        let at = event.occurred_at.unwrap_or_default();
        let occurred_at = DateTime::from_timestamp(at.seconds, at.nanos as u32);
        let (series_ids, payload) = match &event.payload {
            Some(Payload::SeriesCollected(series)) => {
                (vec![series.series_id.as_str()], json(series))
            }
            _ => (Vec::new(), "{}".to_owned()),
        };
        Self {
            position: position as i64,
            occurred_at: occurred_at.unwrap_or(recorded_at),
            recorded_at,
            event,
            series_ids,
            payload,
            encoded: event.encode_to_vec(),
        }
    }

    /// Those of [`INSERT`].
    pub(crate) fn parameters(&self) -> [&(dyn ToSql + Sync); 9] {
        [
            &self.position,
            &self.occurred_at,
            &self.recorded_at,
            &self.event.event_id,
            &EVENT_TYPE,
            &self.event.source_service,
            &self.series_ids,
            &self.payload,
            &self.encoded,
        ]
    }

    fn copy(&self, out: &mut BytesMut) {
        out.put_i16(COLUMNS);
        field(out, |out| out.put_i64(self.position));
        field(out, |out| out.put_i64(postgres_us(self.occurred_at)));
        field(out, |out| out.put_i64(postgres_us(self.recorded_at)));
        field(out, |out| out.put_slice(self.event.event_id.as_bytes()));
        field(out, |out| out.put_slice(EVENT_TYPE.as_bytes()));
        field(out, |out| {
            out.put_slice(self.event.source_service.as_bytes())
        });
        field(out, |out| text_array(out, &self.series_ids));
        field(out, |out| {
            out.put_u8(JSONB_VERSION);
            out.put_slice(self.payload.as_bytes());
        });
        field(out, |out| out.put_slice(&self.encoded));
    }
}

/// Rows in the binary format of COPY.
pub(crate) fn copy<'a>(rows: impl Iterator<Item = Row<'a>>) -> Bytes {
    let mut out = BytesMut::with_capacity(512 * 1_024);
    out.put_slice(COPY_SIGNATURE);
    // Flags, and the length of a header extension.
    out.put_i32(0);
    out.put_i32(0);
    for row in rows {
        row.copy(&mut out);
    }
    out.put_i16(-1);
    out.freeze()
}

/// A field: its length, and what `put` writes.
fn field(out: &mut BytesMut, put: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_i32(0);
    put(out);
    let length = (out.len() - start - 4) as i32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// An array of one dimension.
fn text_array(out: &mut BytesMut, items: &[&str]) {
    for word in [1, 0, Type::TEXT.oid() as i32, items.len() as i32, 1] {
        out.put_i32(word);
    }
    for item in items {
        field(out, |out| out.put_slice(item.as_bytes()));
    }
}

fn postgres_us(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros() - POSTGRES_EPOCH_SECONDS * 1_000_000
}

/// The payload in the JSON mapping.
fn json(series: &atlas_events::SeriesCollectedEvent) -> String {
    let time = |at: Option<Timestamp>| {
        let at = at.unwrap_or_default();
        DateTime::from_timestamp(at.seconds, at.nanos as u32)
            .unwrap_or_default()
            .format("%Y-%m-%dT%H:%M:%S%.6fZ")
            .to_string()
    };
    let points: Vec<_> = series
        .data_points
        .iter()
        .map(|point| {
            format!(
                r#"{{"date":"{}","value":"{}","knownFrom":"{}"}}"#,
                point.date,
                point.value.as_deref().unwrap_or_default(),
                time(point.known_from)
            )
        })
        .collect();
    format!(
        r#"{{"seriesId":"{}","dataPoints":[{}],"collectedAt":"{}"}}"#,
        series.series_id,
        points.join(","),
        time(series.collected_at)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::message;

    #[test]
    fn a_row_holds_what_the_log_stores() {
        let event = message::event(7, 1_790_000_000_123_456);
        let row = Row::new(1, Utc::now(), &event);
        assert_eq!(row.occurred_at.timestamp_micros(), 1_790_000_000_123_456);
        assert_eq!(row.series_ids, ["SERIES0007"]);
        let Some(Payload::SeriesCollected(series)) = &event.payload else {
            panic!("{event:?}");
        };
        let payload: serde_json::Value = serde_json::from_str(&row.payload).unwrap();
        assert_eq!(payload, serde_json::to_value(series).unwrap());
    }

    #[test]
    fn fields_are_preceded_by_their_length() {
        let mut out = BytesMut::new();
        field(&mut out, |out| text_array(out, &["ab"]));
        assert_eq!(out[..4], 26_i32.to_be_bytes());
        assert_eq!(out[out.len() - 6..], *b"\0\0\0\x02ab");
    }
}
