//! Time that passes: what is emitted for a day without any observation, against a fold from scratch.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use chrono::{Days, NaiveDate, NaiveTime, TimeDelta};
use evaluation::series::{Point, TIME, passed, steps};
use proptest::prelude::*;
use rust_decimal::Decimal;
use threshold_engine::backtest::{AsKnown, Options, run};
use threshold_engine::check::check;
use threshold_engine::library::Library;
use threshold_engine::pattern::Direction;
use threshold_engine::pattern::Pattern;
use threshold_engine::regime::Regime;
use threshold_engine::{Emission, Engine};

use crate::definitions::{cause, day, line, pattern};
use crate::naive::{Known, Values, emissions_of, news_from};

/// What becomes of a pattern without data.
#[derive(Clone, Copy, PartialEq)]
enum Policy {
    Keep,
    Clear,
    Emit,
}

/// A pattern over the series A, whose observations count for 3 days, by its definition.
struct Naive {
    id: &'static str,
    fields: &'static str,
    /// Given the days since the latest observation, and its value if it is not too old. `None`: no data.
    when: fn(i64, Option<Decimal>) -> Option<bool>,
    hold_days: i64,
    policy: Policy,
    is_daily: bool,
}

fn level(_: i64, value: Option<Decimal>) -> Option<bool> {
    Some(value? > Decimal::TWO)
}

const PATTERNS: [Naive; 6] = [
    Naive {
        id: "silent",
        fields: "when = 'A.days_since() > 2'",
        when: |days, _| Some(days > 2),
        hold_days: 0,
        policy: Policy::Keep,
        is_daily: true,
    },
    Naive {
        id: "held",
        fields: "when = 'A > 2'\nfor = \"2d\"\nevaluate = \"daily\"",
        when: level,
        hold_days: 2,
        policy: Policy::Keep,
        is_daily: true,
    },
    Naive {
        id: "cleared",
        fields: "when = 'A > 2'\non_no_data = \"clear\"",
        when: level,
        hold_days: 0,
        policy: Policy::Clear,
        is_daily: true,
    },
    Naive {
        id: "emitted",
        fields: "when = 'A > 2'\nfor = \"1d\"\non_no_data = \"emit\"",
        when: level,
        hold_days: 1,
        policy: Policy::Emit,
        is_daily: true,
    },
    Naive {
        id: "emitted-late",
        fields: "when = 'A > 2'\non_no_data = \"emit\"\nevaluate = \"observations\"",
        when: level,
        hold_days: 0,
        policy: Policy::Emit,
        is_daily: false,
    },
    Naive {
        id: "untouched",
        fields: "when = 'A > 2'\nfor = \"2d\"",
        when: level,
        hold_days: 2,
        policy: Policy::Keep,
        is_daily: false,
    },
];

