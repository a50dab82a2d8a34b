//! Storing the next group while the one before is still being committed.
//!
//! Its rows go in before the head is locked, with the positions that they will have if that commit
//! succeeds and nobody else appends. Then the head is moved, from exactly where it was expected to
//! stand, and all of it is committed; else it is undone, and [`crate::append`] does it anew. Nobody
//! sees the rows before they are committed, and commits follow one another: positions stay in commit
//! order.
//!
//! Whoever holds the head may have to wait for rows that are under way here, so nothing here ever
//! waits for the head.

use atlas_events::Draft;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, raw_sql};
use tokio::time::Instant;
use tracing::{Instrument, debug};

use crate::{
    LogError, Projection,
    append::Appended,
    head::{self, Standing},
    insert, segment,
    telemetry::LogMetrics,
    writer::outcome_of_commit,
};

/// Rows that are stored in a transaction which has not moved the head yet.
#[derive(Debug)]
pub(crate) struct Ahead {
    connection: PgConnection,
    from: Standing,
    to: Standing,
    recorded_at: DateTime<Utc>,
}

/// Why rows were not committed.
#[derive(Debug)]
pub(crate) enum Unfinished {
    /// They are not stored, but can be in another way.
    Undone(Option<PgConnection>),
    /// [`LogError::OutcomeUnknown`], or certainly not stored.
    Failed(LogError),
}

impl Ahead {
    /// Stores the rows of drafts that are new behind where the head is going to stand. A transaction
    /// has been begun; after an error it is undone.
    pub(crate) async fn prepare(
        mut connection: PgConnection,
        drafts: &[Draft],
        rows: &[&[u8]],
        from: Standing,
    ) -> Result<Self, LogError> {
        let now = head::clock(&mut connection).await?;
        let recorded_at = from
            .latest_recorded_at
            .map_or(now, |latest| latest.max(now));
        let occurred_at = drafts.iter().map(|draft| draft.occurred_at);
        let (to, full_segments) = from.behind(occurred_at, recorded_at);
        segment::insert(&mut connection, &full_segments).await?;
        let first_position = from.last_position + 1;
        let rows = rows.iter().copied();
        insert::copy(&mut connection, rows, first_position, recorded_at).await?;
        Ok(Self {
            connection,
            from,
            to,
            recorded_at,
        })
    }

    /// Where the head will stand.
    pub(crate) fn to(&self) -> Standing {
        self.to
    }

    /// Moves the head and commits.
    pub(crate) async fn finish(
        mut self,
        drafts: &[Draft],
        channel: &str,
        projection: Option<&dyn Projection>,
        metrics: &LogMetrics,
    ) -> Result<(Appended, PgConnection), Unfinished> {
        match self.move_head(drafts, channel, projection).await {
            Ok(true) => {}
            Ok(false) => return Err(Unfinished::Undone(self.undo().await)),
            Err(error) => {
                debug!(%error, "a group is stored in another way");
                return Err(Unfinished::Undone(self.undo().await));
            }
        }
        let committing = Instant::now();
        raw_sql("commit")
            .execute(&mut self.connection)
            .instrument(trace_context::commit())
            .await
            .map_err(|error| Unfinished::Failed(outcome_of_commit(error)))?;
        metrics.commit_seconds.record(committing.elapsed());
        if let Some(projection) = projection {
            projection.committed(drafts.len());
        }
        let appended = Appended::all(drafts, self.recorded_at, self.to);
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

    /// Undoes what was prepared; the connection, if it still works.
    pub(crate) async fn undo(mut self) -> Option<PgConnection> {
        let undone = raw_sql("rollback").execute(&mut self.connection).await;
        undone.is_ok().then_some(self.connection)
    }
}
