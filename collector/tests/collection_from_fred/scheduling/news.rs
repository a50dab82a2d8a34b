//! A release may come later than its schedule says.

use chrono::{DateTime, SubsecRound, TimeDelta, Timelike, Utc};
use fred_stand_in::Release;

use crate::bed::{Bed, Process, day, own_series};

const WAIT: TimeDelta = TimeDelta::hours(1);

/// Puts the clock ahead to a time or a little behind it.
fn go_to(bed: &Bed, time: DateTime<Utc>) {
    bed.clock
        .advance(time - bed.clock.now() + TimeDelta::seconds(1));
}

/// Collects `OWN`, which has no news: it is asked again after a pause as long as the time since `due`, a minute at least.
/// Gives the time at which.
async fn collect_in_vain(bed: &Bed, process: &Process, due: DateTime<Utc>) -> DateTime<Utc> {
    let again = |now: DateTime<Utc>| (now + (now - due).max(TimeDelta::minutes(1))).min(due + WAIT);
    let earliest = again(bed.clock.now().trunc_subsecs(6));
    let collected = process.registry.collect_now("OWN").await.unwrap();
    let latest = again(bed.clock.now());
    let next = collected.next_collection_at;
    assert_eq!(collected.data_points, 0);
    assert!(
        (earliest..=latest).contains(&next),
        "{earliest} {next} {latest}"
    );
    assert_eq!(
        process
            .registry
            .get("OWN")
            .await
            .unwrap()
            .next_collection_at,
        next
    );
    next
}

#[tokio::test]
async fn a_series_without_news_at_its_time_is_asked_again_until_it_has_some() {
    let value = day("2020-01-01");
    let series = own_series().with_value(value, day("2020-02-01"), "1");
    let (bed, process) = Bed::with(series.unwrap()).await;
    let registry = &process.registry;
    registry.collect_now("OWN").await.unwrap();

    let due = (bed.clock.now() + TimeDelta::hours(3)).trunc_subsecs(0);
    let due = due - TimeDelta::seconds(due.second().into());
    let daily = format!("{} {} * * *", due.minute(), due.hour());
    let set = registry.set_schedule("OWN", Some(&daily)).await.unwrap();
    assert_eq!(set.next_collection_at, due);
    let by_hand = registry.collect_now("OWN").await.unwrap();
    assert_eq!(by_hand.next_collection_at, due, "nothing is due yet");

    let mut next = due;
    for _ in 0..3 {
        go_to(&bed, next);
        next = collect_in_vain(&bed, &process, due).await;
    }
    let by_hand = registry.collect_now("OWN").await.unwrap();
    assert_eq!(by_hand.next_collection_at, next, "it puts nothing off");
    let release = Release::new(value, "2").known_since(day("2020-03-01"));
    bed.fred.release("OWN", release).unwrap();
    go_to(&bed, next);
    let collected = registry.collect_now("OWN").await.unwrap();
    assert_eq!(collected.data_points, 1);
    let tomorrow = due + TimeDelta::days(1);
    assert_eq!(collected.next_collection_at, tomorrow);

    // A collector that comes when the wait is over waits for the next time.
    go_to(&bed, tomorrow + WAIT);
    let late = registry.collect_now("OWN").await.unwrap();
    assert_eq!(late.next_collection_at, tomorrow + TimeDelta::days(1));
}

/// The times of a schedule by frequency are no releases.
#[tokio::test]
async fn a_series_without_a_schedule_of_its_own_is_asked_at_its_times_only() {
    let series = own_series().with_value(day("2020-01-01"), day("2020-02-01"), "1");
    let (bed, process) = Bed::with(series.unwrap()).await;
    let registry = &process.registry;
    let due = registry
        .collect_now("OWN")
        .await
        .unwrap()
        .next_collection_at;
    go_to(&bed, due);
    let collected = registry.collect_now("OWN").await.unwrap();
    assert_eq!(collected.data_points, 0);
    assert!(collected.next_collection_at >= due + TimeDelta::hours(2));
}
