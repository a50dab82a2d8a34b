//! What is emitted depends on the sequence of points alone.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, whose input is their own"
)]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Days, NaiveDate};
use proptest::prelude::*;
use rust_decimal::Decimal;
use threshold_engine::machine::{Direction, Turn};
use threshold_engine::pattern::Pattern;
use threshold_engine::regime::Regime;
use threshold_engine::series::{Cause, Point};
use threshold_engine::{Emission, Engine};
use ulid::Ulid;

const DAILY: &str = r#"frequency = "daily", unit = "index", max_age = "3d""#;

fn pattern(id: &str, fields: &str, inputs: &[&str]) -> Arc<Pattern> {
    let inputs: String = inputs
        .iter()
        .map(|name| format!("{name} = {{ {DAILY} }}\n"))
        .collect();
    let text = format!(
        "id = \"{id}\"\nname = \"{id}\"\ndescription = \"d\"\nseverity = \"info\"\n{fields}\n[inputs]\n{inputs}"
    );
    Arc::new(Pattern::read(Path::new("test.toml"), &text).unwrap())
}

fn patterns() -> Vec<Arc<Pattern>> {
    // Compiled once: every case of every property wants them.
    static PATTERNS: LazyLock<Vec<Arc<Pattern>>> = LazyLock::new(compiled);
    PATTERNS.clone()
}

fn compiled() -> Vec<Arc<Pattern>> {
    vec![
        pattern("level", "when = 'A > 2'", &["A"]),
        pattern("spread", "when = 'A - B < 0'", &["A", "B"]),
        pattern("held", "when = 'A > 1'\nfor = 2\ncooldown = \"4d\"", &["A"]),
        pattern(
            "slow",
            "when = 'A.mean(\"5d\") > B'\nfor = \"2d\"\nkeep_for = \"2d\"",
            &["A", "B"],
        ),
        pattern("band", "when = 'A > 3'\nclear_when = 'A < 0'", &["A"]),
        pattern("often", "when = 'B > 1'\nn_of_m = [2, 4]", &["B"]),
        pattern(
            "low",
            "when = 'B <= B.lowest(4, excluding_current)'",
            &["B"],
        ),
    ]
}

fn regime() -> Arc<Regime> {
    static REGIME: LazyLock<Arc<Regime>> = LazyLock::new(compiled_regime);
    REGIME.clone()
}

fn compiled_regime() -> Arc<Regime> {
    let text = r#"
id = "model"
name = "Model"
description = "d"
initial = "calm"
[inputs]
B = { frequency = "daily", unit = "index", max_age = "3d" }
[[states]]
id = "storm"
enter = 'pattern("level") && pattern("spread")'
min_dwell = "3d"
[[states]]
id = "wind"
enter_at = "2"
stay = 'B > 0'
[[states.signals]]
when = 'pattern("held")'
weight = "1.5"
[[states.signals]]
when = 'B > 2'
weight = "0.5"
[[states]]
id = "calm"
"#;
    Arc::new(Regime::read(Path::new("test.toml"), text).unwrap())
}

fn day(index: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2024, 1, 1).unwrap() + Days::new(index)
}

fn cause(position: u64, index: u32) -> Cause {
    Cause {
        source: "log".into(),
        position,
        index,
        event_id: Ulid::from_parts(position, 7),
        occurred_at: DateTime::from_timestamp(1_700_000_000 + position as i64, 0).unwrap(),
    }
}

fn point(position: u64, series: &str, date: u64, value: &str) -> Point {
    Point {
        cause: cause(position, 0),
        series: series.into(),
        date: day(date),
        known_from: DateTime::from_timestamp(position as i64, 0).unwrap(),
        value: (value != ".").then(|| value.parse().unwrap()),
    }
}

/// Applies one point and gives what it told, as "day direction turn" with "!" where it fell.
#[track_caller]
fn apply(engine: &mut Engine, point: Point) -> String {
    let mut out = Vec::new();
    engine.apply(&point, &mut out);
    let lines: Vec<String> = out.iter().map(line).collect();
    lines.join("; ")
}

