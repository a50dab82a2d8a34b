//! A server that stops sends its clients the cursor to resume from.

use std::time::{Duration, Instant};

use atlas_events::{PublishRequest, SubscriptionRequest, TimeRangeRequest};
use event_log::LogConfig;
use event_stream::StreamConfig;
use futures::{StreamExt, stream};
use test_support::{TestDatabase, custom_event, until_waiting};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::{
    common::{
        DEADLINE, Server, after, custom_events, end_of, error_of, execute, expectation, fact, next,
        read, read_all, receipts_of,
    },
    overload::unfinished::{PUBLISH, beginning, channel, unfinished},
};

#[tokio::test]
async fn streams_end_with_the_position_to_resume_after() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    client.publish(custom_events(1..11)).await;
    let filtered = SubscriptionRequest {
        series_ids: vec!["UNRATE".to_owned()],
        ..after(0)
    };
    // One that has read all, and one that wants nothing of it but has considered some.
    let mut caught_up = client.subscribe(after(0)).await;
    read(&mut caught_up, 10).await;
    let mut filtered = client.subscribe(filtered).await;
    server.begin_shutdown();
    let shutting_down = expectation(Code::Unavailable, "SHUTTING_DOWN", "");
    let status = end_of(&mut caught_up).await;
    assert_eq!(error_of(&status), shutting_down);
    assert_eq!(fact(&status, "position"), "10");
    let status = end_of(&mut filtered).await;
    assert_eq!(error_of(&status), shutting_down);
    let considered: u64 = fact(&status, "position").parse().unwrap();
    assert!(considered <= 10, "{considered}");
    server.stopped().await;
}

#[tokio::test]
async fn a_client_resumes_on_another_server_without_loss() {
    let database = TestDatabase::create().await;
    let (first, second) = (
        Server::start(&database).await,
        Server::start(&database).await,
    );
    let mut publisher = second.client().await;
    let publishing = tokio::spawn(async move {
        let mut published = Vec::new();
        for n in 0..100 {
            published.extend(publisher.publish(custom_events(n..n + 1)).await);
        }
        published
    });
    let mut stream = first.client().await.subscribe(after(0)).await;
    let mut found = read(&mut stream, 30).await;
    first.begin_shutdown();
    let status = loop {
        match next(&mut stream).await {
            Ok(event) => found.push(event),
            Err(status) => break status,
        }
    };
    first.stopped().await;
    let position: u64 = fact(&status, "position").parse().unwrap();
    assert_eq!(position, found.len() as u64);
    let mut stream = second.client().await.subscribe(after(position)).await;
    let published = publishing.await.unwrap();
    found.extend(read(&mut stream, published.len() - found.len()).await);
    assert!(found == published);
}

#[tokio::test]
async fn a_range_that_is_not_at_its_end_does_not_look_complete() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    client.publish_megabytes().await;
    let range = client.events.get_events_since(TimeRangeRequest::default());
    let mut range = range.await.unwrap().into_inner();
    read(&mut range, 1).await;
    server.begin_shutdown();
    let status = read_all(range).await.unwrap_err();
    assert_eq!(
        error_of(&status),
        expectation(Code::Unavailable, "SHUTTING_DOWN", "")
    );
    server.stopped().await;
}

#[tokio::test]
async fn an_idle_publish_stream_ends_once_all_is_acknowledged() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let (requests, receiver) = mpsc::channel(1);
    let requests_sent = ReceiverStream::new(receiver);
    let answers = client
        .publisher
        .publish_stream(requests_sent)
        .await
        .unwrap();
    let mut answers = answers.into_inner();
    let events = vec![custom_event(1)];
    requests
        .send(PublishRequest {
            events,
            ..PublishRequest::default()
        })
        .await
        .unwrap();
    let stored = timeout(DEADLINE, answers.message()).await.unwrap().unwrap();
    assert_eq!(receipts_of(stored.unwrap())[0].position, 1);
    server.begin_shutdown();
    let status = timeout(DEADLINE, answers.message())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(
        error_of(&status),
        expectation(Code::Unavailable, "SHUTTING_DOWN", "")
    );
    server.stopped().await;
    drop(requests);
}

#[tokio::test]
async fn a_closed_log_is_unavailable_and_stores_nothing() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let mut stream = client.subscribe(after(0)).await;
    server.log.close().await;
    let shutting_down = expectation(Code::Unavailable, "SHUTTING_DOWN", "");
    let status = end_of(&mut stream).await;
    assert_eq!(error_of(&status), shutting_down);
    assert_eq!(fact(&status, "position"), "0");
    let refused = client.try_publish(custom_events(1..2)).await.unwrap_err();
    assert_eq!(error_of(&refused), shutting_down);
    assert_eq!(client.info().await.last_position, 0);
}

