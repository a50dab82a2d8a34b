//! A database of its own for a run, in the server that `DATABASE_URL` names.

use std::{str::FromStr, time::Duration};

use anyhow::{Context, Result};
use chrono::Utc;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions,
};

const NAME_PREFIX: &str = "atlas_attack_";
/// No run takes as long as this: what is older was left behind by one that was killed.
const LEFTOVER_SECONDS: i64 = 7_200;
/// Creating fails while another session looks into the template, which it does for milliseconds.
const CREATE_ATTEMPTS: u32 = 200;
const CREATE_PAUSE: Duration = Duration::from_millis(50);

/// A database that [`Database::remove`] drops.
#[derive(Debug)]
pub(crate) struct Database {
    server: PgConnectOptions,
    name: String,
}

impl Database {
    /// Creates it, and drops what killed runs left behind.
    pub(crate) async fn create(url: &str) -> Result<Self> {
        let server = PgConnectOptions::from_str(url).context("DATABASE_URL is not a URL")?;
        let mut connection = PgConnection::connect_with(&server)
            .await
            .context("the server of DATABASE_URL cannot be reached")?;
        sweep(&mut connection).await?;
        let number: u32 = rand::random();
        let name = format!("{NAME_PREFIX}{}_{number}", Utc::now().timestamp());
        let mut attempt = 1;
        loop {
            let create = AssertSqlSafe(format!("create database {name}"));
            match connection.execute(create).await {
                Ok(_) => return Ok(Self { server, name }),
                Err(_) if attempt < CREATE_ATTEMPTS => tokio::time::sleep(CREATE_PAUSE).await,
                Err(error) => return Err(error).context("cannot create a database"),
            }
            attempt += 1;
        }
    }

    /// With user, and with the password if the server's URL has one.
    pub(crate) fn url(&self) -> String {
        let options = self.server.clone().database(&self.name);
        options.to_url_lossy().to_string()
    }

    /// Drops it, whatever is connected to it.
    pub(crate) async fn remove(self) -> Result<()> {
        let mut connection = PgConnection::connect_with(&self.server).await?;
        remove(&mut connection, &self.name).await?;
        Ok(())
    }
}

async fn sweep(connection: &mut PgConnection) -> Result<()> {
    let names: Vec<String> =
        sqlx::query_scalar("select datname::text from pg_database where datname like $1")
            .bind(format!("{NAME_PREFIX}%"))
            .fetch_all(&mut *connection)
            .await?;
    for name in names.iter().filter(|name| is_leftover(name)) {
        // Another run may be sweeping the same one.
        let _ = remove(connection, name).await;
    }
    Ok(())
}

fn is_leftover(name: &str) -> bool {
    name.strip_prefix(NAME_PREFIX)
        .and_then(|rest| rest.split('_').next()?.parse::<i64>().ok())
        .is_some_and(|created| Utc::now().timestamp() - created > LEFTOVER_SECONDS)
}

async fn remove(connection: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    let drop = format!("drop database if exists {name} with (force)");
    connection.execute(AssertSqlSafe(drop)).await?;
    Ok(())
}
