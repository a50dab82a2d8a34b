//! The registry: add, list, pause, delete, schedules, seeds.

use chrono::{TimeDelta, Utc};
use collector::series::{Backfill, NewSeries, SeriesError};
use fred_stand_in::StandIn;

use crate::bed::{Bed, Process, all_of, day};

async fn bed() -> (Bed, Process) {
    let bed = Bed::new(StandIn::builder().series(["UNRATENSA", "VIXCLS"])).await;
    let process = bed.process().await;
    (bed, process)
}

#[tokio::test]
async fn a_series_is_added_once_with_what_fred_says_about_it() {
    let (_bed, process) = bed().await;
    let new = NewSeries {
        id: "UNRATENSA".to_owned(),
        schedule: None,
        backfill: Backfill::From(day("2010-01-01")),
    };
    let added = process.registry.add(&new).await.unwrap();
    assert_eq!(added.id, "UNRATENSA");
    assert!(added.title.contains("Unemployment"));
    assert_eq!(added.frequency, "Monthly");
    assert_eq!(added.units, "Percent");
    assert_eq!(added.source, "fred");
    assert_eq!(
        added.schedule.to_string(),
        "45 8,10,16 * * * America/New_York"
    );
    assert!(!added.schedule_is_set && !added.paused);
    assert_eq!(added.backfill_from, Some(day("2010-01-01")));
    assert!(added.next_collection_at <= Utc::now(), "due at once");

    let again = process.registry.add(&new).await;
    assert!(matches!(again, Err(SeriesError::AlreadyExists(id)) if id == "UNRATENSA"));
    process.registry.add(&all_of("VIXCLS")).await.unwrap();
    let listed = process.registry.list().await.unwrap();
    let ids: Vec<_> = listed.iter().map(|series| series.id.as_str()).collect();
    assert_eq!(ids, ["UNRATENSA", "VIXCLS"]);
}

#[tokio::test]
async fn what_cannot_be_added_is_refused_with_its_reason_and_not_stored() {
    let (bed, process) = bed().await;
    for id in ["", "A B", "É", "A/B", &"A".repeat(51)] {
        let refused = process.registry.add(&all_of(id)).await;
        assert!(matches!(refused, Err(SeriesError::InvalidId(_))), "{id}");
    }
    let mut new = all_of("VIXCLS");
    new.schedule = Some("every day".to_owned());
    let refused = process.registry.add(&new).await;
    assert!(matches!(refused, Err(SeriesError::InvalidSchedule(_))));
    assert_eq!(bed.fred.requests().len(), 0, "FRED was not asked");

    let Err(SeriesError::Source(failure)) = process.registry.add(&all_of("NOPE")).await else {
        panic!("added what FRED does not know");
    };
    assert_eq!(failure.error.code(), "SERIES_NOT_FOUND");
    assert!(process.registry.list().await.unwrap().is_empty());
    assert_eq!(process.failures().await, []);
}

#[tokio::test]
async fn what_is_not_there_cannot_be_managed() {
    let (_bed, process) = bed().await;
    let registry = &process.registry;
    let outcomes = [
        registry.get("NOPE").await.map(drop),
        registry.pause("NOPE").await.map(drop),
        registry.resume("NOPE").await.map(drop),
        registry.delete("NOPE").await,
        registry
            .set_schedule("NOPE", Some("* * * * *"))
            .await
            .map(drop),
        registry.collect_now("NOPE").await.map(drop),
        registry.backfill("NOPE", None).await.map(drop),
    ];
    for outcome in outcomes {
        assert!(
            matches!(outcome, Err(SeriesError::NotFound(_))),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn seeding_adds_what_is_missing_and_leaves_the_rest_alone() {
    let (bed, process) = bed().await;
    process.seed(&["VIXCLS"]).await;
    process.registry.pause("VIXCLS").await.unwrap();
    let seeds = [all_of("VIXCLS"), all_of("UNRATENSA")];
    assert_eq!(process.registry.seed(&seeds).await.unwrap(), 1);
    assert_eq!(process.registry.seed(&seeds).await.unwrap(), 0);
    assert!(process.registry.get("VIXCLS").await.unwrap().paused);
    assert_eq!(bed.fred.requests().len(), 0, "a start needs no FRED");

    let bad = [all_of("GOOD"), all_of("not good")];
    assert!(process.registry.seed(&bad).await.is_err());
    assert_eq!(process.registry.list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_deleted_series_leaves_its_events_and_observations_and_can_come_back() {
    let (_bed, process) = bed().await;
    process.seed(&["UNRATENSA"]).await;
    let first = process.registry.collect_now("UNRATENSA").await.unwrap();
    assert!(first.data_points > 500);
    process.registry.delete("UNRATENSA").await.unwrap();
    assert!(process.registry.list().await.unwrap().is_empty());
    let latest = process.observations.latest("UNRATENSA").await.unwrap();
    assert!(latest.is_some());

    process.registry.add(&all_of("UNRATENSA")).await.unwrap();
    let again = process.registry.collect_now("UNRATENSA").await.unwrap();
    assert_eq!(again.data_points, 0, "all of it is known");
}

#[tokio::test]
async fn a_schedule_can_be_set_and_given_back() {
    let (_bed, process) = bed().await;
    process.seed(&["VIXCLS"]).await;
    process.registry.collect_now("VIXCLS").await.unwrap();
    let set = process
        .registry
        .set_schedule("VIXCLS", Some("*/10 * * * * *"));
    let set = set.await.unwrap();
    assert!(set.schedule_is_set);
    assert!(set.next_collection_at - Utc::now() <= TimeDelta::seconds(10));
    let back = process.registry.set_schedule("VIXCLS", None).await.unwrap();
    assert!(!back.schedule_is_set);
    assert_eq!(
        back.schedule.to_string(),
        "15 9,17,21 * * * America/New_York"
    );
    let refused = process.registry.set_schedule("VIXCLS", Some("x")).await;
    assert!(matches!(refused, Err(SeriesError::InvalidSchedule(_))));
}