fn line(emission: &Emission) -> String {
    match emission {
        Emission::Crossing(c) => {
            let fell = if c.stands { "" } else { " fell" };
            let day = (c.date - day(0)).num_days();
            match c.direction {
                Direction::Revised => format!("{day} revised {}{fell}", c.turn.name()),
                direction => format!("{day} {}{fell}", direction.name()),
            }
        }
        Emission::Transition(t) => {
            format!("{} {} to {}", (t.since - day(0)).num_days(), t.from, t.to)
        }
    }
}

fn single(fields: &str, inputs: &[&str]) -> Engine {
    Engine::new([pattern("p", fields, inputs)], [])
}

#[test]
fn a_crossing_explains_itself() {
    let mut engine = single(
        "when = 'A - B >= 0.5'\nmessage = \"{A} over {B}\"",
        &["A", "B"],
    );
    let mut out = Vec::new();
    engine.apply(&point(1, "A", 0, "1.2"), &mut out);
    engine.apply(&point(2, "B", 0, "1.0"), &mut out);
    assert!(out.is_empty());
    engine.apply(&point(3, "A", 1, "1.50"), &mut out);
    let [Emission::Crossing(crossing)] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(crossing.direction, Direction::Entered);
    let event = atlas_events::ThresholdCrossedEvent::from(&**crossing);
    assert_eq!(event.value.as_deref(), Some("0.5"));
    assert_eq!(event.threshold.as_deref(), Some("0.5"));
    assert_eq!(event.message, "1.5 over 1");
    assert_eq!(event.previous_state, "normal");
    assert_eq!(event.cause_position, 3);
    assert_eq!(event.observation_date, "2024-01-02");
    assert_eq!(event.inputs.len(), 2);
    assert_eq!(event.inputs[1].date, "2024-01-01");
    assert_eq!(event.inputs[1].value.as_deref(), Some("1.0"));
    assert_eq!(event.pattern_version, crossing.pattern.version);
    assert_eq!(crossing.id.timestamp_ms(), 1_700_000_003_000);
}

#[test]
fn what_was_entered_is_revised_away_and_back() {
    let mut engine = single("when = 'A > 2'", &["A"]);
    assert_eq!(apply(&mut engine, point(1, "A", 0, "1")), "");
    assert_eq!(apply(&mut engine, point(2, "A", 1, "3")), "1 entered");
    assert_eq!(apply(&mut engine, point(3, "A", 2, "3")), "");
    let mut out = Vec::new();
    engine.apply(&point(4, "A", 1, "2"), &mut out);
    let lines: Vec<_> = out.iter().map(line).collect();
    assert_eq!(lines, ["1 revised entered fell", "2 entered"]);
    let Emission::Crossing(fell) = &out[0] else {
        panic!("{out:?}");
    };
    assert!(fell.revises.is_some());
    assert_eq!(apply(&mut engine, point(5, "A", 3, "1")), "3 cleared");
    let back = "1 revised entered; 2 revised entered fell";
    assert_eq!(apply(&mut engine, point(6, "A", 1, "4")), back);
}

#[test]
fn revisions_that_change_no_outcome_are_silent() {
    let mut engine = single("when = 'A > 2'", &["A"]);
    for (position, value) in [(1, "1"), (2, "3"), (3, "1")] {
        apply(&mut engine, point(position, "A", position, value));
    }
    assert_eq!(apply(&mut engine, point(4, "A", 2, "5")), "");
    assert_eq!(apply(&mut engine, point(5, "A", 1, "2")), "");
    // An older vintage changes nothing at all.
    let mut older = point(6, "A", 2, "0");
    older.known_from = DateTime::from_timestamp(1, 0).unwrap();
    assert_eq!(apply(&mut engine, older), "");
}

