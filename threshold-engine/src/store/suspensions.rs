use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::Kind;
use super::changes::kind_of;
use crate::Failed;

/// A definition whose evaluation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suspension {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    /// The version that failed.
    pub(crate) version: String,
    pub(crate) reason: String,
    /// The event at which it failed.
    pub(crate) at: Option<SuspendedAt>,
    pub(crate) suspended_at: DateTime<Utc>,
}

/// An event at which a definition failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SuspendedAt {
    pub(crate) source: String,
    pub(crate) event_id: String,
    pub(crate) position: u64,
}

impl Suspension {
    /// As a failure is recorded now.
    pub(crate) fn of(failed: &Failed, version: String) -> Self {
        Self {
            kind: failed.kind,
            id: failed.id.clone(),
            version,
            reason: failed.reason.clone(),
            at: None,
            suspended_at: Utc::now(),
        }
    }
}

struct Row {
    kind: String,
    id: String,
    version: String,
    reason: String,
    source: Option<String>,
    event_id: Option<String>,
    position: Option<i64>,
    suspended_at: DateTime<Utc>,
}

impl TryFrom<Row> for Suspension {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let at = match (row.source, row.event_id, row.position) {
            (Some(source), Some(event_id), Some(position)) => Some(SuspendedAt {
                source,
                event_id,
                position: position.unsigned_abs(),
            }),
            _ => None,
        };
        Ok(Self {
            kind: kind_of(&row.kind)?,
            id: row.id,
            version: row.version,
            reason: row.reason,
            at,
            suspended_at: row.suspended_at,
        })
    }
}

/// Every definition that is suspended because it failed.
pub(crate) async fn suspensions(
    database: impl PgExecutor<'_>,
) -> Result<Vec<Suspension>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select kind, id, version, reason, source, event_id, position, suspended_at
         from suspensions order by kind, id"
    )
    .fetch_all(database)
    .await?;
    rows.into_iter().map(Suspension::try_from).collect()
}

/// Records that a definition failed.
pub(crate) async fn insert_suspension(
    connection: &mut PgConnection,
    failed: &Failed,
) -> Result<(), sqlx::Error> {
    let cause = failed.cause.as_ref().filter(|cause| !cause.is_time());
    sqlx::query!(
        "insert into suspensions (kind, id, version, reason, source, event_id, position)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (kind, id) do update
         set version = excluded.version, reason = excluded.reason, source = excluded.source,
             event_id = excluded.event_id, position = excluded.position, suspended_at = now()",
        failed.kind.name(),
        failed.id,
        failed.version,
        failed.reason,
        cause.map(|cause| &*cause.source),
        cause.map(|cause| cause.event_id.to_string()),
        cause.map(|cause| cause.position.cast_signed()),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A definition is suspended no longer.
pub(crate) async fn delete_suspension(
    connection: &mut PgConnection,
    kind: Kind,
    id: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from suspensions where kind = $1 and id = $2",
        kind.name(),
        id
    )
    .execute(connection)
    .await?;
    Ok(())
}
