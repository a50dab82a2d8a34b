//! A log that went back to an earlier moment, or became another one: no event of it is taken for
//! another, and none is left out.

use std::collections::HashMap;

use atlas_events::WantedEvents;
use chrono::{DateTime, TimeDelta, Utc};
use consumer::{ConsumerError, Reset, Source};
use event_log::EventLog;
use sqlx::{AssertSqlSafe, PgPool, migrate::Migrator};
use test_support::{custom_event, custom_event_at, draft, drafts, series_event, started_at};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::exactly_once::promise_6_exactly_once::in_both_forms;
use crate::support::{
    common::{Bench, Form, Run, SERVICE, ServedLog, all, append},
    handler::Faults,
    scripted::Scripted,
};

in_both_forms!(
    a_log_that_went_back_and_grew_again_stops_the_consumer_over_restarts,
    a_filtered_consumer_notices_that_its_log_went_back,
    a_stop_is_seen_by_every_instance,
    a_reset_to_a_time_leaves_out_nothing_that_is_not_processed,
    a_reset_to_a_time_in_another_log_begins_a_day_earlier,
    a_checkpoint_of_an_earlier_release_is_taken_over,
);

/// What a failover to a replica that lags does: the log ends at a position again, under the same
/// identity, and then it grows.
async fn go_back(bench: &mut Bench, last_position: u64) {
    bench.served.stop().await;
    let sql = format!(
        "delete from collected.events where position > {last_position};
         update collected.log_head set last_position = {last_position}, latest_recorded_at =
             (select recorded_at from collected.events where position = {last_position})"
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut bench.sql().await)
        .await
        .unwrap();
    bench.served = ServedLog::start(&bench.database, "collected").await;
}

async fn ended(run: Run) -> ConsumerError {
    run.ended().await.unwrap_err()
}

async fn a_log_that_went_back_and_grew_again_stops_the_consumer_over_restarts(form: Form) {
    let mut bench = Bench::create(form).await;
    bench.served.append(0..50).await;
    let run = bench.run(&Faults::none()).await;
    bench.until_position(50).await;
    run.stop().await;
    go_back(&mut bench, 40).await;
    // Events that were lost are published again, and others come: the log is beyond the checkpoint.
    bench.served.append(100..110).await;
    bench.served.append(40..60).await;

    let error = ended(bench.run(&Faults::none()).await).await;
    let message = error.to_string();
    assert!(
        matches!(error, ConsumerError::HistoryChanged { .. }),
        "{message}"
    );
    for _ in 0..2 {
        let again = ended(bench.run(&Faults::none()).await).await;
        assert!(matches!(again, ConsumerError::Stopped { .. }), "{again}");
        assert!(again.to_string().starts_with(&message), "{again}");
    }
    assert_eq!(bench.effects().await, all(50));
    let stop = bench.admin().checkpoints().await.unwrap().remove(0).stop;
    assert_eq!(stop.unwrap().reason, message);

    let on = Reset::ContinueIn {
        log_id: bench.served.log.log_id(),
        common_position: 40,
    };
    bench.admin().reset(Some("collector"), on).await.unwrap();
    let run = bench.run(&Faults::none()).await;
    bench.until_position(70).await;
    run.stop().await;
    // 51 to 60 are the ten that are processed already.
    let expected = [all(50), (41..=50).collect(), (61..=70).collect()].concat();
    assert_eq!(bench.effects().await, expected);
}

async fn a_filtered_consumer_notices_that_its_log_went_back(form: Form) {
    let mut bench = Bench::create(form).await;
    let event = |n: u64| match n {
        45 => series_event(n, "VIXCLS", "2024-05-01", "31.5"),
        _ => custom_event(n),
    };
    append(
        &bench.served.log,
        (0..60).map(|n| draft(event(n))).collect(),
    )
    .await;
    let filter = WantedEvents::new(vec!["SeriesCollectedEvent".to_owned()], Vec::new()).unwrap();
    let start = async |bench: &Bench| {
        let source = bench.source().filtered(filter.clone());
        Run::start(bench.open(vec![source]).await.unwrap(), &Faults::none())
    };
    let run = start(&bench).await;
    bench.until_position(60).await;
    run.stop().await;
    let last = bench
        .admin()
        .checkpoints()
        .await
        .unwrap()
        .remove(0)
        .last_event;
    assert_eq!(last.map(|last| last.position), Some(46));
    go_back(&mut bench, 40).await;
    bench.served.append(100..150).await;
    let error = ended(start(&bench).await).await;
    assert!(
        matches!(error, ConsumerError::HistoryChanged { .. }),
        "{error}"
    );
}

