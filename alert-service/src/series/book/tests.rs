//! The book, compared with an evaluator that knows no index, no steps and no state: it looks at every rule over
//! everything that is in force, before and after each event.

mod life;

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};
use evaluation::series::Future;
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{Book, History, Points, TAIL, Turn, TurnKind};
use crate::{
    rule::Condition,
    series::condition::{Watched, watched},
};

const DATES: u64 = 90;
/// Of the dates of [`DATES`], which are of two and a quarter years, those of the last full year are looked at.
const HISTORY: History = History { years: 1 };

type Series = BTreeMap<NaiveDate, Future>;

fn day(day: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2024, 1, 1).unwrap() + Days::new(9 * day)
}

fn first_seen(reached: NaiveDate) -> NaiveDate {
    NaiveDate::from_ymd_opt(reached.year() - 1, 1, 1).unwrap()
}

/// What expressions look at of a series that has come to a date.
fn seen(series: &Series, reached: Option<NaiveDate>) -> Series {
    let first = reached.map(first_seen);
    let seen = series
        .iter()
        .filter(|(date, _)| first.is_none_or(|first| **date >= first));
    seen.map(|(date, vintage)| (*date, *vintage)).collect()
}

fn reached(series: &Series) -> Option<NaiveDate> {
    series.last_key_value().map(|(date, _)| *date)
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

/// A rule as the naive evaluator knows it.
#[derive(Debug, Clone, Copy)]
enum Naive {
    Gt(i64),
    Gte(i64),
    Lt(i64),
    Lte(i64),
    Between(i64, i64),
    Crosses(i64, bool),
    /// By how much A is above B.
    Spread(i64),
    /// Falls by so much within three observations of A.
    Falls(i64),
}

impl Naive {
    fn condition(self) -> Condition {
        let price = |comparison: &str, value: i64| {
            format!(
                r#"{{"kind":"price","series":"A","comparison":"{comparison}","value":{value}}}"#
            )
        };
        let json = match self {
            Self::Gt(value) => price("gt", value),
            Self::Gte(value) => price("gte", value),
            Self::Lt(value) => price("lt", value),
            Self::Lte(value) => price("lte", value),
            Self::Between(low, high) => format!(
                r#"{{"kind":"price","series":"A","comparison":"between","low":{low},"high":{high}}}"#
            ),
            Self::Crosses(value, true) => price("crosses_above", value),
            Self::Crosses(value, false) => price("crosses_below", value),
            Self::Spread(least) => format!(
                r#"{{"kind":"indicator","when":"A - B > {least}","inputs":{{
                    "A":{{"frequency":"irregular","max_age":"36500d"}},
                    "B":{{"frequency":"irregular","max_age":"36500d"}}}}}}"#
            ),
            Self::Falls(by) => format!(
                r#"{{"kind":"price","series":"A","comparison":"changes_by","value":{by},"within":"3",
                    "direction":"down"}}"#
            ),
        };
        serde_json::from_str(&json).unwrap()
    }

    fn is_level(self) -> bool {
        !matches!(self, Self::Spread(_) | Self::Falls(_))
    }

    fn holds_value(self, value: Decimal) -> bool {
        let number = Decimal::from;
        match self {
            Self::Gt(bound) | Self::Crosses(bound, true) => value > number(bound),
            Self::Gte(bound) => value >= number(bound),
            Self::Lt(bound) | Self::Crosses(bound, false) => value < number(bound),
            Self::Lte(bound) => value <= number(bound),
            Self::Between(low, high) => value >= number(low) && value <= number(high),
            Self::Spread(_) | Self::Falls(_) => unreachable!(),
        }
    }

    /// Whether it holds at each date; `None`: it cannot be said.
    fn truths(self, a: &Series, b: &Series) -> Vec<(NaiveDate, Option<bool>)> {
        let (a, b) = (values(a), values(b));
        match self {
            Self::Falls(by) => {
                let fall = |index: usize| {
                    let window = &a[index.checked_sub(2)?..=index];
                    let highest = window.iter().map(|(_, value)| *value).max()?;
                    Some(highest - a[index].1 >= Decimal::from(by))
                };
                (0..a.len())
                    .map(|index| (a[index].0, fall(index)))
                    .collect()
            }
            Self::Spread(least) => {
                let mut dates: Vec<_> = a.iter().chain(&b).map(|(date, _)| *date).collect();
                dates.sort_unstable();
                dates.dedup();
                let last = |of: &[(NaiveDate, Decimal)], date| {
                    of.iter()
                        .rev()
                        .find(|(on, _)| *on <= date)
                        .map(|(_, value)| *value)
                };
                let truth = |date| Some(last(&a, date)? - last(&b, date)? > Decimal::from(least));
                dates.into_iter().map(|date| (date, truth(date))).collect()
            }
            _ => a
                .iter()
                .map(|(date, value)| (*date, Some(self.holds_value(*value))))
                .collect(),
        }
    }
}

