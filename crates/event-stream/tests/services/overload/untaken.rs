//! What readers do not take of their streams counts for them, and not for others.

use access::{ByteBudget, Shares};
use atlas_events::{
    Event, SubscriptionRequest, TimeRangeRequest, event_stream_client::EventStreamClient,
};
use event_log::LogConfig;
use event_stream::StreamConfig;
use futures::future::join_all;
use pbjson_types::value::Kind;
use test_support::{TestDatabase, eventually};
use tokio::time::timeout;
use tonic::{Code, Status, transport::Channel};

use crate::{
    common::{DEADLINE, Server, error_of, fact},
    overload::{built::event, open_streams::from},
};

const KIBIBYTE: u64 = 1_024;
const EVENTS: usize = 40;

async fn follow_all(channel: &Channel) -> Result<Vec<Event>, Status> {
    let mut client = EventStreamClient::new(channel.clone());
    let request = SubscriptionRequest {
        after_position: Some(0),
        ..SubscriptionRequest::default()
    };
    let mut following = client.subscribe_to_events(request).await?.into_inner();
    let mut events = Vec::new();
    while events.len() < EVENTS {
        let next = timeout(DEADLINE, following.message()).await.unwrap()?;
        events.extend(next);
    }
    Ok(events)
}

async fn read_all(channel: &Channel) -> Result<Vec<Event>, Status> {
    let mut client = EventStreamClient::new(channel.clone());
    let reading = client.get_events_since(TimeRangeRequest::default()).await;
    let (mut reading, mut events) = (reading?.into_inner(), Vec::new());
    while let Some(event) = timeout(DEADLINE, reading.message()).await.unwrap()? {
        events.push(event);
    }
    Ok(events)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_who_take_nothing_hold_their_share_and_no_more() {
    let database = TestDatabase::create().await;
    let shares = Shares::new(
        ByteBudget::of_answers(4 * 1_024 * KIBIBYTE),
        1_024 * KIBIBYTE,
    );
    let config = StreamConfig {
        answers: shares.clone(),
        ..StreamConfig::default()
    };
    // So that readers get what is read for them alone.
    let log_config = LogConfig {
        ring_bytes_max: 512 * 1_024,
        ..LogConfig::default()
    };
    let server = Server::start_with(&database, log_config, config).await;
    let mut client = server.client().await;
    for _ in 0..EVENTS {
        let text = Kind::StringValue("x".repeat(200_000));
        client.try_publish(vec![event(text)]).await.unwrap();
    }
    let greedy = from(&server, "127.0.0.1").await;
    let unread = (0..16).map(|_| {
        let mut client = EventStreamClient::new(greedy.clone());
        async move { client.get_events_since(TimeRangeRequest::default()).await }
    });
    let unread = join_all(unread).await;
    // Less than a page is left.
    let held = || shares.whole().held();
    eventually(DEADLINE, async || held() > 700 * KIBIBYTE).await;
    assert!(held() <= 1_024 * KIBIBYTE, "{}", held());
    let refused = read_all(&greedy).await.unwrap_err();
    let (code, reason, _) = error_of(&refused);
    assert_eq!(code, Code::ResourceExhausted);
    assert_eq!(reason, "TOO_MANY_BYTES");
    assert_eq!(fact(&refused, "limited"), "caller");
    let other = from(&server, "127.0.0.2").await;
    assert_eq!(read_all(&other).await.unwrap().len(), EVENTS);
    drop(unread);
    eventually(DEADLINE, async || held() == 0).await;
    assert_eq!(read_all(&greedy).await.unwrap().len(), EVENTS);
    server.stop().await;
}

/// There is room for two pages, so that most of the readers wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_who_wait_for_room_miss_nothing_and_get_nothing_twice() {
    let database = TestDatabase::create().await;
    let shares = Shares::new(ByteBudget::of_answers(1_024 * KIBIBYTE), 512 * KIBIBYTE);
    let config = StreamConfig {
        answers: shares.clone(),
        ..StreamConfig::default()
    };
    let log_config = LogConfig {
        ring_bytes_max: 512 * 1_024,
        ..LogConfig::default()
    };
    let server = Server::start_with(&database, log_config, config).await;
    let mut client = server.client().await;
    for _ in 0..EVENTS {
        let text = Kind::StringValue("x".repeat(200_000));
        client.try_publish(vec![event(text)]).await.unwrap();
    }
    let channel = from(&server, "127.0.0.1").await;
    let reading = join_all((0..8).map(|_| read_all(&channel)));
    let following = join_all((0..8).map(|_| follow_all(&channel)));
    let (read, followed) = tokio::join!(reading, following);
    let expected: Vec<u64> = (1..=EVENTS as u64).collect();
    for events in read.into_iter().chain(followed) {
        let positions = events.unwrap().into_iter().map(|event| event.position);
        assert_eq!(positions.collect::<Vec<_>>(), expected);
    }
    eventually(DEADLINE, async || shares.whole().held() == 0).await;
    server.stop().await;
}
