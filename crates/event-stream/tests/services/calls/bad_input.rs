//! Bad input gets a status that names the reason and the field, nothing is stored, and the server
//! goes on.

use std::{collections::HashMap, time::Duration};

use atlas_events::{
    CaughtUp, CustomEvent, DataPoint, Event, FindEventRequest, PublishRefusal, PublishRequest,
    SeriesCollectedEvent, SubscriptionRequest, TimeRangeRequest, Timestamp, event::Payload,
    publish_stream_response::Outcome,
};
use chrono::{TimeDelta, Utc};
use event_log::LogConfig;
use event_stream::StreamConfig;
use futures::stream;
use pbjson_types::{ListValue, Struct, Value, value::Kind};
use test_support::{TestDatabase, custom_event, custom_event_at, eventually, series_event};
use tokio::time::timeout;
use tonic::{Code, Status};
use ulid::Ulid;

use crate::common::{
    Client, DEADLINE, Server, after, beating, custom_events, error_of, expectation, fact, next,
    read_all,
};

const INVALID: &str = "INVALID_ARGUMENT";

#[tokio::test]
async fn in_a_publish() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    for (event, field) in bad_events() {
        let batch = vec![custom_event(1), event];
        let field = format!("events[1].{field}");
        let answer = client.try_publish(batch.clone()).await;
        let status = answer.expect_err(&field);
        let expected = expectation(Code::InvalidArgument, INVALID, &field);
        assert_eq!(error_of(&status), expected, "{status}");
        assert!(status.message().starts_with(&field), "{status}");
        let refused = refused_in_stream(&mut client, batch).await;
        let answer = (
            refused.code,
            refused.reason.as_str(),
            refused.field.as_str(),
        );
        assert_eq!(
            answer,
            (Code::InvalidArgument as i32, INVALID, field.as_str())
        );
        assert!(refused.message.starts_with(&field), "{refused:?}");
        assert!(refused.definitely_not_stored);
        assert_eq!(client.info().await.last_position, 0, "{field}");
    }
    let published = client.publish(custom_events(1..2)).await;
    assert_eq!(published[0].position, 1);
}

/// Events that each break one rule, and the field that is to blame.
fn bad_events() -> Vec<(Event, &'static str)> {
    let now = Utc::now();
    let at = |offset| custom_event_at(1, now + offset);
    let apart = Event {
        occurred_at: Some((now - TimeDelta::days(1)).into()),
        event_id: Ulid::from_parts((now.timestamp_millis() as u64) - 3_600_000, 1).to_string(),
        ..custom_event(1)
    };
    let no_time = Timestamp {
        seconds: 0,
        nanos: 1_000_000_000,
    };
    vec![
        (
            Event {
                event_id: "nonsense".to_owned(),
                ..custom_event(1)
            },
            "event_id",
        ),
        (
            Event {
                event_id: "8".repeat(26),
                ..custom_event(1)
            },
            "event_id",
        ),
        (apart, "event_id"),
        (at(TimeDelta::minutes(65)), "occurred_at"),
        (at(-TimeDelta::days(731)), "occurred_at"),
        (
            Event {
                occurred_at: Some(no_time),
                ..custom_event(1)
            },
            "occurred_at",
        ),
        (
            Event {
                source_service: String::new(),
                ..custom_event(1)
            },
            "source_service",
        ),
        (
            Event {
                source_service: "x".repeat(101),
                ..custom_event(1)
            },
            "source_service",
        ),
        (
            Event {
                source_service: "a\0b".to_owned(),
                ..custom_event(1)
            },
            "source_service",
        ),
        (
            Event {
                traceparent: "x".repeat(101),
                ..custom_event(1)
            },
            "traceparent",
        ),
        (
            Event {
                payload: None,
                ..custom_event(1)
            },
            "payload",
        ),
        (with(Payload::CaughtUp(CaughtUp::default())), "payload"),
        (
            custom("Test", Value::from("x".repeat(1_100_000))),
            "payload",
        ),
        (custom("Test", Value::from(f64::NAN)), "custom.data.n"),
        (
            custom("Test", list(Value::from(f64::NEG_INFINITY))),
            "custom.data.n",
        ),
        (custom("Test", Value::from("a\0b")), "custom.data.n"),
        (custom("", Value::from(1.0)), "custom.type"),
        (custom("1st", Value::from(1.0)), "custom.type"),
        (
            custom("SeriesCollectedEvent", Value::from(1.0)),
            "custom.type",
        ),
        (
            series_event(1, "", "2025-01-01", "1"),
            "series_collected.series_id",
        ),
        (
            series_event(1, &"x".repeat(51), "2025-01-01", "1"),
            "series_collected.series_id",
        ),
        (
            series_event(1, "X", "2025-02-29", "1"),
            "series_collected.data_points[0].date",
        ),
        (
            series_event(1, "X", "2025-01-01", "NaN"),
            "series_collected.data_points[0].value",
        ),
        (
            series_event(1, "X", "2025-01-01", "1e5"),
            "series_collected.data_points[0].value",
        ),
        (collected(vec![]), "series_collected.data_points"),
        (
            collected(vec![point(), point()]),
            "series_collected.data_points[1].date",
        ),
    ]
}

