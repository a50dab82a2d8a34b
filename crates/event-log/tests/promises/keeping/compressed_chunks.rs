//! A log whose old chunks are compressed keeps its promises: it is read, searched, extended and
//! trimmed as if they were not. Where the edition of TimescaleDB has no compression, that is what is
//! seen, and the same is expected of chunks as they are.

use std::time::Duration;

use atlas_events::{Clock, Draft, EventFilter, WantedEvents};
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, LogConfig};
use serde_json::Value;
use sqlx::Row;
use test_support::{draft, series_event};

use crate::common::{
    TestLog, chunk_boundary, draft_at, everything, place, places, read_range, read_up_to,
};

const WEEKS: u64 = 6;
const WEEKLY: u64 = 3_000;
const EVENTS: u64 = WEEKS * WEEKLY;

fn begin() -> DateTime<Utc> {
    chunk_boundary(test_support::started_at(), WEEKS as i64 + 1)
}

/// When event `n` occurs, which is stored in this order: from one week to the next.
fn time(n: u64) -> DateTime<Utc> {
    let spacing = TimeDelta::weeks(1) / WEEKLY as i32;
    begin() + spacing * n as i32
}

fn fresh(numbers: std::ops::Range<u64>) -> Vec<Draft> {
    numbers.map(|n| draft_at(n, time(n))).collect()
}

/// Events that occur between those of the log, among them `offset` many; their ids are others.
fn late(offset: u64, week: u64, count: u64) -> Vec<Draft> {
    let first = week * WEEKLY;
    (0..count)
        .map(|n| {
            let at = time(first + n * (WEEKLY / count)) + TimeDelta::milliseconds(7);
            draft_at(offset + n, at)
        })
        .collect()
}

/// Compresses every chunk; `false` where the edition of the database refuses to.
async fn compress(test: &TestLog) -> bool {
    let mut connection = test.connection().await;
    let license: String = sqlx::query_scalar("select current_setting('timescaledb.license')")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let compressed =
        sqlx::raw_sql("select compress_chunk(show_chunks('events'), if_not_compressed => true)")
            .execute(&mut connection)
            .await;
    match license == "timescale" {
        true => assert!(compressed.is_ok(), "{compressed:?}"),
        false => {
            let refused = compressed.unwrap_err();
            let code = refused.as_database_error().and_then(|error| error.code());
            assert_eq!(code.as_deref(), Some("0A000"), "{refused}");
        }
    }
    let (chunks, compressed): (i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where is_compressed)
         from timescaledb_information.chunks where hypertable_name = 'events'",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert!(chunks > 0);
    let expected = if license == "timescale" { chunks } else { 0 };
    assert_eq!(compressed, expected);
    compressed > 0
}

/// A log of some weeks, all of it stored, and compressed where that can be; read from the database.
async fn filled(test: &TestLog) -> EventLog {
    let config = LogConfig {
        ring_bytes_max: 0,
        retention: None,
        ..LogConfig::default()
    };
    let log = test.open_with(config).await;
    for first in (0..EVENTS).step_by(1_000) {
        log.append(fresh(first..first + 1_000)).await.unwrap();
    }
    compress(test).await;
    log
}

