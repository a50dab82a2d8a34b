//! Promise 7: nothing unprocessable is lost or blocks. An event whose processing fails for good is
//! parked with its reason and input, can be listed, retried and discarded, and the stream goes on.

use std::{sync::atomic::Ordering, time::Duration};

use consumer::{ConsumerError, ParkedEvent, ParkedFilter, ParkedState};
use test_support::eventually;

use crate::exactly_once::promise_6_exactly_once::in_both_forms;
use crate::support::{
    common::{Bench, DEADLINE, Form, all},
    handler::{Fault, Faults},
};

in_both_forms!(
    an_event_that_cannot_be_processed_is_parked_and_the_stream_goes_on,
    an_event_at_fault_is_found_where_the_handler_cannot_name_it,
    what_cannot_be_read_is_parked_without_undoing_anything,
    a_consumer_stops_before_it_parks_everything,
    many_retries_do_not_hold_up_new_events,
    what_passes_is_retried_until_it_has_passed,
    a_parked_event_is_retried_in_a_transaction,
);

async fn parked(bench: &Bench) -> Vec<ParkedEvent> {
    let filter = ParkedFilter::default();
    bench
        .admin()
        .parked(&filter, 0, 1_000)
        .await
        .unwrap()
        .events
}

pub(crate) fn without(last: u64, missing: &[u64]) -> Vec<u64> {
    all(last)
        .into_iter()
        .filter(|n| !missing.contains(n))
        .collect()
}

/// Positions, handlers, reasons and attempts of parked events.
fn summaries(parked: &[ParkedEvent]) -> Vec<(u64, &str, &str)> {
    parked
        .iter()
        .map(|parked| {
            assert_eq!(
                (parked.source.as_str(), parked.state),
                ("collector", ParkedState::Parked)
            );
            (
                parked.event.position,
                parked.handler.as_str(),
                parked.reason.as_str(),
            )
        })
        .collect()
}

async fn an_event_that_cannot_be_processed_is_parked_and_the_stream_goes_on(form: Form) {
    let bench = Bench::create(form).await;
    bench.served.append(0..200).await;
    let faults = Faults::at(&[
        (20, Fault::Permanent),
        (21, Fault::Permanent),
        (200, Fault::Permanent),
    ]);
    let run = bench.run(&faults).await;
    bench.until_position(200).await;
    bench.served.append(200..210).await;
    bench.until_position(210).await;
    run.stop().await;
    assert_eq!(bench.effects().await, without(210, &[20, 21, 200]));
    let parked = parked(&bench).await;
    let reason = "cannot be evaluated";
    let expected = [20, 21, 200].map(|position| (position, "ThresholdEngine", reason));
    assert_eq!(summaries(&parked), expected);
    assert_eq!(
        parked[0].event,
        stored(&bench, &parked[0].event.event_id).await
    );
    assert!(!faults.disagreed.load(Ordering::Relaxed));
    let input: i32 = sqlx::query_scalar(
        "select (input #> '{custom,data,n}')::int from parked_events where position = 20",
    )
    .fetch_one(&mut bench.sql().await)
    .await
    .unwrap();
    assert_eq!(input, 19);
}

/// Those of a batch are found together: no attempt fails for them, and the memory is not made anew.
async fn what_cannot_be_read_is_parked_without_undoing_anything(form: Form) {
    let bench = Bench::create(form).await;
    bench.served.append(0..500).await;
    let bad: Vec<u64> = (1..=10).map(|n| n * 50).collect();
    let planned: Vec<_> = bad.iter().map(|n| (*n, Fault::Unprocessable)).collect();
    let faults = Faults::at(&planned);
    let run = bench.run(&faults).await;
    bench.until_position(500).await;
    run.stop().await;
    assert_eq!(bench.effects().await, without(500, &bad));
    let parked = parked(&bench).await;
    let service = "ThresholdEngine";
    let expected: Vec<_> = bad
        .iter()
        .map(|n| (*n, service, "cannot be read"))
        .collect();
    assert_eq!(summaries(&parked), expected);
    assert!(parked.iter().all(|parked| parked.attempts == 1));
    assert_eq!(
        faults.resets.load(Ordering::Relaxed),
        1,
        "that of the start"
    );
    assert!(!faults.disagreed.load(Ordering::Relaxed));
}

