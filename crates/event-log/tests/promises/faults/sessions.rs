//! What a session has does not depend on what lies between it and the server.

use std::{str::FromStr, sync::Arc};

use event_log::{EventLog, LogError};
use futures::future::join_all;
use sqlx::{AssertSqlSafe, postgres::PgConnectOptions};
use test_support::{TestDatabase, drafts};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Mutex, OnceCell, OwnedMutexGuard},
};

use crate::{
    common::{SCHEMA, TestLog, pool},
    proxy::Proxy,
};

/// As PgBouncer does with `ignore_startup_parameters = options`.
#[tokio::test]
async fn a_pooler_that_drops_the_options_does_not_lead_into_another_schema() {
    let test = TestLog::create().await;
    let url = test.database.url();
    let proxy = Proxy::start(&url).await;
    proxy.strip_options();
    let pool = pool(&proxy.url(&url), SCHEMA).await;
    let log = EventLog::open(pool.clone(), Default::default(), None)
        .await
        .unwrap();
    // By way of the pool, and by that of the appender.
    log.append(drafts(0..100)).await.unwrap();
    assert_eq!(log.head().await.unwrap().last_position, 100);
    let (plan, silence): (String, String) = sqlx::query_as(
        "select current_setting('plan_cache_mode'),
                current_setting('idle_in_transaction_session_timeout')",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(
        (plan.as_str(), silence.as_str()),
        ("force_custom_plan", "5s")
    );
    let elsewhere: i64 = sqlx::query_scalar(
        "select count(*) from pg_class where relnamespace = 'public'::regnamespace
             and relname in ('events', 'log_head', 'event_log_migrations')",
    )
    .fetch_one(&mut test.database.connection().await)
    .await
    .unwrap();
    assert_eq!(elsewhere, 0);
}

#[tokio::test]
async fn a_schema_may_be_named_by_a_word_of_sql() {
    let test = TestDatabase::create().await;
    for schema in ["all", "user", "table", "select"] {
        let pool = pool(&test.url(), schema).await;
        let log = EventLog::open(pool, Default::default(), None)
            .await
            .unwrap();
        for first in [0, 1, 101] {
            let count = [1, 100][usize::from(first > 0)];
            log.append(drafts(first..first + count)).await.unwrap();
        }
        assert_eq!(log.head().await.unwrap().last_position, 201, "{schema}");
        log.close().await;
    }
}

#[tokio::test]
async fn a_session_whose_schema_is_gone_is_refused() {
    let test = TestLog::create().await;
    let pool = pool(&test.database.url(), SCHEMA).await;
    sqlx::raw_sql("drop schema log cascade")
        .execute(&mut test.database.connection().await)
        .await
        .unwrap();
    let mut first = pool.acquire().await.map(|_| ());
    // What is not refused is what would work in `public`.
    if let Ok(()) = first {
        first = sqlx::raw_sql("create table events (n int)")
            .execute(&pool)
            .await
            .map(|_| ());
    }
    assert!(first.is_err());
}