#[test]
fn a_second_input_for_the_same_date_is_news() {
    let mut engine = single("when = 'A > B'", &["A", "B"]);
    assert_eq!(apply(&mut engine, point(1, "A", 0, "3")), "");
    assert_eq!(apply(&mut engine, point(2, "B", 0, "1")), "0 entered");
    assert_eq!(apply(&mut engine, point(3, "A", 1, "0")), "1 cleared");
    assert_eq!(
        apply(&mut engine, point(4, "B", 1, "-1")),
        "1 revised cleared fell"
    );
}

#[test]
fn history_that_comes_series_by_series_is_news_as_it_is_decided() {
    let same_date = DAILY.replace("3d", "0d");
    let text = format!(
        "id = \"p\"\nname = \"p\"\ndescription = \"d\"\nseverity = \"info\"\nwhen = 'A > B'\n\
         [inputs]\nA = {{ {same_date} }}\nB = {{ {same_date} }}"
    );
    let pattern = Pattern::read(Path::new("p.toml"), &text).unwrap();
    let mut engine = Engine::new([Arc::new(pattern)], []);
    for date in 0..6 {
        apply(&mut engine, point(date, "A", date, "2"));
    }
    let told: Vec<_> = ["3", "1", "1", "3", "3", "1"]
        .iter()
        .enumerate()
        .map(|(date, value)| {
            apply(
                &mut engine,
                point(10 + date as u64, "B", date as u64, value),
            )
        })
        .collect();
    assert_eq!(told, ["", "1 entered", "", "3 cleared", "", "5 entered"]);
}

#[test]
fn no_data_is_shown_and_changes_nothing() {
    let mut engine = single("when = 'A > B'", &["A", "B"]);
    apply(&mut engine, point(1, "A", 0, "3"));
    apply(&mut engine, point(2, "B", 0, "1"));
    assert_eq!(apply(&mut engine, point(3, "A", 10, "0")), "");
    let status = engine.pattern_status("p", day(10)).unwrap();
    assert_eq!((status.state, status.since), ("no_data", Some(day(10))));
    assert!(status.active);
    let reason = status.outcome.no_data.unwrap();
    assert_eq!(reason, "B: the latest observation is older than max_age");
    assert_eq!(apply(&mut engine, point(4, "B", 10, "1")), "10 cleared");
    // Nothing came for a while: known by asking, not by an observation.
    let status = engine.pattern_status("p", day(20)).unwrap();
    assert_eq!(status.state, "no_data");
    assert_eq!(engine.inputs(day(20))[0].age_days, Some(10));
}

#[test]
fn a_withdrawn_value_takes_its_date_away() {
    let mut engine = single("when = 'A > 2'", &["A"]);
    apply(&mut engine, point(1, "A", 0, "1"));
    assert_eq!(apply(&mut engine, point(2, "A", 1, "3")), "1 entered");
    assert_eq!(
        apply(&mut engine, point(3, "A", 1, ".")),
        "1 revised entered fell"
    );
    assert!(!engine.pattern("p").unwrap().is_active_at(day(1)).unwrap());
}

#[test]
fn a_new_version_is_silent_about_the_past_and_names_what_the_old_one_told() {
    let mut engine = single("when = 'A > 2'", &["A"]);
    apply(&mut engine, point(1, "A", 0, "1"));
    let mut out = Vec::new();
    engine.apply(&point(2, "A", 1, "5"), &mut out);
    let told = out[0].id();
    apply(&mut engine, point(3, "A", 2, "5"));
    engine.replace_pattern(pattern("p", "when = 'A >= 4'", &["A"]));
    assert_eq!(engine.pattern("p").unwrap().spells().len(), 1);
    out.clear();
    engine.apply(&point(4, "A", 1, "3"), &mut out);
    let Emission::Crossing(fell) = &out[0] else {
        panic!("{out:?}");
    };
    assert_eq!(
        (fell.stands, fell.turn, fell.revises),
        (false, Turn::Entered, Some(told))
    );
    assert_ne!(
        fell.pattern.version,
        pattern("p", "when = 'A > 2'", &["A"]).version
    );
}

