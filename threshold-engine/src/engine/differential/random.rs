//! Random patterns, and events of random series.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use rust_decimal::Decimal;
use ulid::Ulid;

use crate::pattern::Pattern;
use evaluation::calendar::Frequency;
use evaluation::series::{Cause, Point};

/// Name, frequency and maximum age.
const INPUTS: [(&str, Frequency, &str); 7] = [
    ("D", Frequency::Daily, "3d"),
    ("I", Frequency::Irregular, "0d"),
    ("J", Frequency::Irregular, "400d"),
    ("L", Frequency::Daily, "45d"),
    ("M", Frequency::Monthly, "40d"),
    ("Q", Frequency::Quarterly, "120d"),
    ("W", Frequency::Weekly, "10d"),
];
const SPANS: [&str; 10] = [
    "1d", "3d", "7d", "10d", "26w", "52w", "1mo", "3mo", "6mo", "1y",
];
const STATISTICS: [&str; 7] = [
    "mean",
    "sum",
    "lowest",
    "highest",
    "stddev",
    "zscore",
    "percentile",
];

/// Writes expressions, and notes which inputs they read.
struct Writer<'a> {
    random: &'a mut StdRng,
    read: BTreeSet<usize>,
}

impl Writer<'_> {
    fn one_of<'b>(&mut self, of: &[&'b str]) -> &'b str {
        of.choose(self.random).unwrap()
    }

    fn window(&mut self) -> String {
        match self.random.random_bool(0.4) {
            true => self.random.random_range(1..6).to_string(),
            false => format!("\"{}\"", self.one_of(&SPANS)),
        }
    }

    fn input(&mut self) -> String {
        let input = self.random.random_range(0..INPUTS.len());
        self.read.insert(input);
        INPUTS[input].0.to_owned()
    }

    fn number(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.input();
        }
        let depth = depth - 1;
        match self.random.random_range(0..12) {
            0 | 1 => self.input(),
            2 | 3 => {
                let (over, window) = (self.number(depth), self.window());
                let statistic = self.one_of(&STATISTICS);
                let excluding = self.one_of(&["", ", excluding_current"]);
                format!("({over}).{statistic}({window}{excluding})")
            }
            4 | 5 => {
                let (over, window) = (self.number(depth), self.window());
                let function = self.one_of(&["change", "pct_change", "value_at"]);
                format!("({over}).{function}({window})")
            }
            6 => {
                let over = self.number(depth);
                let function = self.one_of(&["yoy()", "mom()", "previous(1)", "previous(3)"]);
                format!("({over}).{function}")
            }
            7 => {
                let over = self.number(depth);
                let function = self.one_of(&["abs()", "days_since()"]);
                format!("({over}).{function}")
            }
            8 => {
                let (a, b) = (self.number(depth), self.number(depth));
                format!("{}({a}, {b})", self.one_of(&["min", "max"]))
            }
            9 => {
                let (a, b) = (self.number(depth), self.random.random_range(-3..5));
                format!("(({a}) {} ({b}))", self.one_of(&["+", "-", "*", "/"]))
            }
            _ => {
                let (a, b) = (self.number(depth), self.number(depth));
                format!("(({a}) {} ({b}))", self.one_of(&["+", "-", "*", "/"]))
            }
        }
    }

    fn condition(&mut self, depth: u32) -> String {
        let choice = match depth {
            0 => 9,
            _ => self.random.random_range(0..10),
        };
        match choice {
            0 | 1 => {
                let (a, b) = (self.condition(depth - 1), self.condition(depth - 1));
                format!("({a}) {} ({b})", self.one_of(&["&&", "||"]))
            }
            2 => format!("!({})", self.condition(depth - 1)),
            3 => {
                let (over, window) = (self.condition(depth - 1), self.window());
                format!("({over}).sustained({window})")
            }
            _ => {
                let left = self.number(2);
                let relation = self.one_of(&["<", "<=", ">", ">=", "==", "!="]);
                let right = match self.random.random_bool(0.7) {
                    true => self.random.random_range(-2..5).to_string(),
                    false => self.number(1),
                };
                format!("{left} {relation} {right}")
            }
        }
    }

    /// Observations or a span.
    fn hold(&mut self) -> String {
        match self.random.random_bool(0.5) {
            true => self.random.random_range(1..4).to_string(),
            false => format!(
                "\"{}\"",
                self.one_of(&["1d", "4d", "2w", "1mo", "1bd", "3bd"])
            ),
        }
    }
}

