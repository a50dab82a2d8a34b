//! Collectors that collect the same series at once.

use chrono::Days;
use fred_stand_in::Release;
use futures::future::join_all;

use crate::{
    bed::{Bed, day, own_series},
    expected::{Point, assert_exact},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_collectors_at_once_store_each_point_once() {
    let first = day("2020-01-01");
    let series = own_series().with_value(first, first, "0").unwrap();
    let (bed, one) = Bed::with(series).await;
    let others = [
        bed.process().await,
        bed.process().await,
        bed.process().await,
    ];
    let mut expected: Vec<Point> = vec![(first, first, Some(0.into()))];

    for round in 1..15 {
        let collections = others
            .iter()
            .chain([&one])
            .map(|process| async move { process.registry.collect_now("OWN").await.unwrap() });
        let collected = join_all(collections).await;
        let points: usize = collected.iter().map(|c| c.data_points).sum();
        assert_eq!(
            points, 1,
            "one of them reported what was new in round {round}"
        );

        let date = first + Days::new(round);
        let release = Release::new(date, round.to_string()).known_since(date);
        bed.fred.release("OWN", release).unwrap();
        expected.push((date, date, Some(round.into())));
    }
    one.registry.collect_now("OWN").await.unwrap();

    assert_exact(&one, "OWN", &expected).await;
    assert_eq!(one.collected().await.len(), expected.len());
}

#[tokio::test]
async fn what_was_asked_before_a_backfill_was_extended_is_discarded() {
    let known = day("2020-02-05");
    let series = own_series()
        .with_value(day("2000-01-01"), known, "1")
        .unwrap()
        .with_value(day("2020-01-01"), known, "2")
        .unwrap();
    let (bed, process) = Bed::with(series).await;
    let new = collector::series::Backfill::From(day("2019-01-01"));
    process.registry.delete("OWN").await.unwrap();
    let seeded = collector::series::NewSeries {
        backfill: new,
        ..crate::bed::all_of("OWN")
    };
    process.registry.seed(&[seeded]).await.unwrap();

    bed.fred
        .fail_next_of("OWN", 3, fred_stand_in::Fault::Hang { millis: 200 });
    let slow = process.registry.collect_now("OWN");
    let extended = async {
        test_support::eventually(std::time::Duration::from_secs(5), async || {
            !bed.fred.requests().is_empty()
        })
        .await;
        process.registry.backfill("OWN", None).await
    };
    let (slow, extended) = futures::join!(slow, extended);
    assert_eq!(slow.unwrap().data_points + extended.unwrap().data_points, 2);
    let expected = [
        (known, day("2000-01-01"), Some(1.into())),
        (known, day("2020-01-01"), Some(2.into())),
    ];
    assert_exact(&process, "OWN", &expected).await;
}
