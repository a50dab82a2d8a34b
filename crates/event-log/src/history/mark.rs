//! Events by which a history is recognised.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::{
    LogError,
    columns::stored,
    head::{Head, segments::SegmentIndex},
};

/// An event that a process has seen in the database. No other history has an event at this position
/// that was stored at this time: the clock of a log never goes back, and a position that is given
/// again is given later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// 0: no event at all.
    pub(crate) position: u64,
    /// `None` for position 0.
    pub(crate) recorded_at: Option<DateTime<Utc>>,
}

impl Mark {
    /// The last event of a log.
    pub(crate) fn of_head(head: &Head) -> Self {
        Self {
            position: head.last_position,
            recorded_at: head.latest_recorded_at,
        }
    }
}

/// When the event at a position was stored; `None` if there is none.
pub(super) async fn recorded_at(
    connection: &mut PgConnection,
    segments: &SegmentIndex,
    position: u64,
) -> Result<Option<DateTime<Utc>>, LogError> {
    let window = segments.window(&mut *connection, position - 1, 1).await?;
    let Some(window) = window else {
        return Ok(None);
    };
    let recorded_at = sqlx::query_scalar!(
        "select recorded_at from events
         where position = $1 and occurred_at between $2 and $3",
        stored(position),
        window.bounds.earliest,
        window.bounds.latest,
    )
    .fetch_optional(connection)
    .await?;
    Ok(recorded_at)
}
