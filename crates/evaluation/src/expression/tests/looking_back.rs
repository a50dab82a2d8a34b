//! Looking back by the calendar: weeks of the year before, month ends, leap days, gaps and large ages.

use chrono::{Datelike, Days, NaiveDate, Weekday};
use proptest::prelude::*;

use super::properties::{DatedPoint, compare_throughout};
use super::{check, date, graph, input, put};
use crate::calendar::Frequency;
use crate::expression::{Input, View};
use crate::series::SeriesStore;

/// Weeks that end on Saturday: 2 March 2024 is compared with 4 March 2023, which is nearer to 2 March
/// 2023 than 25 February is.
#[test]
fn a_year_of_weeks_leads_to_the_same_week() {
    let mut store = SeriesStore::default();
    for (day, value) in [
        ("2023-02-25", "50"),
        ("2023-03-04", "100"),
        ("2024-02-24", "60"),
        ("2024-03-02", "150"),
    ] {
        put(&mut store, "W", day, value);
    }
    check(store.clone(), "W.yoy()", "2024-03-02", "50");
    check(store, "W.yoy()", "2024-02-24", "20");
}

/// On whatever day weeks end, the week of the year before is that of 364 days ago: a year is that and one
/// or two days.
#[test]
fn the_same_week_of_the_year_before_is_52_weeks_ago() {
    for weekday in 0..7 {
        let mut store = SeriesStore::default();
        let first = date("1995-01-02") + Days::new(weekday);
        let weeks: Vec<_> = (0..1_100).map(|week| first + Days::new(7 * week)).collect();
        for (number, day) in weeks.iter().enumerate() {
            put(&mut store, "W", &day.to_string(), &number.to_string());
        }
        let (graph, shown) = graph("W.value_at(\"12mo\")", &mut store);
        for (number, day) in weeks.iter().enumerate().skip(52) {
            let then = graph.evaluate(shown, *day, View::of(&store)).number();
            assert_eq!(then, Some((number - 52).into()), "{day} {}", day.weekday());
        }
    }
    assert_eq!(date("1995-01-02").weekday(), Weekday::Mon);
}

/// Those of the other tests, and some whose observations count for long.
fn aging_inputs() -> Vec<Input> {
    vec![
        input("D", Frequency::Daily, 3),
        input("L", Frequency::Daily, 45),
        input("I", Frequency::Irregular, 0),
        input("J", Frequency::Irregular, 400),
        input("W", Frequency::Weekly, 10),
        input("M", Frequency::Monthly, 40),
    ]
}

const LOOKING_BACK: &[&str] = &[
    "D.mom()",
    "D.yoy()",
    "D.change(\"1mo\").highest(\"5d\")",
    "L.change(\"1mo\")",
    "L.value_at(\"1y\") + D",
    "I.change(\"1mo\")",
    "I.value_at(\"2mo\") - L.value_at(\"1mo\")",
    "J.change(\"1mo\")",
    "J.value_at(\"12mo\")",
    "J.change(\"1mo\").mean(\"2mo\")",
    "J.value_at(\"30d\").change(\"1mo\")",
    "W.mom()",
    "W.yoy()",
    "(W - J).change(\"1mo\")",
    "M.mom()",
    "M.yoy().lowest(\"3mo\")",
    "(M + L).change(\"2mo\")",
    "(J > 1).sustained(\"1mo\")",
    "(L.change(\"1mo\") > 0 || M > 2).sustained(\"5d\")",
];

/// A day near the end of a month, from before one leap day to after it, or any day.
fn day() -> impl Strategy<Value = NaiveDate> {
    let near_end = (1..27u32, -3..3i64).prop_map(|(month, offset)| {
        date("2019-01-01") + chrono::Months::new(month) + chrono::TimeDelta::days(offset)
    });
    let any = (0..800u64).prop_map(|day| date("2019-01-01") + Days::new(day));
    let leap_day = prop::sample::select(vec!["2020-02-28", "2020-02-29", "2020-03-31"]);
    prop_oneof![6 => near_end, 1 => any, 2 => leap_day.prop_map(date)]
}

fn point() -> impl Strategy<Value = DatedPoint> {
    let value = prop::option::weighted(0.85, -3..6i8);
    (0..6usize, day(), value, prop::bool::weighted(0.1))
}

/// The dates of the points, those around them, and those that look back to them.
fn looked_at(points: &[DatedPoint]) -> Vec<NaiveDate> {
    let days = points.iter().flat_map(|(_, day, ..)| {
        let month_after = *day + chrono::Months::new(1);
        let around = [0, 1, 4, 31, 45, 46, 366, 401].map(|days| *day + Days::new(days));
        around.into_iter().chain([month_after, *day - Days::new(1)])
    });
    let mut days: Vec<_> = days.collect();
    days.sort_unstable();
    days.dedup();
    days
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// What a changed point reaches is computed again, and announced.
    #[test]
    fn incremental_is_naive_looking_back(
        source in prop::sample::select(LOOKING_BACK),
        points in prop::collection::vec(point(), 1..25),
    ) {
        compare_throughout(&aging_inputs(), source, &points, &looked_at(&points))?;
    }
}

/// 29, 30 and 31 March look back to 29 February.
#[test]
fn a_change_reaches_the_month_ends_that_look_back_to_it() {
    let point = |day, value| (2, date(day), Some(value), false);
    let days = ["2020-02-29", "2020-03-30", "2020-03-31", "2020-02-29"];
    let points = std::array::from_fn::<_, 4, _>(|n| point(days[n], n as i8));
    let dates = looked_at(&points);
    compare_throughout(&aging_inputs(), "I.change(\"1mo\")", &points, &dates).unwrap();
}
