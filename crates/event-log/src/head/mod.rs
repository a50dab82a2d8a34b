//! The one row that says where the log stands.
//!
//! Whoever looks for it does so by the index on its position, from the newest on: versions that were
//! left behind and cannot be removed, since somebody holds an old snapshot, are then not passed.

use atlas_events::Draft;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::{
    LogError,
    columns::{position, stored},
    head::segments::{Bounds, SegmentWriter},
};

pub(crate) mod segments;
pub(crate) mod shared;

/// Retention keeps this much more than it promises, so that a twin of an accepted event is never
/// among what it dropped: ids may be an hour from their event on either side.
pub(crate) const TWIN_MARGIN: TimeDelta = TimeDelta::hours(2);

/// Where a log stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Identity of the log; cursors belong to it.
    pub log_id: Uuid,
    /// The first position that is kept; `last_position + 1` if none is.
    pub first_position: u64,
    /// The last position; 0 before the first event.
    pub last_position: u64,
    /// The greatest `occurred_at` ever stored.
    pub latest_occurred_at: Option<DateTime<Utc>>,
    /// When the event at `last_position` was stored.
    pub latest_recorded_at: Option<DateTime<Utc>>,
    /// Events older than this were removed by retention.
    pub dropped_before: Option<DateTime<Utc>>,
    /// The log went back, and nothing is appended: the last position that was known then.
    pub halted_after: Option<u64>,
    /// The server is a replica, or still recovers: its head may be behind.
    pub in_recovery: bool,
}

impl Head {
    pub(crate) fn view(&self) -> HeadView {
        HeadView {
            log_id: self.log_id,
            first_position: self.first_position,
            last_position: self.last_position,
            recorded_at: self.latest_recorded_at,
            halted_after: self.halted_after,
            in_recovery: self.in_recovery,
        }
    }
}

/// Where a head stands, as far as the history is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadView {
    pub(crate) log_id: Uuid,
    pub(crate) first_position: u64,
    pub(crate) last_position: u64,
    /// When the event at `last_position` was stored.
    pub(crate) recorded_at: Option<DateTime<Utc>>,
    pub(crate) halted_after: Option<u64>,
    /// It is that of a replica, or of a server that recovers.
    pub(crate) in_recovery: bool,
}

/// All of the head that appending depends on, and that it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadState {
    pub(crate) log_id: Uuid,
    pub(crate) last_position: u64,
    pub(crate) latest_occurred_at: Option<DateTime<Utc>>,
    pub(crate) latest_recorded_at: Option<DateTime<Utc>>,
    /// Bounds of `occurred_at` in the segment that is not full yet; `None` if it is empty.
    pub(crate) open_segment: Option<Bounds>,
    pub(crate) dropped_before: Option<DateTime<Utc>>,
}

impl HeadState {
    /// Where the head stands behind events of these times, and the segments that they make full.
    pub(crate) fn behind(
        &self,
        occurred_at: impl Iterator<Item = DateTime<Utc>>,
        recorded_at: DateTime<Utc>,
    ) -> (Self, Vec<(u64, Bounds)>) {
        let mut next = Self {
            latest_recorded_at: Some(recorded_at),
            ..*self
        };
        let mut segments = SegmentWriter::resume(self.open_segment);
        for time in occurred_at {
            next.last_position += 1;
            next.latest_occurred_at = next.latest_occurred_at.max(Some(time));
            segments.add(next.last_position, time);
        }
        let (full, open) = segments.finish();
        next.open_segment = open;
        (next, full)
    }

    /// The index of the first draft that is too old: a twin of it may have been dropped already, so
    /// that it cannot be distinguished from a new one.
    pub(crate) fn first_too_old(&self, drafts: &[Draft]) -> Option<usize> {
        let earliest = self.earliest_distinct()?;
        drafts.iter().position(|draft| draft.occurred_at < earliest)
    }

    /// The oldest `occurred_at` that can be distinguished from everything already dropped.
    pub(crate) fn earliest_distinct(&self) -> Option<DateTime<Utc>> {
        self.dropped_before.map(|dropped| dropped + TWIN_MARGIN)
    }
}

/// The head while its row is locked: no other transaction can append until this one ends.
#[derive(Debug)]
pub(crate) struct LockedHead {
    pub(crate) state: HeadState,
    pub(crate) first_position: u64,
    /// The clock of the database, never behind that of an earlier append.
    pub(crate) now: DateTime<Utc>,
    halted_after: Option<u64>,
}

impl LockedHead {
    pub(crate) fn view(&self) -> HeadView {
        HeadView {
            log_id: self.state.log_id,
            first_position: self.first_position,
            last_position: self.state.last_position,
            recorded_at: self.state.latest_recorded_at,
            halted_after: self.halted_after,
            // There a row cannot be locked.
            in_recovery: false,
        }
    }
}

