//! A collection that ends at any point loses nothing and repeats nothing.

use std::{
    pin::pin,
    task::{Context, Poll},
};

use chrono::Days;
use fred_stand_in::Release;

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

    for polls in 1..400 {
        let date = first + Days::new(polls);
        let value = polls.to_string();
        let release = Release::new(date, &value).known_since(date);
        bed.fred.release("OWN", release).unwrap();
        expected.push((date, date, Some(polls.into())));

        let polls = usize::try_from(polls).unwrap();
        let ended = interrupted_after(polls, &process).await;
        process.registry.collect_now("OWN").await.unwrap();
        if ended {
            break;
        }
    }

    assert!(expected.len() > 10, "it was cut at many points");
    assert_exact(&process, "OWN", &expected).await;
    let told = process.collected().await;
    assert_eq!(told.len(), expected.len(), "an event for each release");
}

#[tokio::test]
async fn a_backfill_of_several_transactions_goes_on_where_it_was_cut_short() {
    let first = day("1980-01-01");
    let known_from = day("2020-01-01");
    let mut series = own_series();
    let mut expected: Vec<Point> = Vec::new();
    for n in 0..12_500_u64 {
        let date = first + Days::new(n);
        series = series.with_value(date, known_from, &n.to_string()).unwrap();
        expected.push((known_from, date, Some(n.into())));
    }
    let (_bed, process) = Bed::with(series).await;

    let mut cuts = 0;
    let mut cut_with_a_part_stored = false;
    for polls in (3..).step_by(3) {
        if interrupted_after(polls, &process).await {
            break;
        }
        cuts += 1;
        let events = process.events().await.len();
        cut_with_a_part_stored |= (1..13).contains(&events);
    }

    assert!(cuts > 5);
    assert!(cut_with_a_part_stored, "between two transactions");
    assert_exact(&process, "OWN", &expected).await;
    let cursor = process.registry.get("OWN").await.unwrap().vintage_cursor;
    assert_eq!(cursor, Some(known_from));
}