/// A pattern as somebody could have written it. Not every text is one.
fn text(random: &mut StdRng) -> String {
    let mut writer = Writer {
        random,
        read: BTreeSet::new(),
    };
    let mut fields = format!("when = '{}'\n", writer.condition(2));
    if writer.random.random_bool(0.3) {
        fields += &format!("clear_when = '{}'\n", writer.condition(1));
    }
    for field in ["for", "keep_for"] {
        if writer.random.random_bool(0.25) {
            fields += &format!("{field} = {}\n", writer.hold());
        }
    }
    if writer.random.random_bool(0.2) {
        fields += &format!(
            "cooldown = \"{}\"\n",
            writer.one_of(&["3d", "2w", "1mo", "2bd"])
        );
    }
    if writer.random.random_bool(0.2) {
        let of = writer.random.random_range(2..6);
        let n = writer.random.random_range(1..=of);
        fields += &format!("n_of_m = [{n}, {of}]\n");
    }
    let inputs: String = writer
        .read
        .iter()
        .map(|input| {
            let (name, frequency, age) = INPUTS[*input];
            let frequency = format!("{frequency:?}").to_lowercase();
            format!(
                "{name} = {{ frequency = \"{frequency}\", unit = \"u\", max_age = \"{age}\" }}\n"
            )
        })
        .collect();
    format!(
        "id = \"p\"\nname = \"p\"\ndescription = \"d\"\nseverity = \"info\"\n{fields}[inputs]\n{inputs}"
    )
}

/// A pattern, and how many texts were none before.
pub(super) fn pattern(random: &mut StdRng) -> (Arc<Pattern>, u64) {
    let mut refused = 0;
    loop {
        let text = text(random);
        match Pattern::read(Path::new("p.toml"), &text) {
            Ok(pattern) => return (Arc::new(pattern), refused),
            Err(_) => refused += 1,
        }
    }
}

/// A date on which a series of this frequency may have an observation: the last one up to `date`.
fn on_calendar(frequency: Frequency, date: NaiveDate) -> NaiveDate {
    let first = |month| NaiveDate::from_ymd_opt(date.year(), month, 1).unwrap();
    match frequency {
        Frequency::Weekly => date - Days::new(u64::from(date.weekday().num_days_from_monday())),
        Frequency::Monthly => first(date.month()),
        Frequency::Quarterly => first(date.month0() / 3 * 3 + 1),
        Frequency::Annual => first(1),
        Frequency::Daily | Frequency::Irregular => date,
    }
}

/// The days between observations.
fn days_between(frequency: Frequency) -> i64 {
    match frequency {
        Frequency::Daily | Frequency::Irregular => 1,
        Frequency::Weekly => 7,
        Frequency::Monthly => 31,
        Frequency::Quarterly => 92,
        Frequency::Annual => 366,
    }
}

/// Events of some of the inputs of a pattern, in the order of the log: histories, then what is new, late,
/// revised, withdrawn, an older vintage, or of the future.
pub(super) fn points(random: &mut StdRng, pattern: &Pattern) -> Vec<Point> {
    let series = pattern.series_ids();
    let mut now = DateTime::<Utc>::from_timestamp(1_577_880_000, 0).unwrap();
    let mut points = Vec::new();
    let histories = series.len() as u64;
    for position in 1..=histories + random.random_range(1..25) {
        now += TimeDelta::hours(random.random_range(1..300));
        let (id, count) = match series.get(position as usize - 1) {
            Some(id) => (id, random.random_range(1..40)),
            None => (series.choose(random).unwrap(), random.random_range(1..6)),
        };
        let (_, frequency, _) = INPUTS.iter().find(|(name, ..)| name == id).unwrap();
        let mut of_event = Vec::new();
        for index in 0..count {
            let days_before = match random.random_range(0..12) {
                _ if position <= histories => i64::from(index) * days_between(*frequency),
                0 => random.random_range(-30..0),
                1 | 2 => random.random_range(30..500),
                3..6 => random.random_range(5..60),
                _ => random.random_range(-1..6),
            };
            let date = now.date_naive() - TimeDelta::days(days_before);
            let hours_before = match random.random_range(0..8) {
                0 => random.random_range(0..400),
                _ => 0,
            };
            of_event.push(Point {
                cause: Cause {
                    source: "log".into(),
                    position,
                    index,
                    event_id: Ulid::from_parts(position, 7),
                    occurred_at: now,
                },
                series: id.as_str().into(),
                date: on_calendar(*frequency, date),
                known_from: now - TimeDelta::hours(hours_before),
                value: random
                    .random_bool(0.92)
                    .then(|| Decimal::new(random.random_range(-6..12), random.random_range(0..2))),
            });
        }
        of_event.sort_by_key(|point| point.known_from);
        points.append(&mut of_event);
    }
    points
}