#[tokio::test]
async fn a_stream_that_has_reached_its_age_ends_with_the_position_to_resume_after() {
    let database = TestDatabase::create().await;
    let age = Duration::from_millis(500);
    let config = StreamConfig {
        stream_age_max: Some(age),
        ..StreamConfig::default()
    };
    let server = Server::start_with(&database, LogConfig::default(), config).await;
    let mut client = server.client().await;
    let published = client.publish(custom_events(0..10)).await;
    let began = Instant::now();
    let mut stream = client.subscribe(after(0)).await;
    let mut found = read(&mut stream, 10).await;
    let status = end_of(&mut stream).await;
    assert!(began.elapsed() >= age.mul_f64(0.9), "{:?}", began.elapsed());
    let expected = expectation(Code::Unavailable, "STREAM_AGE", "");
    assert_eq!(error_of(&status), expected);
    assert_eq!(fact(&status, "position"), "10");

    // Busy streams end, too, and whoever resumes gets everything once.
    let mut publisher = server.client().await;
    let publishing = tokio::spawn(async move {
        let mut published = Vec::new();
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        for n in 10..210 {
            pace.tick().await;
            published.extend(publisher.publish(custom_events(n..n + 1)).await);
        }
        published
    });
    let mut ends = 0;
    while found.len() < 210 {
        let mut stream = client.subscribe(after(found.len() as u64)).await;
        let status = loop {
            match next(&mut stream).await {
                Ok(event) => found.push(event),
                Err(status) => break status,
            }
        };
        assert_eq!(fact(&status, "position"), found.len().to_string());
        ends += 1;
    }
    assert!(ends >= 2, "{ends}");
    let published = [published, publishing.await.unwrap()].concat();
    assert!(found == published);
    server.stop().await;
}

/// A client that takes nothing any more does not keep the others waiting, nor the process.
#[tokio::test]
async fn a_stalled_reader_is_cut_off_after_a_short_time() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    client.publish_megabytes().await;
    let mut stalled = client.subscribe(after(0)).await;
    read(&mut stalled, 1).await;
    let mut idle = server.client().await.subscribe(after(0)).await;
    read(&mut idle, 1).await;
    let begun = Instant::now();
    server.begin_shutdown();
    server.stopped().await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    // What lies in between was sent before; then it is over.
    let status = loop {
        if let Err(status) = next(&mut stalled).await {
            break status;
        }
    };
    assert!(
        [
            Code::Unavailable,
            Code::Unknown,
            Code::Internal,
            Code::Cancelled
        ]
        .contains(&status.code()),
        "{status:?}"
    );
}

/// Nothing is to be stored, so that the database is not waited for.
#[tokio::test]
async fn a_stalled_reader_is_cut_off_though_the_database_does_not_answer() {
    let database = TestDatabase::create().await;
    let log_config = LogConfig {
        append_timeout: Duration::from_secs(600),
        ..LogConfig::default()
    };
    let server = Server::start_with(&database, log_config, StreamConfig::default()).await;
    let mut client = server.client().await;
    client.publish_megabytes().await;
    let mut stalled = client.subscribe(after(0)).await;
    read(&mut stalled, 1).await;
    let mut blocking = database.connection().await;
    execute(&mut blocking, "begin; select from log.log_head for update").await;
    server.begin_shutdown();
    server.stopped().await;
}

/// Nobody waits for the rest of a request.
#[tokio::test]
async fn a_publish_that_is_sent_by_half_does_not_hold_up_the_end() {
    let database = TestDatabase::create().await;
    let config = StreamConfig {
        message_timeout: Duration::from_secs(600),
        ..StreamConfig::default()
    };
    let server = Server::start_with(&database, LogConfig::default(), config).await;
    let mut other = server.client().await;
    let channel = channel(&server).await;
    let unfinished = tokio::spawn(unfinished(channel, PUBLISH, beginning(1_000, 999)));
    other.publish(custom_events(0..1)).await;
    server.begin_shutdown();
    server.stopped().await;
    let _ = unfinished.await;
}

/// However long the database takes, as far as a publish may take.
#[tokio::test]
async fn what_a_publish_stream_has_sent_is_answered_before_its_end() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    client.publish(custom_events(0..1)).await;
    let mut blocking = database.connection().await;
    execute(&mut blocking, "begin; select from log.log_head for update").await;
    let request = PublishRequest {
        events: custom_events(1..3),
        ..PublishRequest::default()
    };
    let requests = stream::iter([request]).chain(stream::pending());
    let answers = client.publisher.publish_stream(requests).await.unwrap();
    let mut answers = answers.into_inner();
    until_waiting(DEADLINE, &mut database.connection().await, 1).await;
    server.begin_shutdown();
    let early = timeout(Duration::from_secs(4), answers.message()).await;
    assert!(early.is_err(), "{early:?}");
    execute(&mut blocking, "commit").await;
    let stored = timeout(DEADLINE, answers.message()).await.unwrap().unwrap();
    assert_eq!(receipts_of(stored.unwrap())[1].position, 3);
    let status = timeout(DEADLINE, answers.message())
        .await
        .unwrap()
        .unwrap_err();
    let expected = expectation(Code::Unavailable, "SHUTTING_DOWN", "");
    assert_eq!(error_of(&status), expected);
    server.stopped().await;
}
