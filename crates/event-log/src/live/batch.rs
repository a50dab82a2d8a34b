//! Events as they travel: encoded once, framed once, shared by all readers.

use std::sync::Arc;

use atlas_events::{Draft, Event, EventFilter, EventType, SERIES_ID_SEPARATOR, Timestamp};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use chrono::{DateTime, Utc};
use prost::{
    Message,
    encoding::{message, uint64},
};

use crate::history::Mark;

/// A frame is one byte (0: not compressed), four bytes of length (big end first), and the event.
/// It is the framing of gRPC, so that a transport hands batches on as they are.
const FRAME_HEADER_BYTES: usize = 5;
/// At most about this many bytes in one batch: what one stalled reader can hold in memory.
pub(crate) const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Field numbers of `Event` that the log fills in.
const POSITION_FIELD: u32 = 4;
const RECORDED_AT_FIELD: u32 = 5;

#[derive(Debug)]
struct Entry {
    position: u64,
    frame_end: usize,
    event_type: EventType,
    /// Shared by a run of events of one source.
    source_service: Arc<str>,
    series_end: usize,
}

/// Consecutive frames in position order, and what filters look at. Nothing of it is kept for each
/// event on its own: what lives long among what does not makes both slow to come by.
#[derive(Debug)]
pub(crate) struct Batch {
    entries: Vec<Entry>,
    frames: Bytes,
    /// The series of each event, in order, each id with its separator behind it.
    series: String,
    recorded_at: DateTime<Utc>,
    /// When the last event was stored.
    last_recorded_at: DateTime<Utc>,
    /// How many events stand in for one that cannot be delivered.
    pub(crate) undeliverable: u64,
}

impl Batch {
    /// Its last event.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            position: self.last_position(),
            recorded_at: Some(self.last_recorded_at),
        }
    }

    pub(crate) fn first_position(&self) -> u64 {
        self.entries.first().map_or(0, |entry| entry.position)
    }

    pub(crate) fn last_position(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.position)
    }

    /// Memory held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.frames.len() + self.series.len() + self.entries.len() * size_of::<Entry>()
    }

    /// Batches of the drafts that were stored at consecutive positions.
    pub(crate) fn of_appended(
        drafts: &[Draft],
        fresh: &[usize],
        first_position: u64,
        recorded_at: DateTime<Utc>,
    ) -> Vec<Self> {
        let mut batches = Vec::new();
        let mut builder = BatchBuilder::default();
        for (position, index) in (first_position..).zip(fresh) {
            let draft = &drafts[*index];
            builder.push(
                position,
                recorded_at,
                &draft.encoded,
                (draft.event_type.clone(), &draft.source_service),
                &draft.series_ids,
            );
            if builder.frames.len() >= BATCH_BYTES_MAX {
                batches.extend(std::mem::take(&mut builder).finish());
            }
        }
        batches.extend(builder.finish());
        batches
    }

    /// Appends the wanted frames after a cursor to `out`.
    fn copy_wanted(&self, after: u64, filter: &EventFilter, out: &mut BytesMut) -> usize {
        let (mut frame_start, mut series_start) = (0, 0);
        let mut count = 0;
        for entry in &self.entries {
            let series = &self.series[series_start..entry.series_end];
            let series_ids = series.split_terminator(SERIES_ID_SEPARATOR);
            let wanted = entry.position > after
                && filter.matches(&entry.event_type, &entry.source_service, series_ids);
            if wanted {
                out.put_slice(&self.frames[frame_start..entry.frame_end]);
                count += 1;
            }
            (frame_start, series_start) = (entry.frame_end, entry.series_end);
        }
        count
    }

    /// The frames after a cursor, without a copy.
    fn slice_after(&self, after: u64) -> (usize, Bytes) {
        let skipped = self
            .entries
            .partition_point(|entry| entry.position <= after);
        let frame_start = match skipped {
            0 => 0,
            _ => self.entries[skipped - 1].frame_end,
        };
        (
            self.entries.len() - skipped,
            self.frames.slice(frame_start..),
        )
    }
}

/// Frames of consecutive events, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: BytesMut,
    count: usize,
    undeliverable: u64,
    first_recorded_at: Option<DateTime<Utc>>,
    /// `recorded_at` as it is encoded: a group of events was stored at one time.
    recorded_at: Option<(DateTime<Utc>, Vec<u8>)>,
}