#[test]
fn a_regime_changes_by_precedence_dwell_and_stay() {
    let mut engine = Engine::new(patterns(), [regime()]);
    let mut told = Vec::new();
    let days = [
        (1, 1),
        (1, 3),
        (1, 3),
        (3, 4),
        (3, 4),
        (0, 4),
        (0, 4),
        (0, 1),
        (0, 0),
        (0, 0),
    ];
    for (date, (a, b)) in days.iter().enumerate() {
        let (date, position) = (date as u64, 2 * date as u64);
        let mut out = Vec::new();
        engine.apply(&point(position, "A", date, &a.to_string()), &mut out);
        engine.apply(&point(position + 1, "B", date, &b.to_string()), &mut out);
        let transitions = out.iter().filter(|e| matches!(e, Emission::Transition(_)));
        told.extend(transitions.map(line));
    }
    // Storm comes with A = 3 below B = 4, and dwells for three days, then nothing holds it.
    assert_eq!(told, ["3 calm to storm", "6 storm to calm"]);
    assert_eq!(engine.regime_status()[0].state.as_deref(), Some("calm"));
}

#[test]
fn many_crossings_at_a_threshold_become_one_with_hysteresis() {
    let series: Vec<&str> = ["0.1", "-0.1"].repeat(22);
    let count = |fields: &str| {
        let mut engine = single(fields, &["A"]);
        let mut out = Vec::new();
        for (date, value) in series.iter().enumerate() {
            engine.apply(&point(date as u64, "A", date as u64, value), &mut out);
        }
        out.len()
    };
    assert_eq!(count("when = 'A < 0'"), 43);
    assert_eq!(count("when = 'A < 0'\nclear_when = 'A > 0.25'"), 1);
    assert_eq!(count("when = 'A < 0'\nfor = 3"), 0);
    assert_eq!(count("when = 'A < 0'\nn_of_m = [3, 6]"), 1);
}

/// Series, date, value, and whether an older vintage.
type Raw = (bool, u64, Option<i8>, bool);

fn raw_points() -> impl Strategy<Value = Vec<Raw>> {
    let value = prop::option::weighted(0.93, -2..6i8);
    let point = (any::<bool>(), 0..30u64, value, prop::bool::weighted(0.1));
    prop::collection::vec(point, 1..80)
}

fn points(raw: &[Raw]) -> Vec<Point> {
    let numbered = raw.iter().enumerate();
    numbered
        .map(|(number, (is_a, date, value, older))| Point {
            cause: cause(number as u64 + 1, 0),
            series: if *is_a { "A" } else { "B" }.into(),
            date: day(*date),
            known_from: DateTime::from_timestamp(if *older { 0 } else { number as i64 }, 0)
                .unwrap(),
            value: value.map(Decimal::from),
        })
        .collect()
}

fn play(engine: &mut Engine, points: &[Point]) -> Vec<String> {
    let mut out = Vec::new();
    for point in points {
        engine.apply(point, &mut out);
    }
    out.iter().map(in_full).collect()
}

fn in_full(emission: &Emission) -> String {
    format!("{} {}", emission.id(), without_id(emission))
}

