//! The answers to publishers, and that they are true.

use std::iter::zip;

use atlas_events::{
    Event, PublishRequest, PublishStreamResponse, publish_stream_response::Outcome,
};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use event_log::LogConfig;
use event_stream::StreamConfig;
use futures::{StreamExt, stream};
use test_support::{TestDatabase, custom_event};
use tokio::time::timeout;
use tonic::{Code, Streaming};
use ulid::Ulid;

use crate::common::{
    Client, DEADLINE, Server, after, custom_events, error_of, expectation, fact, large_event, read,
    receipts_of,
};

#[tokio::test]
async fn a_batch_is_stored_as_a_whole_or_not_at_all() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let mut batch = custom_events(1..4);
    batch[2].event_id = "nonsense".to_owned();
    let refused = client.try_publish(batch.clone()).await.unwrap_err();
    let field = "events[2].event_id";
    assert_eq!(
        error_of(&refused),
        expectation(Code::InvalidArgument, "INVALID_ARGUMENT", field)
    );
    assert_eq!(client.info().await.last_position, 0);
    batch[2] = custom_event(3);
    let published = client.publish(batch).await;
    let positions: Vec<_> = published.iter().map(|event| event.position).collect();
    assert_eq!(positions, [1, 2, 3]);
}

#[tokio::test]
async fn receipts_name_what_readers_get() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let first = client.publish(custom_events(1..3)).await;
    let second = client.publish(custom_events(3..4)).await;
    assert!(first[0].recorded_at.is_some());
    assert!(first[1].recorded_at.unwrap().to_utc() <= second[0].recorded_at.unwrap().to_utc());
    let mut stream = client.subscribe(after(0)).await;
    assert_eq!(read(&mut stream, 3).await, [first, second].concat());
}

#[tokio::test]
async fn ids_and_times_are_derived_from_each_other() {
    let database = TestDatabase::create().await;
    let now = Utc::now().trunc_subsecs(3);
    let log_config = LogConfig {
        clock: atlas_events::Clock::from_fn(move || now),
        ..LogConfig::default()
    };
    let server = Server::start_with(&database, log_config, StreamConfig::default()).await;
    let mut client = server.client().await;
    let occurred_at = now - TimeDelta::days(3) + TimeDelta::microseconds(250);
    let id = Ulid::from_parts((now - TimeDelta::days(2)).timestamp_millis() as u64, 99);
    client
        .publish(vec![
            Event {
                event_id: String::new(),
                occurred_at: Some(occurred_at.into()),
                ..custom_event(1)
            },
            Event {
                event_id: id.to_string(),
                occurred_at: None,
                ..custom_event(2)
            },
            Event {
                event_id: String::new(),
                occurred_at: None,
                ..custom_event(3)
            },
        ])
        .await;
    let mut stream = client.subscribe(after(0)).await;
    let read = read(&mut stream, 3).await;
    let id_time = |event: &Event| {
        let id = Ulid::from_string(&event.event_id).unwrap();
        DateTime::from_timestamp_millis(id.timestamp_ms() as i64).unwrap()
    };
    let time = |event: &Event| event.occurred_at.unwrap().to_utc().unwrap();
    assert_eq!(time(&read[0]), occurred_at);
    assert_eq!(id_time(&read[0]), occurred_at.trunc_subsecs(3));
    assert_eq!(read[1].event_id, id.to_string());
    assert_eq!(time(&read[1]), now - TimeDelta::days(2));
    assert_eq!((time(&read[2]), id_time(&read[2])), (now, now));
}

#[tokio::test]
async fn an_event_published_again_gets_the_receipt_of_the_first() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let first = client.try_publish(custom_events(1..4)).await.unwrap();
    let mut other = Server::start(&database).await.client().await;
    // Another content does not make it another event.
    let mut changed = custom_event(2);
    changed.source_service = "another".to_owned();
    let batch = vec![custom_event(4), changed, custom_event(4), custom_event(1)];
    let again = other.try_publish(batch).await.unwrap();
    let reported: Vec<_> = again.iter().map(|r| (r.position, r.duplicate)).collect();
    assert_eq!(reported, [(4, false), (2, true), (4, true), (1, true)]);
    assert_eq!(again[1].recorded_at, first[1].recorded_at);
    assert_eq!(again[3].recorded_at, first[0].recorded_at);
    assert_eq!(other.info().await.last_position, 4);
    let mut stream = client.subscribe(after(0)).await;
    assert_eq!(read(&mut stream, 4).await[1].source_service, "test");
}

#[tokio::test]
async fn thousands_in_flight_are_acknowledged_in_order() {
    const REQUESTS: u64 = 5_000;
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let requests = (0..REQUESTS).map(|n| PublishRequest {
        events: vec![custom_event(n)],
        ..PublishRequest::default()
    });
    let answers = answers(&mut client, requests.collect()).await;
    let receipts: Vec<_> = answers.into_iter().flat_map(receipts_of).collect();
    assert_eq!(receipts.len() as u64, REQUESTS);
    for (receipt, n) in zip(&receipts, 0..) {
        assert_eq!(receipt.event_id, custom_event(n).event_id);
        assert_eq!((receipt.position, receipt.duplicate), (n + 1, false));
    }
}

