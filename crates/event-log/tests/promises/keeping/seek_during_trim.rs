//! Retention that meets seeks and appends halfway.

use std::time::Duration;

use atlas_events::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, LogConfig, LogError};
use sqlx::Connection;

use crate::common::{TestLog, chunk_boundary, draft_at, everything, execute, read_up_to};

/// A log without retention that has an event for each of seventy days, when they began, and its
/// settings.
async fn seventy_days(test: &TestLog) -> (EventLog, DateTime<Utc>, LogConfig) {
    let begin = chunk_boundary("2025-01-05T12:00:00Z".parse().unwrap(), 0);
    let now = begin + TimeDelta::days(70);
    let config = LogConfig {
        retention: None,
        clock: Clock::from_fn(move || now),
        ..LogConfig::default()
    };
    let log = test.open_with(config.clone()).await;
    let days = (0..70).map(|n| draft_at(n, begin + TimeDelta::days(n as i64)));
    log.append(days.collect()).await.unwrap();
    (log, begin, config)
}

#[tokio::test]
async fn a_seek_that_retention_overtakes_is_refused() {
    for is_range in [true, false] {
        let test = TestLog::create().await;
        let (log, begin, config) = seventy_days(&test).await;
        let mut locking = test.connection().await;
        let lock = "begin; lock table segments in access exclusive mode";
        execute(&mut locking, lock).await;
        let seeking = tokio::spawn({
            let log = log.clone();
            async move {
                match is_range {
                    true => log
                        .read_between(Some(begin), None, everything())
                        .await
                        .map(drop),
                    false => log.follow_since(begin, everything()).await.map(drop),
                }
            }
        });
        test.until_waiting(1).await;
        let trimming = test
            .open_with(LogConfig {
                retention: Some(Duration::from_secs(28 * 86_400)),
                retention_interval: Duration::from_secs(3_600),
                ..config
            })
            .await;
        // The task of retention may have been faster.
        trimming.trim().await.unwrap();
        assert_eq!(log.head().await.unwrap().first_position, 36);
        execute(&mut locking, "commit").await;
        let sought = seeking.await.unwrap();
        assert!(
            matches!(
                sought,
                Err(LogError::TrimmedTime {
                    first_position: 36,
                    ..
                })
            ),
            "{sought:?}"
        );
    }
}

#[tokio::test]
async fn an_event_that_comes_while_retention_looks_keeps_its_chunk() {
    let test = TestLog::create().await;
    let (log, begin, config) = seventy_days(&test).await;
    let mut connection = test.connection().await;
    let mut transaction = connection.begin().await.unwrap();
    // Of the third of the chunks that retention finds to be over.
    let late = draft_at(70, begin + TimeDelta::days(15));
    let appended = log.append_in(&mut transaction, vec![late]).await.unwrap();
    // It runs by itself as soon as it is open.
    let trimming = test
        .open_with(LogConfig {
            retention: Some(Duration::from_secs(28 * 86_400)),
            retention_interval: Duration::from_secs(3_600),
            ..config
        })
        .await;
    test.until_waiting(1).await;
    transaction.commit().await.unwrap();
    appended.committed();
    trimming.trim().await.unwrap();
    let first = log.head().await.unwrap().first_position;
    assert_eq!(first, 15);
    let mut follower = log.follow_after(first - 1, everything()).await.unwrap();
    let read = read_up_to(&mut follower, 71).await;
    assert!(read.iter().map(|event| event.position).eq(first..=71));
    log.close().await;
    trimming.close().await;
}