fn without_id(emission: &Emission) -> String {
    match emission {
        Emission::Crossing(c) => format!(
            "{} {} {:?} {:?} {:?} {}",
            c.pattern.id,
            line(emission),
            c.outcome,
            (c.previous_state, c.previous_since),
            c.revises.is_some(),
            c.message
        ),
        Emission::Transition(t) => format!(
            "{} {} {:?} {:?} {:?}",
            line(emission),
            t.stands,
            t.revised,
            t.score,
            t.triggers
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Restarted anywhere, the engine goes on with the same emissions, ids and all.
    #[test]
    fn restarts_leave_no_trace(raw in raw_points(), cut in any::<prop::sample::Index>()) {
        let points = points(&raw);
        let cut = cut.index(points.len());
        let mut uninterrupted = Engine::new(patterns(), [regime()]);
        let before = play(&mut uninterrupted, &points[..cut]);
        let after = play(&mut uninterrupted, &points[cut..]);
        let mut restarted = Engine::new(patterns(), [regime()]);
        restarted.rebuild(&points[..cut]);
        prop_assert_eq!(play(&mut restarted, &points[cut..]), after);
        let mut again = Engine::new(patterns(), [regime()]);
        prop_assert_eq!(play(&mut again, &points[..cut]), before);
    }

    /// Grouped into other events, the same points tell the same but for what names those events.
    #[test]
    fn grouping_into_events_does_not_matter(raw in raw_points(), size in 1..10u64) {
        let points = points(&raw);
        let tell = |points: &[Point]| {
            let mut out = Vec::new();
            let mut engine = Engine::new(patterns(), [regime()]);
            points.iter().for_each(|point| engine.apply(point, &mut out));
            out.iter().map(without_id).collect::<Vec<_>>()
        };
        let mut grouped = points.clone();
        for (number, point) in grouped.iter_mut().enumerate() {
            let number = number as u64;
            point.cause = cause(number / size + 1, (number % size) as u32);
        }
        prop_assert_eq!(tell(&points), tell(&grouped));
    }

    /// What stands after all points is what a fold over the final values gives, and what was told
    /// adds up to it.
    #[test]
    fn told_is_what_stands(raw in raw_points()) {
        let points = points(&raw);
        let mut engine = Engine::new(patterns(), [regime()]);
        let mut out = Vec::new();
        let mut told = std::collections::BTreeSet::new();
        for point in &points {
            out.clear();
            engine.apply(point, &mut out);
            let mut ids = std::collections::BTreeSet::new();
            for emission in &out {
                prop_assert!(ids.insert(emission.id()));
                let (key, stands) = match emission {
                    Emission::Crossing(c) => {
                        ((c.pattern.id.clone(), c.date, c.turn.name().to_owned()), c.stands)
                    }
                    Emission::Transition(t) => {
                        ((t.model.id.clone(), t.since, format!("{} {}", t.from, t.to)), t.stands)
                    }
                };
                let changed = if stands { told.insert(key) } else { told.remove(&key) };
                prop_assert!(changed, "told twice: {emission:?}");
            }
            // From scratch: the values in force, without the way they came.
            let mut fresh = Engine::new([], []);
            let store = engine.store();
            for id in store.ids() {
                let observations = store.get(store.find(id).unwrap()).iter();
                let points = observations.map(|o| Point {
                    cause: cause(1, 0),
                    series: id.clone(),
                    date: o.date,
                    known_from: o.known_from,
                    value: Some(o.value),
                });
                fresh.load(&points.collect::<Vec<_>>());
            }
            patterns().into_iter().for_each(|p| fresh.replace_pattern(p));
            fresh.replace_regime(regime());
            let mut standing = std::collections::BTreeSet::new();
            for (run, fresh) in engine.patterns().iter().zip(fresh.patterns()) {
                prop_assert_eq!(run.steps(), fresh.steps(), "{}", run.pattern().id);
                for step in run.steps() {
                    if let Some(turn) = step.turn {
                        standing.insert((run.pattern().id.clone(), step.date, turn.name().to_owned()));
                    }
                }
            }
            for (run, fresh) in engine.regimes().iter().zip(fresh.regimes()) {
                prop_assert_eq!(run.spells(), fresh.spells());
                for pair in run.spells().windows(2) {
                    let states = format!("{} {}", pair[0].state, pair[1].state);
                    standing.insert((run.model().id.clone(), pair[1].since, states));
                }
                let initial = &run.model().states[run.model().initial].id;
                if let Some(first) = run.spells().first().filter(|s| s.state != *initial) {
                    let states = format!("{initial} {}", first.state);
                    standing.insert((run.model().id.clone(), first.since, states));
                }
            }
            prop_assert_eq!(&told, &standing);
        }
    }
}
