//! What readers get: every event as it was published, from where they asked, and only what they
//! asked for.

use atlas_events::{
    CollectionFailedEvent, CrossingDirection, CustomEvent, DataPoint, DefinitionChange,
    DefinitionChangedEvent, DefinitionKind, DefinitionState, Event, FindEventRequest,
    RegimeTransitionEvent, SeriesCollectedEvent, SubscriptionRequest, ThresholdCrossedEvent,
    ThresholdInput, TimeRangeRequest, Timestamp, event::Payload,
};
use chrono::{DateTime, TimeDelta, Utc};
use pbjson_types::{ListValue, Struct, Value, value::Kind};
use test_support::{TestDatabase, custom_event, custom_event_at, series_event, started_at};
use tonic::Code;

use crate::common::{Client, Server, after, custom_events, error_of, expectation, read, read_all};

#[tokio::test]
async fn from_the_beginning_and_then_live() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let old = client.publish(custom_events(1..4)).await;
    let mut stream = client.subscribe(after(0)).await;
    assert_eq!(read(&mut stream, 3).await, old);
    let new = client.publish(custom_events(4..6)).await;
    assert_eq!(read(&mut stream, 2).await, new);
}

#[tokio::test]
async fn after_a_cursor() {
    let database = TestDatabase::create().await;
    let warm = Server::start(&database).await;
    let mut client = warm.client().await;
    let published = client.publish_thousands(3).await;
    // The second server has nothing in memory.
    for server in [warm, Server::start(&database).await] {
        let mut client = server.client().await;
        for position in [1, 999, 1_000, 2_999] {
            let mut stream = client.subscribe(after(position)).await;
            let wanted = &published[usize::try_from(position).unwrap()..];
            assert_eq!(read(&mut stream, wanted.len()).await, wanted);
        }
    }
}

#[tokio::test]
async fn a_start_time_is_a_seek_and_no_filter() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let published = client.publish(out_of_order()).await;
    for (millisecond, first_position) in [(0, 1), (2, 2), (5, 2), (6, 5)] {
        let mut stream = client.subscribe(since(at(millisecond))).await;
        let wanted = &published[first_position - 1..];
        assert_eq!(read(&mut stream, wanted.len()).await, wanted);
    }
    // Nothing is stored of a later time, so this one is live, and still no filter.
    let mut stream = client.subscribe(since(at(8))).await;
    let new = client.publish(vec![event_at(6, 4)]).await;
    assert_eq!(read(&mut stream, 1).await, new);
}

#[tokio::test]
async fn without_a_start_only_what_comes_later() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    client.publish(custom_events(1..4)).await;
    let mut stream = client.subscribe(SubscriptionRequest::default()).await;
    let new = client.publish(custom_events(4..5)).await;
    assert_eq!(read(&mut stream, 1).await, new);
}

#[tokio::test]
async fn filters_by_type_and_series() {
    let database = TestDatabase::create().await;
    let warm = Server::start(&database).await;
    let published = warm.client().await.publish(mixture()).await;
    for server in [warm, Server::start(&database).await] {
        let mut client = server.client().await;
        for (types, series, positions) in [
            (vec![], vec![], vec![1, 2, 3, 4, 5, 6]),
            (vec!["SeriesCollectedEvent"], vec![], vec![1, 4]),
            (vec!["CustomEvent"], vec![], vec![2, 3]),
            (vec!["custom:OrderPlaced"], vec![], vec![3]),
            (vec!["custom:Never"], vec![], vec![]),
            (
                vec!["custom:Test", "CollectionFailedEvent"],
                vec![],
                vec![2, 5],
            ),
            (vec![], vec!["UNRATE"], vec![1, 5, 6]),
            (vec![], vec!["DGS10", "UNRATE"], vec![1, 4, 5, 6]),
            (vec!["ThresholdCrossedEvent"], vec!["DGS2"], vec![6]),
            (vec!["CustomEvent"], vec!["UNRATE"], vec![]),
        ] {
            let wanted: Vec<_> = positions.iter().map(|p| published[p - 1].clone()).collect();
            let found = filtered(&mut client, &types, &series, wanted.len()).await;
            assert_eq!(
                found,
                [&wanted[..], &wanted, &wanted],
                "{types:?} {series:?}"
            );
        }
    }
}

