//! Clients that do not read their streams: they lose them when it is time, as others do.

use std::time::Duration;

use access::{Entry, Gate, Identity, Scope, Secret, Tokens};
use atlas_events::{Clock, Event, PublishRequest, SubscriptionRequest, TimeRangeRequest};
use event_log::LogConfig;
use event_stream::StreamConfig;
use test_support::{TestDatabase, eventually};
use tonic::{Code, Request, Streaming};

use crate::common::{Client, DEADLINE, Server, after, error_of, large_event};

/// A server with one place for a stream.
async fn server(database: &TestDatabase, config: StreamConfig) -> Server {
    let config = StreamConfig {
        subscriptions_max: 1,
        ..config
    };
    Server::start_with(database, LogConfig::default(), config).await
}

fn with_token<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = "Bearer secret".parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// Publishes more than a client takes of a stream without reading it.
async fn publish_much(client: &mut Client) {
    for n in 0..6 {
        let events: Vec<Event> = (n * 10..(n + 1) * 10)
            .map(|n| large_event(n, 100_000))
            .collect();
        let request = with_token(PublishRequest {
            events,
            ..PublishRequest::default()
        });
        client.publisher.publish(request).await.unwrap();
    }
}

async fn subscribe(client: &mut Client) -> Result<Streaming<Event>, tonic::Status> {
    let request: Request<SubscriptionRequest> = with_token(after(0));
    let answer = client.events.subscribe_to_events(request).await?;
    Ok(answer.into_inner())
}

/// Waits until the only place for a stream is free.
async fn place_is_free(server: &Server) {
    let client = server.client().await;
    eventually(DEADLINE, async || {
        subscribe(&mut client.clone()).await.is_ok()
    })
    .await;
}

fn aging() -> StreamConfig {
    StreamConfig {
        stream_age_max: Some(Duration::from_secs(1)),
        ..StreamConfig::default()
    }
}

#[tokio::test]
async fn a_subscription_that_is_not_read_reaches_its_age() {
    let database = TestDatabase::create().await;
    let server = server(&database, aging()).await;
    let mut client = server.client().await;
    publish_much(&mut client).await;
    let unread = subscribe(&mut client).await.unwrap();
    let refused = subscribe(&mut server.client().await).await.unwrap_err();
    assert_eq!(error_of(&refused).1, "TOO_MANY_STREAMS");
    place_is_free(&server).await;
    drop(unread);
    server.stop().await;
}

#[tokio::test]
async fn a_range_that_is_not_read_reaches_its_age() {
    let database = TestDatabase::create().await;
    let server = server(&database, aging()).await;
    let mut client = server.client().await;
    publish_much(&mut client).await;
    let range = client.events.get_events_since(TimeRangeRequest::default());
    let unread = range.await.unwrap();
    place_is_free(&server).await;
    drop(unread);
    server.stop().await;
}

#[tokio::test]
async fn a_subscription_that_is_not_read_ends_with_its_token() {
    let database = TestDatabase::create().await;
    let entry = |name: &str, token: &str| {
        let secret = Secret::new(token.to_owned());
        Entry::new(name, Identity::Token(secret.hash()), Scope::ALL.to_vec())
    };
    let tokens = Tokens::new(vec![entry("a", "secret")], Clock::system());
    let config = StreamConfig {
        gate: Gate::Tokens(tokens.clone()),
        ..StreamConfig::default()
    };
    let server = server(&database, config).await;
    let mut client = server.client().await;
    publish_much(&mut client).await;
    let unread = subscribe(&mut client).await.unwrap();
    // The same token, but another entry.
    tokens.replace(vec![entry("b", "secret")]);
    place_is_free(&server).await;
    drop(unread);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_does_not_keep_a_server_from_stopping() {
    let database = TestDatabase::create().await;
    let server = server(&database, StreamConfig::default()).await;
    let mut client = server.client().await;
    publish_much(&mut client).await;
    let mut unread = subscribe(&mut client).await.unwrap();
    server.stop().await;
    while let Ok(Some(_)) = unread.message().await {}
    let refused = subscribe(&mut client).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
}
