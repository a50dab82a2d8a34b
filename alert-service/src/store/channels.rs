use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};

use super::Tenant;

/// A row of `channels`.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) configuration: Value,
    pub(crate) sealed_secret: Option<Vec<u8>>,
    pub(crate) destination: String,
    pub(crate) enabled: bool,
    pub(crate) disabled_reason: Option<String>,
    pub(crate) version: i64,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

/// What somebody wants a channel to be.
#[derive(Debug)]
pub(crate) struct ChannelDraft<'a> {
    pub(crate) id: &'a str,
    pub(crate) tenant: &'a str,
    pub(crate) name: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) configuration: &'a Value,
    pub(crate) sealed_secret: Option<&'a [u8]>,
    pub(crate) destination: &'a str,
    pub(crate) enabled: bool,
    pub(crate) now: DateTime<Utc>,
}

/// Stores a new channel.
pub(crate) async fn insert_channel(
    connection: &mut PgConnection,
    draft: &ChannelDraft<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into channels (id, tenant, name, kind, configuration, sealed_secret, destination, enabled,
             disabled_reason, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, case when $8 then null else 'by its owner' end, $9, $9)",
        draft.id,
        draft.tenant,
        draft.name,
        draft.kind,
        draft.configuration,
        draft.sealed_secret,
        draft.destination,
        draft.enabled,
        draft.now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Replaces a channel that is locked.
pub(crate) async fn update_channel(
    connection: &mut PgConnection,
    draft: &ChannelDraft<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update channels set name = $2, kind = $3, configuration = $4, sealed_secret = $5, destination = $6,
             enabled = $7, disabled_reason = case when $7 then null else 'by its owner' end,
             version = version + 1, updated_at = $8
         where id = $1",
        draft.id,
        draft.name,
        draft.kind,
        draft.configuration,
        draft.sealed_secret,
        draft.destination,
        draft.enabled,
        draft.now,
    )
    .execute(&mut *connection)
    .await?;
    // What waits goes where the channel leads now.
    sqlx::query!(
        "update deliveries set destination = $2, channel_kind = $3 where channel_id = $1 and state = 'pending'",
        draft.id,
        draft.destination,
        draft.kind,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A channel.
pub(crate) async fn channel(
    database: impl PgExecutor<'_>,
    tenant: Tenant<'_>,
    id: &str,
) -> Result<Option<Channel>, sqlx::Error> {
    sqlx::query_as!(
        Channel,
        "select id, tenant, name, kind, configuration, sealed_secret, destination, enabled, disabled_reason,
             version, created_at, updated_at
         from channels where id = $1 and ($2::text is null or tenant = $2)",
        id,
        tenant.name(),
    )
    .fetch_optional(database)
    .await
}

/// A channel, locked.
pub(crate) async fn lock_channel(
    connection: &mut PgConnection,
    tenant: Tenant<'_>,
    id: &str,
) -> Result<Option<Channel>, sqlx::Error> {
    sqlx::query_as!(
        Channel,
        "select id, tenant, name, kind, configuration, sealed_secret, destination, enabled, disabled_reason,
             version, created_at, updated_at
         from channels where id = $1 and ($2::text is null or tenant = $2) for update",
        id,
        tenant.name(),
    )
    .fetch_optional(connection)
    .await
}

/// Those of these channels that one tenant has; they cannot be changed or deleted meanwhile.
pub(crate) async fn channels_of(
    connection: &mut PgConnection,
    tenant: &str,
    ids: &[String],
) -> Result<Vec<Channel>, sqlx::Error> {
    sqlx::query_as!(
        Channel,
        "select id, tenant, name, kind, configuration, sealed_secret, destination, enabled, disabled_reason,
             version, created_at, updated_at
         from channels where id = any ($1) and tenant = $2 order by id for share",
        ids,
        tenant,
    )
    .fetch_all(connection)
    .await
}

/// Channels after an id, by id.
pub(crate) async fn channels(
    database: impl PgExecutor<'_>,
    tenant: Tenant<'_>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Channel>, sqlx::Error> {
    sqlx::query_as!(
        Channel,
        "select id, tenant, name, kind, configuration, sealed_secret, destination, enabled, disabled_reason,
             version, created_at, updated_at
         from channels
         where ($1::text is null or tenant = $1) and ($2::text is null or id > $2)
         order by id limit $3",
        tenant.name(),
        after,
        limit,
    )
    .fetch_all(database)
    .await
}

/// Ids of rules that use a channel, at most ten.
pub(crate) async fn rules_with_channel(
    connection: &mut PgConnection,
    tenant: &str,
    channel_id: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from rules where tenant = $1 and definition->'channels' ? $2 order by id limit 10",
        tenant,
        channel_id,
    )
    .fetch_all(connection)
    .await
}

/// Removes a channel that is locked.
pub(crate) async fn delete_channel(
    connection: &mut PgConnection,
    id: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from channels where id = $1", id)
        .execute(connection)
        .await?;
    Ok(())
}
