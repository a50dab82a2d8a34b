//! A window over a computed series knows where the computed series begins.

use super::{check, check_missing, date, days, graph, months, put};
use crate::expression::{Reason, View};
use crate::series::SeriesStore;

/// Ones for so many months.
fn ones(months_count: usize) -> SeriesStore {
    months("M", "1948-01-01", &vec!["1"; months_count].join(" "))
}

/// A three-month mean exists from the third month on, twelve of them lie before the fifteenth month:
/// the published series of the Sahm rule, over unemployment from January 1948, starts in March 1949.
#[test]
fn the_lowest_mean_of_a_year_exists_after_a_year_of_means() {
    let source = "M.mean(\"3mo\").lowest(\"12mo\", excluding_current)";
    for (at, count) in [("1948-12-01", 12), ("1949-01-01", 13), ("1949-02-01", 14)] {
        check_missing(ones(count), source, at, Reason::WindowNotCovered);
    }
    check(ones(15), source, "1949-03-01", "1");
}

#[test]
fn a_year_of_changes_needs_two_years() {
    let source = "M.change(\"12mo\").sum(\"12mo\")";
    check_missing(ones(12), source, "1948-12-01", Reason::NoPastValue);
    check_missing(ones(13), source, "1949-01-01", Reason::WindowNotCovered);
    check_missing(ones(23), source, "1949-11-01", Reason::WindowNotCovered);
    check(ones(24), source, "1949-12-01", "0");
}

#[test]
fn observations_of_a_computed_series_are_counted_from_its_beginning() {
    let source = "M.change(2).mean(3)";
    check_missing(ones(4), source, "1948-04-01", Reason::WindowNotCovered);
    check(ones(5), source, "1948-05-01", "0");
}

/// Of a difference nothing is known before the later of the two begins.
#[test]
fn a_spread_begins_with_the_later_series() {
    let mut store = days("D", "2024-01-01", &["5"; 60].join(" "));
    for week in 0..5 {
        let day = date("2024-02-01") + chrono::Days::new(7 * week);
        put(&mut store, "W", &day.to_string(), "2");
    }
    let source = "(D - W).mean(\"20d\")";
    let missing = |at| check_missing(store.clone(), source, at, Reason::WindowNotCovered);
    missing("2024-02-02");
    // From 27 January on, which is five days before the first difference.
    missing("2024-02-15");
    // From 28 January on: a daily series may begin within five days.
    check(store.clone(), source, "2024-02-16", "3");
}

/// A revision gives the computed series an earlier beginning, and takes it away again.
#[test]
fn a_beginning_moves_with_revisions() {
    let mut store = months("M", "2024-02-01", "1 1 1 1");
    let (mut graph, node) = graph("M.mean(\"2mo\").sum(\"3mo\")", &mut store);
    let series = store.find("M").unwrap();
    let mut put = |day: &str, value: Option<i32>, seconds| {
        let known = chrono::DateTime::from_timestamp(seconds, 0).unwrap();
        let value = value.map(Into::into);
        let change = store.get_mut(series).apply(date(day), known, value);
        graph.update(&store, series, change.unwrap());
        let at = graph.evaluate(node, date("2024-04-01"), View::of(&store));
        at.number().map(|number| number.to_string())
    };
    assert_eq!(put("2024-03-01", Some(4), 1), None);
    assert_eq!(put("2024-01-01", Some(1), 1), Some("6".into()));
    assert_eq!(put("2024-01-01", None, 2), None);
}
