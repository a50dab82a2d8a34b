//! Answers of FRED that are well-formed and cannot be stored, and failures of our own: each is an
//! event and stands on the series, and none moves the cursor of the series past what is to come.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use atlas_events::Clock;
use chrono::{TimeDelta, Utc};
use collector::collection::{CollectError, SeriesCollector};
use fred_stand_in::{Fault, Release};

use crate::bed::{Bed, Process, day, own_series, point, points};

async fn bed() -> (Bed, Process) {
    let value = own_series().with_value(day("2020-01-01"), day("2020-02-05"), "3.5");
    Bed::with(value.unwrap()).await
}

/// One row, from the first day, the last day and the date.
fn row(start: &str, end: &str, date: &str) -> String {
    format!(r#"{{"realtime_start":"{start}","realtime_end":"{end}","date":"{date}","value":"1"}}"#)
}

fn rows(rows: &[String]) -> String {
    let (count, rows) = (rows.len(), rows.join(","));
    format!(r#"{{"count":{count},"observations":[{rows}]}}"#)
}

fn days(days: &[&str]) -> String {
    let (count, days) = (days.len(), days.join("\",\""));
    format!(r#"{{"count":{count},"vintage_dates":["{days}"]}}"#)
}

fn described(title: &str, units: &str) -> String {
    format!(
        r#"{{"seriess":[{{"id":"OWN","title":"{title}","frequency":"Monthly","units":"{units}",
            "seasonal_adjustment":"None"}}]}}"#
    )
}

/// Answers, each with its path and what the failure says.
fn answers() -> Vec<(&'static str, String, &'static str)> {
    const STILL: &str = "9999-12-31";
    let observations = "series/observations";
    let one = |start, end, date| rows(&[row(start, end, date)]);
    let contradiction = [
        row("2020-02-01", STILL, "2020-01-01"),
        row("2020-03-01", STILL, "2020-01-01"),
    ];
    vec![
        (
            observations,
            one("2999-01-01", STILL, "2020-01-01"),
            "on 2999-01-01 only",
        ),
        (
            observations,
            one("1500-01-01", STILL, "2020-01-01"),
            "before 1776",
        ),
        (
            observations,
            one("2020-02-01", STILL, "+12024-01-01"),
            "years 1 to 9999",
        ),
        (
            observations,
            one("2020-02-01", STILL, "-0400-01-01"),
            "years 1 to 9999",
        ),
        // The day after it is no day any more.
        (
            observations,
            one("2020-02-01", "+262142-12-31", "2020-01-01"),
            "until +262142",
        ),
        (
            observations,
            one("2020-02-01", "+10000-01-01", "2020-01-01"),
            "until +10000",
        ),
        (
            observations,
            one("2020-02-01", "2020-01-31", "2020-01-01"),
            "before it began",
        ),
        (observations, rows(&contradiction), "both the known one"),
        (
            "series/vintagedates",
            days(&["2020-02-05", "2999-01-01"]),
            "2999-01-01 only",
        ),
        (
            "series/vintagedates",
            days(&["2020-02-05", "2020-02-04"]),
            "not in order",
        ),
        (
            "series/vintagedates",
            days(&["+262142-12-31"]),
            "+262142-12-31 only",
        ),
        (
            "series",
            described(r"Nothing\u0000", "Percent"),
            "control character",
        ),
        (
            "series",
            described("Something", r"\u0000"),
            "control character",
        ),
        (
            "series",
            described(&"long".repeat(1_000), "Percent"),
            "2,000 characters",
        ),
    ]
}

#[tokio::test]
async fn answers_that_cannot_be_stored_are_failures_and_move_no_cursor() {
    let (bed, process) = bed().await;
    let answers = answers();
    for (number, (path, body, text)) in (1_u32..).zip(&answers) {
        let answer = Fault::Answer {
            path: (*path).to_owned(),
            status: 200,
            body: body.clone(),
        };
        bed.fred.fail_next(1, answer);
        process.registry.collect_now("OWN").await.unwrap_err();
        let series = process.registry.get("OWN").await.unwrap();
        let last_error = series.last_error.unwrap();
        assert_eq!(last_error.code, "MALFORMED_RESPONSE", "{body}");
        assert!(last_error.message.contains(text), "{}", last_error.message);
        assert_eq!(series.consecutive_failures, number, "{body}");
        assert_eq!(series.vintage_cursor, None, "{body}");
        let failures = process.failures().await;
        assert_eq!(failures.len(), number as usize, "{body}");
        assert_eq!(failures.last().unwrap().error_message, last_error.message);
    }
    process.registry.collect_now("OWN").await.unwrap();
    let collected = process.collected().await;
    let expected = [point("2020-01-01", Some("3.5"), "2020-02-05")];
    assert_eq!(points(&collected[0]), expected);
}

