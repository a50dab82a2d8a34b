//! A panic in a task of the log is reported: publishers get an unknown outcome, and the process learns
//! that the log does not work any more.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use atlas_events::Draft;
use event_log::{EventLog, LogError, Projection};
use futures::future::BoxFuture;
use sqlx::PgConnection;
use test_support::drafts;
use tokio::time::timeout;

use crate::{
    appending::small_appends::append_one,
    common::{DEADLINE, TestLog},
};

#[derive(Default)]
struct Panicking(AtomicBool);

impl Projection for Panicking {
    fn apply<'a>(
        &'a self,
        _connection: &'a mut PgConnection,
        _events: &'a [(u64, &'a Draft)],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async {
            assert!(!self.0.load(Ordering::SeqCst), "as a test wants it");
            Ok(())
        })
    }
}

async fn panics_while_storing(undisturbed: bool, events: u64) {
    let test = TestLog::create().await;
    let projection = Arc::new(Panicking::default());
    let log: EventLog = test.open_projecting(projection.clone()).await;
    if undisturbed {
        for n in 0..3 {
            append_one(&log, 1_000 + n).await;
        }
    }
    let before = test.stored().await;
    assert_eq!(log.failure(), None);
    projection.0.store(true, Ordering::SeqCst);
    let answer = timeout(DEADLINE, log.append(drafts(0..events)))
        .await
        .unwrap();
    assert!(
        matches!(answer, Err(LogError::OutcomeUnknown(_))),
        "{answer:?}"
    );
    let failed = timeout(DEADLINE, log.failed()).await.unwrap();
    assert_eq!((failed, log.failure()), ("appender", Some("appender")));
    // Nor does anybody wait for it.
    let later = timeout(DEADLINE, log.append(drafts(0..events)))
        .await
        .unwrap();
    assert!(matches!(later, Err(LogError::Closed)), "{later:?}");
    timeout(DEADLINE, log.close()).await.unwrap();
    assert_eq!(test.stored().await, before);
}

#[tokio::test]
async fn in_a_few_events() {
    panics_while_storing(true, 1).await;
}

#[tokio::test]
async fn in_a_large_group() {
    panics_while_storing(false, 100).await;
}

#[tokio::test]
async fn in_a_group_that_is_stored_ahead() {
    panics_while_storing(true, 100).await;
}