/// The same filter in all three streams. A subscription has no end, so that what it delivers is
/// read up to an event which every filter wants.
async fn filtered(
    client: &mut Client,
    types: &[&str],
    series: &[&str],
    count: usize,
) -> [Vec<Event>; 3] {
    let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let range = TimeRangeRequest {
        event_types: owned(types),
        series_ids: owned(series),
        ..TimeRangeRequest::default()
    };
    let to_the_end = TimeRangeRequest {
        end_at: time(Utc::now()),
        ..range.clone()
    };
    let since = client.events.get_events_since(range.clone()).await.unwrap();
    let between = client.events.get_events_between(to_the_end).await.unwrap();
    let mut stream = client
        .subscribe(SubscriptionRequest {
            event_types: range.event_types,
            series_ids: range.series_ids,
            ..after(0)
        })
        .await;
    [
        read(&mut stream, count).await,
        read_all(since.into_inner()).await.unwrap(),
        read_all(between.into_inner()).await.unwrap(),
    ]
}

#[tokio::test]
async fn ranges_are_filters_that_end() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let published = client.publish(out_of_order()).await;
    for (start, end, positions) in [
        (None, None, vec![1, 2, 3, 4, 5]),
        (Some(2), None, vec![2, 3, 5]),
        (Some(8), None, vec![]),
        (Some(1), Some(5), vec![3, 4]),
        (Some(1), Some(6), vec![2, 3, 4]),
        (None, Some(2), vec![1, 4]),
        (Some(2), Some(2), vec![]),
    ] {
        let request = TimeRangeRequest {
            start_from: start.and_then(|millisecond| time(at(millisecond))),
            end_at: end.and_then(|millisecond| time(at(millisecond))),
            ..TimeRangeRequest::default()
        };
        let stream = match end {
            Some(_) => client.events.get_events_between(request).await,
            None => client.events.get_events_since(request).await,
        };
        let found = read_all(stream.unwrap().into_inner()).await.unwrap();
        let wanted: Vec<_> = positions.iter().map(|p| published[p - 1].clone()).collect();
        assert_eq!(found, wanted, "{start:?} {end:?}");
    }
}

#[tokio::test]
async fn a_range_ends_where_the_log_ended_at_the_call() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let published = client.publish_thousands(5).await;
    let request = TimeRangeRequest::default();
    let mut stream = client
        .events
        .get_events_since(request)
        .await
        .unwrap()
        .into_inner();
    let mut found = read(&mut stream, 1).await;
    client.publish(custom_events(5_000..6_000)).await;
    found.extend(read_all(stream).await.unwrap());
    assert!(found == published, "{} events", found.len());
}

#[tokio::test]
async fn every_kind_of_event_arrives_as_it_was_published() {
    let database = TestDatabase::create().await;
    let warm = Server::start(&database).await;
    let mut client = warm.client().await;
    let mut live = client.subscribe(SubscriptionRequest::default()).await;
    let published = client.publish(every_kind()).await;
    for (event, position) in published.iter().zip(1..) {
        assert_eq!(event.position, position);
        let age = Utc::now() - event.recorded_at.unwrap().to_utc().unwrap();
        assert!(age < TimeDelta::minutes(10), "{age}");
    }
    assert_eq!(read(&mut live, published.len()).await, published);
    for server in [warm, Server::start(&database).await] {
        let mut client = server.client().await;
        let mut stream = client.subscribe(after(0)).await;
        assert_eq!(read(&mut stream, published.len()).await, published);
        let range = client.events.get_events_since(TimeRangeRequest::default());
        let range = range.await.unwrap().into_inner();
        assert_eq!(read_all(range).await.unwrap(), published);
        for event in &published {
            let event_id = event.event_id.clone();
            let found = client.log.find_event(FindEventRequest { event_id }).await;
            assert_eq!(found.unwrap().into_inner().event.as_ref(), Some(event));
        }
    }
}