#[tokio::test]
async fn a_cursor_in_the_future_is_no_cursor() {
    let (bed, process) = bed().await;
    process.registry.collect_now("OWN").await.unwrap();
    sqlx::query("update series set vintage_cursor = '2999-01-01'")
        .execute(&process.pool)
        .await
        .unwrap();
    let release = Release::new(day("2020-02-01"), "4").known_since(day("2020-03-05"));
    bed.fred.release("OWN", release).unwrap();
    let collected = process.registry.collect_now("OWN").await.unwrap();
    assert_eq!(collected.data_points, 1);
    let series = process.registry.get("OWN").await.unwrap();
    assert_eq!(series.vintage_cursor, Some(day("2020-03-05")));
}

#[tokio::test]
async fn what_fred_dates_a_day_ahead_does_not_move_the_cursor_beyond_today() {
    let (bed, process) = bed().await;
    let today = Utc::now().date_naive();
    let tomorrow = today + TimeDelta::days(1);
    bed.fred.set_today(tomorrow);
    let release = Release::new(day("2020-02-01"), "4").known_since(tomorrow);
    bed.fred.release("OWN", release).unwrap();
    let collected = process.registry.collect_now("OWN").await.unwrap();
    assert_eq!(collected.data_points, 2);
    let cursor = process.registry.get("OWN").await.unwrap().vintage_cursor;
    // Midnight may have passed meanwhile.
    let now = Utc::now().date_naive();
    assert!(cursor.is_some_and(|cursor| (today..=now).contains(&cursor)));
}

/// A failure of the series is recorded, with a code and a text.
async fn check_recorded(process: &Process, code: &str, text: &str) {
    let series = process.registry.get("OWN").await.unwrap();
    let last_error = series.last_error.unwrap();
    assert_eq!(last_error.code, code, "{}", last_error.message);
    assert!(last_error.message.contains(text), "{}", last_error.message);
    assert_eq!(series.consecutive_failures, 1);
    let failures = process.failures().await;
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].error_code, code);
}

#[tokio::test]
async fn a_panic_is_a_failure_that_is_recorded() {
    let (_bed, process) = bed().await;
    // The second question is asked within the collection.
    let asked = Arc::new(AtomicUsize::new(0));
    let clock = Clock::from_fn(move || {
        assert_ne!(asked.fetch_add(1, Ordering::SeqCst), 1, "for the test");
        Utc::now()
    });
    let (pool, log) = (process.pool.clone(), process.log.clone());
    let collector = SeriesCollector::new(pool, log, process.client.clone(), clock);
    let collected = collector.collect("OWN").await;
    assert!(matches!(collected, Err(CollectError::Panicked)));
    check_recorded(&process, "INTERNAL", "failed internally").await;
    collector.collect("OWN").await.unwrap();
}

#[tokio::test]
async fn what_the_database_refuses_is_a_failure_of_the_source() {
    let (_bed, process) = bed().await;
    sqlx::query("alter table observations add check (value < 3)")
        .execute(&process.pool)
        .await
        .unwrap();
    process.registry.collect_now("OWN").await.unwrap_err();
    check_recorded(&process, "MALFORMED_RESPONSE", "SQLSTATE 23514").await;
}

#[tokio::test]
async fn a_database_that_fails_in_another_way_is_recorded_too() {
    let (_bed, process) = bed().await;
    sqlx::query("alter table observations rename to elsewhere")
        .execute(&process.pool)
        .await
        .unwrap();
    process.registry.collect_now("OWN").await.unwrap_err();
    check_recorded(&process, "DATABASE", "SQLSTATE 42P01").await;
}