fn values(series: &Series) -> Vec<(NaiveDate, Decimal)> {
    let values = series.iter();
    values
        .filter_map(|(date, vintage)| Some((*date, vintage.value?)))
        .collect()
}

/// What it is from each date on, and since when.
fn fold(truths: &[(NaiveDate, Option<bool>)]) -> Vec<(NaiveDate, Option<NaiveDate>)> {
    let mut entered = None;
    let folded = truths.iter().map(|(date, truth)| {
        entered = match (truth, entered) {
            (Some(true), None) => Some(*date),
            (Some(false), _) => None,
            _ => entered,
        };
        (*date, entered)
    });
    folded.collect()
}

type Expected = (TurnKind, NaiveDate, bool);

fn expected(
    rule: Naive,
    (a0, b0): (&Series, &Series),
    (a1, b1): (&Series, &Series),
    (oldest, first): (NaiveDate, NaiveDate),
) -> Vec<Expected> {
    if let Naive::Crosses(..) = rule {
        return expected_crossings(rule, a0, a1, oldest);
    }
    let (before, after) = (fold(&rule.truths(a0, b0)), fold(&rule.truths(a1, b1)));
    let last = before.last().map(|(date, _)| *date);
    let was = before.last().and_then(|(_, entered)| *entered);
    let known = after
        .iter()
        .rev()
        .find(|(date, _)| last.is_some_and(|last| *date <= last));
    let is = known.and_then(|(_, entered)| *entered);
    let mut turns = Vec::new();
    match (was, is) {
        (Some(entered), None) => {
            let began_before = match rule.is_level() {
                // With the observation before the last one, as it was known.
                true => before.len() >= 2 && before[before.len() - 2].1.is_some(),
                // What began before all that is looked at has not been revised.
                false => {
                    let mut after = after.iter();
                    entered < first
                        || after.any(|(date, since)| *date == entered && *since == Some(entered))
                }
            };
            turns.push(match began_before {
                true if rule.is_level() => (TurnKind::Ended, last.unwrap(), false),
                true => (
                    TurnKind::Ended,
                    known.map_or(entered, |known| known.0),
                    false,
                ),
                false => (
                    TurnKind::Withdrawn,
                    if rule.is_level() {
                        last.unwrap()
                    } else {
                        entered
                    },
                    false,
                ),
            });
        }
        (None, Some(entered)) => {
            let date = if rule.is_level() {
                known.unwrap().0
            } else {
                entered
            };
            turns.push((TurnKind::Began, date, !rule.is_level() && date < oldest));
        }
        _ => {}
    }
    let mut active = is.is_some();
    let new: Vec<_> = after
        .iter()
        .filter(|(date, _)| last.is_none_or(|last| *date > last))
        .collect();
    let (old, young): (Vec<_>, Vec<_>) = new.into_iter().partition(|(date, _)| *date < oldest);
    if let Some((date, entered)) = old.last()
        && entered.is_some() != active
    {
        active = entered.is_some();
        let kind = if active {
            TurnKind::Began
        } else {
            TurnKind::Ended
        };
        // Of an expression the date at which it turned; a comparison knows the last observation only.
        let turned = match (rule.is_level(), entered) {
            (true, _) => *date,
            (false, Some(entered)) => *entered,
            (false, None) => {
                let mut ended = *date;
                for (date, entered) in old.iter().rev() {
                    if entered.is_some() {
                        break;
                    }
                    ended = *date;
                }
                ended
            }
        };
        turns.push((kind, turned, true));
    }
    for (date, entered) in young {
        if entered.is_some() != active {
            active = entered.is_some();
            let kind = if active {
                TurnKind::Began
            } else {
                TurnKind::Ended
            };
            turns.push((kind, date, false));
        }
    }
    turns
}

