//! A database of its own for each test.

use std::{str::FromStr, sync::mpsc, thread, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions,
};
use uuid::Uuid;

const SERVER_VARIABLE: &str = "ATLAS_TEST_DATABASE_URL";
const NAME_PREFIX: &str = "atlas_test_";
/// No test runs for as long as this: what is older was left behind by one that was killed.
const LEFTOVER_SECONDS: i64 = 3_600;
/// The database that the others are copies of: making the extension takes longer than all else.
const TEMPLATE: &str = "atlas_test_template";
/// Who makes it.
const TEMPLATE_LOCK: i64 = 0x61_746c_6173;
/// Creating a database fails with this code (object in use) while another test makes the template or a session looks into it.
const TEMPLATE_IN_USE: &str = "55006";
const CREATE_ATTEMPTS: u32 = 200;
/// How long a test waits for its database to be dropped: long enough for the request to reach the server.
const DROP_TIMEOUT: Duration = Duration::from_millis(500);

/// An empty database with the TimescaleDB extension, gone when this is dropped.
///
/// Tests may hold as many as they need, at the same time as others. The database has no background
/// workers of TimescaleDB: a server has few of them, which dozens of databases would wait for.
#[derive(Debug)]
pub struct TestDatabase {
    server: PgConnectOptions,
    name: String,
}

impl TestDatabase {
    /// Creates a database on the server that the variable `ATLAS_TEST_DATABASE_URL` names, as a
    /// superuser.
    ///
    /// # Panics
    /// If the variable is not set, or the server cannot be reached or lacks the extension.
    pub async fn create() -> Self {
        let server = server();
        let mut connection = connect(&server).await;
        sweep(&mut connection).await;
        make_template(&mut connection, &server).await;
        let database = Self::named(server);
        create_database(&mut connection, &database.name, TEMPLATE).await;
        stop_workers(&mut database.connection().await).await;
        database
    }

    /// A database in another encoding than UTF-8, without the extension.
    ///
    /// # Panics
    /// As [`Self::create`].
    pub async fn create_encoded(encoding: &str) -> Self {
        let database = Self::named(server());
        let options = format!("template0 encoding '{encoding}' locale 'C'");
        let mut connection = connect(&database.server).await;
        create_database(&mut connection, &database.name, &options).await;
        database
    }

    fn named(server: PgConnectOptions) -> Self {
        let id = Uuid::new_v4().simple();
        let name = format!("{NAME_PREFIX}{}_{id}", Utc::now().timestamp());
        Self { server, name }
    }

    /// The URL of the database, with user, and with the password if the server's URL has one.
    pub fn url(&self) -> String {
        self.options().to_url_lossy().to_string()
    }

    /// A new connection to the database as a superuser, outside of any pool.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn connection(&self) -> PgConnection {
        PgConnection::connect_with(&self.options()).await.unwrap()
    }

    fn options(&self) -> PgConnectOptions {
        self.server.clone().database(&self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // The runtime of the test may be on its way out, so this takes one of its own.
        let (server, name) = (self.server.clone(), self.name.clone());
        let (done, dropped) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let result = runtime.block_on(async {
                let mut connection = PgConnection::connect_with(&server).await?;
                drop_database(&mut connection, &name).await
            });
            let _ = done.send(result);
        });
        // The server waits for sessions that are just being opened, and these may wait for this
        // very thread. It goes on by itself; what cannot be dropped is swept later, and a panic
        // here would hide the test's own.
        let _ = dropped.recv_timeout(DROP_TIMEOUT);
    }
}

fn server() -> PgConnectOptions {
    let url = std::env::var(SERVER_VARIABLE).unwrap_or_else(|_| {
        panic!(
            "{SERVER_VARIABLE} is not set: run `make test`, or start a TimescaleDB with `make db` \
             and `export {SERVER_VARIABLE}=<the URL it prints>`"
        )
    });
    PgConnectOptions::from_str(&url)
        .unwrap_or_else(|error| panic!("{SERVER_VARIABLE} is not a URL of PostgreSQL: {error}"))
}

