//! Publishers that send more than the log stores at once are slowed down, and what one of them sends
//! is stored in its order and without a gap.

use std::time::Duration;

use atlas_events::{Event, PublishRequest, publish_stream_response::Outcome};
use event_log::LogConfig;
use event_stream::StreamConfig;
use futures::stream;
use test_support::{TestDatabase, custom_event, eventually};
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::{
    common::{Client, DEADLINE, Server, custom_events, error_of, execute},
    streams::slow_reader::metrics,
};

const BATCH_EVENTS: u64 = 200;

fn batches(count: u64) -> Vec<Vec<Event>> {
    let batch = |n| custom_events(n * BATCH_EVENTS..(n + 1) * BATCH_EVENTS);
    (0..count).map(batch).collect()
}

/// A log whose queue has room for two batches.
fn small_queue() -> LogConfig {
    LogConfig {
        queue_events_max: 2 * BATCH_EVENTS as usize,
        ..LogConfig::default()
    }
}

/// What a publish stream answered: how many batches were stored, before the reasons of the refusals
/// behind them, and how the stream ended.
#[derive(Debug)]
struct Answered {
    stored: u64,
    refused: Vec<String>,
    end: Option<Status>,
}

/// Sends all batches without waiting for an answer.
async fn publish(client: &mut Client, batches: Vec<Vec<Event>>) -> Answered {
    let request = |events| PublishRequest {
        events,
        ..PublishRequest::default()
    };
    let requests = stream::iter(batches.into_iter().map(request));
    let answers = client.publisher.publish_stream(requests).await;
    let mut answers = answers.unwrap().into_inner();
    let mut answered = Answered {
        stored: 0,
        refused: Vec::new(),
        end: None,
    };
    let mut position = 0;
    loop {
        let answer = match timeout(DEADLINE, answers.message()).await.unwrap() {
            Ok(Some(answer)) => answer,
            Ok(None) => return answered,
            Err(status) => {
                answered.end = Some(status);
                return answered;
            }
        };
        match answer.outcome.unwrap() {
            Outcome::Stored(stored) => {
                assert!(answered.refused.is_empty(), "stored behind a refused batch");
                for receipt in stored.receipts {
                    position += 1;
                    assert_eq!(receipt.position, position);
                }
                answered.stored += 1;
            }
            Outcome::Refused(refused) => {
                assert!(refused.definitely_not_stored);
                answered.refused.push(refused.reason);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_does_not_wait_is_slowed_down_and_not_refused() {
    const BATCHES: u64 = 100;
    let database = TestDatabase::create().await;
    let server = Server::start_with(&database, small_queue(), StreamConfig::default()).await;
    let mut client = server.client().await;
    let answered = publish(&mut client, batches(BATCHES)).await;
    assert_eq!(answered.stored, BATCHES, "{answered:?}");
    assert!(answered.end.is_none(), "{answered:?}");
}

#[tokio::test]
async fn a_batch_that_finds_no_room_in_time_ends_the_stream_and_nothing_behind_it_is_stored() {
    let metrics = metrics();
    let database = TestDatabase::create().await;
    let config = StreamConfig {
        metrics_prefix: "no_room".to_owned(),
        publish_stream_wait_max: Duration::from_millis(100),
        ..StreamConfig::default()
    };
    let server = Server::start_with(&database, small_queue(), config).await;
    let mut blocking = database.connection().await;
    execute(&mut blocking, "begin; select from log.log_head for update").await;
    let mut client = server.client().await;
    let publishing = tokio::spawn(async move { publish(&mut client, batches(20)).await });
    let refused = "no_room_grpc_refused_total{method=\"Publish\",reason=\"OVERLOADED\"} 1";
    eventually(DEADLINE, async || metrics.render().contains(refused)).await;
    execute(&mut blocking, "rollback").await;
    let answered = publishing.await.unwrap();
    // One group is being stored and the queue is full.
    assert!((2..=4).contains(&answered.stored), "{answered:?}");
    assert_eq!(answered.refused, ["OVERLOADED"]);
    let end = error_of(&answered.end.unwrap());
    assert_eq!((end.0, &*end.1), (Code::ResourceExhausted, "OVERLOADED"));
    let mut client = server.client().await;
    let last_position = client.info().await.last_position;
    assert_eq!(last_position, answered.stored * BATCH_EVENTS);
}

#[tokio::test]
async fn a_batch_that_breaks_a_rule_ends_the_stream_and_nothing_behind_it_is_stored() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let mut batches = batches(4);
    batches[1].push(Event {
        source_service: String::new(),
        ..custom_event(5_000)
    });
    let answered = publish(&mut client, batches).await;
    assert_eq!(answered.stored, 1);
    assert_eq!(answered.refused, ["INVALID_ARGUMENT"]);
    let end = answered.end.unwrap();
    assert_eq!(end.code(), Code::InvalidArgument, "{end}");
    assert_eq!(client.info().await.last_position, BATCH_EVENTS);
}