/// Where nothing can be processed the fault is not in the events.
async fn a_consumer_stops_before_it_parks_everything(form: Form) {
    let bench = Bench::create(form).await;
    bench.served.append(0..400).await;
    let planned: Vec<_> = (50..=400).map(|n| (n, Fault::Permanent)).collect();
    let faults = Faults::at(&planned);
    let run = bench.run(&faults).await;
    let error = run.ended().await.unwrap_err();
    let ConsumerError::NothingProcessable { count, reason, .. } = &error else {
        panic!("{error}");
    };
    assert!(*count >= 100, "{error}");
    assert_eq!(reason, "cannot be evaluated");
    // Two batches, and what was bad of the one before.
    assert!(parked(&bench).await.len() < 150);
    // Nothing is given up: once the cause is gone all of it is processed.
    faults.mend();
    let run = bench.run(&faults).await;
    bench.until_position(400).await;
    run.stop().await;
    let parked: Vec<_> = parked(&bench)
        .await
        .iter()
        .map(|p| p.event.position)
        .collect();
    assert_eq!(bench.effects().await, without(400, &parked));
}

/// New events are processed while thousands of parked ones are retried.
async fn many_retries_do_not_hold_up_new_events(form: Form) {
    const PARKED: u64 = 400;
    let bench = Bench::create(form).await;
    bench.served.append(0..PARKED + 1).await;
    let faults = Faults::none();
    let run = bench.run(&faults).await;
    bench.until_position(PARKED + 1).await;
    run.stop().await;
    // As though all but the last had been parked.
    sqlx::raw_sql(
        "insert into parked_events (service, source, event_id, position, event_type, occurred_at, encoded, handler, reason,
                                    attempts, state)
         select 'ThresholdEngine', 'collector', event_id, position, event_type, occurred_at, encoded, 'ThresholdEngine',
                'once', 1, 'retrying'
         from collected.events where position <= 400 order by position;
         delete from effects where position <= 400",
    )
    .execute(&mut bench.sql().await)
    .await
    .unwrap();
    let run = bench.run(&faults).await;
    let left = async || -> i64 {
        let left = "select count(*) from parked_events where state = 'retrying'";
        let mut connection = bench.sql().await;
        sqlx::query_scalar(left)
            .fetch_one(&mut connection)
            .await
            .unwrap()
    };
    eventually(DEADLINE, async || left().await < 400).await;
    bench.served.append(PARKED + 1..PARKED + 11).await;
    bench.until_position(PARKED + 11).await;
    assert!(left().await > 0, "the new events had to wait");
    eventually(DEADLINE, async || left().await == 0).await;
    run.stop().await;
    assert_eq!(bench.effects().await.len() as u64, PARKED + 11);
}

async fn stored(bench: &Bench, event_id: &str) -> atlas_events::Event {
    let found = bench
        .served
        .log
        .find(event_id.parse().unwrap())
        .await
        .unwrap();
    found.unwrap()
}

async fn an_event_at_fault_is_found_where_the_handler_cannot_name_it(form: Form) {
    let bench = Bench::create(form).await;
    bench.served.append(0..200).await;
    let faults = Faults::at(&[
        (10, Fault::Panic),
        (55, Fault::PermanentOfUnknown),
        (60, Fault::Permanent),
        (150, Fault::BadData),
    ]);
    let run = bench.run(&faults).await;
    bench.until_position(200).await;
    run.stop().await;
    assert_eq!(bench.effects().await, without(200, &[10, 55, 60, 150]));
    assert!(!faults.disagreed.load(Ordering::Relaxed));
    let parked = parked(&bench).await;
    let expected = [
        (10, "ThresholdEngine", "the handler panicked: a bug"),
        (55, "sahm-rule", "one of them is bad"),
        (60, "ThresholdEngine", "cannot be evaluated"),
    ];
    let summaries = summaries(&parked);
    assert_eq!(summaries[..3], expected);
    assert!(
        summaries[3].0 == 150 && summaries[3].2.contains("invalid input syntax"),
        "{summaries:?}"
    );
}

async fn what_passes_is_retried_until_it_has_passed(form: Form) {
    let bench = Bench::create(form).await;
    bench.served.append(0..100).await;
    let faults = Faults::at(&[(1, Fault::Transient(5)), (50, Fault::Transient(8))]);
    let run = bench.run(&faults).await;
    bench.until_position(100).await;
    run.stop().await;
    assert_eq!(bench.effects().await, all(100));
    assert!(parked(&bench).await.is_empty());
    assert!(faults.resets.load(Ordering::Relaxed) >= 14);
    assert!(!faults.disagreed.load(Ordering::Relaxed));
}

