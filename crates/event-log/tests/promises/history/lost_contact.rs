use std::time::{Duration, Instant};

use event_log::{Followed, LogConfig, LogError, Unverified};
use test_support::{Link, drafts, eventually};

use super::end_of;
use crate::common::{DEADLINE, SCHEMA, TestLog, everything, next, open};

/// Cut off from its database, a process does not say that its readers have everything.
#[tokio::test]
async fn nobody_gets_caught_up_from_a_log_that_does_not_answer() {
    let test = TestLog::create().await;
    let link = Link::to(&test.database.url()).await;
    let bound = Duration::from_secs(2);
    let config = LogConfig {
        poll_interval: Duration::from_millis(50),
        contact_age_max: bound,
        ..LogConfig::default()
    };
    let log = open(&link.url(&test.database.url()), SCHEMA, config, None).await;
    log.append(drafts(0..10)).await.unwrap();
    let mut live = log.follow_after(10, everything()).await.unwrap();
    assert!(matches!(next(&mut live).await, Ok(Followed::CaughtUp)));
    let mut ready = log.follow_after(10, everything()).await.unwrap();
    assert_eq!(log.verified_head(), Some(10));
    link.carry(false);
    let cut = Instant::now();
    let out_of_contact =
        |error: &LogError| matches!(error, LogError::Unverified(Unverified::OutOfContact { .. }));
    let ended = end_of(&mut live).await;
    assert!(out_of_contact(&ended) && ended.is_transient(), "{ended}");
    assert!(cut.elapsed() < bound * 5, "{:?}", cut.elapsed());
    assert_eq!(log.verified_head(), None);
    assert!(out_of_contact(&log.verified().unwrap_err()));
    // One that has everything, as far as is known here, does not hear so.
    let ended = next(&mut ready).await.unwrap_err();
    assert!(out_of_contact(&ended), "{ended}");
    link.carry(true);
    eventually(DEADLINE, async || log.verified().is_ok()).await;
    let mut live = log.follow_after(10, everything()).await.unwrap();
    assert!(matches!(next(&mut live).await, Ok(Followed::CaughtUp)));
}
