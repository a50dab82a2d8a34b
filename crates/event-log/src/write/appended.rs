//! What appending is asked for and what it answers.

use std::ops::RangeInclusive;

use atlas_events::Draft;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use sqlx::PgConnection;
use ulid::Ulid;

use crate::head::HeadState;

/// Where an event is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its identity.
    pub event_id: Ulid,
    /// Its position.
    pub position: u64,
    /// When the log stored it.
    pub recorded_at: DateTime<Utc>,
    /// Whether the log held it already.
    pub duplicate: bool,
}

/// Something that is derived from the events of a log and kept in the same database, written in
/// the very transaction that appends them, so that the two never disagree.
pub trait Projection: Send + Sync {
    /// Applies events that are being appended, in position order.
    ///
    /// # Errors
    /// An error undoes the append.
    fn apply<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        events: &'a [(u64, &'a Draft)],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>>;

    /// A transaction that stored this many events has committed. For counting: a process that ends
    /// between commit and this never hears of them.
    fn committed(&self, _events: usize) {}
}

/// What an append did.
#[derive(Debug)]
pub(crate) struct Appended {
    /// One for each draft.
    pub(crate) receipts: Vec<Receipt>,
    /// Indices of the drafts that were stored, in position order.
    pub(crate) fresh: Vec<usize>,
    /// The position of the first of them.
    pub(crate) first_position: u64,
    pub(crate) recorded_at: DateTime<Utc>,
    /// Where it found the head.
    pub(crate) found: HeadState,
    /// Where it left the head.
    pub(crate) left: HeadState,
}

impl Appended {
    /// All of the drafts were new, and are where the head came to stand.
    pub(crate) fn all(
        drafts: &[Draft],
        recorded_at: DateTime<Utc>,
        (found, left): (HeadState, HeadState),
    ) -> Self {
        let first_position = left.last_position + 1 - drafts.len() as u64;
        let receipts = (first_position..)
            .zip(drafts)
            .map(|(position, draft)| Receipt {
                event_id: draft.event_id,
                position,
                recorded_at,
                duplicate: false,
            });
        Self {
            receipts: receipts.collect(),
            fresh: (0..drafts.len()).collect(),
            first_position,
            recorded_at,
            found,
            left,
        }
    }

    /// Where the drafts that were stored are; `None` if none was.
    pub(crate) fn positions(&self) -> Option<RangeInclusive<u64>> {
        let last = self.first_position + self.fresh.len() as u64;
        (last > self.first_position).then(|| self.first_position..=last - 1)
    }
}