#[tokio::test]
async fn a_refused_batch_is_answered_in_its_place_and_the_stream_goes_on_if_asked_to() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let marker = Event {
        source_service: String::new(),
        ..custom_event(2)
    };
    let batches = [
        vec![custom_event(1)],
        vec![custom_event(2), marker],
        custom_events(0..1_001),
        vec![],
        vec![custom_event(3)],
    ];
    let requests = batches.map(|events| PublishRequest {
        events,
        continue_after_refusal: true,
        ..PublishRequest::default()
    });
    let answers = answers(&mut client, requests.to_vec()).await;
    let refused: Vec<_> = answers[1..4].iter().map(refusal_of).collect();
    let invalid = Code::InvalidArgument as i32;
    let exhausted = Code::ResourceExhausted as i32;
    assert_eq!(
        refused,
        [
            (
                invalid,
                "INVALID_ARGUMENT",
                "events[1].source_service",
                true
            ),
            (exhausted, "BATCH_TOO_LARGE", "events", true),
            (invalid, "INVALID_ARGUMENT", "events", true),
        ]
    );
    let stored = [answers[0].clone(), answers[4].clone()];
    let positions: Vec<_> = stored
        .into_iter()
        .map(|a| receipts_of(a)[0].position)
        .collect();
    assert_eq!(positions, [1, 2]);
}

#[tokio::test]
async fn the_error_for_a_batch_over_the_limit_names_the_limit() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let refused = client
        .try_publish(custom_events(0..1_001))
        .await
        .unwrap_err();
    assert_eq!(
        error_of(&refused),
        expectation(Code::ResourceExhausted, "BATCH_TOO_LARGE", "events")
    );
    assert!(refused.message().contains("1001"), "{refused}");
    assert!(refused.message().contains("1000"), "{refused}");
    assert_eq!(fact(&refused, "events_max"), "1000");
    assert_eq!(client.info().await.last_position, 0);
    client.publish(custom_events(0..1_000)).await;
}

#[tokio::test]
async fn the_error_for_a_message_over_the_limit_names_the_limit() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let large: Vec<_> = (1..6).map(|n| large_event(n, 900_000)).collect();
    let too_large = expectation(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", "");
    let refused = client.try_publish(large.clone()).await.unwrap_err();
    assert_eq!(error_of(&refused), too_large);
    assert_eq!(fact(&refused, "message_bytes_max"), "4194304");
    // What cannot be read as a message ends a stream; what came before it is acknowledged.
    let requests = [vec![custom_event(7)], large.clone()].map(|events| PublishRequest {
        events,
        ..PublishRequest::default()
    });
    let mut answers = publish_stream(&mut client, requests.to_vec()).await;
    let first = timeout(DEADLINE, answers.message()).await.unwrap().unwrap();
    assert_eq!(receipts_of(first.unwrap())[0].position, 1);
    let refused = timeout(DEADLINE, answers.message())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error_of(&refused), too_large);
    assert_eq!(fact(&refused, "message_bytes_max"), "4194304");
    // Just under the limit all is well, on the same connection.
    assert_eq!(client.publish(large[..4].to_vec()).await[3].position, 5);
}

async fn publish_stream(
    client: &mut Client,
    requests: Vec<PublishRequest>,
) -> Streaming<PublishStreamResponse> {
    let answers = client
        .publisher
        .publish_stream(stream::iter(requests))
        .await;
    answers.unwrap().into_inner()
}

/// All answers to requests that are sent without waiting for any.
async fn answers(client: &mut Client, requests: Vec<PublishRequest>) -> Vec<PublishStreamResponse> {
    let answers = publish_stream(client, requests).await;
    let answers = timeout(DEADLINE, answers.collect::<Vec<_>>())
        .await
        .unwrap();
    answers.into_iter().map(Result::unwrap).collect()
}

fn refusal_of(answer: &PublishStreamResponse) -> (i32, &str, &str, bool) {
    match answer.outcome.as_ref().unwrap() {
        Outcome::Refused(r) => (r.code, &r.reason, &r.field, r.definitely_not_stored),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_idle_publish_stream_has_heartbeats() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let asking = |events| PublishRequest {
        events,
        heartbeat_interval: Some(pbjson_types::Duration {
            seconds: 0,
            nanos: 100_000_000,
        }),
        ..PublishRequest::default()
    };
    let (sender, requests) = tokio::sync::mpsc::channel(8);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let answers = client.publisher.publish_stream(requests).await.unwrap();
    let mut answers = answers.into_inner();
    let mut next = async || {
        let answer = timeout(DEADLINE, answers.message()).await.unwrap();
        answer.unwrap().unwrap().outcome.unwrap()
    };
    let is_heartbeat = |outcome: &Outcome| matches!(outcome, Outcome::Heartbeat(_));
    // The one that is asked for by a request, and others of their own accord.
    sender.send(asking(Vec::new())).await.unwrap();
    for _ in 0..3 {
        assert!(is_heartbeat(&next().await));
    }
    sender.send(asking(vec![custom_event(1)])).await.unwrap();
    let stored = loop {
        let outcome = next().await;
        if !is_heartbeat(&outcome) {
            break outcome;
        }
    };
    assert!(matches!(stored, Outcome::Stored(_)), "{stored:?}");
    assert!(is_heartbeat(&next().await));
    let mut too_often = asking(vec![custom_event(2)]);
    too_often.heartbeat_interval = Some(pbjson_types::Duration::default());
    sender.send(too_often).await.unwrap();
    let refused = loop {
        match next().await {
            Outcome::Refused(refused) => break refused,
            outcome => assert!(is_heartbeat(&outcome), "{outcome:?}"),
        }
    };
    assert_eq!(refused.field, "heartbeat_interval");
}
