//! What operators do about checkpoints.

use std::{sync::atomic::Ordering, time::Duration};

use atlas_events::{
    Clock, ListCheckpointsRequest, ResetCheckpointRequest, checkpoints_client::CheckpointsClient,
    reset_checkpoint_request::Target,
};
use chrono::{DateTime, TimeDelta, Utc};
use consumer::{AdminError, CheckpointsService, Consumer, ConsumerError, Reset, StartAt};
use sqlx::AssertSqlSafe;
use test_support::{custom_event_at, draft, eventually, started_at};
use tokio::net::TcpListener;
use tonic::{
    Code,
    transport::{Server, server::TcpIncoming},
};

use crate::exactly_once::promise_6_exactly_once::in_both_forms;
use crate::support::{
    common::{Bench, DEADLINE, Form, Run, SERVICE, all, append, config},
    handler::Faults,
};

in_both_forms!(
    the_published_sql_resets_a_running_consumer,
    a_replay_reaches_what_a_later_start_had_left_out,
    a_backfill_replays_once_per_start,
    live_means_from_the_first_start_on,
);

/// When event `n` of a log with an event an hour, `hours` in all, occurred.
fn hour(n: u64, hours: u64) -> DateTime<Utc> {
    started_at() - TimeDelta::hours(i64::try_from(hours - n).unwrap())
}

async fn append_hourly(bench: &Bench, hours: u64) {
    let drafts = (0..hours).map(|n| draft(custom_event_at(n, hour(n, hours))));
    append(&bench.served.log, drafts.collect()).await;
}

async fn the_published_sql_resets_a_running_consumer(form: Form) {
    let bench = Bench::create(form).await;
    append_hourly(&bench, 200).await;
    let faults = Faults::none();
    // Only what happened since the 150th: what came before is not yet processed.
    let source = bench.source().starting_at(StartAt::Time(hour(150, 200)));
    let run = Run::start(bench.open(vec![source]).await.unwrap(), &faults);
    bench.until_position(200).await;
    assert_eq!(bench.effects().await, (151..=200).collect::<Vec<_>>());

    // Word for word, but for the time.
    let time = hour(99, 200).format("%Y-%m-%d %H:%M:%S%.f%:z");
    let sql = format!(
        "UPDATE checkpoint SET last_processed = '{time}'::timestamptz WHERE service = '{SERVICE}'"
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut bench.sql().await)
        .await
        .unwrap();
    bench.until_effects(101).await;
    bench.until_position(200).await;
    run.stop().await;
    let mut effects = bench.effects().await;
    effects.sort_unstable();
    assert_eq!(effects, (100..=200).collect::<Vec<_>>());
    assert!(!faults.disagreed.load(Ordering::Relaxed));
}

async fn a_replay_reaches_what_a_later_start_had_left_out(form: Form) {
    let bench = Bench::create(form).await;
    append_hourly(&bench, 100).await;
    let source = || bench.source().starting_at(StartAt::Time(hour(80, 100)));
    let run = Run::start(bench.open(vec![source()]).await.unwrap(), &Faults::none());
    bench.until_position(100).await;
    run.admin
        .reset(Some("collector"), Reset::Time(hour(60, 100)))
        .await
        .unwrap();
    bench.until_effects(40).await;
    bench.until_position(100).await;
    run.stop().await;
    // Also while it does not run.
    bench
        .admin()
        .reset(None, Reset::Position(50))
        .await
        .unwrap();
    let run = Run::start(bench.open(vec![source()]).await.unwrap(), &Faults::none());
    bench.until_effects(50).await;
    bench.until_position(100).await;
    run.admin.reset(None, Reset::Beginning).await.unwrap();
    bench.until_effects(100).await;
    run.stop().await;
    let mut effects = bench.effects().await;
    effects.sort_unstable();
    assert_eq!(effects, all(100));
}

async fn a_backfill_replays_once_per_start(form: Form) {
    let bench = Bench::create(form).await;
    append_hourly(&bench, 100 * 24).await;
    let source = bench.source().starting_at(StartAt::Live);
    let run = Run::start(bench.open(vec![source]).await.unwrap(), &Faults::none());
    bench.until_position(2_400).await;
    run.stop().await;
    assert!(bench.effects().await.is_empty());

    let mut config = config();
    config.backfill_months = Some(2);
    config.clock = Clock::from_fn(started_at);
    let consumer = Consumer::open(bench.pool.clone(), config, vec![bench.source()])
        .await
        .unwrap();
    let run = Run::start(consumer, &Faults::none());
    let since = started_at()
        .checked_sub_months(chrono::Months::new(2))
        .unwrap();
    let expected: Vec<u64> = (1..=2_400)
        .filter(|n| hour(n - 1, 2_400) >= since)
        .collect();
    bench.until_effects(expected.len()).await;
    bench.until_position(2_400).await;
    assert_eq!(bench.effects().await, expected);
    run.stop().await;
}

