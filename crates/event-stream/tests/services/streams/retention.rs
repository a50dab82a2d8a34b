//! What retention removed is refused with the place where the log goes on.

use std::time::Duration;

use atlas_events::{SubscriptionRequest, TimeRangeRequest};
use chrono::{TimeDelta, Utc};
use event_log::LogConfig;
use event_stream::StreamConfig;
use test_support::{TestDatabase, custom_event, custom_event_at, eventually};
use tonic::Code;

use crate::common::{
    DEADLINE, Server, after, custom_events, error_of, expectation, fact, next, read_all,
};

#[tokio::test]
async fn what_retention_removed() {
    let database = TestDatabase::create().await;
    let server = old_log(&database).await;
    let mut client = server.client().await;
    let info = client.info().await;
    assert_eq!((info.first_position, info.last_position), (4, 4));
    let kept_since = info.earliest_accepted.unwrap();

    let trimmed = |field| expectation(Code::OutOfRange, "TRIMMED", field);
    // The last of these wants one position more than there is; the next, below, wants what there is.
    for cursor in [0, 2] {
        let refused = client.try_subscribe(after(cursor)).await.unwrap_err();
        assert_eq!(error_of(&refused), trimmed("after_position"), "{cursor}");
        assert_eq!(fact(&refused, "first_position"), "4");
    }
    let start_from = Some((Utc::now() - TimeDelta::days(60)).into());
    let request = SubscriptionRequest {
        start_from,
        ..SubscriptionRequest::default()
    };
    let refused = client.try_subscribe(request).await.unwrap_err();
    assert_eq!(error_of(&refused), trimmed("start_from"));
    assert_eq!(fact(&refused, "first_position"), "4");
    let range = TimeRangeRequest {
        start_from,
        ..TimeRangeRequest::default()
    };
    let refused = client.events.get_events_since(range).await.unwrap_err();
    assert_eq!(error_of(&refused), trimmed("start_from"));

    let old = custom_event_at(9, Utc::now() - TimeDelta::days(60));
    let refused = client
        .try_publish(vec![custom_event(8), old])
        .await
        .unwrap_err();
    let field = "events[1].occurred_at";
    assert_eq!(
        error_of(&refused),
        expectation(Code::InvalidArgument, "INVALID_ARGUMENT", field)
    );
    assert_eq!(client.info().await.last_position, 4);

    // What remains is read from the first position that the refusals named.
    let mut stream = client.subscribe(after(3)).await;
    assert_eq!(next(&mut stream).await.unwrap().position, 4);
    let everything = client
        .events
        .get_events_since(TimeRangeRequest::default())
        .await
        .unwrap();
    assert_eq!(read_all(everything.into_inner()).await.unwrap().len(), 1);
    assert!(kept_since.to_utc() < Some(Utc::now() - TimeDelta::days(29)));
}

/// A log that keeps 30 days and has just removed three events that are twice as old; the fourth is
/// of yesterday.
async fn old_log(database: &TestDatabase) -> Server {
    let then = Utc::now() - TimeDelta::days(60);
    let keeping = |now: fn() -> chrono::DateTime<Utc>| LogConfig {
        retention: Some(Duration::from_secs(30 * 24 * 3_600)),
        clock: atlas_events::Clock::from_fn(now),
        ..LogConfig::default()
    };
    let past = keeping(|| Utc::now() - TimeDelta::days(59));
    let server = Server::start_with(database, past, StreamConfig::default()).await;
    let old = (1..4).map(|n| custom_event_at(n, then)).collect();
    server.client().await.publish(old).await;
    server.log.close().await;
    server.stop().await;
    let server = Server::start_with(database, keeping(Utc::now), StreamConfig::default()).await;
    server.client().await.publish(custom_events(4..5)).await;
    // A reader of the chunk may make one run of retention give up.
    eventually(DEADLINE, async || {
        server
            .log
            .trim()
            .await
            .is_ok_and(|trimmed| trimmed.first_position == 4)
    })
    .await;
    server
}
