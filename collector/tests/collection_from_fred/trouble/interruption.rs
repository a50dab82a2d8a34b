//! A collection that ends at any point loses nothing and repeats nothing.

use std::{
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use chrono::Days;
use fred_stand_in::Release;
use test_support::eventually;

use crate::{
    bed::{Bed, Process, day, own_series},
    expected::{Point, assert_exact},
};

/// Polls a collection so many times and drops it; `true` if it ended before.
async fn interrupted_after(polls: usize, process: &Process) -> bool {
    let mut collection = pin!(process.registry.collect_now("OWN"));
    let mut polled = 0;
    std::future::poll_fn(|context: &mut Context<'_>| {
        if polled == polls {
            return Poll::Ready(false);
        }
        polled += 1;
        match collection.as_mut().poll(context) {
            Poll::Ready(outcome) => {
                outcome.unwrap();
                Poll::Ready(true)
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test]
async fn wherever_a_collection_is_cut_short_each_point_is_stored_once() {
    let first = day("2020-01-01");
    let series = own_series().with_value(first, first, "0").unwrap();
    let (bed, process) = Bed::with(series).await;
    process.registry.collect_now("OWN").await.unwrap();
    let mut expected: Vec<Point> = vec![(first, first, Some(0.into()))];

    let (mut polls, mut cuts) = (1, 0);
    for n in 1..=60 {
        let date = first + Days::new(n);
        let release = Release::new(date, n.to_string()).known_since(date);
        bed.fred.release("OWN", release).unwrap();
        expected.push((date, date, Some(n.into())));

        if interrupted_after(polls, &process).await {
            polls = 1;
        } else {
            cuts += 1;
            polls += 1;
        }
        process.registry.collect_now("OWN").await.unwrap();
    }

    assert!(cuts > 30, "{cuts} cuts");
    assert_exact(&process, "OWN", &expected).await;
    let reported = process.collected().await;
    assert_eq!(reported.len(), expected.len(), "an event for each release");
}

#[tokio::test]
async fn a_backfill_of_several_transactions_goes_on_where_it_was_cut_short() {
    let first = day("1900-01-01");
    let known_from = |n: u64| day("2020-01-01") + Days::new(n / 8_125);
    let mut series = own_series();
    let mut expected: Vec<Point> = Vec::new();
    for n in 0..32_500_u64 {
        let date = first + Days::new(n);
        let known_from = known_from(n);
        series = series.with_value(date, known_from, &n.to_string()).unwrap();
        expected.push((known_from, date, Some(n.into())));
    }
    let (_bed, process) = Bed::with(series).await;

    // The first of four transactions, a release each, has ended, the others have not.
    let begun = eventually(Duration::from_secs(20), async || {
        process.log.head().await.unwrap().last_position > 0
    });
    tokio::select! {
        () = begun => {}
        outcome = process.registry.collect_now("OWN") => panic!("not cut short: {outcome:?}"),
    }
    let stored = process.log.head().await.unwrap().last_position;
    assert!(
        (9..36).contains(&stored) && stored % 9 == 0,
        "{stored} events"
    );
    let cursor = process.registry.get("OWN").await.unwrap().vintage_cursor;
    assert_eq!(cursor, None, "not everything is known yet");

    let rest = process.registry.collect_now("OWN").await.unwrap();
    assert!(rest.data_points < expected.len());
    assert_exact(&process, "OWN", &expected).await;
    let cursor = process.registry.get("OWN").await.unwrap().vintage_cursor;
    assert_eq!(cursor, Some(known_from(32_499)));
    for (number, event) in (0..).zip(process.collected().await) {
        let part = event.release_part.map(|part| (part.number, part.count));
        assert_eq!(part, Some((number % 9 + 1, 9)));
    }
}