pub(crate) async fn lock(connection: &mut PgConnection) -> Result<LockedHead, LogError> {
    let row = sqlx::query!(
        r#"select log_id, first_position, last_position, latest_occurred_at, latest_recorded_at,
                  halted_after, segment_earliest, segment_latest, dropped_before,
                  greatest(clock_timestamp(), latest_recorded_at) as "now!",
                  -- Callers bring sessions of their own.
                  case when current_setting('synchronous_commit') in ('off', 'local')
                       then set_config('synchronous_commit', 'on', true) end as durable
           from log_head order by last_position desc limit 1 for update"#
    )
    .fetch_one(connection)
    .await?;
    Ok(LockedHead {
        state: HeadState {
            log_id: row.log_id,
            last_position: position(row.last_position),
            latest_occurred_at: row.latest_occurred_at,
            latest_recorded_at: row.latest_recorded_at,
            open_segment: row
                .segment_earliest
                .zip(row.segment_latest)
                .map(|(earliest, latest)| Bounds { earliest, latest }),
            dropped_before: row.dropped_before,
        },
        first_position: position(row.first_position),
        now: row.now,
        halted_after: row.halted_after.map(position),
    })
}

pub(crate) async fn read(executor: impl PgExecutor<'_>) -> Result<Head, LogError> {
    let row = sqlx::query!(
        r#"select log_id, first_position, last_position, latest_occurred_at, latest_recorded_at,
                  dropped_before, halted_after, pg_is_in_recovery() as "in_recovery!"
           from log_head order by last_position desc limit 1"#
    )
    .fetch_one(executor)
    .await?;
    Ok(Head {
        log_id: row.log_id,
        first_position: position(row.first_position),
        last_position: position(row.last_position),
        latest_occurred_at: row.latest_occurred_at,
        latest_recorded_at: row.latest_recorded_at,
        dropped_before: row.dropped_before,
        halted_after: row.halted_after.map(position),
        in_recovery: row.in_recovery,
    })
}

/// Moves the head, whose row is locked and stands at a position, and notifies the readers of every process once this
/// transaction commits.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    from: u64,
    to: &HeadState,
    channel: &str,
) -> Result<(), LogError> {
    let (earliest, latest) = Bounds::unzip(to.open_segment);
    sqlx::query!(
        r#"with moved as (
               update log_head
               set last_position = $1, latest_occurred_at = $2, latest_recorded_at = $3,
                   segment_earliest = $4, segment_latest = $5
               where last_position = $8
           )
           select pg_notify($6, $7) as "notified: ()""#,
        stored(to.last_position),
        to.latest_occurred_at,
        to.latest_recorded_at,
        earliest,
        latest,
        channel,
        to.last_position.to_string(),
        stored(from),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// As [`advance`], of a head that is not locked: `false` if it does not stand where it is said to.
///
/// # Errors
/// [`LogError::Database`], also where another transaction holds the head: it is not waited for.
pub(crate) async fn advance_from(
    connection: &mut PgConnection,
    from: &HeadState,
    to: &HeadState,
    channel: &str,
) -> Result<bool, LogError> {
    let (earliest, latest) = Bounds::unzip(to.open_segment);
    let moved = sqlx::query_scalar!(
        r#"with locked as (
               select last_position from log_head where last_position = $6 for update nowait
           ), moved as (
               update log_head
               set last_position = $1, latest_occurred_at = $2, latest_recorded_at = $3,
                   segment_earliest = $4, segment_latest = $5
               from locked
               where log_head.last_position = locked.last_position and log_head.last_position = $6
                   and latest_recorded_at is not distinct from $7
                   and dropped_before is not distinct from $8
                   and log_id = $11 and halted_after is null
               returning pg_notify($9, $10)
           )
           select count(*) as "moved!" from moved"#,
        stored(to.last_position),
        to.latest_occurred_at,
        to.latest_recorded_at,
        earliest,
        latest,
        stored(from.last_position),
        from.latest_recorded_at,
        from.dropped_before,
        channel,
        to.last_position.to_string(),
        from.log_id,
    )
    .fetch_one(connection)
    .await?;
    Ok(moved == 1)
}

/// Records what retention removed, in the head, which is locked and stands at a position.
pub(crate) async fn trim(
    connection: &mut PgConnection,
    at: u64,
    first_position: u64,
    dropped_before: DateTime<Utc>,
) -> Result<(), LogError> {
    sqlx::query!(
        "update log_head
         set first_position = greatest(first_position, $1),
             dropped_before = greatest(dropped_before, $2)
         where last_position = $3",
        stored(first_position),
        dropped_before,
        stored(at),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The identities of a log that was given a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewed {
    /// The one that it had.
    pub before: Uuid,
    /// The one that it has.
    pub now: Uuid,
}

/// Gives the log a new identity, and lets appends go on if it was halted.
pub(crate) async fn renew(executor: impl PgExecutor<'_>) -> Result<Renewed, LogError> {
    let renewed = sqlx::query_as!(
        Renewed,
        "with old as (select log_id from log_head for update)
         update log_head set log_id = gen_random_uuid(), halted_after = null from old
         returning old.log_id as before, log_head.log_id as now"
    )
    .fetch_one(executor)
    .await?;
    Ok(renewed)
}
