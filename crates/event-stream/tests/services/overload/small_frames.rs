//! Small messages that lie unread.
//!
//! The HTTP/2 library gives each connection a budget for frames of less than 256 bytes that nobody
//! has read yet, half its window in size, and ends a connection that exceeds it. An event that is
//! published alone travels in a frame of its own, so that a reader which stalls while thousands
//! of them arrive is not held back by flow control: its own library ends its connection. With the
//! windows that a client has by itself that takes some 14,000 unread events of 75 bytes; with a
//! larger window it takes as many more. Nothing is lost: the reader resumes after what it read.

use atlas_events::{Event, PublishRequest, SubscriptionRequest};
use test_support::TestDatabase;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{Code, Status, Streaming, transport::Endpoint};

use crate::{
    common::{Client, DEADLINE, Server, after, execute, next, read, receipts_of},
    streams::slow_reader::small_event,
};

/// Many streams on one connection need few events to fill it with frames.
const STREAMS: usize = 100;
const EVENTS: u64 = 260;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_client_that_loses_its_connection_resumes_without_loss() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut stalled = stalled_streams(server.client().await).await;
    publish_one_by_one(&server).await;
    let mut client = server.client().await;
    let mut ended = 0;
    for stream in &mut stalled {
        let (mut positions, end) = read_to_the_end(stream).await;
        if let Some(status) = end {
            assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
            ended += 1;
            let mut resumed = client.subscribe(after(positions.len() as u64)).await;
            let missing = EVENTS as usize - positions.len();
            positions.extend(read(&mut resumed, missing).await.iter().map(|e| e.position));
        }
        assert!(positions.into_iter().eq(1..=EVENTS));
    }
    assert_eq!(
        ended, STREAMS,
        "a larger budget makes the remedy below unnecessary"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_client_with_a_large_window_keeps_its_connection() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let endpoint = Endpoint::from_shared(server.url.clone()).unwrap();
    let endpoint = endpoint.initial_connection_window_size(16 * 1_024 * 1_024);
    let mut stalled = stalled_streams(Client::connect(endpoint).await).await;
    publish_one_by_one(&server).await;
    for stream in &mut stalled {
        let (positions, end) = read_to_the_end(stream).await;
        assert!(end.is_none(), "{end:?}");
        assert!(positions.into_iter().eq(1..=EVENTS));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipelining_publisher_keeps_its_connection_while_the_database_stalls() {
    const REQUESTS: u64 = 6_000;
    // What a stream takes before it is read, and a good part of its window of 256 KiB.
    const SENT_UNREAD: u64 = 4_000;
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let mut blocking = database.connection().await;
    execute(&mut blocking, "begin; select from log.log_head for update").await;
    let (requests, receiver) = mpsc::channel(1);
    let answers = client
        .publisher
        .publish_stream(ReceiverStream::new(receiver))
        .await;
    let (half_way, sent_enough) = tokio::sync::oneshot::channel();
    let sending = tokio::spawn(async move {
        let mut half_way = Some(half_way);
        for n in 0..REQUESTS {
            let events = vec![small_event(n)];
            requests
                .send(PublishRequest {
                    events,
                    ..PublishRequest::default()
                })
                .await
                .unwrap();
            if n == SENT_UNREAD {
                half_way.take().unwrap().send(()).unwrap();
            }
        }
    });
    timeout(DEADLINE, sent_enough).await.unwrap().unwrap();
    execute(&mut blocking, "rollback").await;
    let answers = answers.unwrap().into_inner();
    let positions = answers.map(|answer| receipts_of(answer.unwrap())[0].position);
    let positions: Vec<_> = timeout(DEADLINE, positions.collect()).await.unwrap();
    assert!(positions.into_iter().eq(1..=REQUESTS));
    sending.await.unwrap();
}

/// Streams on one connection that nobody reads.
async fn stalled_streams(mut client: Client) -> Vec<Streaming<Event>> {
    let mut streams = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        streams.push(client.subscribe(after(0)).await);
    }
    streams
}

/// Publishes each event once a reader, on a connection of its own, has got the one before.
async fn publish_one_by_one(server: &Server) {
    let mut publisher = server.client().await;
    let mut stream = publisher.subscribe(SubscriptionRequest::default()).await;
    for n in 0..EVENTS {
        publisher.publish(vec![small_event(n)]).await;
        next(&mut stream).await.unwrap();
    }
}

/// The positions of all events or of those before the stream ended, and how it did.
async fn read_to_the_end(stream: &mut Streaming<Event>) -> (Vec<u64>, Option<Status>) {
    let mut positions = Vec::new();
    while positions.len() < EVENTS as usize {
        match next(stream).await {
            Ok(event) => positions.push(event.position),
            Err(status) => return (positions, Some(status)),
        }
    }
    (positions, None)
}