#[tokio::test]
async fn pages_ranges_and_single_events_are_read_as_before() {
    let test = TestLog::create().await;
    let log = filled(&test).await;
    let expected: Vec<_> = fresh(0..EVENTS)
        .iter()
        .zip(1..)
        .map(|(draft, position)| (position, draft.event_id.to_string()))
        .collect();
    for after in [0, 4_321, EVENTS - 10] {
        let mut follower = log.follow_after(after, everything()).await.unwrap();
        let read = read_up_to(&mut follower, EVENTS).await;
        let read: Vec<_> = read.iter().map(place).collect();
        assert_eq!(read, expected[after as usize..]);
    }
    let (from, to) = (5_000, 11_000);
    let range = log
        .read_between(Some(time(from)), Some(time(to)), everything())
        .await
        .unwrap();
    let read: Vec<_> = read_range(range).await.unwrap().iter().map(place).collect();
    assert_eq!(read, expected[from as usize..to as usize]);
    let mut since = log.follow_since(time(from), everything()).await.unwrap();
    let read = read_up_to(&mut since, EVENTS).await;
    assert_eq!(read[0].position, from + 1);
    for n in [0, 7_777, EVENTS - 1] {
        let wanted = draft_at(n, time(n)).event_id;
        let found = log.find(wanted).await.unwrap().unwrap();
        assert_eq!((found.position, found.event_id), expected[n as usize]);
    }
    assert!(
        log.find(late(EVENTS, 2, 1)[0].event_id)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn filters_choose_among_compressed_events() {
    let test = TestLog::create().await;
    let log = test.open().await;
    let ids = ["VIXCLS", "UNRATE", "T10Y2Y"];
    let events = (0..900).map(|n| draft(series_event(n, ids[n as usize % 3], "2025-06-02", "1.5")));
    log.append(events.collect()).await.unwrap();
    compress(&test).await;
    let log = test
        .open_with(LogConfig {
            ring_bytes_max: 0,
            ..LogConfig::default()
        })
        .await;
    let filter = EventFilter::unrestricted(
        WantedEvents::new(Vec::new(), vec!["UNRATE".to_owned()]).unwrap(),
    );
    let mut follower = log.follow_after(0, filter).await.unwrap();
    let read = read_up_to(&mut follower, 900).await;
    let positions: Vec<_> = read.iter().map(|event| event.position).collect();
    let expected: Vec<_> = (0..300).map(|n| 3 * n + 2).collect();
    assert_eq!(positions, expected);
}

/// Few and many, in one week and through all of them, in chunks that are compressed whole and in
/// part.
#[tokio::test]
async fn late_events_are_stored_once_into_compressed_chunks() {
    let test = TestLog::create().await;
    let log = filled(&test).await;
    let mut expected = test.stored().await;
    let mut offset = EVENTS;
    let mut groups = Vec::new();
    for count in [1, 3, 40, 500] {
        for week in [1, 4] {
            groups.push(late(offset, week, count));
            offset += count;
        }
    }
    let spread = (0..WEEKS).flat_map(|week| late(offset + week * 20, week, 20));
    groups.push(spread.collect());
    for (index, group) in groups.iter().enumerate() {
        let old = 100 * index as u64..100 * index as u64 + 30;
        let receipts = log.append(group.clone()).await.unwrap();
        expected.extend(places(group, &receipts));
        let again: Vec<_> = group.iter().cloned().chain(fresh(old.clone())).collect();
        let duplicates = log.append(again.clone()).await.unwrap();
        assert!(duplicates.iter().all(|receipt| receipt.duplicate));
        let first: Vec<_> = receipts.iter().map(|receipt| receipt.position).collect();
        let found: Vec<_> = duplicates.iter().map(|receipt| receipt.position).collect();
        assert_eq!(found, [first, (old.start + 1..=old.end).collect()].concat());
        if index == 4 {
            compress(&test).await;
        }
    }
    assert_eq!(test.stored().await, expected);
    // The bounds of a segment hold for what came late too.
    let last = expected.len() as u64;
    let mut follower = log.follow_after(0, everything()).await.unwrap();
    let read: Vec<_> = read_up_to(&mut follower, last)
        .await
        .iter()
        .map(place)
        .collect();
    assert_eq!(read, expected);
    for draft in groups.concat() {
        assert!(log.find(draft.event_id).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_caller_appends_into_compressed_chunks_within_its_transaction() {
    let test = TestLog::create().await;
    let log = filled(&test).await;
    let mut connection = test.connection().await;
    let drafts = late(EVENTS, 3, 100);
    for duplicates in [false, true] {
        let mut transaction = sqlx::Connection::begin(&mut connection).await.unwrap();
        let appended = log
            .append_in(&mut transaction, drafts.clone())
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        let receipts = appended.receipts().to_vec();
        appended.committed();
        assert_eq!(receipts[99].position, EVENTS + 100);
        assert!(
            receipts
                .iter()
                .all(|receipt| receipt.duplicate == duplicates)
        );
    }
}

#[tokio::test]
async fn retention_drops_compressed_chunks() {
    let test = TestLog::create().await;
    filled(&test).await.close().await;
    let end = begin() + TimeDelta::weeks(WEEKS as i64);
    let log = test
        .open_with(LogConfig {
            retention: Some(Duration::from_secs(21 * 86_400)),
            clock: Clock::from_fn(move || end + TimeDelta::hours(3)),
            ring_bytes_max: 0,
            ..LogConfig::default()
        })
        .await;
    // The log's own task may have been first.
    log.trim().await.unwrap();
    let first = log.head().await.unwrap().first_position;
    assert_eq!(first, 3 * WEEKLY + 1);
    let mut follower = log.follow_after(first - 1, everything()).await.unwrap();
    assert_eq!(
        read_up_to(&mut follower, EVENTS).await.len() as u64,
        3 * WEEKLY
    );
    let mut connection = test.connection().await;
    let left: i64 = sqlx::query_scalar(
        "select count(*) from timescaledb_information.chunks where hypertable_name = 'events'",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(left, 3);
    compress(&test).await;
}

/// How many rows the scans of a statement took from the relations that hold compressed batches, each
/// row up to 1,000 events, and how many it took from others.
async fn scanned(test: &TestLog, statement: String) -> (f64, f64) {
    let mut connection = test.connection().await;
    let explain = format!("explain (analyze, format json) {statement}");
    let plan: Value = sqlx::query(sqlx::AssertSqlSafe(explain))
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .get(0);
    let mut scanned = (0.0, 0.0);
    add_scans(&plan[0]["Plan"], &mut scanned);
    scanned
}

fn add_scans(node: &Value, scanned: &mut (f64, f64)) {
    // The node that unpacks batches names the chunk, and has the scan of the batches below it.
    let is_scan = node["Node Type"] != "Custom Scan";
    if let Some(relation) = node["Relation Name"].as_str().filter(|_| is_scan) {
        let rows = node["Actual Rows"].as_f64().unwrap() * node["Actual Loops"].as_f64().unwrap();
        // By the names of earlier and of later releases.
        match relation.starts_with("compress_hyper") || relation.ends_with("_compressed") {
            true => scanned.0 += rows,
            false => scanned.1 += rows,
        }
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        add_scans(child, scanned);
    }
}

#[tokio::test]
async fn a_page_and_a_look_up_open_few_batches() {
    let test = TestLog::create().await;
    let log = filled(&test).await;
    log.close().await;
    let compressed = compress(&test).await;
    let n = 2 * WEEKLY + 1_500;
    let hour = TimeDelta::hours(1);
    let (week, after) = (time(2 * WEEKLY), time(3 * WEEKLY));
    let page = format!(
        "select encoded from events where position > {n} and position <= {n} + 100
             and occurred_at between '{week}' and '{after}' order by position limit 100"
    );
    let id = draft_at(n, time(n)).event_id;
    let (earliest, latest) = (time(n) - hour, time(n) + hour);
    let single = format!(
        "select encoded from events where event_id = '{id}'
             and occurred_at between '{earliest}' and '{latest}'"
    );
    let several = format!(
        "select position from events where event_id = any('{{{id}}}')
             and occurred_at between '{earliest}' and '{latest}'"
    );
    for (statement, rows) in [(page, 100.0), (single, 1.0), (several, 1.0)] {
        let found = scanned(&test, statement.clone()).await;
        match compressed {
            true => assert!((1.0..=2.0).contains(&found.0), "{found:?}: {statement}"),
            false => assert_eq!(found, (0.0, rows), "{statement}"),
        }
    }
}