async fn live_means_from_the_first_start_on(form: Form) {
    let bench = Bench::create(form).await;
    bench.served.append(0..50).await;
    let source = || bench.source().starting_at(StartAt::Live);
    let run = Run::start(bench.open(vec![source()]).await.unwrap(), &Faults::none());
    bench.until_position(50).await;
    run.stop().await;
    // What was stored while it did not run is not skipped.
    bench.served.append(50..80).await;
    let run = Run::start(bench.open(vec![source()]).await.unwrap(), &Faults::none());
    bench.until_effects(30).await;
    run.stop().await;
    assert_eq!(bench.effects().await, (51..=80).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_can_be_read_and_reset_over_grpc() {
    let bench = Bench::create(Form::InProcess).await;
    bench.served.append(0..50).await;
    let source = bench.source().starting_at(StartAt::Live);
    let run = Run::start(bench.open(vec![source]).await.unwrap(), &Faults::none());
    bench.until_position(50).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder().add_service(CheckpointsService::server(run.admin.clone()));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let mut client = CheckpointsClient::connect(url).await.unwrap();

    let listed = client
        .list_checkpoints(ListCheckpointsRequest {})
        .await
        .unwrap()
        .into_inner();
    let [checkpoint] = &listed.checkpoints[..] else {
        panic!("{listed:?}")
    };
    assert_eq!(
        (checkpoint.source.as_str(), checkpoint.position),
        ("collector", Some(50))
    );
    assert_eq!(checkpoint.log_id, bench.served.log.log_id().to_string());

    let request = |source: &str, target| ResetCheckpointRequest {
        source: source.to_owned(),
        target,
    };
    let to = Some(Target::Position(20));
    let reset = client
        .reset_checkpoint(request("collector", to.clone()))
        .await
        .unwrap();
    assert_eq!(reset.into_inner().checkpoints.len(), 1);
    bench.until_effects(30).await;
    assert_eq!(bench.effects().await, (21..=50).collect::<Vec<_>>());
    let status = client
        .reset_checkpoint(request("nobody", to))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let status = client
        .reset_checkpoint(request("", None))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_needs_a_log() {
    let bench = Bench::create(Form::InProcess).await;
    bench.consumer().await;
    let admin = bench.admin();
    let refused = admin.reset(None, Reset::Beginning).await.unwrap_err();
    assert!(
        matches!(refused, AdminError::NoCheckpoint { .. }),
        "{refused}"
    );
    sqlx::query("insert into checkpoint (service, source) values ($1, 'collector')")
        .bind(SERVICE)
        .execute(&bench.pool)
        .await
        .unwrap();
    let refused = admin.reset(None, Reset::Position(5)).await.unwrap_err();
    assert!(matches!(refused, AdminError::NoLog), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sources_of_one_name_are_refused_at_start() {
    let bench = Bench::create(Form::InProcess).await;
    let refused = bench
        .open(vec![bench.source(), bench.source()])
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, ConsumerError::SameName(name) if name == "collector"),
        "{refused}"
    );
    assert!(bench.open(Vec::new()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_is_reported_in_events_and_seconds_and_is_zero_when_idle() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let bench = Bench::create(Form::Grpc).await;
    // An hour old, and nothing since.
    append_hourly(&bench, 10).await;
    // Registered while this recorder is in force, the metrics stay its own.
    let mut config = config();
    config.metrics_prefix = "engine".to_owned();
    let sources = vec![bench.source()];
    let consumer = {
        let opening = Consumer::open(bench.pool.clone(), config, sources);
        let mut opening = std::pin::pin!(opening);
        std::future::poll_fn(|context| {
            metrics::with_local_recorder(&recorder, || opening.as_mut().poll(context))
        })
        .await
        .unwrap()
    };
    let run = Run::start(consumer, &Faults::none());
    bench.until_position(10).await;
    let has = |line: &str| metrics.render().lines().any(|found| found == line);
    eventually(Duration::from_secs(30), async || {
        has("engine_checkpoint_lag_events{source=\"collector\"} 0")
            && has("engine_checkpoint_lag_seconds{source=\"collector\"} 0")
            // Counted behind the commit that moves the checkpoint.
            && has("engine_events_processed_total{source=\"collector\"} 10")
    })
    .await;
    assert!(has("engine_events_received_total{source=\"collector\"} 10"));
    let lag = run.status.sources().remove(0);
    assert!(
        lag.connected && lag.position == Some(10) && lag.head_position == Some(10),
        "{lag:?}"
    );

    // A transaction that holds the checkpoint keeps the consumer from going on.
    let mut holder = bench.sql().await;
    sqlx::raw_sql("begin; select * from checkpoint for update")
        .execute(&mut holder)
        .await
        .unwrap();
    bench.served.append(100..107).await;
    eventually(DEADLINE, async || {
        let lag = run.status.sources().remove(0);
        lag.lag_events == Some(7) && lag.lag_seconds.is_some_and(|seconds| seconds > 0.0)
    })
    .await;
    sqlx::raw_sql("rollback")
        .execute(&mut holder)
        .await
        .unwrap();
    eventually(DEADLINE, async || {
        let lag = run.status.sources().remove(0);
        (lag.lag_events, lag.lag_seconds) == (Some(0), Some(0.0))
    })
    .await;
    run.stop().await;
}
