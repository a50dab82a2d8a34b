//! Positions are kept in runs of 4,096 whose bounds of time are known; nothing is to be seen of it.

use chrono::{DateTime, TimeDelta, Utc};
use event_log::EventLog;
use rand::{Rng, SeedableRng, rngs::StdRng};
use test_support::started_at;

use crate::common::{TestLog, draft_at, everything, read_range, read_up_to};

const SEGMENT: u64 = 4_096;

/// Times of up to two months ago, in no order.
fn times(count: u64) -> Vec<DateTime<Utc>> {
    let mut random = StdRng::seed_from_u64(1);
    (0..count)
        .map(|_| started_at() - TimeDelta::seconds(random.random_range(0..60 * 86_400)))
        .collect()
}

#[tokio::test]
async fn every_count_around_a_boundary_is_read_whole() {
    let test = TestLog::create().await;
    let writer = test.open().await;
    let times = times(2 * SEGMENT + 1);
    let mut stored = 0;
    for segments in 1..=2 {
        for count in [
            segments * SEGMENT - 1,
            segments * SEGMENT,
            segments * SEGMENT + 1,
        ] {
            let fresh = (stored..count).map(|n| draft_at(n, times[n as usize]));
            writer.append(fresh.collect()).await.unwrap();
            stored = count;
            // A process that starts now has nothing in memory.
            let reader = test.open().await;
            check(&reader, &times[..count as usize]).await;
            reader.close().await;
        }
    }
}

async fn check(log: &EventLog, times: &[DateTime<Utc>]) {
    let count = times.len() as u64;
    let boundary = count / SEGMENT * SEGMENT;
    for after in [0, boundary.saturating_sub(1), boundary, count - 1, count] {
        let mut follower = log.follow_after(after, everything()).await.unwrap();
        let read = read_up_to(&mut follower, count).await;
        assert!(
            read.iter()
                .map(|event| event.position)
                .eq(after + 1..=count)
        );
    }
    // The newest times are the hardest to find: there is one of them in the whole log.
    let mut newest: Vec<_> = times.to_vec();
    newest.sort_unstable();
    for since in newest.iter().rev().step_by(97).take(10) {
        let first = times.iter().position(|at| at >= since).unwrap() as u64;
        let follower = log.follow_since(*since, everything()).await.unwrap();
        let cursor = follower.cursor();
        assert_eq!(cursor.load(std::sync::atomic::Ordering::Acquire), first);
        let range = log
            .read_between(Some(*since), None, everything())
            .await
            .unwrap();
        let expected = times.iter().filter(|at| *at >= since).count();
        assert_eq!(read_range(range).await.unwrap().len(), expected);
    }
}