#[tokio::test]
async fn the_latest_time_is_the_greatest_ever_stored() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let empty = client.events.get_latest_event_time(()).await.unwrap_err();
    assert_eq!(
        error_of(&empty),
        expectation(Code::NotFound, "LOG_EMPTY", "")
    );
    client.publish(out_of_order()).await;
    client.publish(vec![event_at(6, 3)]).await;
    let latest = client.events.get_latest_event_time(()).await.unwrap();
    assert_eq!(Some(latest.into_inner()), time(at(7)));
}

#[tokio::test]
async fn log_info_is_returned_with_its_bounds() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let empty = client.info().await;
    assert_eq!(empty.log_id, server.log.log_id().to_string());
    assert_eq!((empty.first_position, empty.last_position), (1, 0));
    assert_eq!(
        (empty.latest_occurred_at, empty.latest_recorded_at),
        (None, None)
    );
    let published = client.publish(out_of_order()).await;
    let info = Server::start(&database).await.client().await.info().await;
    assert_eq!(info.log_id, empty.log_id);
    assert_eq!((info.first_position, info.last_position), (1, 5));
    assert_eq!(info.latest_occurred_at, time(at(7)));
    assert_eq!(info.latest_recorded_at, published[4].recorded_at);
    let kept = Utc::now() - info.earliest_accepted.unwrap().to_utc().unwrap();
    assert_eq!(kept.num_days(), 730);
    assert!(info.edition.starts_with("2."), "{}", info.edition);
    assert!(
        info.event_types
            .contains(&"SeriesCollectedEvent".to_owned())
    );
}

#[tokio::test]
async fn an_event_is_found_by_its_id_or_said_to_be_absent() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let published = client.publish(custom_events(1..3)).await;
    let find = |event_id: &str| FindEventRequest {
        event_id: event_id.to_owned(),
    };
    let lower = published[1].event_id.to_lowercase();
    let found = client.log.find_event(find(&lower)).await.unwrap();
    assert_eq!(found.into_inner().event.as_ref(), Some(&published[1]));
    let absent = find(&custom_event(3).event_id);
    let absent = client.log.find_event(absent).await.unwrap_err();
    assert_eq!(
        error_of(&absent),
        expectation(Code::NotFound, "NO_SUCH_EVENT", "")
    );
}

/// Yesterday, so many milliseconds after the hour that the test began.
fn at(millisecond: i64) -> DateTime<Utc> {
    started_at() - TimeDelta::days(1) + TimeDelta::milliseconds(millisecond)
}

fn time(at: DateTime<Utc>) -> Option<Timestamp> {
    Some(at.into())
}

fn since(start: DateTime<Utc>) -> SubscriptionRequest {
    SubscriptionRequest {
        start_from: time(start),
        ..SubscriptionRequest::default()
    }
}

fn event_at(n: u64, millisecond: i64) -> Event {
    custom_event_at(n, at(millisecond))
}

/// Events that were stored in another order than they occurred.
fn out_of_order() -> Vec<Event> {
    [(1, 0), (2, 5), (3, 2), (4, 1), (5, 7)]
        .map(|(n, millisecond)| event_at(n, millisecond))
        .to_vec()
}

fn with(n: u64, payload: Payload) -> Event {
    Event {
        payload: Some(payload),
        ..custom_event(n)
    }
}

fn custom(kind: &str, fields: Vec<(&str, Value)>) -> Payload {
    let fields = fields
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    Payload::Custom(CustomEvent {
        r#type: kind.to_owned(),
        data: Some(Struct {
            fields: fields.collect(),
        }),
    })
}

fn failed(series_id: &str) -> Payload {
    Payload::CollectionFailed(CollectionFailedEvent {
        series_id: series_id.to_owned(),
        error_code: "HTTP_503".to_owned(),
        error_message: "the source is away, \"for a while\"".to_owned(),
        attempt: 5,
        next_attempt_at: time(at(90_000)),
    })
}

