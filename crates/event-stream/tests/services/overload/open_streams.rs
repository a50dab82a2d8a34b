//! Streams for which no token is needed: how many there are, and how long they last.

use std::time::Duration;

use access::{Gate, PlaceLimits, Tokens};
use atlas_events::Clock;
use event_log::LogConfig;
use event_stream::StreamConfig;
use futures::{StreamExt, stream};
use test_support::{TestDatabase, eventually};
use tokio::time::timeout;
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

use crate::common::{DEADLINE, Server, error_of, fact};

/// A server that asks for tokens, and knows none.
async fn start(database: &TestDatabase, config: StreamConfig) -> Server {
    let config = StreamConfig {
        gate: Gate::Tokens(Tokens::new(Vec::new(), Clock::system())),
        ..config
    };
    Server::start_with(database, LogConfig::default(), config).await
}

/// A connection from an address of this machine.
pub(crate) async fn from(server: &Server, address: &str) -> Channel {
    let endpoint = Endpoint::from_shared(server.url.clone()).unwrap();
    let endpoint = endpoint.local_address(Some(address.parse().unwrap()));
    endpoint.connect().await.unwrap()
}

/// Begins to watch and has learnt the first status.
async fn watch(channel: &Channel) -> Result<Streaming<HealthCheckResponse>, Status> {
    let request = HealthCheckRequest::default();
    let watching = HealthClient::new(channel.clone()).watch(request).await;
    let mut statuses = watching?.into_inner();
    timeout(DEADLINE, statuses.message()).await.unwrap()?;
    Ok(statuses)
}

fn refused(watching: Result<Streaming<HealthCheckResponse>, Status>) -> String {
    let status = watching.map(drop).unwrap_err();
    let (code, reason, _) = error_of(&status);
    assert_eq!(
        (code, reason.as_str()),
        (Code::ResourceExhausted, "TOO_MANY_STREAMS")
    );
    fact(&status, "limited")
}

fn list_services() -> ServerReflectionRequest {
    ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    }
}

fn one_stream_of_half_a_second() -> StreamConfig {
    StreamConfig {
        open_streams: PlaceLimits {
            places_max: 1,
            per_address_max: 1,
        },
        stream_age_max: Some(Duration::from_millis(500)),
        ..StreamConfig::default()
    }
}

#[tokio::test]
async fn they_are_bounded_for_an_address_and_in_all() {
    let database = TestDatabase::create().await;
    let config = StreamConfig {
        open_streams: PlaceLimits {
            places_max: 3,
            per_address_max: 2,
        },
        ..StreamConfig::default()
    };
    let server = start(&database, config).await;
    let one = from(&server, "127.0.0.1").await;
    let first = watch(&one).await.unwrap();
    // Reflection and watches count together, whatever the connection.
    let mut reflection = ServerReflectionClient::new(from(&server, "127.0.0.1").await);
    let asked = stream::iter([list_services()]).chain(stream::pending());
    let answers = reflection.server_reflection_info(asked).await.unwrap();
    assert_eq!(refused(watch(&one).await), "address");
    let other = watch(&from(&server, "127.0.0.2").await).await.unwrap();
    let third = from(&server, "127.0.0.3").await;
    assert_eq!(refused(watch(&third).await), "server");
    // What is answered once is not a stream.
    let mut health = HealthClient::new(third.clone());
    health.check(HealthCheckRequest::default()).await.unwrap();
    drop((first, answers));
    eventually(DEADLINE, async || watch(&third).await.is_ok()).await;
    drop(other);
    server.stop().await;
}

#[tokio::test]
async fn a_watch_ends_once_it_has_reached_its_age() {
    let database = TestDatabase::create().await;
    let config = one_stream_of_half_a_second();
    let server = start(&database, config).await;
    let channel = from(&server, "127.0.0.1").await;
    for _ in 0..2 {
        let mut statuses = watch(&channel).await.unwrap();
        let ended = timeout(DEADLINE, statuses.message()).await.unwrap();
        let (code, reason, _) = error_of(&ended.unwrap_err());
        assert_eq!((code, reason.as_str()), (Code::Unavailable, "STREAM_AGE"));
        // Its place is free again.
    }
    server.stop().await;
}

#[tokio::test]
async fn reflection_that_is_asked_nothing_ends() {
    let database = TestDatabase::create().await;
    let config = StreamConfig {
        message_timeout: Duration::from_millis(500),
        ..StreamConfig::default()
    };
    let server = start(&database, config).await;
    let mut client = ServerReflectionClient::new(from(&server, "127.0.0.1").await);
    let asked = stream::iter([list_services()]).chain(stream::pending());
    let answers = client.server_reflection_info(asked).await.unwrap();
    let mut answers = answers.into_inner();
    let first = timeout(DEADLINE, answers.message()).await.unwrap();
    assert!(first.unwrap().is_some());
    let ended = timeout(DEADLINE, answers.message()).await.unwrap();
    let (code, reason, _) = error_of(&ended.unwrap_err());
    assert_eq!(code, Code::DeadlineExceeded);
    assert_eq!(reason, "MESSAGE_TIMED_OUT");
    server.stop().await;
}

/// A client that reads nothing does not see the end of the stream: the connection ends.
#[tokio::test]
async fn reflection_that_is_not_read_ends_with_its_connection() {
    let database = TestDatabase::create().await;
    let config = one_stream_of_half_a_second();
    let server = start(&database, config).await;
    let mut client = ServerReflectionClient::new(from(&server, "127.0.0.1").await);
    let described = MessageRequest::FileContainingSymbol("atlas.events.Event".to_owned());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(described),
    };
    // Far more than the windows of the two hold, for as long as it is taken.
    let asked = stream::iter(vec![request; 2_000]).chain(stream::pending());
    let unread = client.server_reflection_info(asked).await.unwrap();
    let channel = from(&server, "127.0.0.1").await;
    assert_eq!(refused(watch(&channel).await), "address");
    eventually(DEADLINE, async || watch(&channel).await.is_ok()).await;
    drop(unread);
    server.stop().await;
}
