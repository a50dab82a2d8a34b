//! Where a service stands in its sources. All SQL on `checkpoint` is here, but for the move that a
//! batch makes (`claim`).

use chrono::{DateTime, Months, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::database::{position, stored};

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
    /// When it moved last.
    pub updated_at: DateTime<Utc>,
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
}

impl From<Row> for Checkpoint {
    fn from(row: Row) -> Self {
        Self {
            source: row.source,
            log_id: row.log_id,
            position: row.position.map(position),
            last_processed: row.last_processed,
            updated_at: row.updated_at,
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
        "select source, log_id, position, last_processed, updated_at
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

/// Sends a service back to the first event that occurred at or after a time (`None`: to the first
/// that the log keeps), in whatever log the source is then. Returns how many checkpoints there are.
pub(crate) async fn seek(
    connection: &mut PgConnection,
    service: &str,
    source: Option<&str>,
    time: Option<DateTime<Utc>>,
) -> Result<u64, sqlx::Error> {
    let moved = sqlx::query!(
        "update checkpoint
         set log_id = null, position = null, last_processed = $3, updated_at = now()
         where service = $1 and ($2::text is null or source = $2)",
        service,
        source,
        time,
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected())
}

/// Sends a service to a position. Returns how many checkpoints there are, and how many of them do
/// not know which log that would be a position of; those are left.
pub(crate) async fn set_position(
    connection: &mut PgConnection,
    service: &str,
    source: Option<&str>,
    to: u64,
) -> Result<(u64, u64), sqlx::Error> {
    let counts = sqlx::query!(
        r#"with meant as (
               select source, log_id from checkpoint
               where service = $1 and ($2::text is null or source = $2)
               for update
           ), moved as (
               update checkpoint set position = $3, updated_at = now()
               from meant
               where checkpoint.service = $1 and checkpoint.source = meant.source
                   and meant.log_id is not null
           )
           select count(*) as "all!", count(*) filter (where log_id is null) as "without_log!"
           from meant"#,
        service,
        source,
        stored(to),
    )
    .fetch_one(connection)
    .await?;
    Ok((position(counts.all), position(counts.without_log)))
}

/// The time some months ago, which calendars may not have.
pub(crate) fn months_before(now: DateTime<Utc>, months: u32) -> DateTime<Utc> {
    now.checked_sub_months(Months::new(months))
        .unwrap_or(DateTime::UNIX_EPOCH)
        .max(DateTime::UNIX_EPOCH)
}
