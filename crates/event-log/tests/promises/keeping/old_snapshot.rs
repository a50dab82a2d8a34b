//! Appending costs the same while somebody holds an old snapshot, as a `pg_dump` does, so that the
//! database must keep every version of the head.

use event_log::EventLog;
use sqlx::{Connection, PgConnection};
use test_support::{custom_event, draft, drafts};

use crate::common::{TestLog, execute};

/// Appends whose versions of the head are kept: sixty or so fill a page.
const VERSIONS: u64 = 4_000;
const APPENDS: u64 = 50;
/// What one append looks at of the head and its index: a few pages to find it, to lock it, to leave
/// a new version, and as many for readers of the process that hear of it. A look at all versions takes
/// more than sixty each time.
const PAGES_MAX: i64 = 25;

/// Makes as many versions of the head as appends would, one by one.
async fn append_by_sql(connection: &mut PgConnection) {
    let encoded = draft(custom_event(0)).encoded;
    sqlx::query(
        "insert into events
         select n, now(), now(), '01' || lpad(n::text, 24, '0'), 'custom:Test', 'test', null, '{}', $2
         from generate_series(2, $1 + 1) as n",
    )
    .bind(VERSIONS as i64)
    .bind(encoded.as_ref())
    .execute(&mut *connection)
    .await
    .unwrap();
    execute(
        connection,
        "do $$ begin
             for n in 1..4000 loop
                 update log_head
                 set last_position = last_position + 1, latest_occurred_at = now(),
                     latest_recorded_at = now(), segment_latest = now()
                 where last_position = n;
             end loop;
         end $$",
    )
    .await;
}

async fn append_one(log: &EventLog, connection: &mut PgConnection, n: u64) {
    let mut transaction = connection.begin().await.unwrap();
    let appended = log
        .append_in(&mut transaction, drafts(n..n + 1))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    appended.committed();
}

/// Pages of the head and its indexes that this session has looked at.
async fn pages(connection: &mut PgConnection) -> i64 {
    execute(connection, "select pg_stat_force_next_flush()").await;
    sqlx::query_scalar(
        "select heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read
         from pg_statio_user_tables where relname = 'log_head'",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn an_append_costs_the_same_while_somebody_holds_an_old_snapshot() {
    let test = TestLog::create().await;
    let log = test.open().await;
    let mut connection = test.connection().await;
    append_one(&log, &mut connection, 0).await;
    let mut dumping = test.connection().await;
    execute(
        &mut dumping,
        "begin isolation level repeatable read; select count(*) from log_head",
    )
    .await;
    append_by_sql(&mut connection).await;
    // The first ones find out that the head has been moved.
    for n in 0..3 {
        append_one(&log, &mut connection, 10_000 + n).await;
    }
    let before = pages(&mut connection).await;
    for n in 0..APPENDS {
        append_one(&log, &mut connection, 20_000 + n).await;
    }
    let each = (pages(&mut connection).await - before) / APPENDS as i64;
    assert!(each <= PAGES_MAX, "{each} pages for each append");
    assert_eq!(
        log.head().await.unwrap().last_position,
        1 + VERSIONS + 3 + APPENDS
    );
}
