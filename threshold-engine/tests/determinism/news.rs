//! News and revisions, over random steps: the engine, its definition worked out from scratch, and engines
//! that were restarted or given other batches say the same.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use chrono::{Days, TimeDelta};
use evaluation::machine::Turn;
use evaluation::series::{Point, steps};
use proptest::prelude::*;
use rust_decimal::Decimal;
use threshold_engine::pattern::Direction;
use threshold_engine::pattern::Pattern;
use threshold_engine::{Emission, Engine};

use crate::definitions::{cause, day, known, pattern, regime};
use crate::naive::*;
use crate::naive_pattern::NaivePattern;

fn number(value: i64) -> Decimal {
    Decimal::from(value)
}

fn naive() -> [NaivePattern; 6] {
    let level = NaivePattern {
        id: "level",
        inputs: &[("A", 3)],
        counted: &["A"],
        when: |v| v[0] > number(2),
        clear_when: None,
        rule: NaiveRule::PLAIN,
    };
    let plain = NaiveRule::PLAIN;
    let twice = Hold::Observations(2);
    [
        NaivePattern {
            id: "band",
            when: |v| v[0] > number(3),
            clear_when: Some(|v| v[0] < number(0)),
            rule: NaiveRule {
                hold: Hold::Weekdays(1),
                keep: Hold::Weekdays(2),
                ..plain
            },
            ..level
        },
        NaivePattern {
            id: "held",
            when: |v| v[0] > number(1),
            rule: NaiveRule {
                hold: twice,
                cooldown: Hold::Span { months: 0, days: 4 },
                ..plain
            },
            ..level
        },
        NaivePattern {
            id: "late",
            inputs: &[("W", 21), ("A", 3)],
            counted: &["W"],
            when: |v| v[0] + v[1] > number(3),
            rule: NaiveRule {
                hold: twice,
                keep: twice,
                ..plain
            },
            ..level
        },
        NaivePattern {
            id: "level",
            ..level
        },
        NaivePattern {
            id: "often",
            inputs: &[("A", 3), ("B", 3)],
            counted: &["A", "B"],
            when: |v| v[0] + v[1] > number(2),
            rule: NaiveRule {
                n_of_m: (2, 4),
                ..plain
            },
            ..level
        },
        NaivePattern {
            id: "spread",
            inputs: &[("A", 3), ("B", 3)],
            counted: &["A", "B"],
            when: |v| v[0] - v[1] < number(0),
            ..level
        },
    ]
}

fn patterns() -> Vec<Arc<Pattern>> {
    // Compiled once: every step of every case wants them.
    static PATTERNS: LazyLock<Vec<Arc<Pattern>>> = LazyLock::new(compiled);
    PATTERNS.clone()
}

fn compiled() -> Vec<Arc<Pattern>> {
    let late = r#"
id = "late"
name = "late"
description = "d"
severity = "info"
when = 'W + A > 3'
for = 2
keep_for = 2
[inputs]
W = { frequency = "weekly", unit = "index" }
A = { frequency = "daily", unit = "index", max_age = "3d" }
"#;
    vec![
        pattern("level", "when = 'A > 2'", &["A"]),
        pattern("spread", "when = 'A - B < 0'", &["A", "B"]),
        pattern("held", "when = 'A > 1'\nfor = 2\ncooldown = \"4d\"", &["A"]),
        pattern(
            "band",
            "when = 'A > 3'\nclear_when = 'A < 0'\nfor = \"1bd\"\nkeep_for = \"2bd\"",
            &["A"],
        ),
        pattern("often", "when = 'A + B > 2'\nn_of_m = [2, 4]", &["A", "B"]),
        Arc::new(Pattern::read(Path::new("late.toml"), late).unwrap()),
    ]
}

fn engine() -> Engine {
    Engine::new(patterns(), [regime()])
}

/// Series; days since the last event; whether an older vintage; for each point, how many days before the
/// moment it is dated, and its value.
type Raw = (usize, u64, bool, Vec<(i64, Option<i8>)>);

fn raw_steps() -> impl Strategy<Value = Vec<Raw>> {
    let days_before = prop_oneof![6 => -1..6i64, 1 => 6..25i64, 1 => -20..-1i64];
    let value = prop::option::weighted(0.93, -2..6i8);
    let points = prop::collection::vec((days_before, value), 1..5);
    let step = (0..3usize, 0..4u64, prop::bool::weighted(0.1), points);
    prop::collection::vec(step, 1..50)
}

