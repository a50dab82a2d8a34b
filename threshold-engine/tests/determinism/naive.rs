//! What is to be told, from its definition: after every step everything known is folded from scratch, and
//! the crossings before and after are compared. Nothing here is the engine's.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, Utc};
use rust_decimal::Decimal;
use threshold_engine::series::Point;

/// Values in force, by series and date.
pub(crate) type Values = BTreeMap<String, BTreeMap<NaiveDate, Decimal>>;
/// Date, and whether the pattern entered there or cleared.
pub(crate) type Turns = BTreeSet<(NaiveDate, bool)>;

/// The points that were ever given, and since which step each takes part.
#[derive(Default)]
pub(crate) struct Known {
    points: Vec<(Point, bool)>,
}

impl Known {
    pub(crate) fn add(&mut self, step: &[Point]) {
        let moments = step
            .iter()
            .map(|point| point.known_from.min(point.cause.occurred_at));
        let moment: DateTime<Utc> = moments.max().unwrap();
        self.points
            .extend(step.iter().map(|point| (point.clone(), false)));
        for (point, takes_part) in &mut self.points {
            *takes_part |= point.date <= moment.date_naive() + Days::new(1);
        }
    }

    pub(crate) fn values(&self) -> Values {
        let mut newest: BTreeMap<_, (DateTime<Utc>, Option<Decimal>)> = BTreeMap::new();
        for (point, _) in self.points.iter().filter(|(_, takes_part)| *takes_part) {
            let key = (point.series.to_string(), point.date);
            let given = (point.known_from, point.value);
            let known = newest.entry(key).or_insert(given);
            if known.0 <= given.0 {
                *known = given;
            }
        }
        let mut values = Values::new();
        for ((series, date), (_, value)) in newest {
            if let Some(value) = value {
                values.entry(series).or_default().insert(date, value);
            }
        }
        values
    }
}

/// The earliest date of some series that has a value and had none.
pub(crate) fn news_from(before: &Values, after: &Values, series: &[&str]) -> Option<NaiveDate> {
    let mut new: Vec<NaiveDate> = Vec::new();
    for series in series {
        let empty = BTreeMap::new();
        let had = before.get(*series).unwrap_or(&empty);
        let dates = after
            .get(*series)
            .into_iter()
            .flat_map(|dates| dates.keys());
        new.extend(dates.copied().filter(|date| !had.contains_key(date)));
    }
    new.into_iter().min()
}

/// What one step brings about: "date revised entered fell", "date cleared", by date.
pub(crate) fn told<K: Ord + Clone>(
    before: &BTreeSet<K>,
    after: &BTreeSet<K>,
    news_from: Option<NaiveDate>,
    ever: &mut BTreeSet<K>,
    date: impl Fn(&K) -> NaiveDate,
) -> Vec<(K, bool, bool)> {
    let mut lines = Vec::new();
    for key in before.union(after) {
        if before.contains(key) == after.contains(key) {
            continue;
        }
        let stands = after.contains(key);
        let is_news = stands && news_from.is_some_and(|first| date(key) >= first);
        let is_new = ever.insert(key.clone());
        lines.push((key.clone(), stands, is_news && is_new));
    }
    // What fell comes before what stands instead.
    lines.sort_by_key(|(key, stands, _)| (date(key), *stands));
    lines
}

/// A pattern by its definition.
pub(crate) struct NaivePattern {
    pub(crate) id: &'static str,
    /// Each with its maximum age in days.
    pub(crate) inputs: &'static [(&'static str, u64)],
    /// Those whose observations are counted.
    pub(crate) counted: &'static [&'static str],
    pub(crate) when: fn(&[Decimal]) -> bool,
    pub(crate) clear_when: Option<fn(&[Decimal]) -> bool>,
    pub(crate) hold: usize,
    pub(crate) keep: usize,
    pub(crate) n_of_m: (usize, usize),
    pub(crate) cooldown_days: u64,
}

impl NaivePattern {
    pub(crate) fn turns(&self, values: &Values) -> Turns {
        let empty = BTreeMap::new();
        let of = |series: &str| values.get(series).unwrap_or(&empty);
        let dates: BTreeSet<NaiveDate> = self
            .inputs
            .iter()
            .flat_map(|(series, _)| of(series).keys().copied())
            .collect();
        let mut turns = Turns::new();
        let (mut active, mut cleared) = (false, None::<NaiveDate>);
        // Observations since the condition, or the one that clears, has held.
        let (mut held, mut kept) = (0, 0);
        let mut counted: Vec<bool> = Vec::new();
        for date in dates {
            let now: Option<Vec<Decimal>> = self
                .inputs
                .iter()
                .map(|(series, age)| {
                    let (observed, value) = of(series).range(..=date).next_back()?;
                    (*observed + Days::new(*age) >= date).then_some(*value)
                })
                .collect();
            let Some(now) = now else { continue };
            let counts = self
                .counted
                .iter()
                .all(|series| of(series).contains_key(&date));
            let mut holds = (self.when)(&now);
            if self.n_of_m.1 > 1 {
                counted.extend(counts.then_some(holds));
                let recent = counted.iter().rev().take(self.n_of_m.1);
                holds = recent.filter(|held| **held).count() >= self.n_of_m.0;
            }
            if active {
                let clears = self.clear_when.map_or(!holds, |clear| clear(&now));
                kept = if clears {
                    kept + usize::from(counts)
                } else {
                    0
                };
                if clears && (self.keep == 0 || kept >= self.keep) {
                    turns.insert((date, false));
                    (active, held, cleared) = (false, 0, Some(date));
                }
            } else {
                held = if holds { held + usize::from(counts) } else { 0 };
                let cooled = cleared.is_none_or(|at| date >= at + Days::new(self.cooldown_days));
                if holds && cooled && (self.hold == 0 || held >= self.hold) {
                    turns.insert((date, true));
                    (active, kept) = (true, 0);
                }
            }
        }
        turns
    }
}