async fn a_stop_is_seen_by_every_instance(form: Form) {
    let bench = Bench::create(form).await;
    bench.served.append(0..10).await;
    let runs = [
        bench.run(&Faults::none()).await,
        bench.run(&Faults::none()).await,
    ];
    bench.until_position(10).await;
    sqlx::raw_sql("update checkpoint set stopped_reason = 'seen elsewhere', stopped_at = now()")
        .execute(&bench.pool)
        .await
        .unwrap();
    bench.served.append(10..20).await;
    for run in runs {
        let error = ended(run).await;
        assert!(error.to_string().starts_with("seen elsewhere"), "{error}");
    }
    assert_eq!(bench.effects().await, all(10));
    // What every restart of a service does must not end it.
    let mut config = crate::support::common::config();
    config.backfill_months = Some(1);
    let sources = vec![bench.source()];
    let consumer = consumer::Consumer::open(bench.pool.clone(), config, sources).await;
    let error = ended(Run::start(consumer.unwrap(), &Faults::none())).await;
    assert!(matches!(error, ConsumerError::Stopped { .. }), "{error}");
    // An operator's statement does.
    sqlx::raw_sql("update checkpoint set stopped_at = null")
        .execute(&bench.pool)
        .await
        .unwrap();
    let run = bench.run(&Faults::none()).await;
    bench.until_position(20).await;
    run.stop().await;
    assert_eq!(bench.effects().await, all(20));
}

fn hours_ago(hours: i64) -> DateTime<Utc> {
    started_at() - TimeDelta::hours(hours)
}

async fn append_at(log: &EventLog, events: impl Iterator<Item = (u64, i64)>) {
    let drafts = events.map(|(n, hours)| draft(custom_event_at(n, hours_ago(hours))));
    append(log, drafts.collect()).await;
}

async fn reset_by_sql(pool: &PgPool, time: DateTime<Utc>) {
    sqlx::query("UPDATE checkpoint SET last_processed = $1 WHERE service = $2")
        .bind(time)
        .bind(SERVICE)
        .execute(pool)
        .await
        .unwrap();
}

async fn a_reset_to_a_time_leaves_out_nothing_that_is_not_processed(form: Form) {
    let bench = Bench::create(form).await;
    append_at(&bench.served.log, (0..50).map(|n| (n, 100 - n as i64))).await;
    let run = bench.run(&Faults::none()).await;
    bench.until_position(50).await;
    run.stop().await;
    // Stored late, with times of long ago; then what happens now.
    append_at(&bench.served.log, (100..110).map(|n| (n, 90))).await;
    append_at(&bench.served.log, (200..205).map(|n| (n, 1))).await;
    for (to, reset_by_admin) in [(2, false), (2, true), (0, false)] {
        if reset_by_admin {
            let to = Reset::Time(hours_ago(to));
            bench.admin().reset(None, to).await.unwrap();
        } else {
            reset_by_sql(&bench.pool, hours_ago(to)).await;
        }
    }
    let run = bench.run(&Faults::none()).await;
    bench.until_effects(65).await;
    bench.until_position(65).await;
    // While it runs, too.
    reset_by_sql(&bench.pool, hours_ago(95)).await;
    bench.until_position(65).await;
    run.stop().await;
    assert_eq!(bench.effects().await, all(65));
}

