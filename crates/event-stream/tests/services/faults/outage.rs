//! The database ends connections, at any moment. What clients receive is true, and after they
//! resume nothing is lost or there twice.

use std::{collections::BTreeMap, time::Duration};

use atlas_events::{Event, SubscriptionRequest};
use event_log::LogConfig;
use event_stream::StreamConfig;
use sqlx::PgConnection;
use test_support::{TestDatabase, custom_event, eventually, until_waiting, waiting};
use tokio::{sync::watch, task::JoinSet};
use tonic::{Code, Streaming};
use tonic_types::StatusExt;

use crate::common::{
    Client, DEADLINE, Server, after, beating, cursor_of, custom_events, end_of, end_sessions,
    error_of, execute, expectation, fact, is_marker, next, read,
};

#[tokio::test]
async fn a_publish_that_was_not_committed_is_said_not_to_be_stored() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    client.publish(custom_events(1..2)).await;
    let mut blocking = database.connection().await;
    execute(&mut blocking, "begin; select from log.log_head for update").await;
    let publishing = tokio::spawn({
        let mut client = client.clone();
        async move { client.try_publish(custom_events(2..3)).await }
    });
    let mut ending = database.connection().await;
    until_waiting(DEADLINE, &mut ending, 1).await;
    end_waiting(&mut ending).await;
    let refused = publishing.await.unwrap().unwrap_err();
    assert_eq!(
        error_of(&refused),
        expectation(Code::Unavailable, "NOT_STORED", "")
    );
    execute(&mut blocking, "rollback").await;
    assert_eq!(client.info().await.last_position, 1);
    // The next one gets a connection of its own.
    assert_eq!(client.publish(custom_events(2..3)).await[0].position, 2);
}

#[tokio::test]
async fn a_publish_whose_commit_was_cut_is_said_to_be_unknown() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let mut blocking = database.connection().await;
    // The commit itself has to wait for us, which no client could distinguish from one that was lost.
    execute(
        &mut blocking,
        "create function log.wait_at_commit() returns trigger language plpgsql as
             $$ begin perform pg_advisory_xact_lock(1); return null; end $$;
         create constraint trigger at_commit after update on log.log_head
             deferrable initially deferred for each row execute function log.wait_at_commit();
         select pg_advisory_lock(1)",
    )
    .await;
    let publishing = tokio::spawn({
        let mut client = client.clone();
        async move { client.try_publish(custom_events(1..3)).await }
    });
    let mut ending = database.connection().await;
    until_waiting(DEADLINE, &mut ending, 1).await;
    end_waiting(&mut ending).await;
    let unknown = publishing.await.unwrap().unwrap_err();
    assert_eq!(
        error_of(&unknown),
        expectation(Code::Unavailable, "OUTCOME_UNKNOWN", "")
    );
    execute(&mut blocking, "select pg_advisory_unlock(1)").await;
    // Publishing again, as the status asks for, answers which.
    let receipts = client.try_publish(custom_events(1..3)).await.unwrap();
    let positions: Vec<_> = receipts.iter().map(|receipt| receipt.position).collect();
    assert_eq!(positions, [1, 2]);
    assert_eq!(client.info().await.last_position, 2);
}

#[tokio::test]
async fn a_reader_that_needs_the_database_gets_the_cursor_to_resume_from() {
    let database = TestDatabase::create().await;
    // Without retention, which would wait for the lock too.
    let warm = Server::start_without_retention(&database).await;
    let published = warm.client().await.publish(custom_events(0..1_000)).await;
    // This one has nothing in memory, and its read waits for a lock.
    let cold = Server::start_without_retention(&database).await;
    let mut client = cold.client().await;
    let mut locking = database.connection().await;
    execute(
        &mut locking,
        "begin; lock table log.events in access exclusive mode",
    )
    .await;
    let mut stream = client.subscribe(after(400)).await;
    let mut ending = database.connection().await;
    until_waiting(DEADLINE, &mut ending, 1).await;
    end_waiting(&mut ending).await;
    let status = end_of(&mut stream).await;
    let expected = expectation(Code::Unavailable, "DATABASE_UNAVAILABLE", "");
    assert_eq!(error_of(&status), expected);
    assert_eq!(fact(&status, "position"), "400");
    execute(&mut locking, "rollback").await;
    let mut stream = client.subscribe(after(400)).await;
    assert_eq!(read(&mut stream, 600).await, published[400..]);
}