/// Settings of a role or a database that would change what a transaction sees, or end one of ours.
#[tokio::test]
async fn what_promises_depend_on_is_not_left_to_the_settings_of_the_database() {
    let test = TestLog::create().await;
    let mut connection = test.database.connection().await;
    let settings = [
        (
            "default_transaction_isolation",
            "serializable",
            "read committed",
        ),
        ("lock_timeout", "1ms", "0"),
        ("idle_session_timeout", "100ms", "0"),
        ("synchronous_commit", "off", "on"),
        ("timezone", "America/New_York", "UTC"),
    ];
    for (name, value, _) in settings {
        let statement = format!(
            "do $$ begin execute format('alter database %I set {name} = %L', current_database(),
                                        '{value}'); end $$"
        );
        let altered = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection);
        altered.await.unwrap();
    }
    let logs = [test.open().await, test.open().await];
    // Both wait for the head again and again, of which a serializable transaction would fail.
    let appending = (0..200).map(|n| logs[n as usize % 2].append(drafts(n..n + 1)));
    for appended in join_all(appending).await {
        appended.unwrap();
    }
    assert_eq!(logs[0].head().await.unwrap().last_position, 200);
    let pool = pool(&test.database.url(), SCHEMA).await;
    for (name, _, expected) in settings {
        let found: String = sqlx::query_scalar("select current_setting($1)")
            .bind(name)
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(found, expected, "{name}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_store_every_text_is_refused() {
    let test = TestDatabase::create_encoded("LATIN1").await;
    let refused = event_log::connect(&test.url(), SCHEMA, 5)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("encoding is LATIN1"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_role_that_may_have_too_few_connections_is_refused() {
    let test = TestDatabase::create().await;
    let mut connection = test.connection().await;
    let role = format!("atlas_test_few_{}", std::process::id());
    let statements = format!(
        "create role {role} login password 'few' connection limit 14;
         do $$ begin execute format('alter database %I owner to {role}', current_database()); end $$"
    );
    let made = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection);
    made.await.unwrap();
    let url = test.url();
    let (_, server) = url.rsplit_once('@').unwrap();
    let url = format!("postgres://{role}:few@{server}");
    event_log::connect(&url, SCHEMA, 4)
        .await
        .unwrap()
        .close()
        .await;
    let refused = event_log::connect(&url, SCHEMA, 5).await.unwrap_err();
    assert!(
        refused.to_string().contains("14 connections, and up to 15"),
        "{refused}"
    );
    let statements = format!(
        "do $$ begin execute format('alter database %I owner to current_user', current_database()); end $$;
         drop owned by {role};
         drop role {role}"
    );
    let dropped = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection);
    dropped.await.unwrap();
}

/// As PgBouncer does with `pool_mode = transaction`.
#[tokio::test]
async fn a_pooler_that_shares_sessions_among_clients_is_refused() {
    let test = TestLog::create().await;
    let url = shared_session(&test.database.url()).await;
    let refused = event_log::connect(&url, SCHEMA, 5).await.unwrap_err();
    assert!(matches!(refused, LogError::Session(_)), "{refused}");
    assert!(
        refused.to_string().contains("pool_mode = session"),
        "{refused}"
    );
}

/// A pooler with one session, which each transaction of any client has for itself.
async fn shared_session(url: &str) -> String {
    let options = PgConnectOptions::from_str(url).unwrap();
    let server = (options.get_host().to_owned(), options.get_port());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let shared = Arc::new(OnceCell::new());
        while let Ok((client, _)) = listener.accept().await {
            let session = TcpStream::connect(server.clone()).await.unwrap();
            // Clients end when they like.
            tokio::spawn(pool_transactions(client, session, Arc::clone(&shared)));
        }
    });
    let (rest, database) = url.split('?').next().unwrap().rsplit_once('/').unwrap();
    let (user, _) = rest.rsplit_once('@').unwrap();
    format!("{user}@{address}/{database}?sslmode=disable")
}

async fn pool_transactions(
    mut client: TcpStream,
    mut session: TcpStream,
    shared: Arc<OnceCell<Arc<Mutex<TcpStream>>>>,
) -> std::io::Result<()> {
    // Everybody logs in to a session of his own, of which only the first is used.
    let (mut request, mut answer) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => session.write_all(&request[..read?]).await?,
            read = session.read(&mut answer) => {
                let sent = &answer[..read?];
                client.write_all(sent).await?;
                if ready(sent).is_some() {
                    break;
                }
            }
        }
    }
    let shared = shared
        .get_or_init(|| async { Arc::new(Mutex::new(session)) })
        .await;
    let mut held = None;
    loop {
        let read = client.read(&mut request).await?;
        if read == 0 || request[0] == b'X' {
            return Ok(());
        }
        let mut session: OwnedMutexGuard<TcpStream> = match held.take() {
            Some(session) => session,
            None => Arc::clone(shared).lock_owned().await,
        };
        session.write_all(&request[..read]).await?;
        loop {
            let read = session.read(&mut answer).await?;
            client.write_all(&answer[..read]).await?;
            match ready(&answer[..read]) {
                Some(b'I') => break,
                Some(_) => {
                    held = Some(session);
                    break;
                }
                None => {}
            }
        }
    }
}

/// The state of a session that is ready for the next query.
fn ready(sent: &[u8]) -> Option<u8> {
    let (state, before) = sent.split_last()?;
    before.ends_with(b"Z\0\0\0\x05").then_some(*state)
}
