//! The shipped patterns over published figures, against dates that others have published: what
//! `docs/crossings.md` shows.

#![expect(
    clippy::expect_used,
    reason = "helpers of tests, whose input is their own"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{Months, NaiveDate};
use evaluation::series::Point;
use rust_decimal::Decimal;
use threshold_engine::backtest::{AsKnown, Options, read_folder, run};
use threshold_engine::library::Library;

/// Peak and trough of each recession in the span of the figures, first days of the quarters in which
/// they lie: National Bureau of Economic Research, "US Business Cycle Expansions and Contractions".
const RECESSIONS: [[&str; 2]; 8] = [
    ["1960-04-01", "1961-01-01"],
    ["1969-10-01", "1970-10-01"],
    ["1973-10-01", "1975-01-01"],
    ["1980-01-01", "1980-07-01"],
    ["1981-07-01", "1982-10-01"],
    ["1990-07-01", "1991-01-01"],
    ["2001-01-01", "2001-10-01"],
    ["2007-10-01", "2009-04-01"],
];

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

fn figures(series: &BTreeSet<String>) -> Vec<Point> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../collector/fred-stand-in/data");
    read_folder(&folder, series).expect("the figures are good")
}

fn entered(pattern: &str) -> Vec<NaiveDate> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut library, mistakes) = Library::load(&root.join("patterns"));
    assert!(mistakes.is_empty(), "{mistakes:?}");
    library.patterns.retain(|known| known.id == pattern);
    library.regimes.clear();
    let inputs = library.patterns[0].program().inputs();
    let series = inputs.iter().map(|input| input.series.clone()).collect();
    let points = figures(&series);
    let options = Options {
        from: day("1900-01-01"),
        to: day("2100-01-01"),
        as_known: AsKnown::Now,
    };
    let result = run(&library, points, options, |_, _| {});
    let spells = &result.patterns[0].spells;
    spells.iter().map(|spell| spell.entered).collect()
}

fn recession_of(date: NaiveDate) -> Option<usize> {
    RECESSIONS
        .iter()
        .position(|[peak, trough]| (day(peak)..=day(trough)).contains(&date))
}

#[test]
fn the_sahm_rule_enters_once_in_every_recession_and_once_without_one() {
    let entered = entered("sahm-rule");
    let outside: Vec<_> = entered
        .iter()
        .filter(|date| recession_of(**date).is_none())
        .collect();
    assert_eq!(outside, [&day("2003-04-01")], "0.50 exactly");
    let mut within: Vec<_> = entered
        .iter()
        .filter_map(|date| recession_of(*date))
        .collect();
    within.dedup();
    assert_eq!(within, (0..RECESSIONS.len()).collect::<Vec<_>>());
    assert_eq!(entered.len(), RECESSIONS.len() + 1);
}

#[test]
fn output_falls_for_two_quarters_in_the_recessions_that_are_known_for_it() {
    let entered = entered("gdp-two-quarters-down");
    let within: Vec<_> = entered
        .iter()
        .filter_map(|date| recession_of(*date))
        .collect();
    assert_eq!(within.len(), entered.len(), "none outside of a recession");
    // Neither 1960 nor 2001 had two falls in a row.
    assert_eq!(within, [1, 2, 3, 4, 5, 7]);
}

/// Months whose figure is over 4 % above that of a year before, while that of the month before was not.
#[test]
fn core_inflation_enters_where_plain_arithmetic_on_the_published_index_says() {
    let points = figures(&["CPILFESL".to_owned()].into());
    let four_percent = Decimal::new(104, 2);
    let index: BTreeMap<_, _> = points
        .iter()
        .filter(|point| &*point.series == "CPILFESL")
        .filter_map(|point| Some((point.date, point.value?)))
        .collect();
    let mut expected = Vec::new();
    let mut above_before = false;
    for (date, value) in &index {
        let year_before = *date - Months::new(12);
        let Some(before) = index.get(&year_before) else {
            continue;
        };
        let above = *value > before * four_percent;
        if above && !above_before {
            expected.push(*date);
        }
        above_before = above;
    }
    assert_eq!(entered("core-cpi-high"), expected);
    assert_eq!(expected[..2], [day("1968-02-01"), day("1973-10-01")]);
}