#[tokio::test]
async fn a_reader_of_what_is_in_memory_goes_on() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let mut stream = client.subscribe(SubscriptionRequest::default()).await;
    for n in 0..5 {
        assert!(end_sessions(&mut database.connection().await).await > 0);
        let published = client.publish(custom_events(n..n + 1)).await;
        assert_eq!(read(&mut stream, 1).await, published);
    }
}

#[tokio::test]
async fn nothing_is_lost_or_twice_while_connections_are_ended_under_load() {
    const PUBLISHERS: u64 = 3;
    const EVENTS_EACH: u64 = 100;
    const TOTAL: u64 = PUBLISHERS * EVENTS_EACH;
    let database = TestDatabase::create().await;
    // Little stays in memory, so that readers need the database time and again.
    let log_config = LogConfig {
        ring_bytes_max: 2_000,
        ..LogConfig::default()
    };
    let server = Server::start_with(&database, log_config, StreamConfig::default()).await;
    let (acknowledged, progress) = watch::channel(0);
    let mut publishing = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let client = server.client().await;
        let numbers = publisher * EVENTS_EACH..(publisher + 1) * EVENTS_EACH;
        publishing.spawn(publish_until_stored(client, numbers, acknowledged.clone()));
    }
    let mut reading = JoinSet::new();
    for _ in 0..3 {
        reading.spawn(read_resuming(server.client().await, TOTAL));
    }
    end_sessions_until(&database, progress, TOTAL).await;
    let receipts: BTreeMap<u64, String> =
        publishing.join_all().await.into_iter().flatten().collect();
    assert!(receipts.keys().copied().eq(1..=TOTAL));
    for events in reading.join_all().await {
        let found = events
            .into_iter()
            .map(|event| (event.position, event.event_id));
        assert!(found.eq(receipts.clone()));
    }
}

/// Publishes events one by one, each as often as its status asks for it.
async fn publish_until_stored(
    mut client: Client,
    numbers: std::ops::Range<u64>,
    acknowledged: watch::Sender<u64>,
) -> Vec<(u64, String)> {
    let mut receipts = Vec::new();
    for n in numbers {
        let receipt = loop {
            match client.try_publish(vec![custom_event(n)]).await {
                Ok(stored) => break stored[0].clone(),
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
            }
        };
        receipts.push((receipt.position, receipt.event_id));
        acknowledged.send_modify(|count| *count += 1);
    }
    receipts
}

/// Reads the first `total` events, resuming where the end of a stream says.
async fn read_resuming(mut client: Client, total: u64) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let mut cursor = 0;
    while cursor < total {
        match client.try_subscribe(beating(after(cursor))).await {
            Ok(mut stream) => cursor = read_some(&mut stream, cursor, total, &mut events).await,
            Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
        }
    }
    events
}

/// Reads to the end of a stream, or of what is wanted, and returns the cursor.
async fn read_some(
    stream: &mut Streaming<Event>,
    mut cursor: u64,
    total: u64,
    events: &mut Vec<Event>,
) -> u64 {
    while cursor < total {
        match next(stream).await {
            Ok(event) => {
                assert!(
                    is_marker(&event) || event.position > cursor,
                    "{event:?} after {cursor}"
                );
                cursor = cursor_of(&event);
                events.extend((!is_marker(&event)).then_some(event));
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                assert!(
                    status.get_error_details().error_info().is_some(),
                    "{status}"
                );
                assert_eq!(fact(&status, "position"), cursor.to_string());
                break;
            }
        }
    }
    cursor
}

/// Ends all sessions whenever a further tenth has been acknowledged.
async fn end_sessions_until(
    database: &TestDatabase,
    mut acknowledged: watch::Receiver<u64>,
    total: u64,
) {
    let mut connection = database.connection().await;
    let mut ended = 0;
    for tenth in 1..10 {
        let enough = acknowledged.wait_for(|count| *count >= total * tenth / 10);
        tokio::time::timeout(Duration::from_secs(30), enough)
            .await
            .expect("publishers go on")
            .unwrap();
        ended += end_sessions(&mut connection).await;
    }
    assert!(ended > 0);
}

/// Ends the session that waits for a lock.
async fn end_waiting(connection: &mut PgConnection) {
    let found = waiting(connection).await;
    let [(pid, _)] = found.as_slice() else {
        panic!("{found:?}");
    };
    let ended: bool = sqlx::query_scalar("select pg_terminate_backend($1, 5000)")
        .bind(pid)
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert!(ended);
    eventually(DEADLINE, async || waiting(connection).await.is_empty()).await;
}
