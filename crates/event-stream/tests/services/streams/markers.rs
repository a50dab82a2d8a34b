//! The opt-in messages in a stream that say where it stands.

use atlas_events::{CaughtUp, Event, FellBehind, Heartbeat, SubscriptionRequest, event::Payload};
use chrono::{DateTime, Utc};
use event_log::LogConfig;
use event_stream::StreamConfig;
use test_support::{TestDatabase, series_event, until_waiting, waiting};
use tonic::Streaming;

use crate::common::{
    DEADLINE, Server, after, beating, custom_events, execute, is_marker, next, read,
};

#[tokio::test]
async fn an_idle_stream_beats_with_position_and_time() {
    let database = TestDatabase::create().await;
    let now = DateTime::from_timestamp(1_750_000_000, 5_000).unwrap();
    let config = StreamConfig {
        clock: atlas_events::Clock::from_fn(move || now),
        ..StreamConfig::default()
    };
    let server = Server::start_with(&database, LogConfig::default(), config).await;
    let mut client = server.client().await;
    client.publish(custom_events(1..4)).await;
    let mut stream = client
        .subscribe(beating(SubscriptionRequest::default()))
        .await;
    let server_time = Some(now.into());
    let caught_up = CaughtUp {
        position: 3,
        server_time,
        log_id: server.log.log_id().to_string(),
    };
    let beat = Heartbeat {
        position: 3,
        head_position: 3,
        server_time,
        log_id: caught_up.log_id.clone(),
    };
    for payload in [
        Payload::CaughtUp(caught_up),
        Payload::Heartbeat(beat.clone()),
        Payload::Heartbeat(beat),
    ] {
        let marker = Event {
            payload: Some(payload),
            ..Event::default()
        };
        assert_eq!(next(&mut stream).await.unwrap(), marker);
    }
}

