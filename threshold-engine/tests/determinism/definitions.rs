//! Patterns, a regime and points that the tests share.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Days, NaiveDate, Utc};
use evaluation::series::{Cause, Point};
use threshold_engine::pattern::Direction;
use threshold_engine::pattern::Pattern;
use threshold_engine::regime::Regime;
use threshold_engine::{Emission, Engine};
use ulid::Ulid;

pub(crate) const DAILY: &str = r#"frequency = "daily", unit = "index", max_age = "3d""#;

pub(crate) fn pattern(id: &str, fields: &str, inputs: &[&str]) -> Arc<Pattern> {
    let inputs: String = inputs
        .iter()
        .map(|name| format!("{name} = {{ {DAILY} }}\n"))
        .collect();
    let text = format!(
        "id = \"{id}\"\nname = \"{id}\"\ndescription = \"d\"\nseverity = \"info\"\n{fields}\n[inputs]\n{inputs}"
    );
    Arc::new(Pattern::read(Path::new("test.toml"), &text).unwrap())
}

pub(crate) fn patterns() -> Vec<Arc<Pattern>> {
    // Compiled once: every case of every property wants them.
    static PATTERNS: LazyLock<Vec<Arc<Pattern>>> = LazyLock::new(compiled);
    PATTERNS.clone()
}

pub(crate) fn compiled() -> Vec<Arc<Pattern>> {
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

pub(crate) fn regime() -> Arc<Regime> {
    static REGIME: LazyLock<Arc<Regime>> = LazyLock::new(compiled_regime);
    REGIME.clone()
}

pub(crate) fn compiled_regime() -> Arc<Regime> {
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

pub(crate) fn day(index: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2024, 1, 1).unwrap() + Days::new(index)
}

pub(crate) fn cause(position: u64, index: u32) -> Cause {
    Cause {
        source: "log".into(),
        position,
        index,
        event_id: Ulid::from_parts(position, 7),
        occurred_at: known(position),
    }
}

/// A second for each position, long after every date.
pub(crate) fn known(position: u64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_900_000_000 + position as i64, 0).unwrap()
}

pub(crate) fn point(position: u64, series: &str, date: u64, value: &str) -> Point {
    Point {
        cause: cause(position, 0),
        series: series.into(),
        date: day(date),
        known_from: known(position),
        value: (value != ".").then(|| value.parse().unwrap()),
    }
}

/// Applies one point and gives what it emitted, as "day direction turn" with "!" where it fell.
#[track_caller]
pub(crate) fn apply(engine: &mut Engine, point: Point) -> String {
    let mut out = Vec::new();
    engine.apply(&[point], &mut out);
    let lines: Vec<String> = out.iter().map(line).collect();
    lines.join("; ")
}

pub(crate) fn line(emission: &Emission) -> String {
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

pub(crate) fn single(fields: &str, inputs: &[&str]) -> Engine {
    Engine::new([pattern("p", fields, inputs)], [])
}
