use event_log::{EventLog, LogError, Unverified};
use test_support::drafts;

use super::end_of;
use crate::common::{SCHEMA, TestLog, everything, pool};

#[tokio::test]
async fn a_new_identity_reaches_processes_that_run() {
    let test = TestLog::create().await;
    let (log, other) = (test.open().await, test.open().await);
    log.append(drafts(0..10)).await.unwrap();
    let mut live = log.follow_after(10, everything()).await.unwrap();
    let renewed = EventLog::renew_identity(&pool(&test.database.url(), SCHEMA).await)
        .await
        .unwrap();
    let refused = log.append(drafts(10..11)).await.unwrap_err();
    let is_reported = |error: &LogError| matches!(error, LogError::Unverified(Unverified::Replaced { log_id }) if *log_id == renewed.now);
    // What was to be stored is not at fault.
    assert!(is_reported(&refused) && refused.is_transient(), "{refused}");
    let ended = end_of(&mut live).await;
    assert!(is_reported(&ended), "{ended}");
    for log in [log, other] {
        assert_eq!(log.replaced().await, renewed.now);
        log.close().await;
    }
    let log = test.open().await;
    assert_eq!(log.append(drafts(10..11)).await.unwrap()[0].position, 11);
}