#[tokio::test]
async fn caught_up_comes_once_everything_stored_was_delivered() {
    let database = TestDatabase::create().await;
    let warm = Server::start(&database).await;
    warm.client().await.publish(custom_events(0..1_000)).await;
    warm.client()
        .await
        .publish(custom_events(1_000..1_500))
        .await;
    for server in [warm, Server::start(&database).await] {
        let mut client = server.client().await;
        let mut stream = client.subscribe(beating(after(0))).await;
        let mut positions = Vec::new();
        let position = loop {
            let event = next(&mut stream).await.unwrap();
            match event.payload {
                Some(Payload::CaughtUp(marker)) => break marker.position,
                Some(Payload::Heartbeat(_)) => {}
                _ => positions.push(event.position),
            }
        };
        assert_eq!(position, 1_500);
        assert_eq!(positions, (1..=1_500).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn on_a_filtered_stream_the_position_moves_and_is_a_cursor() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let request = |request| SubscriptionRequest {
        series_ids: vec!["UNRATE".to_owned()],
        ..beating(request)
    };
    let mut stream = client
        .subscribe(request(SubscriptionRequest::default()))
        .await;
    client.publish(custom_events(1..50)).await;
    let beat = heartbeat_at(&mut stream, 49).await;
    assert_eq!(beat.head_position, 49);
    drop(stream);
    let wanted = vec![series_event(50, "UNRATE", "2025-01-01", "4.1")];
    let wanted = client.publish(wanted).await;
    let mut stream = client.subscribe(request(after(beat.position))).await;
    assert_eq!(next(&mut stream).await.unwrap(), wanted[0]);
}

#[tokio::test]
async fn a_reader_gets_markers_when_it_fell_behind_and_when_it_caught_up() {
    let database = TestDatabase::create().await;
    // No event stays in memory, so that even a quick reader is behind with each.
    let log_config = LogConfig {
        ring_bytes_max: 0,
        ..LogConfig::default()
    };
    let server = Server::start_with(&database, log_config, StreamConfig::default()).await;
    let mut client = server.client().await;
    let mut stream = client
        .subscribe(beating(SubscriptionRequest::default()))
        .await;
    assert!(matches!(
        next_but_beats(&mut stream).await,
        Payload::CaughtUp(_)
    ));
    for position in 1..4 {
        let n = position;
        let published = client.publish(custom_events(n..n + 1)).await;
        let Payload::FellBehind(FellBehind {
            position: reached,
            head_position,
            ..
        }) = next_but_beats(&mut stream).await
        else {
            panic!("no marker before {position}");
        };
        assert_eq!((reached, head_position), (position - 1, position));
        assert_eq!(
            Some(next_but_beats(&mut stream).await),
            published[0].payload
        );
        let Payload::CaughtUp(caught_up) = next_but_beats(&mut stream).await else {
            panic!("no marker after {position}");
        };
        assert_eq!(caught_up.position, position);
    }
}

#[tokio::test]
async fn no_markers_unless_asked_for() {
    let database = TestDatabase::create().await;
    let log_config = LogConfig {
        ring_bytes_max: 0,
        ..LogConfig::default()
    };
    let server = Server::start_with(&database, log_config, StreamConfig::default()).await;
    let mut client = server.client().await;
    let mut beating_stream = client.subscribe(beating(after(0))).await;
    let mut stream = client.subscribe(after(0)).await;
    let mut markers = 0;
    for n in 1..10 {
        let published = client.publish(custom_events(n..n + 1)).await;
        assert_eq!(read(&mut stream, 1).await, published);
        while is_marker(&next(&mut beating_stream).await.unwrap()) {
            markers += 1;
        }
    }
    assert!(markers >= 9, "{markers} markers for the one that asked");
}

#[tokio::test]
async fn a_read_that_outlasts_the_interval_is_not_begun_anew() {
    let database = TestDatabase::create().await;
    let warm = Server::start(&database).await;
    let mut client = warm.client().await;
    client.publish(custom_events(1..1_000)).await;
    let wanted = vec![series_event(1_000, "UNRATE", "2025-01-01", "4.1")];
    let wanted = client.publish(wanted).await;
    // This one has nothing in memory, and its read waits for a lock.
    let cold = Server::start_without_retention(&database).await;
    let mut client = cold.client().await;
    let mut locking = database.connection().await;
    let mut watching = database.connection().await;
    execute(
        &mut locking,
        "begin; lock table log.events in access exclusive mode",
    )
    .await;
    let request = SubscriptionRequest {
        series_ids: vec!["UNRATE".to_owned()],
        ..beating(after(0))
    };
    let mut stream = client.subscribe(request).await;
    until_waiting(DEADLINE, &mut watching, 1).await;
    let reading = waiting(&mut watching).await;
    for _ in 0..3 {
        let event = next(&mut stream).await.unwrap();
        let Some(Payload::Heartbeat(beat)) = event.payload else {
            panic!("{event:?}");
        };
        assert_eq!(beat.position, 0);
    }
    assert_eq!(waiting(&mut watching).await, reading);
    execute(&mut locking, "rollback").await;
    let found = loop {
        let event = next(&mut stream).await.unwrap();
        if !is_marker(&event) {
            break event;
        }
    };
    assert_eq!(found, wanted[0]);
}

/// The first heartbeat with a position; those before it have earlier ones.
async fn heartbeat_at(stream: &mut Streaming<Event>, position: u64) -> Heartbeat {
    let mut before = 0;
    loop {
        let event = next(stream).await.unwrap();
        match event.payload {
            Some(Payload::Heartbeat(beat)) if beat.position == position => return beat,
            Some(Payload::Heartbeat(beat)) => {
                assert!((before..position).contains(&beat.position), "{beat:?}");
                let age = Utc::now() - beat.server_time.unwrap().to_utc().unwrap();
                assert!(age.num_seconds().abs() < 60, "{age}");
                before = beat.position;
            }
            Some(Payload::CaughtUp(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn next_but_beats(stream: &mut Streaming<Event>) -> Payload {
    loop {
        match next(stream).await.unwrap().payload.unwrap() {
            Payload::Heartbeat(_) => {}
            payload => return payload,
        }
    }
}
