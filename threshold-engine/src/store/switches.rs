use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;

/// A pattern was switched on or off by hand.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Switch {
    /// On or off.
    pub(crate) enabled: bool,
    /// Why, as given.
    pub(crate) reason: String,
    /// When.
    pub(crate) switched_at: DateTime<Utc>,
}

/// The last switch of each pattern that was ever switched.
pub(crate) async fn last_switches(
    connection: &mut PgConnection,
) -> Result<HashMap<String, Switch>, sqlx::Error> {
    let rows = sqlx::query!(
        "select distinct on (pattern_id) pattern_id, enabled, reason, switched_at
         from pattern_switches
         order by pattern_id, switch desc"
    )
    .fetch_all(connection)
    .await?;
    let switches = rows.into_iter().map(|row| {
        let switch = Switch {
            enabled: row.enabled,
            reason: row.reason,
            switched_at: row.switched_at,
        };
        (row.pattern_id, switch)
    });
    Ok(switches.collect())
}

/// The switches of a pattern, the last one first.
pub(crate) async fn switches_of(
    database: impl PgExecutor<'_>,
    pattern_id: &str,
) -> Result<Vec<Switch>, sqlx::Error> {
    sqlx::query_as!(
        Switch,
        "select enabled, reason, switched_at from pattern_switches
         where pattern_id = $1 order by switch desc limit 100",
        pattern_id
    )
    .fetch_all(database)
    .await
}

/// Records a switch.
pub(crate) async fn insert_switch(
    connection: &mut PgConnection,
    pattern_id: &str,
    enabled: bool,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into pattern_switches (pattern_id, enabled, reason) values ($1, $2, $3)",
        pattern_id,
        enabled,
        reason
    )
    .execute(connection)
    .await?;
    Ok(())
}