fn crossed(series_ids: &[&str]) -> Payload {
    let input = |series_id: &&str| ThresholdInput {
        series_id: (*series_id).to_owned(),
        value: Some("31.25".to_owned()),
        date: "2025-06-01".to_owned(),
        known_from: time(at(5)),
    };
    Payload::ThresholdCrossed(ThresholdCrossedEvent {
        pattern_id: "vix-high".to_owned(),
        pattern_name: "VIX above 30 – größer".to_owned(),
        pattern_version: "9f2c".to_owned(),
        direction: CrossingDirection::Entered as i32,
        severity: "warning".to_owned(),
        labels: [("team".to_owned(), "risk".to_owned())].into(),
        value: Some("31.25".to_owned()),
        threshold: Some("30".to_owned()),
        inputs: series_ids.iter().map(input).collect(),
        previous_state: "normal".to_owned(),
        previous_state_since: time(at(-1_000)),
        cause_event_id: custom_event(1).event_id,
        cause_position: 7,
        observation_date: "2025-06-01".to_owned(),
        message: "VIX is 31.25".to_owned(),
        revises_event_id: String::new(),
        revised_direction: CrossingDirection::Cleared.into(),
        withdrawn: true,
        active: Some(false),
    })
}

/// One event for each thing that filters distinguish.
fn mixture() -> Vec<Event> {
    vec![
        series_event(1, "UNRATE", "2025-05-01", "4.2"),
        custom_event(2),
        with(3, custom("OrderPlaced", vec![])),
        series_event(4, "DGS10", "2025-06-02", "4.69"),
        with(5, failed("UNRATE")),
        with(6, crossed(&["DGS2", "UNRATE"])),
    ]
}

/// One event of each payload, with every field set, and with as few as possible.
fn every_kind() -> Vec<Event> {
    let point = |date: &str, value: Option<&str>, known_from| DataPoint {
        date: date.to_owned(),
        value: value.map(str::to_owned),
        known_from,
    };
    let collected = Payload::SeriesCollected(SeriesCollectedEvent {
        series_id: "A191RL1Q225SBEA".to_owned(),
        data_points: vec![
            point("1948-01-01", Some("-0.125000"), time(at(0))),
            point(
                "1948-01-01",
                Some("9999999999999999999999999999"),
                time(at(1)),
            ),
            point("2025-10-01", None, None),
        ],
        collected_at: time(at(3)),
        release_part: None,
    });
    let regime = Payload::RegimeTransition(RegimeTransitionEvent {
        model_id: "cycle".to_owned(),
        from_regime: "expansion".to_owned(),
        to_regime: "slowdown".to_owned(),
        since: "2025-06-01".to_owned(),
        score: Some("-1.5".to_owned()),
        trigger_pattern_ids: vec!["vix-high".to_owned(), "sahm".to_owned()],
        cause_event_id: custom_event(1).event_id,
        cause_position: u64::MAX,
        model_version: "0123456789abcdef".to_owned(),
        revised: true,
        withdrawn: true,
        revises_event_id: custom_event(2).event_id,
        definition_event_id: custom_event(3).event_id,
        current_regime: "expansion".to_owned(),
    });
    let state = |active| DefinitionState {
        state: "active".to_owned(),
        since: "2025-06-01".to_owned(),
        active,
    };
    let definition = Payload::DefinitionChanged(DefinitionChangedEvent {
        kind: DefinitionKind::Pattern.into(),
        definition_id: "vix-high".to_owned(),
        name: "VIX above 30".to_owned(),
        change: DefinitionChange::Suspended.into(),
        version: "9f2c".to_owned(),
        previous_version: "8e1b".to_owned(),
        before: Some(state(Some(true))),
        after: Some(state(None)),
        reason: "it fails".to_owned(),
        series_ids: vec!["VIXCLS".to_owned()],
        cause_event_id: custom_event(1).event_id,
        cause_position: 7,
    });
    let list = Value {
        kind: Some(Kind::ListValue(ListValue {
            values: vec![Value::from(true), Value::from(1.5e300), Value::from("😀")],
        })),
    };
    let rich = custom(
        "order.placed-2",
        vec![("list", list), ("text", Value::from("a\"b\\c\n"))],
    );
    let bare = Payload::Custom(CustomEvent {
        r#type: "Bare".to_owned(),
        data: None,
    });
    vec![
        Event {
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
            ..with(1, collected)
        },
        with(2, failed("UNRATE")),
        with(3, crossed(&["VIXCLS", "DGS10"])),
        with(4, regime),
        with(5, rich),
        with(6, bare),
        with(7, definition),
    ]
}
