use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, types::Json};

use crate::{calm::Matchers, store::Tenant};

/// A row of `silences`.
#[derive(Debug, Clone)]
pub(crate) struct Silence {
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) matchers: Json<Matchers>,
    pub(crate) reason: String,
    pub(crate) created_by: String,
    pub(crate) starts_at: DateTime<Utc>,
    pub(crate) ends_at: DateTime<Utc>,
    pub(crate) version: i64,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

/// A silence that somebody wants.
#[derive(Debug)]
pub(crate) struct NewSilence<'a> {
    pub(crate) id: &'a str,
    pub(crate) tenant: &'a str,
    pub(crate) matchers: &'a Matchers,
    pub(crate) reason: &'a str,
    pub(crate) created_by: &'a str,
    pub(crate) starts_at: DateTime<Utc>,
    pub(crate) ends_at: DateTime<Utc>,
    pub(crate) now: DateTime<Utc>,
}

/// Stores a silence, unless there is one of its id. Whether it did.
pub(crate) async fn insert_silence(
    connection: &mut PgConnection,
    new: &NewSilence<'_>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into silences (id, tenant, matchers, reason, created_by, starts_at, ends_at, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $8) on conflict (id) do nothing",
        new.id,
        new.tenant,
        Json(new.matchers) as _,
        new.reason,
        new.created_by,
        new.starts_at,
        new.ends_at,
        new.now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The silences of a tenant that hold at a time.
pub(crate) async fn silences_at(
    connection: &mut PgConnection,
    tenant: &str,
    at: DateTime<Utc>,
) -> Result<Vec<Silence>, sqlx::Error> {
    sqlx::query_as!(
        Silence,
        r#"select id, tenant, matchers as "matchers: Json<Matchers>", reason, created_by, starts_at, ends_at, version,
               created_at, updated_at
           from silences where tenant = $1 and ends_at > $2 and starts_at <= $2 order by id"#,
        tenant,
        at,
    )
    .fetch_all(connection)
    .await
}

/// A silence.
pub(crate) async fn silence(
    database: impl PgExecutor<'_>,
    tenant: Tenant<'_>,
    id: &str,
) -> Result<Option<Silence>, sqlx::Error> {
    sqlx::query_as!(
        Silence,
        r#"select id, tenant, matchers as "matchers: Json<Matchers>", reason, created_by, starts_at, ends_at, version,
               created_at, updated_at
           from silences where id = $1 and ($2::text is null or tenant = $2)"#,
        id,
        tenant.name(),
    )
    .fetch_optional(database)
    .await
}

/// A silence, locked.
pub(crate) async fn lock_silence(
    connection: &mut PgConnection,
    tenant: Tenant<'_>,
    id: &str,
) -> Result<Option<Silence>, sqlx::Error> {
    sqlx::query_as!(
        Silence,
        r#"select id, tenant, matchers as "matchers: Json<Matchers>", reason, created_by, starts_at, ends_at, version,
               created_at, updated_at
           from silences where id = $1 and ($2::text is null or tenant = $2) for no key update"#,
        id,
        tenant.name(),
    )
    .fetch_optional(connection)
    .await
}

/// Which silences are wanted; all conditions hold.
#[derive(Debug, Default)]
pub(crate) struct SilenceFilter {
    /// Only those that do not end before.
    pub(crate) ends_after: Option<DateTime<Utc>>,
    /// Those with lesser ids.
    pub(crate) before: Option<String>,
}

/// Silences, the newest first.
pub(crate) async fn silences(
    database: impl PgExecutor<'_>,
    tenant: Tenant<'_>,
    filter: &SilenceFilter,
    limit: i64,
) -> Result<Vec<Silence>, sqlx::Error> {
    sqlx::query_as!(
        Silence,
        r#"select id, tenant, matchers as "matchers: Json<Matchers>", reason, created_by, starts_at, ends_at, version,
               created_at, updated_at
           from silences
           where ($1::text is null or tenant = $1) and ($2::timestamptz is null or ends_at > $2)
               and ($3::text is null or id < $3)
           order by id desc limit $4"#,
        tenant.name(),
        filter.ends_after,
        filter.before.as_deref(),
        limit,
    )
    .fetch_all(database)
    .await
}

/// Gives a silence that is locked other times. One that had not begun begins at its end.
pub(crate) async fn change_silence(
    connection: &mut PgConnection,
    id: &str,
    ends_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update silences set starts_at = least(starts_at, $2), ends_at = $2, version = version + 1, updated_at = $3
         where id = $1",
        id,
        ends_at,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
