use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, types::Json};

use crate::calm::Preferences;

/// A row of `preferences`.
#[derive(Debug, Clone)]
pub(crate) struct StoredPreferences {
    pub(crate) settings: Json<Preferences>,
    pub(crate) version: i64,
    pub(crate) updated_at: DateTime<Utc>,
}

/// What a tenant prefers, by default nothing. Until the end of the transaction nobody else decides by it: what one
/// counts for a limit, or puts into a group, the others see.
pub(crate) async fn lock_preferences(
    connection: &mut PgConnection,
    tenant: &str,
) -> Result<Preferences, sqlx::Error> {
    let settings = sqlx::query_scalar!(
        r#"select settings as "settings: Json<Preferences>" from preferences where tenant = $1 for no key update"#,
        tenant
    )
    .fetch_optional(connection)
    .await?;
    Ok(settings.map(|settings| settings.0).unwrap_or_default())
}

/// What a tenant has stored.
pub(crate) async fn preferences(
    database: impl PgExecutor<'_>,
    tenant: &str,
) -> Result<Option<StoredPreferences>, sqlx::Error> {
    sqlx::query_as!(
        StoredPreferences,
        r#"select settings as "settings: Json<Preferences>", version, updated_at from preferences where tenant = $1"#,
        tenant
    )
    .fetch_optional(database)
    .await
}

/// Replaces what a tenant prefers if it is of a version; 0: nothing is stored. The new version, or `None` if it is of
/// another.
pub(crate) async fn put_preferences(
    connection: &mut PgConnection,
    tenant: &str,
    settings: &Preferences,
    (version, now): (i64, DateTime<Utc>),
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into preferences as p (tenant, settings, version, updated_at)
         select $1, $2, 1, $4 where $3 = 0::bigint or exists (select from preferences where tenant = $1)
         on conflict (tenant) do update
         set settings = excluded.settings, version = p.version + 1, updated_at = excluded.updated_at
         where p.version = $3
         returning version",
        tenant,
        Json(settings) as _,
        version,
        now,
    )
    .fetch_optional(connection)
    .await
}

/// Whether the preferences of a tenant name a channel.
pub(crate) async fn name_channel(
    connection: &mut PgConnection,
    tenant: &str,
    channel_id: &str,
) -> Result<bool, sqlx::Error> {
    // Not locked: whoever decides by them locks them before channels.
    let stored = preferences(connection, tenant).await?;
    let named = |stored: StoredPreferences| {
        let channels = stored.settings.0.channels();
        channels.iter().any(|(_, id)| *id == channel_id)
    };
    Ok(stored.is_some_and(named))
}
