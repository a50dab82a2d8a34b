//! The first collection brings all, the next ones only what is new, revised or withdrawn.

use fred_stand_in::{Release, StandIn};

use crate::{
    bed::{Bed, all_of, day, own_series, point, points, quick},
    expected::{assert_exact, from_csv},
};

const GDPC1: &str = include_str!("../../../fred-stand-in/data/GDPC1.csv");
const DCOILWTICO: &str = include_str!("../../../fred-stand-in/data/DCOILWTICO.csv");

#[tokio::test]
async fn the_first_backfill_is_exactly_what_fred_has_with_every_vintage() {
    let bed = Bed::new(StandIn::builder().series(["GDPC1"])).await;
    let process = bed.process().await;
    process.seed(&["GDPC1"]).await;

    let collected = process.registry.collect_now("GDPC1").await.unwrap();

    let expected = from_csv(GDPC1, None);
    assert!(expected.len() > 500, "with revisions");
    assert_eq!(collected.data_points, expected.len());
    assert_eq!(collected.first_position, Some(1));
    assert_exact(&process, "GDPC1", &expected).await;
    let series = process.registry.get("GDPC1").await.unwrap();
    assert_eq!(series.title, "Real Gross Domestic Product");
    assert_eq!(series.units, "Billions of Chained 2005 Dollars");
    assert_eq!(series.vintage_cursor, Some(expected.last().unwrap().0));
    assert_eq!(series.next_collection_at, collected.next_collection_at);
    let event = &process.events().await[0];
    assert_eq!(event.source_service, "FredCollector");
}

#[tokio::test]
async fn thousands_of_vintages_are_fetched_in_windows_and_pages_and_emitted_in_bounded_events() {
    let bed = Bed::new(StandIn::builder().series(["DCOILWTICO"])).await;
    let mut config = quick(&bed.fred);
    config.observations_page_rows = 1_500;
    config.vintage_dates_page_rows = 3_000;
    let process = bed.process_with(config).await;
    process.seed(&["DCOILWTICO"]).await;

    process.registry.collect_now("DCOILWTICO").await.unwrap();

    let expected = from_csv(DCOILWTICO, None);
    assert!(expected.len() > 8_000);
    assert_exact(&process, "DCOILWTICO", &expected).await;
    let events = process.collected().await;
    assert!(events.iter().all(|event| event.data_points.len() <= 1_000));
    assert!(
        bed.fred
            .requests()
            .iter()
            .all(|request| request.status == 200)
    );
}

#[tokio::test]
async fn a_backfill_from_a_date_begins_there_and_can_be_extended() {
    let bed = Bed::new(StandIn::builder().series(["GDPC1"])).await;
    let process = bed.process().await;
    let mut new = all_of("GDPC1");
    new.backfill = collector::series::Backfill::From(day("2000-01-01"));
    process.registry.seed(&[new]).await.unwrap();

    process.registry.collect_now("GDPC1").await.unwrap();
    let recent = from_csv(GDPC1, Some(day("2000-01-01")));
    assert_exact(&process, "GDPC1", &recent).await;

    let extended = process.registry.backfill("GDPC1", Some(day("1980-01-01")));
    let extended = extended.await.unwrap();
    let mut all = from_csv(GDPC1, Some(day("1980-01-01")));
    assert_eq!(extended.data_points, all.len() - recent.len());
    let stored = crate::expected::stored(&process, "GDPC1").await;
    all.sort();
    assert!(stored == all, "each once");

    let shorter = process.registry.backfill("GDPC1", Some(day("2005-01-01")));
    assert_eq!(shorter.await.unwrap().data_points, 0);
    let series = process.registry.get("GDPC1").await.unwrap();
    assert_eq!(series.backfill_from, Some(day("1980-01-01")));
}

#[tokio::test]
async fn a_second_collection_brings_nothing() {
    let bed = Bed::new(StandIn::builder().series(["GDPC1"])).await;
    let process = bed.process().await;
    process.seed(&["GDPC1"]).await;
    process.registry.collect_now("GDPC1").await.unwrap();
    let events = process.events().await.len();

    for _ in 0..2 {
        let again = process.registry.collect_now("GDPC1").await.unwrap();
        assert_eq!((again.data_points, again.first_position), (0, None));
    }
    // So it is in a process that knows nothing but the database.
    let other = bed.process().await;
    let again = other.registry.collect_now("GDPC1").await.unwrap();
    assert_eq!(again.data_points, 0);
    assert_eq!(process.events().await.len(), events);
}