type Turns = BTreeSet<(NaiveDate, &'static str)>;

impl Naive {
    fn turns(&self, values: &Values) -> Turns {
        let empty = BTreeMap::new();
        let observed = values.get("A").unwrap_or(&empty);
        let mut dates: BTreeSet<NaiveDate> = observed.keys().copied().collect();
        if self.is_daily {
            dates.extend(values.get(TIME).unwrap_or(&empty).keys());
        }
        let mut turns = Turns::new();
        let (mut active, mut since, mut had_data, mut missing) = (false, None, false, false);
        for date in dates {
            let latest = observed.range(..=date).next_back();
            let holds = latest.and_then(|(at, value)| {
                let days = (date - *at).num_days();
                (self.when)(days, (days <= 3).then_some(*value))
            });
            let Some(holds) = holds else {
                match self.policy {
                    Policy::Keep => {}
                    Policy::Emit if had_data && !missing => {
                        turns.insert((date, "no_data"));
                    }
                    Policy::Emit => {}
                    Policy::Clear => {
                        if active {
                            turns.insert((date, "cleared"));
                        }
                        (active, since) = (false, None);
                    }
                }
                missing = true;
                continue;
            };
            since = if holds { since.or(Some(date)) } else { None };
            let held = since.is_some_and(|since| (date - since).num_days() >= self.hold_days);
            let turn = match (active, holds) {
                (true, false) => Some("cleared"),
                (false, true) if held => Some("entered"),
                _ => None,
            };
            if let Some(turn) = turn {
                active = !active;
                turns.insert((date, turn));
            } else if missing && had_data && self.policy == Policy::Emit {
                turns.insert((date, "data"));
            }
            (had_data, missing) = (true, false);
        }
        turns
    }
}

fn patterns() -> Vec<Arc<Pattern>> {
    let compiled = PATTERNS.iter();
    compiled.map(|p| pattern(p.id, p.fields, &["A"])).collect()
}

/// A day passes, or an event brings an observation that is so many days old, of a value or of none.
pub(crate) fn raw_steps() -> impl Strategy<Value = Vec<Option<(i64, Option<i8>)>>> {
    let days_before = prop_oneof![8 => 0..3i64, 2 => 3..9i64, 1 => -4..0i64];
    let event = (days_before, prop::option::weighted(0.9, 0..6i8));
    let step = prop_oneof![3 => Just(None), 2 => event.prop_map(Some)];
    prop::collection::vec(step, 1..60)
}

pub(crate) fn points(raw: &[Option<(i64, Option<i8>)>]) -> Vec<Point> {
    let mut today = day(30);
    let mut points = Vec::new();
    for (number, step) in (1..).zip(raw) {
        let Some((days_before, value)) = step else {
            points.push(passed(today));
            today = today + Days::new(1);
            continue;
        };
        let mut cause = cause(number, 0);
        cause.occurred_at =
            today.and_time(NaiveTime::MIN).and_utc() + TimeDelta::seconds(number as i64);
        points.push(Point {
            series: "A".into(),
            date: today - TimeDelta::days(*days_before),
            known_from: cause.occurred_at,
            value: value.map(Decimal::from),
            cause,
        });
    }
    points
}

fn of_pattern(out: &[Emission], id: &str) -> Vec<((NaiveDate, &'static str), bool, bool)> {
    let of = |emission: &Emission| match emission {
        Emission::Crossing(c) if c.pattern.id == id => {
            let is_news = c.direction != Direction::Revised;
            Some(((c.date, c.turn.name()), c.stands, is_news))
        }
        _ => None,
    };
    out.iter().filter_map(of).collect()
}

fn in_full(engine: &mut Engine, points: &[Point]) -> Vec<String> {
    let mut out = Vec::new();
    for step in steps(points) {
        engine.apply(step, &mut out);
    }
    out.iter().map(|emitted| format!("{emitted:?}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn days_are_emitted_as_their_definition_says(raw in raw_steps()) {
        let points = points(&raw);
        let mut engine = Engine::new(patterns(), []);
        let mut known = Known::default();
        let mut ever: Vec<Turns> = PATTERNS.iter().map(|_| Turns::new()).collect();
        for step in steps(&points) {
            let before = known.values();
            known.add(step);
            let after = known.values();
            let mut out = Vec::new();
            engine.apply(step, &mut out);
            for (naive, ever) in PATTERNS.iter().zip(&mut ever) {
                let series: &[&str] = if naive.is_daily { &["A", TIME] } else { &["A"] };
                let news = news_from(&before, &after, series);
                let (was, is) = (naive.turns(&before), naive.turns(&after));
                let expected = emissions_of(&was, &is, news, ever, |key| key.0);
                prop_assert_eq!(of_pattern(&out, naive.id), expected, "{}", naive.id);
            }
        }
    }

    /// Restarted anywhere, or deployed to later, the engine goes on with the same emissions.
    #[test]
    fn restarts_between_days_leave_no_trace(raw in raw_steps(), cut in any::<prop::sample::Index>()) {
        let points = points(&raw);
        let cut = cut.index(points.len());
        let mut uninterrupted = Engine::new(patterns(), []);
        in_full(&mut uninterrupted, &points[..cut]);
        let after = in_full(&mut uninterrupted, &points[cut..]);
        let mut restarted = Engine::new(patterns(), []);
        restarted.rebuild(&points[..cut]);
        prop_assert_eq!(in_full(&mut restarted, &points[cut..]), after);
    }
}

pub(crate) fn apply_all(engine: &mut Engine, points: &[Point]) -> Vec<String> {
    let mut out = Vec::new();
    for step in steps(points) {
        engine.apply(step, &mut out);
    }
    out.iter().map(line).collect()
}

pub(crate) fn observed(position: u64, date: u64, value: i64) -> Point {
    let mut cause = cause(position, 0);
    cause.occurred_at = day(date).and_time(NaiveTime::MIN).and_utc();
    Point {
        series: "A".into(),
        date: day(date),
        known_from: cause.occurred_at,
        value: Some(Decimal::from(value)),
        cause,
    }
}

#[test]
fn a_feed_that_stops_is_an_event_without_a_cause_but_time() {
    let emitted = pattern("p", "when = 'A > 2'\non_no_data = \"emit\"", &["A"]);
    let mut engine = Engine::new([emitted], []);
    let mut out = Vec::new();
    engine.apply(&[observed(1, 0, 5)], &mut out);
    for date in 0..5 {
        engine.apply(&[passed(day(date))], &mut out);
    }
    assert_eq!(
        out.iter().map(line).collect::<Vec<_>>(),
        ["0 entered", "4 no_data"]
    );
    let Emission::Crossing(crossing) = &out[1] else {
        panic!("{out:?}");
    };
    assert!(crossing.active && crossing.cause.is_time());
    assert_eq!(
        crossing.cause.occurred_at,
        day(5).and_time(NaiveTime::MIN).and_utc()
    );
    let input = &crossing.outcome.inputs[0];
    assert_eq!((input.value, input.date), (None, Some(day(0))));
    assert!(
        crossing
            .message
            .starts_with("p has no data on 2024-01-05: A: "),
        "{}",
        crossing.message
    );
    assert_eq!(apply_all(&mut engine, &[observed(2, 6, 4)]), ["6 data"]);
    let status = engine.pattern_status("p", day(6)).unwrap();
    assert_eq!(status.state, "active");
}

/// The backlog of the days that were missed comes first, then the days, in order: what was late is late, and nothing is
/// missing that came.
#[test]
fn after_a_downtime_only_real_gaps_are_reported() {
    let silent = || pattern("p", "when = 'A.days_since() > 2'", &["A"]);
    let observations =
        [(0, 1), (1, 1), (5, 1), (6, 1)].map(|(at, value)| observed(at + 1, at, value));
    let mut late = Engine::new([silent()], []);
    apply_all(&mut late, &observations[..2]);
    apply_all(&mut late, &[passed(day(0))]);
    assert!(apply_all(&mut late, &observations[2..]).is_empty());
    let missed: Vec<_> = (1..7).map(|date| passed(day(date))).collect();
    assert_eq!(apply_all(&mut late, &missed), ["4 entered", "5 cleared"]);
    // As one that was never down emitted.
    let mut up = Engine::new([silent()], []);
    let mut points: Vec<_> = (0..7).map(|date| passed(day(date))).collect();
    points.extend(observations);
    points.sort_by_key(|point| point.known_from);
    assert_eq!(apply_all(&mut up, &points), ["4 entered", "5 cleared"]);
    assert_eq!(late.patterns()[0].spells(), up.patterns()[0].spells());
}

#[test]
fn a_backtest_and_the_tests_of_files_play_time() {
    let text = r#"
id = "p"
name = "p"
description = "d"
severity = "info"
when = 'A.days_since() >= 3'
[inputs]
A = { frequency = "daily", unit = "index" }
[[tests]]
name = "a gap within"
expect = ["2024-01-04 entered", "2024-01-06 cleared"]
series.A = { from = "2024-01-01", every = "5d", values = "1 1" }
[[tests]]
name = "a gap at the end"
until = "2024-01-10"
expect = ["2024-01-04 entered"]
series.A = { from = "2024-01-01", every = "1d", values = "1" }
"#;
    let read = Pattern::read(Path::new("p.toml"), text).unwrap();
    let library = Library {
        patterns: vec![Arc::new(read)],
        regimes: Vec::new(),
    };
    for result in check(&library) {
        assert_eq!(result.failure, None, "{}", result.case);
    }
    let points = vec![observed(1, 0, 1), observed(2, 5, 1)];
    let play = |as_known, to: &str| {
        let options = Options {
            from: day(0),
            to: to.parse().unwrap(),
            as_known,
        };
        let result = run(&library, points.clone(), options, |_, _| {});
        assert_eq!(result.points, 2);
        let emitted = result.patterns[0].crossings.iter();
        emitted
            .map(|c| format!("{} {}", c.date, c.direction.name()))
            .collect::<Vec<_>>()
    };
    let within = ["2024-01-04 entered", "2024-01-06 cleared"];
    for as_known in [AsKnown::Then, AsKnown::Stored, AsKnown::Now] {
        assert_eq!(play(as_known, "9999-12-31"), within, "{as_known:?}");
        let to_a_date = play(as_known, "2024-02-01");
        assert_eq!(to_a_date[2..], ["2024-01-09 entered"], "{as_known:?}");
    }
}

#[test]
fn a_regime_changes_by_time() {
    let text = r#"
id = "m"
name = "m"
description = "d"
initial = "fresh"
[inputs]
A = { frequency = "daily", unit = "index" }
[[states]]
id = "stale"
enter = 'A.days_since() > 1'
min_dwell = "3d"
[[states]]
id = "fresh"
"#;
    let model = |text: &str| Arc::new(Regime::read(Path::new("m.toml"), text).unwrap());
    let mut points = vec![observed(1, 0, 1), observed(2, 3, 1)];
    points.extend((0..8).map(|date| passed(day(date))));
    points.sort_by_key(|point| point.known_from);
    let mut engine = Engine::new([], [model(text)]);
    let emitted = apply_all(&mut engine, &points);
    assert_eq!(emitted, ["2 fresh to stale"]);
    // The dwell is over on a day on which the condition holds again.
    assert_eq!(
        apply_all(&mut engine, &[observed(3, 8, 1)]),
        ["8 stale to fresh"]
    );
    let by_observations = text.replace("[inputs]", "evaluate = \"observations\"\n[inputs]");
    let mut engine = Engine::new([], [model(&by_observations)]);
    assert!(apply_all(&mut engine, &points).is_empty());
}
