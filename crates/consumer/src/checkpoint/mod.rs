//! Where a service stands in its sources. All SQL on `checkpoint` is here, but for the move that a
//! batch makes (`claim`). Moves that operators make are in `reset`, the persisted stop in `stop`.

mod reset;
mod stop;

pub(crate) use self::{
    reset::{continue_in, seek, set_position},
    stop::record_stop,
};

use chrono::{DateTime, Months, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::{SourcedEvent, database::position};

/// Where a service stands in one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The source.
    pub source: String,
    /// The log that `position` belongs to.
    pub log_id: Option<Uuid>,
    /// Everything up to here was processed. `None`: the service seeks by `last_processed`, or
    /// begins with the first event that the log keeps if that is `None`, too.
    pub position: Option<u64>,
    /// When the last processed event occurred, or the time to seek.
    pub last_processed: Option<DateTime<Utc>>,
    /// The last event that was processed, at or before `position`; `None` if that is not known.
    pub last_event: Option<LastEvent>,
    /// Why nothing more is consumed, if so.
    pub stop: Option<Stop>,
    /// While it seeks a time: what had been processed before.
    pub(crate) seek_limit: Option<SeekLimit>,
    /// When it moved last.
    pub updated_at: DateTime<Utc>,
}

/// An event, and its position in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastEvent {
    /// Its id.
    pub event_id: String,
    /// Its position.
    pub position: u64,
}

impl From<&SourcedEvent> for LastEvent {
    fn from(event: &SourcedEvent) -> Self {
        Self {
            event_id: event.event.event_id.clone(),
            position: event.position(),
        }
    }
}

/// A service consumes nothing more of a source until an operator moves the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: DateTime<Utc>,
}

/// Up to where everything had been processed when a service was sent to a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeekLimit {
    /// `None`: a log whose history was found to have changed.
    pub(crate) log_id: Option<Uuid>,
    pub(crate) position: u64,
}

impl Checkpoint {
    /// Whether both lead to the same place.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        let same_position = (self.log_id, self.position) == (other.log_id, other.position);
        same_position && (self.position.is_some() || self.last_processed == other.last_processed)
    }
}

/// Whether two views of a checkpoint, which need not exist, lead to the same place.
pub(crate) fn agree(a: Option<&Checkpoint>, b: Option<&Checkpoint>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.agrees_with(b),
        (None, None) => true,
        _ => false,
    }
}

/// A move that a batch makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Advance {
    pub(crate) log_id: Uuid,
    pub(crate) to: u64,
    /// `None` if no event was processed.
    pub(crate) last_processed: Option<DateTime<Utc>>,
}

/// A checkpoint as it is stored.
pub(crate) struct Row {
    pub(crate) source: String,
    pub(crate) log_id: Option<Uuid>,
    pub(crate) position: Option<i64>,
    pub(crate) last_processed: Option<DateTime<Utc>>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) event_id: Option<String>,
    pub(crate) event_position: Option<i64>,
    pub(crate) stopped_reason: Option<String>,
    pub(crate) stopped_at: Option<DateTime<Utc>>,
    pub(crate) seek_log_id: Option<Uuid>,
    pub(crate) seek_position: Option<i64>,
}

impl From<Row> for Checkpoint {
    fn from(row: Row) -> Self {
        let last_event = |(event_id, at)| LastEvent {
            event_id,
            position: position(at),
        };
        let seek_limit = |at| SeekLimit {
            log_id: row.seek_log_id,
            position: position(at),
        };
        Self {
            source: row.source,
            log_id: row.log_id,
            position: row.position.map(position),
            last_processed: row.last_processed,
            updated_at: row.updated_at,
            last_event: row.event_id.zip(row.event_position).map(last_event),
            stop: (row.stopped_reason.zip(row.stopped_at)).map(|(reason, at)| Stop { reason, at }),
            seek_limit: row.seek_position.map(seek_limit),
        }
    }
}

/// All checkpoints of a service, by the name of the source.
pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    service: &str,
) -> Result<Vec<Checkpoint>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select source, log_id, position, last_processed, updated_at, event_id, event_position,
                stopped_reason, stopped_at, seek_log_id, seek_position
         from checkpoint where service = $1 order by source",
        service,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(Checkpoint::from).collect())
}

/// Makes a checkpoint that does not exist yet. False if another transaction has made it meanwhile.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    service: &str,
    source: &str,
    last_processed: Option<DateTime<Utc>>,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "insert into checkpoint (service, source, last_processed) values ($1, $2, $3)
         on conflict do nothing",
        service,
        source,
        last_processed,
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// The time some months ago, which calendars may not have.
pub(crate) fn months_before(now: DateTime<Utc>, months: u32) -> DateTime<Utc> {
    now.checked_sub_months(Months::new(months))
        .unwrap_or(DateTime::UNIX_EPOCH)
        .max(DateTime::UNIX_EPOCH)
}
