//! The cost of a read does not grow with the number of chunks: it opens those that it needs, and
//! no others. Chunks that it must not need are locked, so that opening one would not end.

use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, LogConfig};
use sqlx::{Connection, PgConnection};
use test_support::{custom_event, draft};
use tokio::time::timeout;
use ulid::Ulid;

use crate::common::{
    DEADLINE, TestLog, chunk_boundary, draft_at, everything, execute, next_events, read_range,
};

/// Positions in each chunk, as many as a segment has.
const POSITIONS: u64 = 4_096;
const CHUNKS: u64 = 40;

fn begin() -> DateTime<Utc> {
    chunk_boundary(test_support::started_at(), CHUNKS as i64 + 2)
}

fn week(chunk: u64) -> DateTime<Utc> {
    begin() + TimeDelta::weeks(chunk as i64)
}

/// Event `n` of the log, which is made by SQL because appending takes its time.
fn id(position: u64) -> Ulid {
    let chunk = (position - 1) / POSITIONS;
    Ulid::from_parts(week(chunk).timestamp_millis() as u64, position.into())
}

async fn filled(test: &TestLog) -> EventLog {
    // It makes the tables, and goes before it looks at what is stored.
    test.open().await.close().await;
    let mut connection = test.connection().await;
    let encoded = draft(custom_event(0)).encoded;
    for chunk in 0..CHUNKS {
        let first = chunk * POSITIONS + 1;
        let ids: Vec<String> = (first..first + POSITIONS)
            .map(|position| id(position).to_string())
            .collect();
        sqlx::query(
            "insert into events
             select position, $3, $3, event_id, 'custom:Test', 'test', null, '{}', $4
             from unnest($1::text[]) with ordinality as made (event_id, n),
                  lateral (select $2 + n - 1 as position) as numbered",
        )
        .bind(ids)
        .bind(first as i64)
        .bind(week(chunk))
        .bind(encoded.as_ref())
        .execute(&mut connection)
        .await
        .unwrap();
    }
    execute(
        &mut connection,
        "insert into segments
         select (max(position) - 1) / 4096, min(occurred_at), max(occurred_at)
         from events group by occurred_at;
         update log_head set last_position = (select max(position) from events),
                latest_occurred_at = (select max(occurred_at) from events),
                latest_recorded_at = (select max(occurred_at) from events)",
    )
    .await;
    test.open_with(LogConfig {
        // Looks at all chunks, in its own time.
        retention: None,
        ..LogConfig::default()
    })
    .await
}

/// Locks every chunk but those that begin in weeks `first..=last`.
async fn lock_others(connection: &mut PgConnection, first: u64, last: u64) {
    lock_all_but(connection, &(first..=last).collect::<Vec<_>>()).await;
}

/// Locks every chunk but those that begin in some weeks.
async fn lock_all_but(connection: &mut PgConnection, weeks: &[u64]) {
    execute(connection, "begin").await;
    let others: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', chunk_schema, chunk_name)
         from timescaledb_information.chunks
         where hypertable_name = 'events' and range_start <> all($1)",
    )
    .bind(weeks.iter().map(|n| week(*n)).collect::<Vec<_>>())
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    assert_eq!(others.len() as u64, CHUNKS - weeks.len() as u64);
    for chunk in others {
        let lock = format!("lock table {chunk} in access exclusive mode");
        sqlx::query(sqlx::AssertSqlSafe(lock))
            .execute(&mut *connection)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn reads_open_the_chunks_that_they_need_and_no_others() {
    let test = TestLog::create().await;
    let log = filled(&test).await;
    let mut connection = test.connection().await;

    lock_others(&mut connection, 20, 20).await;
    let after = 20 * POSITIONS;
    for after in [after, after + 3_000] {
        let mut follower = log.follow_after(after, everything()).await.unwrap();
        let read = next_events(&mut follower).await.unwrap();
        assert_eq!(read[0].position, after + 1);
    }

    execute(&mut connection, "rollback").await;
    lock_others(&mut connection, 20, 22).await;
    let range = log
        .read_between(Some(week(20)), Some(week(23)), everything())
        .await
        .unwrap();
    let read = read_range(range).await.unwrap();
    assert_eq!(read.len() as u64, 3 * POSITIONS);
    let wanted = 21 * POSITIONS + 7;
    let found = log.find(id(wanted)).await.unwrap();
    assert_eq!(found.unwrap().position, wanted);
    let mut follower = log.follow_since(week(21), everything()).await.unwrap();
    let read = next_events(&mut follower).await.unwrap();
    assert_eq!(read[0].position, 21 * POSITIONS + 1);
}

#[tokio::test]
async fn an_append_opens_the_chunks_that_may_hold_a_twin_and_no_others() {
    let test = TestLog::create().await;
    let log = filled(&test).await;
    let mut locking = test.connection().await;
    // The event occurs in the middle of week 20.
    lock_others(&mut locking, 20, 20).await;
    let at = week(20) + TimeDelta::days(3);
    let fresh = draft_at(1_000_000, at);
    for duplicate in [false, true] {
        let receipts = log.append(vec![fresh.clone()]).await.unwrap();
        assert_eq!(receipts[0].position, CHUNKS * POSITIONS + 1);
        assert_eq!(receipts[0].duplicate, duplicate);
    }
    locking.close().await.unwrap();
}

#[tokio::test]
async fn an_old_event_stored_with_a_new_one_opens_no_chunk_between_them() {
    let test = TestLog::create().await;
    let log = filled(&test).await;
    let mut locking = test.connection().await;
    lock_all_but(&mut locking, &[5, 30]).await;
    let days = TimeDelta::days(3);
    let batch = vec![
        draft_at(1_000_000, week(5) + days),
        draft_at(1_000_001, week(30) + days),
    ];
    for duplicate in [false, true] {
        let appending = log.append(batch.clone());
        let receipts = timeout(DEADLINE, appending).await.unwrap().unwrap();
        for (receipt, position) in receipts.iter().zip(CHUNKS * POSITIONS + 1..) {
            let found = (receipt.position, receipt.duplicate);
            assert_eq!(found, (position, duplicate));
        }
    }
    locking.close().await.unwrap();
}