fn with(payload: Payload) -> Event {
    Event {
        payload: Some(payload),
        ..custom_event(1)
    }
}

fn custom(kind: &str, n: Value) -> Event {
    with(Payload::Custom(CustomEvent {
        r#type: kind.to_owned(),
        data: Some(Struct {
            fields: HashMap::from([("n".to_owned(), n)]),
        }),
    }))
}

fn list(value: Value) -> Value {
    let values = vec![value];
    Value {
        kind: Some(Kind::ListValue(ListValue { values })),
    }
}

fn collected(data_points: Vec<DataPoint>) -> Event {
    with(Payload::SeriesCollected(SeriesCollectedEvent {
        series_id: "X".to_owned(),
        data_points,
        collected_at: None,
        release_part: None,
    }))
}

fn point() -> DataPoint {
    DataPoint {
        date: "2025-01-01".to_owned(),
        value: None,
        known_from: None,
    }
}

async fn refused_in_stream(client: &mut Client, events: Vec<Event>) -> PublishRefusal {
    let requests = stream::iter([PublishRequest {
        events,
        ..PublishRequest::default()
    }]);
    let answers = client.publisher.publish_stream(requests).await.unwrap();
    let answer = timeout(DEADLINE, answers.into_inner().message())
        .await
        .unwrap();
    match answer.unwrap().unwrap().outcome.unwrap() {
        Outcome::Refused(refused) => refused,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn in_a_subscription() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    client.publish(custom_events(1..4)).await;
    for (request, field) in bad_subscriptions() {
        let refused = client.try_subscribe(request.clone()).await.unwrap_err();
        let expected = expectation(Code::InvalidArgument, INVALID, field);
        assert_eq!(error_of(&refused), expected, "{request:?}");
        assert!(refused.message().starts_with(field), "{refused}");
    }
    let beyond = client.try_subscribe(after(4)).await.unwrap_err();
    let expected = expectation(Code::OutOfRange, "BEYOND_HEAD", "after_position");
    assert_eq!(error_of(&beyond), expected);
    assert_eq!(fact(&beyond, "last_position"), "3");
    let absurd = client.try_subscribe(after(u64::MAX)).await.unwrap_err();
    assert_eq!(error_of(&absurd), expected);
    let mut stream = client.subscribe(after(0)).await;
    assert_eq!(next(&mut stream).await.unwrap().position, 1);
}

fn bad_subscriptions() -> Vec<(SubscriptionRequest, &'static str)> {
    let request = SubscriptionRequest::default;
    let series = |id: String| SubscriptionRequest {
        series_ids: vec![id],
        ..request()
    };
    let heartbeat = |interval: Duration| SubscriptionRequest {
        heartbeat_interval: Some(interval.into()),
        ..request()
    };
    let negative = pbjson_types::Duration {
        seconds: -1,
        nanos: 0,
    };
    let (now, no_time) = (
        Utc::now().into(),
        Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        },
    );
    vec![
        (
            SubscriptionRequest {
                start_from: Some(now),
                ..after(1)
            },
            "start_from",
        ),
        (
            SubscriptionRequest {
                start_from: Some(no_time),
                ..request()
            },
            "start_from",
        ),
        (heartbeat(Duration::from_millis(99)), "heartbeat_interval"),
        (
            heartbeat(Duration::from_millis(3_600_001)),
            "heartbeat_interval",
        ),
        (
            SubscriptionRequest {
                heartbeat_interval: Some(negative),
                ..request()
            },
            "heartbeat_interval",
        ),
        (series(String::new()), "series_ids[0]"),
        (series("x".repeat(51)), "series_ids[0]"),
        (
            SubscriptionRequest {
                series_ids: vec!["X".to_owned(); 1_001],
                ..request()
            },
            "series_ids",
        ),
        (
            SubscriptionRequest {
                consumer: "x".repeat(101),
                ..request()
            },
            "consumer",
        ),
    ]
}

