//! A slow reader harms nobody: it costs bounded memory, delays no publisher and no other reader,
//! and loses nothing.

use event_log::{Followed, LogConfig};
use futures::future::join_all;
use test_support::drafts;

use crate::common::{TestLog, everything, next, place, read_up_to};

const EVENTS: u64 = 20_000;

#[tokio::test]
async fn readers_that_stop_reading_lose_nothing_and_stop_nobody() {
    let test = TestLog::create().await;
    let log = test
        .open_with(LogConfig {
            ring_bytes_max: 64 * 1024,
            ..LogConfig::default()
        })
        .await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut follower = log.follow_after(0, everything()).await.unwrap();
        assert!(matches!(next(&mut follower).await, Ok(Followed::CaughtUp)));
        slow.push(follower);
    }
    let mut fast = log.follow_after(0, everything()).await.unwrap();

    // Nobody polls the slow ones while all of this is appended and read by another.
    let appending = async {
        let batches = (0..EVENTS / 500).map(|n| log.enqueue(drafts(n * 500..n * 500 + 500)));
        let pending: Vec<_> = batches.collect();
        join_all(pending).await
    };
    let (receipts, read) = tokio::join!(appending, read_up_to(&mut fast, EVENTS));
    assert!(receipts.iter().all(Result::is_ok));
    let stored = test.stored().await;
    assert_eq!(stored.len() as u64, EVENTS);
    assert_eq!(read.iter().map(place).collect::<Vec<_>>(), stored);

    for follower in slow.iter_mut().take(3) {
        assert!(matches!(next(follower).await, Ok(Followed::FellBehind)));
        let read = read_up_to(follower, EVENTS).await;
        assert_eq!(read.iter().map(place).collect::<Vec<_>>(), stored);
    }
}

/// What a reader holds while it is not read from: one delivery at the most, of bounded size.
#[tokio::test]
async fn one_delivery_is_bounded() {
    let test = TestLog::create().await;
    let log = test.open().await;
    let mut event = test_support::custom_event(0);
    event.source_service = "x".repeat(100);
    for batch in 0..10 {
        let large = (batch * 500..batch * 500 + 500).map(|n| {
            let mut event = test_support::custom_event(n);
            event.traceparent = "x".repeat(100);
            test_support::draft(event)
        });
        log.append(large.collect()).await.unwrap();
    }
    // From the database, and from memory.
    for log in [test.open().await, log] {
        let mut follower = log.follow_after(0, everything()).await.unwrap();
        let mut last = 0;
        while last < 5_000 {
            if let Followed::Events(delivery) = next(&mut follower).await.unwrap() {
                assert!(
                    delivery.frames.len() <= 512 * 1024,
                    "{}",
                    delivery.frames.len()
                );
                last = delivery.up_to;
            }
        }
    }
}