/// Makes the template, or makes it anew where it has another version of the extension than the server
/// would install now, or was left half made.
async fn make_template(connection: &mut PgConnection, server: &PgConnectOptions) {
    if has_template(connection).await {
        return;
    }
    // Without a time-out: others wait here while it is made.
    connection
        .execute(AssertSqlSafe(format!(
            "select pg_advisory_lock({TEMPLATE_LOCK})"
        )))
        .await
        .unwrap();
    if !has_template(connection).await {
        drop_database(connection, TEMPLATE).await.unwrap();
        create_database(connection, TEMPLATE, "template1").await;
        let options = server.clone().database(TEMPLATE);
        let mut template = PgConnection::connect_with(&options).await.unwrap();
        template
            .execute(
                "set client_min_messages = error;
                 create extension if not exists timescaledb",
            )
            .await
            .unwrap();
        stop_workers(&mut template).await;
        template.close().await.unwrap();
        // TimescaleDB looks into every database that can be connected to, each minute and for up to half a
        // minute. Copying the template waits for that, five seconds at a time.
        connection
            .execute(AssertSqlSafe(format!(
                "alter database {TEMPLATE} with allow_connections false"
            )))
            .await
            .unwrap();
        let version =
            "(select default_version from pg_available_extensions where name = 'timescaledb')";
        connection
            .execute(AssertSqlSafe(format!(
                "do $$ begin execute format('comment on database {TEMPLATE} is %L', {version}); end $$"
            )))
            .await
            .unwrap();
    }
    connection
        .execute(AssertSqlSafe(format!(
            "select pg_advisory_unlock({TEMPLATE_LOCK})"
        )))
        .await
        .unwrap();
}

/// Whether it is there, and complete: its comment is the version of the extension, and comes last.
async fn has_template(connection: &mut PgConnection) -> bool {
    sqlx::query_scalar(
        "select exists (
             select from pg_database d, pg_available_extensions e
             where d.datname = $1 and not d.datallowconn and e.name = 'timescaledb'
                 and shobj_description(d.oid, 'pg_database') = e.default_version
         )",
    )
    .bind(TEMPLATE)
    .fetch_one(connection)
    .await
    .unwrap()
}

async fn stop_workers(connection: &mut PgConnection) {
    connection
        .execute("select _timescaledb_functions.stop_background_workers()")
        .await
        .unwrap();
}

async fn connect(server: &PgConnectOptions) -> PgConnection {
    PgConnection::connect_with(server)
        .await
        .unwrap_or_else(|error| panic!("{SERVER_VARIABLE} names no reachable server: {error}"))
}

async fn create_database(connection: &mut PgConnection, name: &str, template: &str) {
    for _ in 0..CREATE_ATTEMPTS {
        let create = format!("create database {name} template {template}");
        match connection.execute(AssertSqlSafe(create)).await {
            Ok(_) => return,
            Err(error) if code_of(&error).as_deref() == Some(TEMPLATE_IN_USE) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("cannot create the database {name}: {error}"),
        }
    }
    panic!("cannot create the database {name}: the template is in use all the time");
}

fn code_of(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

async fn drop_database(connection: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    let drop = format!("drop database if exists {name} with (force)");
    connection.execute(AssertSqlSafe(drop)).await?;
    Ok(())
}

/// Drops what killed tests left behind.
async fn sweep(connection: &mut PgConnection) {
    let names: Vec<String> =
        sqlx::query_scalar("select datname::text from pg_database where datname like $1")
            .bind(format!("{NAME_PREFIX}%"))
            .fetch_all(&mut *connection)
            .await
            .unwrap();
    for name in names.iter().filter(|name| is_leftover(name, Utc::now())) {
        // Another test may be sweeping the same one.
        let _ = drop_database(connection, name).await;
    }
}

fn is_leftover(name: &str, now: DateTime<Utc>) -> bool {
    name.strip_prefix(NAME_PREFIX)
        .and_then(|rest| rest.split('_').next()?.parse::<i64>().ok())
        .is_some_and(|created| now.timestamp() - created > LEFTOVER_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventually;

    #[test]
    fn only_old_databases_of_tests_are_leftovers() {
        let now = DateTime::from_timestamp(1_750_000_000, 0).unwrap();
        assert!(is_leftover("atlas_test_1749996399_ab", now));
        assert!(!is_leftover("atlas_test_1749996400_ab", now));
        assert!(!is_leftover("atlas_test_run_1", now));
        assert!(!is_leftover("atlas", now));
    }

    #[tokio::test]
    async fn a_database_is_gone_when_dropped() {
        let database = TestDatabase::create().await;
        let (server, name) = (database.server.clone(), database.name.clone());
        let extensions: i64 =
            sqlx::query_scalar("select count(*) from pg_extension where extname = 'timescaledb'")
                .fetch_one(&mut database.connection().await)
                .await
                .unwrap();
        assert_eq!(extensions, 1);
        drop(database);
        let mut connection = PgConnection::connect_with(&server).await.unwrap();
        eventually(Duration::from_secs(30), async || {
            let left: i64 =
                sqlx::query_scalar("select count(*) from pg_database where datname = $1")
                    .bind(&name)
                    .fetch_one(&mut connection)
                    .await
                    .unwrap();
            left == 0
        })
        .await;
    }
}
