//! Storing groups while those before them are still being stored or committed.
//!
//! The rows of a group go in before the head is locked, with the positions that they will have if all
//! groups before it are committed and nobody else appends. Then, behind those groups, the head is
//! moved from exactly where it was expected to stand, and all of it is committed; else it is undone,
//! and [`crate::write::sequencing::locked`] does it anew. Nobody sees the rows before they are committed, and commits
//! follow one another: positions stay in commit order.
//!
//! Whoever holds the head may have to wait for rows that are under way here, so nothing here ever
//! waits for the head; nor does it wait for long for anything else, for what it waits for may be
//! waiting for its turn behind it.

use atlas_events::Draft;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, raw_sql};
use tokio::time::Instant;
use tracing::{Instrument, debug};

use crate::{
    LogError, Projection,
    database::{
        Deadline,
        outcome::{outcome_of_commit, rollback},
    },
    head::{
        self, HeadState,
        segments::{self, Bounds},
    },
    telemetry::LogMetrics,
    write::{appended::Appended, rows::insert},
};

/// How far from the latest event stored before are the times of events whose chunk is likely to be
/// there. Whoever makes a chunk keeps all others waiting until it commits.
const NEAR: TimeDelta = TimeDelta::hours(1);

/// A transaction that stores a group behind others and has not moved the head yet.
#[derive(Debug)]
pub(crate) struct SpeculativeAppend {
    connection: PgConnection,
    from: HeadState,
    to: HeadState,
    full_segments: Vec<(u64, Bounds)>,
    recorded_at: DateTime<Utc>,
}

/// Why rows were not committed.
#[derive(Debug)]
pub(crate) enum Aborted {
    /// They are not stored, but can be in another way.
    Undone(Option<PgConnection>),
    /// [`LogError::OutcomeUnknown`], or certainly not stored.
    Failed(LogError),
}

impl SpeculativeAppend {
    /// For drafts that are new, behind where the head is going to stand; in a transaction begun at a
    /// time of the database's clock.
    pub(crate) fn new(
        (connection, now): (PgConnection, DateTime<Utc>),
        drafts: &[Draft],
        from: HeadState,
    ) -> Self {
        let recorded_at = from
            .latest_recorded_at
            .map_or(now, |latest| latest.max(now));
        let occurred_at = drafts.iter().map(|draft| draft.occurred_at);
        let (to, full_segments) = from.behind(occurred_at, recorded_at);
        Self {
            connection,
            from,
            to,
            full_segments,
            recorded_at,
        }
    }

    /// Where the head will stand.
    pub(crate) fn to(&self) -> HeadState {
        self.to
    }

    /// Whether its rows can be stored beside those of the groups before it.
    pub(crate) fn is_near(&self, drafts: &[Draft]) -> bool {
        self.from.latest_occurred_at.is_some_and(|latest| {
            let near = latest - NEAR..=latest + NEAR;
            drafts.iter().all(|draft| near.contains(&draft.occurred_at))
        })
    }

    /// Stores its rows.
    pub(crate) async fn store(&mut self, rows: &[&[u8]]) -> Result<(), LogError> {
        segments::insert(&mut self.connection, &self.full_segments).await?;
        insert::copy(
            &mut self.connection,
            rows.iter().copied(),
            self.from.last_position + 1,
            self.recorded_at,
        )
        .await
    }

    /// Moves the head and commits.
    pub(crate) async fn finish(
        mut self,
        drafts: &[Draft],
        (channel, projection): (&str, Option<&dyn Projection>),
        metrics: &LogMetrics,
        deadline: Deadline,
    ) -> Result<(Appended, PgConnection), Aborted> {
        let moving = self.move_head(drafts, channel, projection);
        match deadline.bound(moving).await {
            Ok(true) => {}
            Ok(false) => return Err(Aborted::Undone(self.undo().await)),
            Err(error) => {
                debug!(%error, "a fast append failed; storing the group in the ordinary way");
                return Err(Aborted::Undone(self.undo().await));
            }
        }
        let committing = Instant::now();
        let commit = raw_sql("commit").execute(&mut self.connection);
        deadline
            .bound(commit.instrument(trace_context::commit()))
            .await
            .map_err(|error| Aborted::Failed(outcome_of_commit(error)))?;
        metrics.commit_seconds.record(committing.elapsed());
        if let Some(projection) = projection {
            projection.committed(drafts.len());
        }
        let appended = Appended::all(drafts, self.recorded_at, (self.from, self.to));
        Ok((appended, self.connection))
    }

    async fn move_head(
        &mut self,
        drafts: &[Draft],
        channel: &str,
        projection: Option<&dyn Projection>,
    ) -> Result<bool, LogError> {
        let Self {
            connection,
            from,
            to,
            ..
        } = self;
        if !head::advance_from(connection, from, to, channel).await? {
            return Ok(false);
        }
        if let Some(projection) = projection {
            let numbered: Vec<_> = (from.last_position + 1..).zip(drafts).collect();
            projection.apply(connection, &numbered).await?;
        }
        Ok(true)
    }

    /// Undoes what was stored; the connection, if it still works.
    pub(crate) async fn undo(self) -> Option<PgConnection> {
        rollback(self.connection).await
    }
}