fn expected_crossings(
    rule: Naive,
    before: &Series,
    after: &Series,
    oldest: NaiveDate,
) -> Vec<Expected> {
    let (before, after) = (values(before), values(after));
    let crosses = |values: &[(NaiveDate, Decimal)], index: usize| {
        index > 0 && rule.holds_value(values[index].1) && !rule.holds_value(values[index - 1].1)
    };
    let mut turns = Vec::new();
    let last = before.last().map(|(date, _)| *date);
    let known = after
        .iter()
        .rposition(|(date, _)| last.is_some_and(|last| *date <= last));
    if let Some(last) = last {
        let was = crosses(&before, before.len() - 1);
        let is = known.is_some_and(|index| after[index].0 == last && crosses(&after, index));
        match (was, is) {
            (true, false) => turns.push((TurnKind::Withdrawn, last, false)),
            (false, true) => turns.push((TurnKind::Happened, last, false)),
            _ => {}
        }
    }
    let old = after.iter().rposition(|(date, _)| *date < oldest);
    for index in known.map_or(0, |known| known + 1)..after.len() {
        if old.is_none_or(|old| index > old) && crosses(&after, index) {
            turns.push((TurnKind::Happened, after[index].0, false));
        }
    }
    turns
}

fn rules() -> impl Strategy<Value = Vec<Naive>> {
    let value = 0..10_i64;
    let rule = prop_oneof![
        value.clone().prop_map(Naive::Gt),
        value.clone().prop_map(Naive::Gte),
        value.clone().prop_map(Naive::Lt),
        value.clone().prop_map(Naive::Lte),
        (value.clone(), 0..4_i64).prop_map(|(low, width)| Naive::Between(low, low + width)),
        (value.clone(), any::<bool>()).prop_map(|(bound, up)| Naive::Crosses(bound, up)),
        (-3..6_i64).prop_map(Naive::Spread),
        (1..8_i64).prop_map(Naive::Falls),
    ];
    prop::collection::vec(rule, 1..12)
}

/// One event: which series; dates, values, and how much older than the event the vintage is.
#[derive(Debug, Clone)]
struct Event {
    is_a: bool,
    points: Vec<(u64, Option<i64>, i64)>,
    /// Make the book anew from what is stored before it.
    restarts: bool,
    oldest: u64,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let value = prop_oneof![6 => (0..10_i64).prop_map(Some), 1 => Just(None)];
    let step = prop_oneof![4 => 0..3_u64, 1 => 3..40_u64];
    let point = (
        step,
        any::<bool>(),
        value,
        prop_oneof![5 => Just(0), 1 => 0..20_i64],
    );
    let event = (
        prop::bool::weighted(0.7),
        prop::collection::vec(point, 1..5),
        prop::bool::weighted(0.1),
        prop_oneof![3 => Just(0), 1 => 0..DATES],
    );
    prop::collection::vec(event, 1..60).prop_map(|events| {
        // Mostly the next dates, and now and then earlier ones.
        let mut next = 0;
        let events = events.into_iter().map(|(is_a, points, restarts, oldest)| {
            let points = points.into_iter().map(|(step, is_new, value, older)| {
                let date = match is_new {
                    true => {
                        next = (next + 1).min(DATES - 1);
                        next
                    }
                    false => next.saturating_sub(step),
                };
                (date, value, older)
            });
            Event {
                is_a,
                points: points.collect(),
                restarts,
                oldest,
            }
        });
        events.collect()
    })
}

