//! Databases made for one measurement each.

use std::str::FromStr;

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

/// The name that all databases of this process begin with.
fn prefix() -> String {
    format!("atlas_bench_{}_", std::process::id())
}

/// Creates an empty database next to the one of `url`; returns its name and URL.
pub(crate) async fn create(url: &str) -> Result<(String, String)> {
    let name = format!("{}{}", prefix(), Uuid::new_v4().simple());
    let mut connection = connect(url).await?;
    // The name is made above, of letters, digits and underscores.
    sqlx::query(AssertSqlSafe(format!("create database {name}")))
        .execute(&mut connection)
        .await
        .context("cannot create a database")?;
    let created = with_name(url, &name)?;
    Ok((name, created))
}

/// Drops a database that `create` made.
pub(crate) async fn drop(url: &str, name: &str) -> Result<()> {
    let mut connection = connect(url).await?;
    sqlx::query(AssertSqlSafe(format!(
        "drop database if exists {name} with (force)"
    )))
    .execute(&mut connection)
    .await
    .with_context(|| format!("cannot drop {name}"))?;
    Ok(())
}

/// Drops what this process created and did not drop yet.
pub(crate) async fn drop_created(url: &str) -> Result<()> {
    let mut connection = connect(url).await?;
    let names = sqlx::query_scalar!(
        r#"select datname::text as "name!" from pg_database where starts_with(datname::text, $1)"#,
        prefix()
    )
    .fetch_all(&mut connection)
    .await?;
    for name in names {
        drop(url, &name).await?;
    }
    Ok(())
}

/// What of the database decides figures.
pub(crate) struct DatabaseSettings {
    pub(crate) version: String,
    pub(crate) fsync: String,
    pub(crate) synchronous_commit: String,
    pub(crate) shared_buffers: String,
}

pub(crate) async fn settings(url: &str) -> Result<DatabaseSettings> {
    let mut connection = connect(url).await?;
    Ok(sqlx::query_as!(
        DatabaseSettings,
        r#"select 'PostgreSQL ' || current_setting('server_version') || ', TimescaleDB ' ||
                  coalesce((select default_version from pg_available_extensions
                            where name = 'timescaledb'), 'missing') as "version!",
                  current_setting('fsync') as "fsync!",
                  current_setting('synchronous_commit') as "synchronous_commit!",
                  current_setting('shared_buffers') as "shared_buffers!""#
    )
    .fetch_one(&mut connection)
    .await?)
}

/// How large a database is on disk.
pub(crate) async fn bytes(url: &str) -> Result<i64> {
    let mut connection = connect(url).await?;
    let bytes = sqlx::query_scalar!(r#"select pg_database_size(current_database()) as "bytes!""#)
        .fetch_one(&mut connection)
        .await?;
    Ok(bytes)
}

/// Writes out what earlier measurements left in memory, so that this one does not pay for it.
pub(crate) async fn checkpoint(url: &str) -> Result<()> {
    let mut connection = connect(url).await?;
    sqlx::query("checkpoint").execute(&mut connection).await?;
    Ok(())
}

async fn connect(url: &str) -> Result<PgConnection> {
    let options = PgConnectOptions::from_str(url).context("the database URL cannot be read")?;
    PgConnection::connect_with(&options)
        .await
        .context("cannot connect to the database")
}

/// The same URL with another database.
fn with_name(url: &str, name: &str) -> Result<String> {
    let (before_query, query) = match url.split_once('?') {
        Some((before, query)) => (before, format!("?{query}")),
        None => (url, String::new()),
    };
    let (scheme, rest) = before_query
        .split_once("://")
        .context("the database URL has no scheme")?;
    let authority = rest.split('/').next().unwrap_or_default();
    Ok(format!("{scheme}://{authority}/{name}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_the_database_changes() {
        for (url, expected) in [
            ("postgres://u:p@h:1/old", "postgres://u:p@h:1/new"),
            ("postgres://u@h", "postgres://u@h/new"),
            (
                "postgres://h/old?sslmode=require",
                "postgres://h/new?sslmode=require",
            ),
        ] {
            assert_eq!(with_name(url, "new").unwrap(), expected);
        }
    }
}
