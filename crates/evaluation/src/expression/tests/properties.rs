//! Incremental evaluation compared with evaluation from scratch.

use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate};
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::super::{Compiler, Graph, Input, NodeIndex, Scope, Value, View};
use super::{date, inputs};
use crate::expression::Naive;
use crate::series::SeriesStore;

const EXPRESSIONS: &[&str] = &[
    "D",
    "M",
    "D - W",
    "W * M",
    "D / (W - M)",
    "D.abs() + Q",
    "I + D",
    "D.days_since()",
    "(W - M).days_since()",
    "D.mean(\"5d\")",
    "D.mean(3)",
    "M.mean(\"3mo\")",
    "W.sum(\"1mo\", excluding_current)",
    "D.sum(4, excluding_current)",
    "D.lowest(\"10d\")",
    "W.highest(\"2mo\", excluding_current)",
    "Q.highest(\"1y\")",
    "D.highest(3, excluding_current)",
    "D.stddev(\"10d\")",
    "W.zscore(4)",
    "D.percentile(\"20d\")",
    "W.percentile(5, excluding_current)",
    "D.change(\"4d\")",
    "D.change(3)",
    "W.pct_change(\"1mo\")",
    "M.yoy()",
    "M.mom()",
    "Q.value_at(\"6mo\")",
    "M.value_at(\"3mo\")",
    "D.previous(2)",
    "I.value_at(\"4d\")",
    "I.mean(\"8d\")",
    "M.mean(\"3mo\") - M.mean(\"3mo\").lowest(\"12mo\", excluding_current)",
    "(D - W).mean(\"7d\")",
    "(D - M).change(\"5d\")",
    "(W / M).lowest(3)",
    "(D.mean(3) - W.previous(1)).highest(\"9d\")",
    "(D.days_since() + W).sum(\"6d\")",
    "max(D, W.mean(2)).mean(\"1mo\")",
    "D.mean(\"5d\").mean(\"5d\").change(2)",
    "D.mean(\"3d\").lowest(4, excluding_current).zscore(5)",
    "M.change(\"3mo\").sum(\"3mo\")",
    "M.change(2).mean(3)",
    "(D - W).percentile(\"20d\")",
    "(D / (W - M)).sum(\"1mo\").lowest(\"10d\")",
    "Q.value_at(\"3mo\").mean(\"6mo\", excluding_current)",
];

const CONDITIONS: &[&str] = &[
    "(D > 2).sustained(\"4d\")",
    "(D > 2 || W > 3).sustained(3)",
    "D > W && M < 4",
    "(D.mean(2) > W).sustained(\"6d\") || !(M > 3)",
    "(D - W > 1).sustained(\"8d\")",
    "(M.change(1) > 0 || W > 2).sustained(4)",
];

/// Which series, day and value (none withdraws), and whether an older vintage.
type RandomPoint = (usize, u16, Option<i8>, bool);
pub(super) type DatedPoint = (usize, NaiveDate, Option<i8>, bool);

fn random_points() -> impl Strategy<Value = Vec<RandomPoint>> {
    let value = prop::option::weighted(0.9, -3..6i8);
    let point = (0..5usize, 0..60u16, value, prop::bool::weighted(0.1));
    prop::collection::vec(point, 1..60)
}

/// Days far enough apart that months and quarters pass.
fn day_of(series: usize, index: u16) -> NaiveDate {
    let scale = [1, 4, 20, 40, 2][series];
    date("2020-01-01") + Days::new(u64::from(index) * scale)
}

fn on_days(points: &[RandomPoint]) -> Vec<DatedPoint> {
    let on_day = |&(series, index, value, older)| (series, day_of(series, index), value, older);
    points.iter().map(on_day).collect()
}

/// Every day while all series go on, then some of the days after.
fn every_day() -> Vec<NaiveDate> {
    let first = date("2019-12-30");
    (0..320).map(|day| first + Days::new(day)).collect()
}

/// Plays points and compares after each of them, at some dates.
pub(super) fn compare_throughout(
    inputs: &[Input],
    source: &str,
    points: &[DatedPoint],
    dates: &[NaiveDate],
) -> Result<(), TestCaseError> {
    let mut store = SeriesStore::default();
    let mut compiler = Compiler::new(Scope::Pattern, inputs.to_vec());
    let node = match compiler.condition(source) {
        Ok(node) => node,
        Err(_) => {
            let condition = compiler.condition(&format!("{source} > 1")).unwrap();
            compiler.shown(condition)
        }
    };
    let program = Arc::new(compiler.finish(None));
    let mut graph = Graph::new(program.clone(), &mut store);
    for (number, (series, day, value, older)) in points.iter().enumerate() {
        let series_index = store.find(&inputs[*series].series).unwrap();
        let seconds = if *older { 0 } else { number as i64 + 1 };
        let known = DateTime::from_timestamp(seconds, 0).unwrap();
        let value = value.map(Decimal::from);
        let before: Vec<Value> = all_values(&graph, node, &store, dates);
        if let Some(change) = store.get_mut(series_index).apply(*day, known, value) {
            graph.update(&store, series_index, change);
        } else {
            continue;
        }
        let after = all_values(&graph, node, &store, dates);
        let naive = Naive::new(&program, &store);
        for ((was, is), at) in before.iter().zip(&after).zip(dates) {
            let at = *at;
            prop_assert_eq!(*is, naive.shown(node, at), "{} at {}", source, at);
            let emitted = graph.altered(node).is_some_and(|range| range.holds(at));
            let same = (was.number(), was.truth()) == (is.number(), is.truth());
            prop_assert!(same || emitted, "{} changed at {} untold", source, at);
        }
    }
    Ok(())
}

fn all_values(
    graph: &Graph,
    node: NodeIndex,
    store: &SeriesStore,
    dates: &[NaiveDate],
) -> Vec<Value> {
    let value = |date: &NaiveDate| graph.evaluate(node, *date, View::of(store));
    dates.iter().map(value).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// After every point, at every date: what the incremental evaluation says is what evaluation from
    /// scratch says, and where it says something new it had announced so.
    #[test]
    fn incremental_is_naive(points in random_points()) {
        let points = on_days(&points);
        for source in EXPRESSIONS.iter().chain(CONDITIONS) {
            compare_throughout(&inputs(), source, &points, &every_day())?;
        }
    }
}