fn made_anew(rules: &[(String, Watched)], a: &Series, b: &Series) -> Book {
    let mut book = Book::new(HISTORY);
    for (id, watched) in rules {
        let (whole, ends) = book.lacks(watched);
        for (series, is_whole) in whole
            .iter()
            .map(|id| (id, true))
            .chain(ends.iter().map(|id| (id, false)))
        {
            load(
                &mut book,
                series,
                if *series == "A" { a } else { b },
                is_whole,
            );
        }
        book.put(id, watched).unwrap();
    }
    book
}

fn load(book: &mut Book, series: &str, stored: &Series, is_whole: bool) {
    let most = if is_whole { usize::MAX } else { 2 * TAIL };
    let mut points: Vec<_> = stored
        .iter()
        .rev()
        .take(most)
        .map(|(d, v)| (*d, *v))
        .collect();
    points.reverse();
    book.load(
        series,
        Points {
            points,
            reached: reached(stored),
        },
        is_whole,
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_book_finds_what_a_scan_of_all_rules_finds(rules in rules(), events in events()) {
        // Whole series first, as the memory loads them.
        let mut rules = rules;
        rules.sort_by_key(|rule| rule.is_level());
        let watched: Vec<_> = (0..).zip(&rules)
            .map(|(id, rule): (usize, _)| (id.to_string(), watched(&rule.condition()).unwrap()))
            .collect();
        let (mut a, mut b) = (Series::new(), Series::new());
        let mut book = made_anew(&watched, &a, &b);
        for (second, event) in (100..).zip(&events) {
            if event.restarts {
                book = made_anew(&watched, &a, &b);
            }
            let (series, stored) = if event.is_a { ("A", &a) } else { ("B", &b) };
            let mut newest: Series = Series::new();
            for (date, value, older) in &event.points {
                let vintage = Future { known_from: at(second - older), value: value.map(Into::into) };
                let kept = newest.entry(day(*date)).or_insert(vintage);
                if kept.known_from <= vintage.known_from {
                    *kept = vintage;
                }
            }
            if newest.values().any(|vintage| vintage.value.is_none()) && book.is_cut(series) && book.reads(series) {
                load(&mut book, series, stored, false);
            }
            let (a0, b0) = (a.clone(), b.clone());
            let stored = if event.is_a { &mut a } else { &mut b };
            for (date, vintage) in &newest {
                let kept = stored.entry(*date).or_insert(*vintage);
                if kept.known_from <= vintage.known_from {
                    *kept = *vintage;
                }
            }
            let oldest = day(event.oldest);
            let points = Points { reached: reached(&newest), points: newest.into_iter().collect() };
            let turns = book.observe(series, &points, oldest);
            for ((id, _), rule) in watched.iter().zip(&rules) {
                if rule.is_level() && !event.is_a {
                    continue;
                }
                let found: Vec<_> = turns.iter()
                    .filter(|turn| *turn.rule == **id)
                    .map(|turn| (turn.kind, turn.date, turn.is_old))
                    .collect();
                // A comparison of what no expression reads looks at all.
                let is_bounded = rules.iter().any(|rule| !rule.is_level());
                let seen = |series: &Series| match is_bounded {
                    true => seen(series, reached(series)),
                    false => series.clone(),
                };
                let (before, after) = ((&seen(&a0), &seen(&b0)), (&seen(&a), &seen(&b)));
                let moved = reached(if event.is_a { &a } else { &b });
                let first = moved.map_or(NaiveDate::MIN, first_seen);
                prop_assert_eq!(found, expected(*rule, before, after, (oldest, first)), "{:?}", rule);
                // What a book says that is made anew.
                let truths = rule.truths(after.0, after.1);
                let is_active = fold(&truths).last().is_some_and(|(_, entered)| entered.is_some());
                if !matches!(rule, Naive::Crosses(..)) {
                    let now = book.now(id).map(|turn| turn.kind == TurnKind::Began);
                    prop_assert_eq!(now.unwrap_or(false), is_active);
                }
            }
        }
    }
}
