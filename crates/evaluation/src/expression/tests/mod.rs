mod beginnings;
mod costs;
mod exact;
mod looking_back;
mod properties;

use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, Utc};
use rust_decimal::Decimal;

use super::{Compiler, Graph, Input, NodeIndex, Reason, Scope, Value, View};
use crate::calendar::Frequency;
use crate::series::SeriesStore;

fn input(name: &str, frequency: Frequency, max_age_days: u32) -> Input {
    Input {
        name: name.into(),
        series: name.into(),
        unit: "percent".into(),
        frequency,
        max_age_days,
        business_age: None,
    }
}

fn inputs() -> Vec<Input> {
    vec![
        input("D", Frequency::Daily, 3),
        input("W", Frequency::Weekly, 10),
        input("M", Frequency::Monthly, 40),
        input("Q", Frequency::Quarterly, 120),
        input("I", Frequency::Irregular, 0),
    ]
}

/// A condition over nothing but what is to be seen: compared with a number.
fn graph(source: &str, store: &mut SeriesStore) -> (Graph, NodeIndex) {
    let mut compiler = Compiler::new(Scope::Pattern, inputs());
    let condition = compiler.condition(&format!("{source} > 1")).expect(source);
    let program = Arc::new(compiler.finish(None));
    let (shown, _) = program.shown_comparison(condition).unwrap();
    (Graph::new(program, store), shown)
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn put(store: &mut SeriesStore, series: &str, day: &str, value: &str) {
    let index = store.keep(series);
    let known = DateTime::<Utc>::UNIX_EPOCH;
    let value = (value != ".").then(|| d(value));
    store.get_mut(index).apply(date(day), known, value);
}

fn months(series: &str, first: &str, values: &str) -> SeriesStore {
    let mut store = SeriesStore::default();
    for (index, value) in values.split(' ').enumerate() {
        let day = date(first) + chrono::Months::new(index as u32);
        if value != "." {
            put(&mut store, series, &day.to_string(), value);
        }
    }
    store
}

fn days(series: &str, first: &str, values: &str) -> SeriesStore {
    let mut store = SeriesStore::default();
    for (index, value) in values.split(' ').enumerate() {
        let day = date(first) + Days::new(index as u64);
        if value != "." {
            put(&mut store, series, &day.to_string(), value);
        }
    }
    store
}

#[track_caller]
fn check(mut store: SeriesStore, source: &str, at: &str, expected: &str) {
    let (graph, node) = graph(source, &mut store);
    let value = graph.evaluate(node, date(at), View::of(&store));
    assert_eq!(value, Value::Number(d(expected)), "{source} at {at}");
}

#[track_caller]
fn check_missing(mut store: SeriesStore, source: &str, at: &str, expected: Reason) {
    let (graph, node) = graph(source, &mut store);
    let value = graph.evaluate(node, date(at), View::of(&store));
    let reason = value.why_missing().map(|m| m.reason);
    assert_eq!(reason, Some(expected), "{source} at {at}: {value:?}");
}

#[test]
fn every_function_over_months() {
    let store = || months("M", "2024-01-01", "1 2 4 7 11 16 22 29 37 46 56 67 79 92");
    let at = "2025-02-01";
    for (source, expected) in [
        ("M", "92"),
        ("M.latest()", "92"),
        ("M.mean('3mo')", "79.333333333333333"),
        ("M.mean('3mo', excluding_current)", "67.333333333333333"),
        ("M.mean(2)", "85.5"),
        ("M.mean(2, excluding_current)", "73"),
        ("M.sum('3mo')", "238"),
        ("M.lowest('3mo')", "67"),
        ("M.lowest('3mo', excluding_current)", "56"),
        ("M.highest('3mo')", "92"),
        ("M.highest('3mo', excluding_current)", "79"),
        ("M.stddev(3)", "12.503332889"),
        ("M.zscore(3)", "1.01306321915"),
        ("M.percentile('12mo')", "100"),
        ("(-M).percentile('12mo')", "0"),
        ("M.change('3mo')", "36"),
        ("M.change(1)", "13"),
        ("M.pct_change('3mo')", "64.285714285714286"),
        ("M.yoy()", "4500"),
        ("M.mom()", "16.455696202531646"),
        ("M.value_at('1y')", "2"),
        ("M.previous(13)", "1"),
        ("M.days_since()", "0"),
        ("(-M).abs()", "92"),
        ("M + 1.5", "93.5"),
        ("100 - M", "8"),
        ("M * M", "8464"),
        ("M / 3", "30.666666666666667"),
        ("min(M, 5)", "5"),
        ("max(M, M.previous(1))", "92"),
        ("spread(M, M.previous(1))", "13"),
        ("ratio(M, M.previous(13))", "92"),
        ("series('M')", "92"),
        (
            "M.mean('3mo').lowest('11mo', excluding_current)",
            "2.333333333333333",
        ),
        ("M.yoy().change('1mo')", "-3300"),
    ] {
        let source = &source.replace('\'', "\"");
        check(store(), source, at, expected);
    }
}

#[test]
fn a_missing_month_leaves_a_mean_of_those_present() {
    let store = || months("M", "2025-07-01", "4.1 4.3 4.4 . 4.5 4.6");
    check(store(), "M.mean(\"3mo\")", "2025-12-01", "4.55");
    check(store(), "M.mean(\"3mo\")", "2025-11-01", "4.45");
    // By observations the window would reach over the gap.
    check(store(), "M.mean(3)", "2025-11-01", "4.4");
    // Exactly that month, not the one before it.
    check_missing(
        store(),
        "M.value_at(\"1mo\")",
        "2025-11-01",
        Reason::NoPastValue,
    );
    check(store(), "M.value_at(\"2mo\")", "2025-11-01", "4.4");
    check(store(), "M.previous(1)", "2025-11-01", "4.4");
}

#[test]
fn the_last_days_of_months_are_months_too() {
    let mut store = SeriesStore::default();
    for (day, value) in [
        ("2024-11-30", "1"),
        ("2024-12-31", "2"),
        ("2025-01-31", "4"),
        ("2025-02-28", "8"),
    ] {
        put(&mut store, "M", day, value);
    }
    check(store.clone(), "M.sum(\"3mo\")", "2025-02-28", "14");
    check(
        store.clone(),
        "M.sum(\"3mo\", excluding_current)",
        "2025-02-28",
        "7",
    );
    check(store.clone(), "M.value_at(\"1mo\")", "2025-02-28", "4");
    check(store, "M.value_at(\"3mo\")", "2025-02-28", "1");
}

#[test]
fn days_are_counted_from_the_day_itself() {
    let store = || days("D", "2024-01-01", "1 2 4 8 16 32 64");
    check(store(), "D.sum(\"3d\")", "2024-01-07", "112");
    check(
        store(),
        "D.sum(\"3d\", excluding_current)",
        "2024-01-07",
        "56",
    );
    check(store(), "D.value_at(\"3d\")", "2024-01-07", "8");
    let gap = || days("D", "2024-01-01", "1 2 . . 16 32 64");
    check(gap(), "D.value_at(\"4d\")", "2024-01-07", "2");
    check(gap(), "D.sum(\"5d\")", "2024-01-07", "112");
    check(gap(), "D.sum(4)", "2024-01-07", "114");
}

#[test]
fn a_window_has_to_be_covered() {
    let store = || months("M", "2024-01-01", "1 2 4");
    check_missing(
        store(),
        "M.mean(\"4mo\")",
        "2024-03-01",
        Reason::WindowNotCovered,
    );
    check_missing(store(), "M.mean(4)", "2024-03-01", Reason::WindowNotCovered);
    let excluding = "M.mean(\"3mo\", excluding_current)";
    check_missing(store(), excluding, "2024-03-01", Reason::WindowNotCovered);
    check_missing(store(), "M.previous(3)", "2024-03-01", Reason::NoPastValue);
    check_missing(
        store(),
        "M.mean(\"3mo\")",
        "2024-02-01",
        Reason::WindowNotCovered,
    );
    check(
        store(),
        "M.mean(\"2mo\", excluding_current)",
        "2024-03-01",
        "1.5",
    );
}

#[test]
fn what_is_too_old_is_no_data() {
    let store = || months("M", "2024-01-01", "1 2");
    check(store(), "M.mean(\"2mo\")", "2024-03-12", "1.5");
    check_missing(store(), "M.mean(\"2mo\")", "2024-03-13", Reason::Stale);
    check_missing(store(), "M", "2024-03-13", Reason::Stale);
    check_missing(store(), "M", "2023-12-31", Reason::NoObservation);
    check_missing(store(), "M + D", "2024-02-01", Reason::NoObservation);
    check(store(), "M.days_since()", "2024-12-01", "304");
    // Of its own date only.
    let mut store = months("I", "2024-01-01", "1 2");
    put(&mut store, "M", "2024-01-15", "1");
    check(store.clone(), "I", "2024-02-01", "2");
    check_missing(store, "I", "2024-02-02", Reason::Stale);
}

#[test]
fn what_does_not_exist_is_no_data() {
    let store = || months("M", "2024-01-01", "0 0 79228162514264337593543950335");
    check_missing(store(), "1 / (M - M)", "2024-02-01", Reason::DivisionByZero);
    check_missing(
        store(),
        "M.pct_change(1)",
        "2024-02-01",
        Reason::DivisionByZero,
    );
    check_missing(store(), "M.zscore(2)", "2024-02-01", Reason::DivisionByZero);
    check_missing(store(), "M + M", "2024-03-01", Reason::Overflow);
    check_missing(store(), "(M * M).mean(2)", "2024-03-01", Reason::Overflow);
}

/// Evaluates the condition itself.
fn truth(store: &mut SeriesStore, source: &str, at: &str) -> Option<bool> {
    let mut compiler = Compiler::new(Scope::Pattern, inputs());
    let condition = compiler.condition(source).expect(source);
    let graph = Graph::new(Arc::new(compiler.finish(None)), store);
    let value = graph.evaluate(condition, date(at), View::of(store));
    value.truth()
}

#[test]
fn no_data_goes_through_conditions_unless_one_side_decides() {
    let mut store = months("M", "2024-01-01", "1");
    let mut at = |source: &str| truth(&mut store, source, "2024-01-01");
    for (source, expected) in [
        ("M < 0 && D > 0", Some(false)),
        ("D > 0 && M < 0", Some(false)),
        ("M > 0 && D > 0", None),
        ("D > 0 && M > 0", None),
        ("M > 0 || D > 0", Some(true)),
        ("D > 0 || M > 0", Some(true)),
        ("M < 0 || D > 0", None),
        ("!(D > 0)", None),
        ("!(M > 0)", Some(false)),
        ("M == 1.000", Some(true)),
        ("M != 1", Some(false)),
        ("M >= 1 && M <= 1", Some(true)),
        ("M > 1 || M < 1", Some(false)),
        ("D > 0 && D < 0", None),
    ] {
        assert_eq!(at(source), expected, "{source}");
    }
}

#[test]
fn sustained_needs_every_date_of_a_covered_window() {
    let at = |values: &str, source: &str| {
        truth(&mut months("M", "2024-01-01", values), source, "2024-04-01")
    };
    assert_eq!(at("5 5 5 5", "(M > 3).sustained(\"3mo\")"), Some(true));
    assert_eq!(at("5 3 5 5", "(M > 3).sustained(\"3mo\")"), Some(false));
    assert_eq!(at("3 5 5 5", "(M > 3).sustained(\"3mo\")"), Some(true));
    assert_eq!(at("5 . 5 5", "(M > 3).sustained(\"3mo\")"), Some(true));
    assert_eq!(at("5 5 5 5", "(M > 3).sustained(\"5mo\")"), None);
    assert_eq!(at("5 3 5 5", "(M > 3).sustained(\"5mo\")"), Some(false));
    assert_eq!(at("5 5 5 5", "(M > 3).sustained(4)"), Some(true));
    assert_eq!(at("5 5 5 5", "(M > 3).sustained(5)"), None);
    assert_eq!(at("1 2 3 4", "(M.change(1) > 0).sustained(3)"), Some(true));
    assert_eq!(at("1 2 3 4", "(M.change(1) > 0).sustained(4)"), None);
}

#[test]
fn mistakes_are_found_at_load() {
    let refused = |source: &str| {
        let mut compiler = Compiler::new(Scope::Pattern, inputs());
        match compiler.condition(source) {
            Ok(_) => panic!("{source} was taken"),
            Err(error) => error,
        }
    };
    for (source, reason) in [
        ("X > 1", "X is not among the inputs"),
        ("series(\"X\") > 1", "X is not among the inputs"),
        ("series(M) > 1", "in quotes"),
        ("M", "a series, not a condition"),
        ("1 + 1", "a number, not a condition"),
        ("M.mean(\"3mo\")", "a series, not a condition"),
        ("M.maen(\"3mo\") > 1", "did you mean mean?"),
        ("mean(M, 3) > 1", "write series.mean(…)"),
        ("M.mean() > 1", "takes a window"),
        ("M.mean(\"3m\") > 1", "no window"),
        ("M.mean(0) > 1", "1 to 10000"),
        ("M.mean(-3) > 1", "1 to 10000"),
        ("M.mean(1.5) > 1", "1 to 10000"),
        ("M.mean(10001) > 1", "1 to 10000"),
        ("M.mean(\"0d\") > 1", "no window"),
        ("M.mean(M) > 1", "which is fixed"),
        ("M.mean(3, including) > 1", "nothing but excluding_current"),
        (
            "M.mean(3, excluding_current, 1) > 1",
            "nothing but excluding_current",
        ),
        ("M.change(3, excluding_current) > 1", "takes a window"),
        ("M.previous(\"3mo\") > 1", "number of observations"),
        ("M.yoy(1) > 1", "takes no arguments"),
        ("excluding_current > 1", "stands after a window"),
        ("(M > 1) + 1 > 1", "a condition where"),
        ("M && D > 1", "a series where a condition is needed"),
        ("(M > 1).mean(3) > 1", "of a condition"),
        ("M.sustained(3)", "of a series"),
        ("(1).mean(3) > 1", "of a number"),
        ("1 > 2", "never changes"),
        ("M / 0 > 1 / 0", "does not exist"),
        ("pattern(\"x\")", "regimes only"),
        ("min(M) > 1", "two arguments"),
        ("true.sustained(3)", "no series"),
        ("\"M\" > 1", "no meaning"),
        ("M.mean(\"60y\").lowest(\"60y\") > 1", "a century"),
        ("M.mean(\"9999999999d\") > 1", "no window"),
    ] {
        let error = refused(source);
        assert!(error.reason.contains(reason), "{source}: {}", error.reason);
    }
    assert_eq!(refused("M > 1 && X > 1").offset, 9);
}

#[test]
fn many_operations_are_refused() {
    let mut compiler = Compiler::new(Scope::Pattern, inputs());
    let refused = (0..200).find_map(|i| {
        let source = format!("M > {i} && M + {i}.5 < 7");
        compiler.condition(&source).err()
    });
    assert!(refused.unwrap().reason.contains("more than 400 operations"));
}
