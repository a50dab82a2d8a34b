use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// A change of a channel, a rule or an alert.
#[derive(Debug)]
pub(crate) struct NewChange<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) object: &'a str,
    pub(crate) object_id: &'a str,
    pub(crate) change: &'a str,
    /// `None`: an event.
    pub(crate) by: Option<&'a str>,
    pub(crate) note: &'a str,
    pub(crate) at: DateTime<Utc>,
}

/// A stored change.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) change: String,
    pub(crate) changed_by: Option<String>,
    pub(crate) note: String,
    pub(crate) changed_at: DateTime<Utc>,
}

/// Records a change.
pub(crate) async fn insert_change(
    connection: &mut PgConnection,
    new: &NewChange<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into changes (tenant, object, object_id, change, changed_by, note, changed_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        new.tenant,
        new.object,
        new.object_id,
        new.change,
        new.by,
        new.note,
        new.at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether nobody has ever changed anything.
pub(crate) async fn is_untouched(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select not exists (select from changes) as "is_untouched!""#)
        .fetch_one(connection)
        .await
}

/// The newest changes of an object, the oldest of them first. The caller has made sure whose it is.
pub(crate) async fn changes_of(
    database: impl PgExecutor<'_>,
    object: &str,
    object_id: &str,
    limit: i64,
) -> Result<Vec<Change>, sqlx::Error> {
    let mut changes = sqlx::query_as!(
        Change,
        "select change, changed_by, note, changed_at from changes
         where object = $1 and object_id = $2 order by number desc limit $3",
        object,
        object_id,
        limit,
    )
    .fetch_all(database)
    .await?;
    changes.reverse();
    Ok(changes)
}

/// The identities of the logs that a consumer's checkpoints are of, by source.
pub(crate) async fn log_ids(
    connection: &mut PgConnection,
    service: &str,
    sources: &[String],
) -> Result<HashMap<String, Uuid>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select source, log_id as "log_id!" from checkpoint
           where service = $1 and source = any ($2) and log_id is not null"#,
        service,
        sources,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.source, row.log_id))
        .collect())
}