#[tokio::test]
async fn a_revision_and_a_release_come_as_one_event_of_exactly_these_points() {
    let known = day("2020-02-05");
    let series = own_series()
        .with_value(day("2019-12-01"), known, "3.60")
        .unwrap()
        .with_value(day("2020-01-01"), known, "3.5")
        .unwrap();
    let (bed, process) = Bed::with(series).await;
    process.registry.collect_now("OWN").await.unwrap();

    let release = |date, value, since| {
        let release = Release::new(day(date), value).known_since(day(since));
        bed.fred.release("OWN", release).unwrap();
    };
    release("2020-01-01", "3.4", "2020-03-04");
    release("2020-02-01", "3.70", "2020-03-04");
    // Another spelling of the same value is no revision.
    release("2019-12-01", "3.6", "2020-03-04");
    let collected = process.registry.collect_now("OWN").await.unwrap();

    assert_eq!(collected.data_points, 2);
    let events = process.collected().await;
    assert_eq!(events.len(), 2);
    assert_eq!(
        points(&events[1]),
        [
            point("2020-01-01", Some("3.4"), "2020-03-04"),
            point("2020-02-01", Some("3.70"), "2020-03-04"),
        ]
    );
}

#[tokio::test]
async fn a_value_corrected_on_the_day_of_its_release_is_emitted() {
    let series = own_series()
        .with_value(day("2020-01-01"), day("2020-02-05"), "3.5")
        .unwrap();
    let (bed, process) = Bed::with(series).await;
    process.registry.collect_now("OWN").await.unwrap();

    let corrected = Release::new(day("2020-01-01"), "5.3").known_since(day("2020-02-05"));
    bed.fred.release("OWN", corrected).unwrap();
    process.registry.collect_now("OWN").await.unwrap();
    process.registry.collect_now("OWN").await.unwrap();

    let events = process.collected().await;
    assert_eq!(events.len(), 2);
    assert_eq!(
        points(&events[1]),
        [point("2020-01-01", Some("5.3"), "2020-02-05")]
    );
    let latest = process.observations.latest("OWN").await.unwrap().unwrap();
    assert_eq!(latest.value.to_string(), "5.3");
}

#[tokio::test]
async fn a_dot_is_emitted_only_where_it_withdraws_a_value() {
    let series = own_series()
        .with_value(day("2020-01-01"), day("2020-02-05"), "3.5")
        .unwrap()
        .with_value(day("2020-02-01"), day("2020-03-05"), ".")
        .unwrap();
    let (bed, process) = Bed::with(series).await;
    let first = process.registry.collect_now("OWN").await.unwrap();
    assert_eq!(first.data_points, 1);

    let withdrawn = Release::new(day("2020-01-01"), ".").known_since(day("2020-04-05"));
    bed.fred.release("OWN", withdrawn).unwrap();
    process.registry.collect_now("OWN").await.unwrap();

    let events = process.collected().await;
    assert_eq!(events.len(), 2);
    assert_eq!(
        points(&events[1]),
        [point("2020-01-01", None, "2020-04-05")]
    );
    assert_eq!(process.observations.latest("OWN").await.unwrap(), None);
    let again = process.registry.collect_now("OWN").await.unwrap();
    assert_eq!(again.data_points, 0);
}

#[tokio::test]
async fn only_the_past_two_years_are_collected_by_default() {
    let today = chrono::Utc::now().date_naive();
    let months_ago = |months| today - chrono::Months::new(months);
    let mut series = own_series();
    for months in [36, 25, 23, 1] {
        let date = months_ago(months);
        series = series.with_value(date, date, "1").unwrap();
    }
    let none: [&str; 0] = [];
    let bed = Bed::new(StandIn::builder().series(none).add_series(series)).await;
    let process = bed.process().await;
    let new = collector::series::NewSeries {
        backfill: collector::series::Backfill::default(),
        ..all_of("OWN")
    };
    process.registry.add(&new).await.unwrap();
    process.registry.collect_now("OWN").await.unwrap();
    let reported = crate::expected::reported(&process.collected().await, "OWN");
    let dates: Vec<_> = reported.iter().map(|(_, date, _)| *date).collect();
    assert_eq!(dates, [months_ago(23), months_ago(1)]);
}

#[tokio::test]
async fn a_licence_that_allows_fewer_years_withdraws_nothing() {
    let known = day("2020-02-05");
    let series = ["2018-01-01", "2019-01-01", "2020-01-01"]
        .iter()
        .try_fold(own_series(), |series, date| {
            series.with_value(day(date), known, "1")
        });
    let (bed, process) = Bed::with(series.unwrap()).await;
    process.registry.collect_now("OWN").await.unwrap();

    // The window narrows, and narrows again while it moves on with each release.
    bed.fred.begin_at("OWN", day("2019-01-01")).unwrap();
    let release = Release::new(day("2021-01-01"), "2");
    bed.fred.release("OWN", release).unwrap();
    let collected = process.registry.collect_now("OWN").await.unwrap();
    assert_eq!(collected.data_points, 1, "the release");
    bed.fred.begin_at("OWN", day("2021-01-01")).unwrap();
    let collected = process.registry.collect_now("OWN").await.unwrap();
    assert_eq!(collected.data_points, 0);

    let kept = process.observations.range("OWN", None, None, None, 10);
    let dates: Vec<_> = kept.await.unwrap().iter().map(|kept| kept.date).collect();
    let expected = ["2018-01-01", "2019-01-01", "2020-01-01", "2021-01-01"];
    assert_eq!(dates, expected.map(day));
}
