//! Observations are the fold of the log's events, and can be read as they were known at any time.

use atlas_events::{DataPoint, Event, SeriesCollectedEvent, event::Payload, parse_decimal};
use chrono::{DateTime, Utc};
use collector::observations::Vintage;
use fred_stand_in::{Release, StandIn};
use test_support::{draft, series_event};

use crate::bed::{Bed, Process, day, own_series};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// (date, value, known from)
fn published(series_id: &str, points: &[(&str, Option<&str>, Option<&str>)]) -> Event {
    let data_points = points.iter().map(|(date, value, known_from)| DataPoint {
        date: (*date).to_owned(),
        value: value.map(str::to_owned),
        known_from: known_from.map(|known_from| at(known_from).into()),
    });
    Event {
        source_service: "another-service".to_owned(),
        payload: Some(Payload::SeriesCollected(SeriesCollectedEvent {
            series_id: series_id.to_owned(),
            data_points: data_points.collect(),
            collected_at: None,
            release_part: None,
        })),
        ..Event::default()
    }
}

async fn values(process: &Process, id: &str, as_of: Option<&str>) -> Vec<(String, String)> {
    let range = process
        .observations
        .range(id, None, None, as_of.map(at), 1_000)
        .await
        .unwrap();
    range
        .into_iter()
        .map(|o| (o.date.to_string(), o.value.to_string()))
        .collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(date, value): &(&str, &str)| ((*date).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

async fn empty() -> (Bed, Process) {
    let none: [&str; 0] = [];
    let bed = Bed::new(StandIn::builder().series(none)).await;
    let process = bed.process().await;
    (bed, process)
}

#[tokio::test]
async fn a_published_event_is_among_the_observations_once_it_is_acknowledged() {
    let (_bed, process) = empty().await;
    let event = series_event(1, "SENSOR", "2024-05-01", "-0.1250");
    let occurred_at = event.occurred_at.unwrap().to_utc().unwrap();
    let receipts = process.log.append(vec![draft(event)]).await.unwrap();

    let latest = process
        .observations
        .latest("SENSOR")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(latest.date, day("2024-05-01"));
    assert_eq!(latest.value.to_string(), "-0.1250", "exact, digits kept");
    assert_eq!(latest.known_from, occurred_at, "unless set otherwise");
    assert_eq!(latest.position, receipts[0].position);
    assert_eq!(process.observations.latest("OTHER").await.unwrap(), None);
}

/// Taken as it is, it would be the newest of its date for ever.
#[tokio::test]
async fn a_value_said_to_be_known_in_the_far_future_is_known_when_its_event_occurs() {
    let (_bed, process) = empty().await;
    let known_from = Some("9999-12-31T00:00:00Z");
    let ahead = published("S", &[("2020-01-01", Some("1"), known_from)]);
    process.log.append(vec![draft(ahead)]).await.unwrap();
    let latest = process.observations.latest("S").await.unwrap().unwrap();
    assert!(latest.known_from <= Utc::now(), "{latest:?}");
    let later = published("S", &[("2020-01-01", Some("2"), None)]);
    process.log.append(vec![draft(later)]).await.unwrap();
    let now = values(&process, "S", None).await;
    assert_eq!(now, pairs(&[("2020-01-01", "2")]));
}

#[tokio::test]
async fn values_are_read_as_they_were_known_and_withdrawn_dates_are_left_out() {
    let (_bed, process) = empty().await;
    let first = published(
        "S",
        &[
            ("2020-01-01", Some("1"), Some("2020-02-01T00:00:00Z")),
            ("2020-02-01", Some("2"), Some("2020-03-01T00:00:00Z")),
        ],
    );
    let second = published(
        "S",
        &[
            ("2020-01-01", Some("1.5"), Some("2020-03-01T00:00:00Z")),
            ("2020-02-01", None, Some("2020-04-01T00:00:00Z")),
        ],
    );
    let corrected = published(
        "S",
        &[("2020-01-01", Some("1.6"), Some("2020-03-01T00:00:00Z"))],
    );
    let drafts = [first, second, corrected].map(draft).to_vec();
    process.log.append(drafts).await.unwrap();

    let now = values(&process, "S", None).await;
    assert_eq!(now, pairs(&[("2020-01-01", "1.6")]));
    let march = values(&process, "S", Some("2020-03-15T00:00:00Z")).await;
    assert_eq!(march, pairs(&[("2020-01-01", "1.6"), ("2020-02-01", "2")]));
    let february = values(&process, "S", Some("2020-02-01T00:00:00Z")).await;
    assert_eq!(february, pairs(&[("2020-01-01", "1")]));
    assert_eq!(
        values(&process, "S", Some("2020-01-31T23:59:59Z")).await,
        []
    );
    let latest = process.observations.latest("S").await.unwrap().unwrap();
    assert_eq!(latest.date, day("2020-01-01"));
}

#[tokio::test]
async fn ranges_and_vintages_are_read_in_pages() {
    let (_bed, process) = empty().await;
    let points: Vec<_> = (1..=28)
        .flat_map(|n| {
            let date = format!("2020-01-{n:02}");
            [(date.clone(), "1"), (date, "2")]
        })
        .collect();
    let points: Vec<_> = points
        .iter()
        .map(|(date, value)| {
            let known = if *value == "1" {
                "2020-02-01T00:00:00Z"
            } else {
                "2020-03-01T00:00:00Z"
            };
            (date.as_str(), Some(*value), Some(known))
        })
        .collect();
    process
        .log
        .append(vec![draft(published("S", &points))])
        .await
        .unwrap();
    let observations = &process.observations;

    let (from, to) = (day("2020-01-05"), day("2020-01-14"));
    let page = observations.range("S", Some(from), Some(to), None, 4);
    let page = page.await.unwrap();
    assert_eq!(page.len(), 4);
    let next = page.last().unwrap().date.succ_opt();
    let rest = observations.range("S", next, Some(to), None, 100);
    let rest = rest.await.unwrap();
    let dates: Vec<_> = page.iter().chain(&rest).map(|o| o.date).collect();
    assert_eq!(dates, from.iter_days().take(10).collect::<Vec<_>>());
    assert!(page.iter().all(|o| o.value == 2.into()));

    let mut vintages: Vec<Vintage> = Vec::new();
    loop {
        let after = vintages.last().map(|v| (v.date, v.known_from, v.position));
        let page = observations.vintages("S", Some(from), Some(to), after, 3);
        let page = page.await.unwrap();
        if page.is_empty() {
            break;
        }
        vintages.extend(page);
    }
    let whole = observations.vintages("S", Some(from), Some(to), None, 100);
    assert_eq!(vintages, whole.await.unwrap());
    assert_eq!(vintages.len(), 20);
}

#[tokio::test]
async fn observations_are_the_fold_of_the_log() {
    let known = day("2020-02-05");
    let series = own_series()
        .with_value(day("2020-01-01"), known, "3.5")
        .unwrap();
    let (bed, process) = Bed::with(series).await;
    process.registry.collect_now("OWN").await.unwrap();
    let other = published(
        "OWN",
        &[("2020-01-01", Some("9"), None), ("2020-03-01", None, None)],
    );
    process.log.append(vec![draft(other)]).await.unwrap();
    let release = Release::new(day("2020-01-01"), "3.6").known_since(day("2020-03-05"));
    bed.fred.release("OWN", release).unwrap();
    process.registry.collect_now("OWN").await.unwrap();
    let same = series_event(7, "OWN", "2020-04-01", "1");
    process.log.append(vec![draft(same.clone())]).await.unwrap();
    process.log.append(vec![draft(same)]).await.unwrap();

    let mut fold = Vec::new();
    for event in process.events().await {
        let Some(Payload::SeriesCollected(collected)) = event.payload else {
            continue;
        };
        for point in collected.data_points {
            let known_from = point.known_from.or(event.occurred_at).unwrap();
            fold.push(Vintage {
                date: point.date.parse().unwrap(),
                value: point.value.map(|value| parse_decimal(&value).unwrap()),
                known_from: known_from.to_utc().unwrap(),
                position: event.position,
            });
        }
    }
    fold.sort_by_key(|row| (row.date, row.known_from, row.position));
    assert_eq!(fold.len(), 5);
    let stored = process.observations.vintages("OWN", None, None, None, 100);
    assert_eq!(stored.await.unwrap(), fold);
}
