//! What can become of a source.

use std::{sync::Arc, time::Duration};

use atlas_events::{Event, Heartbeat, WantedEvents, event::Payload};
use chrono::TimeDelta;
use consumer::{ConsumerError, Reset, Source};
use event_log::LogConfig;
use test_support::{TestDatabase, custom_event, draft, eventually, series_event};

use crate::exactly_once::promise_6_exactly_once::in_both_forms;
use crate::support::{
    common::{Bench, DEADLINE, Form, Run, ServedLog, all, append},
    handler::Faults,
    proxy::Proxy,
    scripted::Scripted,
};

in_both_forms!(
    a_replaced_log_stops_the_consumer_with_a_message,
    a_checkpoint_that_retention_overtook_stops_the_consumer_with_a_message,
    a_checkpoint_beyond_the_log_stops_the_consumer_with_a_message,
    a_hole_in_the_stored_log_stops_the_consumer,
    a_filtered_consumer_gets_what_it_wants_and_its_checkpoint_follows_the_log,
);

async fn ended(run: Run) -> ConsumerError {
    run.ended().await.unwrap_err()
}

async fn a_replaced_log_stops_the_consumer_with_a_message(form: Form) {
    let bench = Bench::create(form).await;
    bench.served.append(0..50).await;
    let run = bench.run(&Faults::none()).await;
    bench.until_position(50).await;
    run.stop().await;

    let replacement = ServedLog::start(&bench.database, "replacement").await;
    replacement.append(1_000..1_100).await;
    let consume = async || {
        let source = replacement.source("collector", form);
        Run::start(bench.open(vec![source]).await.unwrap(), &Faults::none())
    };
    let error = ended(consume().await).await;
    let (old, new) = (bench.served.log.log_id(), replacement.log.log_id());
    let is_reported = matches!(&error, ConsumerError::OtherLog { expected, found, .. }
        if (*expected, *found) == (old, new));
    assert!(
        is_reported && error.to_string().contains("was replaced"),
        "{error}"
    );
    assert_eq!(bench.effects().await, all(50));

    // Somebody decides to go on with it.
    bench
        .admin()
        .reset(Some("collector"), Reset::Beginning)
        .await
        .unwrap();
    let run = consume().await;
    bench.until_effects(150).await;
    bench.until_position(100).await;
    run.stop().await;
    assert_eq!(bench.effects().await, [all(50), all(100)].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_replaced_while_it_is_followed_stops_the_consumer_with_a_message() {
    let bench = Bench::create(Form::Grpc).await;
    let replacement = ServedLog::start(&bench.database, "replacement").await;
    bench.served.append(0..50).await;
    replacement.append(0..200).await;
    let address = |served: &ServedLog| served.url.trim_start_matches("http://").to_owned();
    let proxy = Proxy::start(&address(&bench.served)).await;
    let source = Source::grpc("collector", &proxy.http_url()).unwrap();
    let run = Run::start(bench.open(vec![source]).await.unwrap(), &Faults::none());
    bench.until_position(50).await;
    proxy.redirect(&address(&replacement));
    proxy.cut();
    eventually(DEADLINE, async || !run.status.sources()[0].connected).await;
    proxy.mend();
    let error = ended(run).await;
    assert!(matches!(error, ConsumerError::OtherLog { .. }), "{error}");
    assert_eq!(bench.effects().await, all(50));
}

async fn a_checkpoint_that_retention_overtook_stops_the_consumer_with_a_message(form: Form) {
    let bench = Bench::create(form).await;
    let run = {
        bench.served.append(0..50).await;
        bench.run(&Faults::none()).await
    };
    bench.until_position(50).await;
    run.stop().await;
    bench.served.append(50..100).await;
    sqlx::raw_sql("update collected.log_head set first_position = 61, dropped_before = now()")
        .execute(&mut bench.sql().await)
        .await
        .unwrap();
    let error = ended(bench.run(&Faults::none()).await).await;
    assert!(matches!(error, ConsumerError::OutOfRange { .. }), "{error}");
    assert!(error.to_string().contains("61"), "{error}");
    // A decision to go on with what is left.
    bench.admin().reset(None, Reset::Beginning).await.unwrap();
    let run = bench.run(&Faults::none()).await;
    bench.until_position(100).await;
    run.stop().await;
    assert_eq!(
        bench.effects().await,
        [all(50), (61..=100).collect()].concat()
    );
}

async fn a_checkpoint_beyond_the_log_stops_the_consumer_with_a_message(form: Form) {
    let bench = Bench::create(form).await;
    bench.served.append(0..50).await;
    let run = bench.run(&Faults::none()).await;
    bench.until_position(50).await;
    run.admin.reset(None, Reset::Position(51)).await.unwrap();
    let error = ended(run).await;
    assert!(matches!(error, ConsumerError::OutOfRange { .. }), "{error}");
}

async fn a_hole_in_the_stored_log_stops_the_consumer(form: Form) {
    let bench = Bench::create(form).await;
    // A ring that holds nothing, so that the stored events are read.
    let config = LogConfig {
        ring_bytes_max: 0,
        ..LogConfig::default()
    };
    let damaged = ServedLog::start_with(&bench.database, "damaged", config).await;
    damaged.append(0..100).await;
    sqlx::raw_sql("delete from damaged.events where position = 30")
        .execute(&mut bench.sql().await)
        .await
        .unwrap();
    let source = damaged.source("collector", form);
    let run = Run::start(bench.open(vec![source]).await.unwrap(), &Faults::none());
    let error = ended(run).await;
    assert!(matches!(error, ConsumerError::Damaged { .. }), "{error}");
    let effects = bench.effects().await;
    assert_eq!(effects, all(effects.len() as u64));
    assert!(effects.len() < 30);
}

fn event(position: u64) -> Event {
    Event {
        position,
        ..custom_event(position)
    }
}

fn heartbeat(position: u64) -> Event {
    let heartbeat = Heartbeat {
        position,
        head_position: position,
        server_time: None,
        log_id: String::new(),
    };
    Event {
        payload: Some(Payload::Heartbeat(heartbeat)),
        ..Event::default()
    }
}

/// Runs against a scripted stream; returns how the consumer ended and what it did before.
async fn against(messages: Vec<Event>) -> (ConsumerError, Vec<u64>) {
    let bench = Bench::create(Form::Grpc).await;
    let scripted = Scripted {
        messages,
        end: None,
    };
    let url = scripted.serve().await;
    let source = Source::grpc("collector", &url).unwrap();
    let run = Run::start(bench.open(vec![source]).await.unwrap(), &Faults::none());
    (ended(run).await, bench.effects().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_a_stream_is_an_error_and_never_silence() {
    let (error, effects) = against(vec![event(1), event(2), event(4)]).await;
    assert!(
        matches!(
            error,
            ConsumerError::Hole {
                after: 2,
                found: 4,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(effects, [1, 2]);
    // The missing event is the last: only a marker shows that.
    let (error, effects) = against(vec![event(1), heartbeat(1), event(2), heartbeat(3)]).await;
    assert!(
        matches!(
            error,
            ConsumerError::Hole {
                after: 2,
                found: 3,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(effects, [1, 2]);
    let (error, effects) = against(vec![event(1), event(2), event(2)]).await;
    assert!(
        matches!(
            error,
            ConsumerError::Hole {
                after: 2,
                found: 2,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(effects, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_an_identity_stops_the_consumer() {
    let nameless = Event {
        event_id: String::new(),
        ..event(2)
    };
    let (error, effects) = against(vec![event(1), nameless]).await;
    assert!(matches!(error, ConsumerError::Damaged { .. }), "{error}");
    assert_eq!(effects, [1]);
}

async fn a_filtered_consumer_gets_what_it_wants_and_its_checkpoint_follows_the_log(form: Form) {
    let bench = Bench::create(form).await;
    let mixed = |numbers: std::ops::Range<u64>| {
        let event = |n: u64| match n % 10 {
            0 => series_event(n, "VIXCLS", "2024-05-01", "31.5"),
            _ => custom_event(n),
        };
        numbers.map(|n| draft(event(n))).collect()
    };
    append(&bench.served.log, mixed(0..300)).await;
    let filter = WantedEvents::new(vec!["SeriesCollectedEvent".to_owned()], Vec::new()).unwrap();
    let source = || bench.source().filtered(filter.clone());
    let wanted = |last: u64| -> Vec<u64> { (1..=last).filter(|n| n % 10 == 1).collect() };
    let run = Run::start(bench.open(vec![source()]).await.unwrap(), &Faults::none());
    // By heartbeats, since the last nine are not wanted.
    bench.until_position(300).await;
    assert_eq!(bench.effects().await, wanted(300));
    run.stop().await;
    append(&bench.served.log, mixed(300..395)).await;
    let run = Run::start(bench.open(vec![source()]).await.unwrap(), &Faults::none());
    bench.until_position(395).await;
    run.stop().await;
    assert_eq!(bench.effects().await, wanted(395));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_source_is_found_again_and_nothing_is_missed() {
    let bench = Bench::create(Form::Grpc).await;
    let proxy = Proxy::start(bench.served.url.trim_start_matches("http://")).await;
    let source = Source::grpc("collector", &proxy.http_url()).unwrap();
    let run = Run::start(bench.open(vec![source]).await.unwrap(), &Faults::none());
    let is_connected = || run.status.sources()[0].connected;
    for round in 0..20 {
        bench.served.append(round * 50..round * 50 + 25).await;
        eventually(DEADLINE, async || is_connected()).await;
        proxy.cut();
        bench.served.append(round * 50 + 25..(round + 1) * 50).await;
        eventually(DEADLINE, async || !is_connected()).await;
        proxy.mend();
    }
    bench.until_position(1_000).await;
    run.stop().await;
    assert_eq!(bench.effects().await, all(1_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_not_there_yet_is_waited_for() {
    let bench = Bench::create(Form::Grpc).await;
    bench.served.append(0..10).await;
    let proxy = Proxy::start(bench.served.url.trim_start_matches("http://")).await;
    proxy.cut();
    let source = Source::grpc("collector", &proxy.http_url()).unwrap();
    let faults = Faults::none();
    let run = Run::start(
        bench.open(vec![source]).await.unwrap(),
        &Arc::clone(&faults),
    );
    eventually(DEADLINE, async || {
        faults.resets.load(std::sync::atomic::Ordering::Relaxed) == 1
    })
    .await;
    proxy.mend();
    bench.until_position(10).await;
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_is_resumed_from_where_it_ended() {
    let database = TestDatabase::create().await;
    let bench = Bench::create(Form::Grpc).await;
    let first = ServedLog::start(&database, "collected").await;
    first.append(0..100).await;
    let address = |served: &ServedLog| served.url.trim_start_matches("http://").to_owned();
    let proxy = Proxy::start(&address(&first)).await;
    let source = Source::grpc("collector", &proxy.http_url()).unwrap();
    let run = Run::start(bench.open(vec![source]).await.unwrap(), &Faults::none());
    bench.until_position(100).await;
    first.stop().await;
    let second = ServedLog::start(&database, "collected").await;
    proxy.redirect(&address(&second));
    second.append(100..200).await;
    bench.until_position(200).await;
    run.stop().await;
    assert_eq!(bench.effects().await, all(200));
}

#[test]
fn a_bad_address_is_refused() {
    for url in ["", "collector", "ftp://collector:5001", "http://"] {
        let refused = Source::grpc("collector", url);
        assert!(
            matches!(refused, Err(ConsumerError::Address { .. })),
            "{url}"
        );
    }
}

#[test]
fn a_source_that_came_back_is_noticed_within_a_second() {
    let config = consumer::ConsumerConfig::new("ThresholdEngine");
    let pauses = (0..10_000).map(|failures| config.reconnect_backoff.pause(failures));
    assert!(pauses.max().unwrap() <= Duration::from_secs(1));
    assert_eq!(
        TimeDelta::from_std(config.heartbeat_interval).unwrap(),
        TimeDelta::seconds(1)
    );
}