impl Frames {
    /// Adds an event: what was stored, and behind it the fields that the log gave. Concatenated
    /// protobuf messages are one message. An event that clients could not decode, accepted by an
    /// earlier version, is replaced by one that says so.
    pub(crate) fn push(&mut self, position: u64, recorded_at: DateTime<Utc>, encoded: &[u8]) {
        let replacement = atlas_events::replacement(encoded);
        self.undeliverable += u64::from(replacement.is_some());
        let encoded = replacement.as_deref().unwrap_or(encoded);
        let stored_at = match self.recorded_at.take() {
            Some((at, stored_at)) if at == recorded_at => stored_at,
            _ => {
                let mut stored_at = Vec::new();
                message::encode(
                    RECORDED_AT_FIELD,
                    &Timestamp::from(recorded_at),
                    &mut stored_at,
                );
                stored_at
            }
        };
        let position_length = uint64::encoded_len(POSITION_FIELD, &position);
        let length = encoded.len() + position_length + stored_at.len();
        self.bytes.reserve(FRAME_HEADER_BYTES + length);
        self.bytes.put_u8(0);
        self.bytes
            .put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        self.bytes.put_slice(encoded);
        uint64::encode(POSITION_FIELD, &position, &mut self.bytes);
        self.bytes.put_slice(&stored_at);
        self.recorded_at = Some((recorded_at, stored_at));
        self.first_recorded_at.get_or_insert(recorded_at);
        self.count += 1;
    }

    /// How many of them stand in for an event that cannot be delivered.
    pub(crate) fn undeliverable(&self) -> u64 {
        self.undeliverable
    }

    /// Their length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// For one reader, who has got everything wanted after a cursor up to a position with them; `None` if
    /// there are none.
    pub(crate) fn into_delivery(self, after: u64, up_to: u64) -> Option<Delivery> {
        Some(Delivery {
            frames: self.bytes.freeze(),
            count: self.count,
            after,
            up_to,
            recorded_at: self.first_recorded_at?,
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct BatchBuilder {
    entries: Vec<Entry>,
    frames: Frames,
    series: String,
}

impl BatchBuilder {
    /// Adds an event.
    pub(crate) fn push(
        &mut self,
        position: u64,
        recorded_at: DateTime<Utc>,
        encoded: &[u8],
        (event_type, source_service): (EventType, &str),
        series_ids: &[String],
    ) {
        let source_service = match self.entries.last() {
            Some(last) if &*last.source_service == source_service => {
                Arc::clone(&last.source_service)
            }
            _ => source_service.into(),
        };
        self.frames.push(position, recorded_at, encoded);
        for series_id in series_ids {
            self.series.push_str(series_id);
            self.series.push(SERIES_ID_SEPARATOR);
        }
        self.entries.push(Entry {
            position,
            frame_end: self.frames.len(),
            event_type,
            source_service,
            series_end: self.series.len(),
        });
    }

    /// The batch; `None` if nothing was added.
    pub(crate) fn finish(self) -> Option<Batch> {
        let recorded_at = self.frames.first_recorded_at?;
        let last_recorded_at = self.frames.recorded_at.as_ref()?.0;
        Some(Batch {
            last_recorded_at,
            entries: self.entries,
            undeliverable: self.frames.undeliverable,
            frames: self.frames.bytes.freeze(),
            series: self.series,
            recorded_at,
        })
    }
}

/// Events for one reader, in position order.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Each event as one frame: a zero byte, four bytes of length (big end first), and the event
    /// in the binary format; the framing of gRPC messages. Shared, not copied, where possible.
    pub frames: Bytes,
    /// How many events.
    pub count: usize,
    /// The reader's cursor before.
    pub after: u64,
    /// Everything up to this position has been considered: the reader's new cursor.
    pub up_to: u64,
    /// When the first of them was stored.
    pub recorded_at: DateTime<Utc>,
}

impl Delivery {
    /// What `filter` wants of consecutive batches after a cursor.
    pub(crate) fn select(batches: &[Arc<Batch>], after: u64, filter: &EventFilter) -> Option<Self> {
        let (first, last) = (batches.first()?, batches.last()?);
        let (up_to, recorded_at) = (last.last_position(), first.recorded_at);
        if let ([batch], true) = (batches, filter.is_unfiltered()) {
            let (count, frames) = batch.slice_after(after);
            return Some(Self {
                frames,
                count,
                after,
                up_to,
                recorded_at,
            });
        }
        let mut frames = BytesMut::new();
        let count = batches
            .iter()
            .map(|b| b.copy_wanted(after, filter, &mut frames))
            .sum();
        Some(Self {
            frames: frames.freeze(),
            count,
            after,
            up_to,
            recorded_at,
        })
    }

    /// The events, decoded. An event that cannot be decoded ends the iteration with an error.
    pub fn events(&self) -> impl Iterator<Item = Result<Event, prost::DecodeError>> + use<> {
        let mut rest = self.frames.clone();
        std::iter::from_fn(move || {
            if rest.len() < FRAME_HEADER_BYTES {
                return None;
            }
            rest.advance(1);
            let length = rest.get_u32() as usize;
            Some(Event::decode(rest.split_to(length.min(rest.len()))))
        })
    }
}
