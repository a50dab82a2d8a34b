//! What FRED says about a series is asked for again each day, and changes are kept.

use chrono::TimeDelta;
use fred_stand_in::SeriesInfo;

use crate::bed::{Bed, Process, day, own_series};

/// How often FRED was asked what it says about the series.
fn asked(bed: &Bed) -> usize {
    let requests = bed.fred.requests();
    let about = |path: &str| path == "/fred/series";
    requests
        .iter()
        .filter(|request| about(&request.path))
        .count()
}

async fn changes(process: &Process) -> Vec<(String, String)> {
    let changes = "select title, units from series_metadata_changes order by changed_at";
    let changes = sqlx::query_as(changes).fetch_all(&process.pool);
    changes.await.unwrap()
}

fn described(title: &str, units: &str, frequency: &str) -> SeriesInfo {
    SeriesInfo {
        id: "OWN".to_owned(),
        title: title.to_owned(),
        frequency: frequency.to_owned(),
        frequency_short: "M".to_owned(),
        units: units.to_owned(),
        units_short: "%".to_owned(),
        seasonal_adjustment: "Not Seasonally Adjusted".to_owned(),
        seasonal_adjustment_short: "NSA".to_owned(),
        popularity: 1,
        notes: String::new(),
    }
}

#[tokio::test]
async fn a_series_that_is_described_otherwise_is_found_within_a_day_and_what_was_said_is_kept() {
    let value = own_series().with_value(day("2020-01-01"), day("2020-02-05"), "3.5");
    let (bed, process) = Bed::with(value.unwrap()).await;
    process.registry.collect_now("OWN").await.unwrap();
    process.registry.collect_now("OWN").await.unwrap();
    assert_eq!(asked(&bed), 1, "not more than once a day");

    let now = described("A series of the tests", "Index 2017=100", "Daily");
    bed.fred.describe(now).unwrap();
    bed.clock.advance(TimeDelta::days(1));
    let collected = process.registry.collect_now("OWN").await.unwrap();
    assert_eq!(asked(&bed), 2);
    let series = process.registry.get("OWN").await.unwrap();
    assert_eq!(series.units, "Index 2017=100");
    assert_eq!(series.frequency, "Daily");
    assert_eq!(series.next_collection_at, collected.next_collection_at);
    let before = ("A series of the tests".to_owned(), "Percent".to_owned());
    assert_eq!(changes(&process).await, std::slice::from_ref(&before));

    // The same again is no change.
    bed.clock.advance(TimeDelta::days(1));
    process.registry.collect_now("OWN").await.unwrap();
    assert_eq!(asked(&bed), 3);
    assert_eq!(changes(&process).await, [before]);
}