/// Each is an event of one step.
fn points(raw: &[Raw]) -> Vec<Point> {
    let mut today = day(30);
    let mut points = Vec::new();
    for (number, (series, days, is_older, given)) in (1..).zip(raw) {
        today = today + Days::new(*days);
        let occurred_at =
            today.and_hms_opt(12, 0, 0).unwrap().and_utc() + TimeDelta::seconds(number);
        let known_from = match is_older {
            true => occurred_at - TimeDelta::days(9),
            false => occurred_at,
        };
        for (index, (days_before, value)) in (0..).zip(given) {
            let mut date = known_from.date_naive() - TimeDelta::days(*days_before);
            if *series == 2 {
                date = date - TimeDelta::days((date - day(0)).num_days().rem_euclid(7));
            }
            let mut cause = cause(number.unsigned_abs(), index);
            cause.occurred_at = occurred_at;
            points.push(Point {
                cause,
                series: ["A", "B", "W"][*series].into(),
                date,
                known_from,
                value: value.map(Decimal::from),
            });
        }
    }
    points
}

fn in_full(out: &[Emission]) -> Vec<String> {
    out.iter().map(|emitted| format!("{emitted:?}")).collect()
}

/// What the engine emitted about a pattern in one step, as the naive fold says it.
fn crossings(out: &[Emission], id: &str) -> Vec<((chrono::NaiveDate, bool), bool, bool)> {
    let of = |emission: &Emission| match emission {
        Emission::Crossing(c) if c.pattern.id == id => {
            let is_news = c.direction != Direction::Revised;
            Some(((c.date, c.turn == Turn::Entered), c.stands, is_news))
        }
        _ => None,
    };
    out.iter().filter_map(of).collect()
}

type Change = (chrono::NaiveDate, String, String);

fn transitions(out: &[Emission]) -> Vec<(Change, bool, bool)> {
    let of = |emission: &Emission| match emission {
        Emission::Transition(t) => Some((
            (t.since, t.from.clone(), t.to.clone()),
            t.stands,
            !t.revised,
        )),
        Emission::Crossing(_) => None,
    };
    out.iter().filter_map(of).collect()
}

/// The transitions of an engine that was given nothing but the values in force.
fn standing(values: &Values) -> BTreeSet<Change> {
    let mut fresh = Engine::new([], []);
    for (series, dates) in values {
        let points = dates.iter().map(|(date, value)| Point {
            cause: cause(1, 0),
            series: series.as_str().into(),
            date: *date,
            known_from: known(1),
            value: Some(*value),
        });
        fresh.load(&points.collect::<Vec<_>>());
    }
    patterns()
        .into_iter()
        .for_each(|p| fresh.replace_pattern(p));
    fresh.replace_regime(regime());
    let mut before = "calm".to_owned();
    let mut standing = BTreeSet::new();
    for spell in fresh.regimes()[0].spells() {
        if spell.state != before {
            standing.insert((spell.since, before, spell.state.clone()));
        }
        before = spell.state;
    }
    standing
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Every crossing and transition is what the definition says, and what is news is said as such.
    #[test]
    fn what_is_emitted_is_what_the_definition_says(raw in raw_steps()) {
        let points = points(&raw);
        let mut engine = engine();
        let mut known = Known::default();
        let naive = naive();
        let mut ever = vec![BTreeSet::new(); naive.len()];
        let mut ever_in_regime = BTreeSet::new();
        let mut before = known.values();
        let mut was_standing = standing(&before);
        for step in steps(&points) {
            let mut out = Vec::new();
            engine.apply(step, &mut out);
            known.add(step);
            let after = known.values();
            for (pattern, ever) in naive.iter().zip(&mut ever) {
                let series: Vec<_> = pattern.inputs.iter().map(|(series, _)| *series).collect();
                let news = news_from(&before, &after, &series);
                let turns = (pattern.turns(&before), pattern.turns(&after));
                let expected = emissions_of(&turns.0, &turns.1, news, ever, |(date, _)| *date);
                prop_assert_eq!(crossings(&out, pattern.id), expected, "{}", pattern.id);
            }
            // The model asks for patterns over A and B, and for B.
            let news = news_from(&before, &after, &["A", "B"]);
            let is_standing = standing(&after);
            let expected = emissions_of(&was_standing, &is_standing, news, &mut ever_in_regime, |(date, _, _)| *date);
            prop_assert_eq!(transitions(&out), expected);
            (before, was_standing) = (after, is_standing);
        }
    }

    /// An engine that was restarted between any two events goes on word for word, whatever batches
    /// the points come in.
    #[test]
    fn neither_restarts_nor_batches_matter(raw in raw_steps(), cut in any::<prop::sample::Index>()) {
        let points = points(&raw);
        let all: Vec<_> = steps(&points).collect();
        let cut = cut.index(all.len());
        let mut uninterrupted = engine();
        let mut after = Vec::new();
        for (number, step) in all.iter().enumerate() {
            let mut out = Vec::new();
            uninterrupted.apply(step, &mut out);
            if number >= cut {
                after.extend(in_full(&out));
            }
        }
        let mut restarted = engine();
        restarted.rebuild(&all[..cut].concat());
        let mut out = Vec::new();
        for step in &all[cut..] {
            restarted.apply(step, &mut out);
        }
        prop_assert_eq!(in_full(&out), after);
    }
}
