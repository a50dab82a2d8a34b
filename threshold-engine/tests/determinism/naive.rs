//! What is to be emitted, by its definition: after every step everything known is folded from scratch, and
//! the crossings before and after are compared. Nothing here is the engine's.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use evaluation::series::Point;
use rust_decimal::Decimal;

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
pub(crate) fn emissions_of<K: Ord + Clone>(
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

/// For how long a condition has to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hold {
    /// At so many observations in a row; 0 and 1: at one.
    Observations(usize),
    /// From one date to another, so far away.
    Span { months: u32, days: u64 },
    /// Until so many days that are neither Saturday nor Sunday have come.
    Weekdays(u32),
}

impl Hold {
    fn is_over(self, since: NaiveDate, observations: usize, date: NaiveDate) -> bool {
        match self {
            Self::Observations(0) => true,
            Self::Observations(count) => observations >= count,
            Self::Span { months, days } => date >= since + Months::new(months) + Days::new(days),
            // Of the days from Monday to Friday up to a date, five in each week.
            Self::Weekdays(count) => {
                let up_to = |date: NaiveDate| {
                    let days = i64::from(date.num_days_from_ce()) - 1;
                    days / 7 * 5 + (days % 7 + 1).min(5)
                };
                up_to(date) - up_to(since) >= i64::from(count)
            }
        }
    }
}

/// When a pattern enters and clears, given when its conditions hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NaiveRule {
    pub(crate) hold: Hold,
    pub(crate) keep: Hold,
    pub(crate) n_of_m: (usize, usize),
    pub(crate) cooldown: Hold,
}

impl NaiveRule {
    /// Enters and clears at once.
    pub(crate) const PLAIN: Self = Self {
        hold: Hold::Observations(0),
        keep: Hold::Observations(0),
        n_of_m: (1, 1),
        cooldown: Hold::Observations(0),
    };
}

/// What the conditions are at a date; none: no data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signals {
    pub(crate) when: Option<bool>,
    /// None: the pattern has no condition that clears.
    pub(crate) clear: Option<Option<bool>>,
    /// Whether the date is an observation of the condition.
    pub(crate) when_counts: bool,
    pub(crate) clear_counts: bool,
}

/// Goes through all dates in order.
pub(crate) fn fold(
    rule: &NaiveRule,
    dates: impl IntoIterator<Item = (NaiveDate, Signals)>,
) -> Turns {
    let mut turns = Turns::new();
    let (mut active, mut cleared) = (false, None::<NaiveDate>);
    // Since when, and at how many observations, the condition that would turn it has held.
    let mut run: Option<(NaiveDate, usize)> = None;
    let mut counted: Vec<bool> = Vec::new();
    for (date, signals) in dates {
        let when = signals.when.map(|holds| {
            if rule.n_of_m.1 <= 1 {
                return holds;
            }
            counted.extend(signals.when_counts.then_some(holds));
            let recent = counted.iter().rev().take(rule.n_of_m.1);
            recent.filter(|held| **held).count() >= rule.n_of_m.0
        });
        let (condition, counts, hold) = match active {
            true => {
                let clear = signals.clear.unwrap_or(when.map(|holds| !holds));
                (clear, signals.clear_counts, rule.keep)
            }
            false => (when, signals.when_counts, rule.hold),
        };
        let Some(holds) = condition else { continue };
        if !holds {
            run = None;
            continue;
        }
        let (since, observations) = run.unwrap_or((date, 0));
        let observations = observations + usize::from(counts);
        run = Some((since, observations));
        let cooled = active || cleared.is_none_or(|at| rule.cooldown.is_over(at, 0, date));
        if cooled && hold.is_over(since, observations, date) {
            turns.insert((date, !active));
            cleared = active.then_some(date).or(cleared);
            active = !active;
            run = None;
        }
    }
    turns
}
