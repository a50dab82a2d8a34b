//! Nobody waits behind many others of another kind: readers of stored events leave connections to
//! the owner of the log, and nobody takes those that follow what other processes append.

use chrono::TimeDelta;
use event_log::{EventLog, Followed, LogConfig};
use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};
use test_support::{custom_event_at, draft, drafts, started_at, waiting};
use tokio::{task::JoinSet, time::timeout};

use crate::common::{DEADLINE, SCHEMA, TestLog, everything, execute, next_events, wanted};

/// Of six connections two follow, so that four are in the pool, and readers have two.
const CONNECTIONS: u32 = 6;
const POOLED: usize = 4;
const READERS: usize = 2;

/// A log whose events are in the database alone, but for the newest few, and its pool.
async fn log_of(test: &TestLog) -> (EventLog, PgPool) {
    let url = test.database.url();
    let pool = event_log::connect(&url, SCHEMA, CONNECTIONS).await.unwrap();
    let config = LogConfig {
        ring_bytes_max: 1_000,
        retention: None,
        ..LogConfig::default()
    };
    let log = EventLog::open(pool.clone(), config, None).await.unwrap();
    (log, pool)
}

async fn acquire(pool: &PgPool, count: usize) -> Vec<PoolConnection<Postgres>> {
    let mut held = Vec::new();
    for _ in 0..count {
        let connection = timeout(DEADLINE, pool.acquire()).await.unwrap();
        held.push(connection.unwrap());
    }
    held
}

/// Keeps every page waiting until the returned connection is dropped.
async fn block_pages(test: &TestLog) -> PgConnection {
    let mut connection = test.connection().await;
    execute(
        &mut connection,
        "begin; lock table events in access exclusive mode",
    )
    .await;
    connection
}

#[tokio::test]
async fn what_another_process_appends_is_delivered_while_the_whole_pool_is_in_use() {
    let test = TestLog::create().await;
    let (log, pool) = log_of(&test).await;
    let other = test.open().await;
    let mut live = log.follow_live(everything()).await.unwrap();
    let held = acquire(&pool, POOLED).await;
    other.append(drafts(0..3)).await.unwrap();
    let delivered = next_events(&mut live).await.unwrap();
    assert_eq!(delivered.len(), 3);
    drop(held);
}

#[tokio::test]
async fn readers_leave_half_of_the_pool_to_others() {
    let test = TestLog::create().await;
    let (log, pool) = log_of(&test).await;
    log.append(drafts(0..500)).await.unwrap();
    let mut followers = Vec::new();
    for _ in 0..40 {
        followers.push(log.follow_after(0, everything()).await.unwrap());
    }
    let blocking = block_pages(&test).await;
    let mut reading = JoinSet::new();
    for mut follower in followers {
        reading.spawn(async move { next_events(&mut follower).await.unwrap().len() });
    }
    test.until_waiting(READERS).await;
    drop(acquire(&pool, POOLED - READERS).await);
    assert_eq!(log.head().await.unwrap().last_position, 500);
    drop(blocking);
    while let Some(read) = reading.join_next().await {
        assert!(read.unwrap() > 0);
    }
}

#[tokio::test]
async fn readers_that_went_away_keep_their_places_until_the_database_has_answered() {
    let test = TestLog::create().await;
    let (log, pool) = log_of(&test).await;
    log.append(drafts(0..500)).await.unwrap();
    let mut followers = Vec::new();
    for _ in 0..8 {
        followers.push(log.follow_after(0, everything()).await.unwrap());
    }
    let blocking = block_pages(&test).await;
    let mut reading = Vec::new();
    for mut follower in followers {
        reading.push(tokio::spawn(async move {
            next_events(&mut follower).await.unwrap().len()
        }));
    }
    test.until_waiting(READERS).await;
    for reader in reading {
        reader.abort();
        assert!(reader.await.unwrap_err().is_cancelled());
    }
    // Others come, and find no place, though nobody is seen to read.
    let mut follower = log.follow_after(0, everything()).await.unwrap();
    let reading = tokio::spawn(async move { next_events(&mut follower).await.unwrap().len() });
    for _ in 0..20 {
        drop(acquire(&pool, POOLED - READERS).await);
        log.head().await.unwrap();
    }
    let mut connection = test.database.connection().await;
    assert_eq!(waiting(&mut connection).await.len(), READERS);
    drop(blocking);
    assert!(reading.await.unwrap() > 0);
}

#[tokio::test]
async fn readers_who_begin_at_once_look_at_the_head_together() {
    let test = TestLog::create().await;
    let (log, pool) = log_of(&test).await;
    let mut locking = test.connection().await;
    execute(
        &mut locking,
        "begin; set local idle_in_transaction_session_timeout = 0; lock table log_head",
    )
    .await;
    let mut beginning = JoinSet::new();
    for _ in 0..200 {
        let log = log.clone();
        beginning.spawn(async move { log.follow_after(0, everything()).await.map(drop) });
    }
    // One connection is enough for all of them.
    let held = acquire(&pool, POOLED - 1).await;
    drop(held);
    execute(&mut locking, "rollback").await;
    while let Some(begun) = beginning.join_next().await {
        begun.unwrap().unwrap();
    }
}

/// Searches read one page after the other like all readers, but never have all of their places.
#[tokio::test]
async fn readers_that_search_leave_a_place_to_others() {
    /// What a search looks through at a time.
    const SEARCHED: u64 = 65_536;
    let test = TestLog::create().await;
    let (log, _) = log_of(&test).await;
    let (long_ago, now) = (started_at() - TimeDelta::days(60), started_at());
    let numbers: Vec<u64> = (0..SEARCHED).collect();
    for numbers in numbers.chunks(1_000) {
        let drafts = numbers.iter().map(|n| draft(custom_event_at(*n, long_ago)));
        log.append(drafts.collect()).await.unwrap();
    }
    let newer = (SEARCHED..SEARCHED + 100).map(|n| draft(custom_event_at(n, now)));
    log.append(newer.collect()).await.unwrap();

    let mut chunk = test.connection().await;
    let newest = "select format('%s', c) from show_chunks('events') as c order by c desc limit 1";
    let newest: String = sqlx::query_scalar(newest)
        .fetch_one(&mut chunk)
        .await
        .unwrap();
    let lock = format!("begin; lock table {newest} in access exclusive mode");
    let locked = sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut chunk);
    locked.await.unwrap();
    let mut searching = JoinSet::new();
    for _ in 0..8 {
        let nothing = wanted(&["custom:Nothing"]);
        let mut follower = log.follow_after(0, nothing).await.unwrap();
        searching.spawn(async move { follower.next().await.unwrap() });
    }
    test.until_waiting(1).await;
    // They have read what is long ago, and wait for what is locked or for each other.
    // More than one reader, since a search that came late would let the first one pass.
    for _ in 0..20 {
        let mut follower = log.follow_after(0, everything()).await.unwrap();
        assert!(!next_events(&mut follower).await.unwrap().is_empty());
    }
    drop(chunk);
    while let Some(found) = searching.join_next().await {
        assert!(matches!(found.unwrap(), Followed::CaughtUp));
    }
}
