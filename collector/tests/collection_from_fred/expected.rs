//! What a log and its observations must hold of a series, worked out from the stand-in's own data.

use std::collections::BTreeMap;

use atlas_events::{SeriesCollectedEvent, parse_decimal};
use chrono::NaiveDate;
use rust_decimal::Decimal;

use crate::bed::Process;

/// A value, with the day from which it was known and the date that it is for.
pub(crate) type Point = (NaiveDate, NaiveDate, Option<Decimal>);

/// Reads `date,realtime_start,value` and leaves out what is not new, in the order in which it
/// became known.
pub(crate) fn from_csv(csv: &str, first_date: Option<NaiveDate>) -> Vec<Point> {
    let mut current: BTreeMap<NaiveDate, Option<Decimal>> = BTreeMap::new();
    let mut rows: Vec<Point> = csv.lines().skip(1).map(row).collect();
    rows.retain(|(_, date, _)| first_date.is_none_or(|first| *date >= first));
    rows.sort();
    rows.retain(|(_, date, value)| {
        let before = current.insert(*date, *value).flatten();
        before != *value
    });
    rows
}

fn row(line: &str) -> Point {
    let fields: Vec<&str> = line.split(',').collect();
    let [date, known_from, value] = fields[..] else {
        panic!("{line}");
    };
    (
        known_from.parse().unwrap(),
        date.parse().unwrap(),
        parse_decimal(value),
    )
}

/// The points of the events about a series, in the order of the log.
pub(crate) fn reported(events: &[SeriesCollectedEvent], series_id: &str) -> Vec<Point> {
    let events = events.iter().filter(|event| event.series_id == series_id);
    let points = events.flat_map(|event| &event.data_points);
    points
        .map(|point| {
            (
                point.known_from.unwrap().to_utc().unwrap().date_naive(),
                point.date.parse().unwrap(),
                point.value.as_deref().map(|v| parse_decimal(v).unwrap()),
            )
        })
        .collect()
}

/// The points that the observations hold of a series, in the order in which they became known.
pub(crate) async fn stored(process: &Process, series_id: &str) -> Vec<Point> {
    let rows = process
        .observations
        .vintages(series_id, None, None, None, 1_000_000)
        .await
        .unwrap();
    let mut points: Vec<_> = rows
        .iter()
        .map(|row| (row.known_from.date_naive(), row.date, row.value))
        .collect();
    points.sort();
    points
}

/// Events and observations hold exactly these points, each once, in the order in which they became
/// known.
pub(crate) async fn assert_exact(process: &Process, series_id: &str, expected: &[Point]) {
    let reported = reported(&process.collected().await, series_id);
    let first_difference = reported.iter().zip(expected).find(|(a, b)| a != b);
    assert_eq!(first_difference, None, "of {} reported", reported.len());
    assert_eq!(reported.len(), expected.len());
    assert!(stored(process, series_id).await == expected);
}