async fn a_parked_event_is_retried_in_a_transaction(form: Form) {
    let bench = Bench::create(form).await;
    bench.served.append(0..100).await;
    let faults = Faults::at(&[
        (7, Fault::Permanent),
        (8, Fault::Panic),
        (9, Fault::Permanent),
    ]);
    let run = bench.run(&faults).await;
    bench.until_position(100).await;
    let first = parked(&bench).await;
    // It fails again, and again nothing of it remains but the record.
    let all_of_them = ParkedFilter::default();
    let retried = run.admin.retry(&all_of_them, DEADLINE).await.unwrap();
    assert_eq!(
        (retried.marked, retried.resolved, retried.failed),
        (3, 0, 3)
    );
    let second = parked(&bench).await;
    for (before, after) in first.iter().zip(&second) {
        assert_eq!((before.id, before.attempts + 1), (after.id, after.attempts));
    }
    assert_eq!(bench.effects().await, without(100, &[7, 8, 9]));

    faults.mend();
    let panicked = ParkedFilter {
        reason_contains: Some("PANICKED".to_owned()),
        ..ParkedFilter::default()
    };
    let retried = run.admin.retry(&panicked, DEADLINE).await.unwrap();
    assert_eq!(
        (retried.marked, retried.resolved, retried.failed),
        (1, 1, 0)
    );
    // By SQL alone.
    sqlx::query("update parked_events set state = 'retrying' where position = 7")
        .execute(&mut bench.sql().await)
        .await
        .unwrap();
    bench.until_effects(99).await;
    run.stop().await;
    let mut expected = without(100, &[7, 8, 9]);
    expected.extend([8, 7]);
    assert_eq!(bench.effects().await, expected);
    let states: Vec<_> = parked(&bench)
        .await
        .iter()
        .map(|parked| parked.state)
        .collect();
    assert_eq!(
        states,
        [
            ParkedState::Resolved,
            ParkedState::Resolved,
            ParkedState::Parked
        ]
    );
    assert!(!faults.disagreed.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_events_are_found_by_what_is_known_of_them() {
    let bench = Bench::create(Form::InProcess).await;
    bench.served.append(0..50).await;
    let faults = Faults::at(&[
        (1, Fault::Permanent),
        (2, Fault::Panic),
        (3, Fault::PermanentOfUnknown),
    ]);
    let run = bench.run(&faults).await;
    bench.until_position(50).await;
    let admin = bench.admin();
    let check = async |filter: ParkedFilter, positions: &[u64]| {
        let found = admin.parked(&filter, 0, 100).await.unwrap().events;
        let found: Vec<_> = found.iter().map(|parked| parked.event.position).collect();
        assert_eq!(found, positions, "{filter:?}");
    };
    let any = ParkedFilter::default;
    let text = |text: &str| Some(text.to_owned());
    check(any(), &[1, 2, 3]).await;
    check(
        ParkedFilter {
            source: text("collector"),
            ..any()
        },
        &[1, 2, 3],
    )
    .await;
    check(
        ParkedFilter {
            source: text("other"),
            ..any()
        },
        &[],
    )
    .await;
    check(
        ParkedFilter {
            event_type: text("custom:Test"),
            ..any()
        },
        &[1, 2, 3],
    )
    .await;
    check(
        ParkedFilter {
            event_type: text("CustomEvent"),
            ..any()
        },
        &[],
    )
    .await;
    check(
        ParkedFilter {
            reason_contains: text("Bug"),
            ..any()
        },
        &[2],
    )
    .await;
    check(
        ParkedFilter {
            reason_contains: text("%"),
            ..any()
        },
        &[],
    )
    .await;
    let second = &parked(&bench).await[1];
    check(
        ParkedFilter {
            ids: Some(vec![second.id]),
            ..any()
        },
        &[2],
    )
    .await;
    let soon = second.parked_at + Duration::from_secs(3_600);
    check(
        ParkedFilter {
            parked_since: Some(soon),
            ..any()
        },
        &[],
    )
    .await;
    check(
        ParkedFilter {
            parked_before: Some(soon),
            ..any()
        },
        &[1, 2, 3],
    )
    .await;
    check(
        ParkedFilter {
            states: Some(vec![ParkedState::Discarded]),
            ..any()
        },
        &[],
    )
    .await;
    run.stop().await;
    assert_eq!(admin.discard(&any()).await.unwrap(), 3);
    check(
        ParkedFilter {
            states: Some(vec![ParkedState::Discarded]),
            ..any()
        },
        &[1, 2, 3],
    )
    .await;
    eventually(DEADLINE, async || admin.discard(&any()).await.unwrap() == 0).await;
}