#[tokio::test]
async fn an_unknown_event_type_is_refused_with_the_known_ones() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let event_types = ["CustomEvent", "seriescollectedevent"]
        .map(str::to_owned)
        .to_vec();
    let request = SubscriptionRequest {
        event_types: event_types.clone(),
        ..after(0)
    };
    let range = TimeRangeRequest {
        event_types,
        ..TimeRangeRequest::default()
    };
    for refused in [
        client.try_subscribe(request).await.unwrap_err(),
        client.events.get_events_since(range).await.unwrap_err(),
    ] {
        let expected = expectation(Code::InvalidArgument, INVALID, "event_types[1]");
        assert_eq!(error_of(&refused), expected);
        for known in client.info().await.event_types {
            assert!(refused.message().contains(&known), "{refused}");
        }
    }
}

#[tokio::test]
async fn in_a_range_and_a_search() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let range = |start_from, end_at| TimeRangeRequest {
        start_from,
        end_at,
        ..TimeRangeRequest::default()
    };
    for (request, field) in [
        (range(time(5), time(4)), "end_at"),
        (range(time(5), None), "end_at"),
        (range(time(i64::MIN), time(4)), "start_from"),
        (range(None, time(i64::MAX)), "end_at"),
        (
            TimeRangeRequest {
                series_ids: vec!["x".repeat(51)],
                ..range(None, time(5))
            },
            "series_ids[0]",
        ),
    ] {
        let refused = client.events.get_events_between(request).await.unwrap_err();
        let expected = expectation(Code::InvalidArgument, INVALID, field);
        assert_eq!(error_of(&refused), expected);
    }
    let refused = client
        .events
        .get_events_since(range(None, time(5)))
        .await
        .unwrap_err();
    assert_eq!(
        error_of(&refused),
        expectation(Code::InvalidArgument, INVALID, "end_at")
    );
    let request = FindEventRequest {
        event_id: "nonsense".to_owned(),
    };
    let refused = client.log.find_event(request).await.unwrap_err();
    assert_eq!(
        error_of(&refused),
        expectation(Code::InvalidArgument, INVALID, "event_id")
    );
}

#[tokio::test]
async fn a_cursor_of_another_log() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let of_log = |log_id: &str| SubscriptionRequest {
        log_id: log_id.to_owned(),
        ..after(0)
    };
    let log_id = client.info().await.log_id;
    let other = "9d0a1c5e-0000-4000-8000-000000000000";
    let refused = client.try_subscribe(of_log(other)).await.unwrap_err();
    assert_eq!(
        error_of(&refused),
        expectation(Code::FailedPrecondition, "OTHER_LOG", "log_id")
    );
    assert_eq!(fact(&refused, "log_id"), log_id);
    let mut stream = client.subscribe(beating(of_log(&log_id))).await;
    next(&mut stream).await.unwrap();
}

#[tokio::test]
async fn too_many_streams() {
    let database = TestDatabase::create().await;
    let config = StreamConfig {
        subscriptions_max: 2,
        ..StreamConfig::default()
    };
    let server = Server::start_with(&database, LogConfig::default(), config).await;
    let mut client = server.client().await;
    let published = client.publish_megabytes().await;
    let expected = expectation(Code::ResourceExhausted, "TOO_MANY_STREAMS", "");
    let range = TimeRangeRequest::default;
    // Both are longer than what a client takes without reading.
    let subscription = client.subscribe(after(0)).await;
    let reading = client.events.get_events_since(range()).await.unwrap();
    let refused: Vec<Status> = vec![
        client.try_subscribe(after(0)).await.unwrap_err(),
        client.events.get_events_since(range()).await.unwrap_err(),
    ];
    for refused in &refused {
        assert_eq!(error_of(refused), expected);
    }
    // Other calls go on, and a stream that ends gives its place to the next.
    client.publish(custom_events(1_000..1_001)).await;
    drop(subscription);
    let resumed = eventually(DEADLINE, async || {
        client.try_subscribe(after(0)).await.is_ok()
    });
    resumed.await;
    assert!(read_all(reading.into_inner()).await.unwrap() == published);
}