async fn a_reset_to_a_time_in_another_log_begins_a_day_earlier(form: Form) {
    let mut bench = Bench::create(form).await;
    append_at(&bench.served.log, (0..50).map(|n| (n, 100 - n as i64))).await;
    let run = bench.run(&Faults::none()).await;
    bench.until_position(50).await;
    run.stop().await;
    go_back(&mut bench, 40).await;
    bench.served.stop().await;
    let pool = event_log::connect(&bench.database.url(), "collected", 1)
        .await
        .unwrap();
    EventLog::renew_identity(&pool).await.unwrap();
    bench.served = ServedLog::start(&bench.database, "collected").await;
    // One that nobody has processed, of a time before the loss; then the lost ones, and new ones.
    append_at(&bench.served.log, [(300, 70)].into_iter()).await;
    append_at(&bench.served.log, (40..60).map(|n| (n, 100 - n as i64))).await;
    let error = ended(bench.run(&Faults::none()).await).await;
    assert!(matches!(error, ConsumerError::OtherLog { .. }), "{error}");
    reset_by_sql(&bench.pool, hours_ago(60)).await;
    let run = bench.run(&Faults::none()).await;
    bench.until_position(61).await;
    run.stop().await;
    let expected = [all(50), vec![41], (52..=61).collect()].concat();
    assert_eq!(bench.effects().await, expected);
}

async fn a_checkpoint_of_an_earlier_release_is_taken_over(form: Form) {
    let mut bench = Bench::create(form).await;
    bench.served.append(0..50).await;
    let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/consumer");
    let all_now = Migrator::new(std::path::Path::new(migrations))
        .await
        .unwrap();
    let earlier = all_now
        .iter()
        .filter(|migration| migration.version < 3)
        .cloned();
    let earlier = Migrator {
        table_name: "consumer_migrations".into(),
        ..Migrator::with_migrations(earlier.collect())
    };
    earlier.run(&bench.pool).await.unwrap();
    sqlx::query("insert into checkpoint (service, source, log_id, position) values ($1, 'collector', $2, 30)")
        .bind(SERVICE)
        .bind(bench.served.log.log_id())
        .execute(&bench.pool)
        .await
        .unwrap();
    let run = bench.run(&Faults::none()).await;
    bench.until_position(50).await;
    run.stop().await;
    assert_eq!(bench.effects().await, (31..=50).collect::<Vec<_>>());
    // From the first event on that it has processed itself.
    go_back(&mut bench, 40).await;
    bench.served.append(100..150).await;
    let error = ended(bench.run(&Faults::none()).await).await;
    assert!(
        matches!(error, ConsumerError::HistoryChanged { .. }),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_of_a_log_is_accepted_by_name() {
    let bench = Bench::create(Form::InProcess).await;
    bench.served.append(0..20).await;
    let run = bench.run(&Faults::none()).await;
    bench.until_position(20).await;
    run.stop().await;
    let other = ServedLog::start(&bench.database, "other").await;
    append(&other.log, drafts(100..130)).await;
    let start = async || {
        let source = other.source("collector", Form::InProcess);
        Run::start(bench.open(vec![source]).await.unwrap(), &Faults::none())
    };
    assert!(matches!(
        ended(start().await).await,
        ConsumerError::OtherLog { .. }
    ));
    let to = Reset::PositionIn {
        log_id: other.log.log_id(),
        position: 25,
    };
    bench.admin().reset(None, to).await.unwrap();
    let run = start().await;
    bench.until_position(30).await;
    run.stop().await;
    assert_eq!(
        bench.effects().await,
        [all(20), (26..=30).collect()].concat()
    );
}

/// What a server says that has noticed it: the stream ends, and the next one would be silent about it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_that_its_log_went_back_is_believed() {
    let mut details = ErrorDetails::new();
    let metadata = HashMap::from([("last_position".to_owned(), "1".to_owned())]);
    details.set_error_info("LOG_WENT_BACK", "atlas.events", metadata);
    let status = Status::with_error_details(Code::FailedPrecondition, "it went back", details);
    let messages = (1..=2).map(|position| atlas_events::Event {
        position,
        ..custom_event(position)
    });
    let scripted = Scripted {
        messages: messages.collect(),
        end: Some(status),
    };
    let bench = Bench::create(Form::Grpc).await;
    let source = Source::grpc("collector", &scripted.serve().await).unwrap();
    let run = Run::start(bench.open(vec![source]).await.unwrap(), &Faults::none());
    let error = ended(run).await;
    assert!(
        matches!(error, ConsumerError::HistoryChanged { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("it went back"), "{error}");
    let found = bench.admin().checkpoints().await.unwrap().remove(0);
    assert!(found.stop.is_some());
    assert_eq!(bench.effects().await, [1, 2]);
}
