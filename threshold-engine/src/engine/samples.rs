//! An engine and events for tests.

use std::{path::Path, sync::Arc};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use rand::{Rng, rngs::StdRng};
use ulid::Ulid;

use crate::{Emission, Engine, pattern::Pattern, regime::Regime};
use evaluation::series::{Cause, Point, passed};

/// A pattern over daily inputs.
pub(crate) fn pattern(id: &str, fields: &str, inputs: &[&str]) -> Arc<Pattern> {
    let input = |name: &&str| format!("{name} = {{ frequency = \"daily\", unit = \"u\" }}\n");
    let inputs: String = inputs.iter().map(input).collect();
    let text = format!(
        "id = \"{id}\"\nname = \"{id}\"\ndescription = \"d\"\nseverity = \"info\"\n{fields}\n[inputs]\n{inputs}"
    );
    Arc::new(Pattern::read(Path::new("test.toml"), &text).unwrap())
}

/// Four patterns, one of them evaluated daily, and a regime over two series.
pub(crate) fn engine() -> Engine {
    let regime = "id = \"model\"\nname = \"Model\"\ndescription = \"d\"\ninitial = \"calm\"\n\
                  [[states]]\nid = \"storm\"\nenter = 'pattern(\"level\") && pattern(\"slow\")'\n\
                  [[states]]\nid = \"wind\"\nenter = 'B > 2'\n[[states]]\nid = \"calm\"\n\
                  [inputs]\nB = { frequency = \"daily\", unit = \"u\" }\n";
    let regime = Regime::read(Path::new("model.toml"), regime).unwrap();
    let patterns = [
        pattern("level", "when = 'A > 2'", &["A"]),
        pattern(
            "slow",
            "when = 'A.mean(\"5d\") > B'\nfor = 2\nkeep_for = \"2d\"\ncooldown = \"3d\"",
            &["A", "B"],
        ),
        pattern(
            "low",
            "when = 'B <= B.lowest(4, excluding_current)'\nn_of_m = [2, 3]",
            &["B"],
        ),
        pattern(
            "aged",
            "when = 'A.days_since() > 1 && B > 1'\nfor = \"2d\"\non_no_data = \"emit\"",
            &["A", "B"],
        ),
    ];
    Engine::new(patterns, [Arc::new(regime)])
}

/// A day that passes, or the points of an event, some of them of the past, some of the future, some withdrawn, some known
/// earlier than others.
pub(crate) fn event(random: &mut StdRng, position: u64) -> Vec<Point> {
    let began = NaiveDate::from_ymd_opt(2024, 1, 1).unwrap();
    let occurred_at = DateTime::<Utc>::from_timestamp(1_704_067_200, 0).unwrap()
        + TimeDelta::hours(position.cast_signed() * 7);
    let today = position * 7 / 24;
    if position > 0 && today > (position - 1) * 7 / 24 {
        return vec![passed(began + Days::new(today - 1))];
    }
    let series: Arc<str> = ["A", "B"][random.random_range(0..2)].into();
    let mut points: Vec<Point> = (0..random.random_range(1..6))
        .map(|index| Point {
            cause: Cause {
                source: "log".into(),
                position,
                index,
                event_id: Ulid::from_parts(position, 7),
                occurred_at,
            },
            series: Arc::clone(&series),
            date: began + Days::new((today + 4).saturating_sub(random.random_range(0..12))),
            known_from: occurred_at - TimeDelta::hours(random.random_range(0..3)),
            value: random
                .random_bool(0.85)
                .then(|| random.random_range(0..6).into()),
        })
        .collect();
    points.sort_by_key(|point| point.known_from);
    points
}

/// Everything that points bring about, word for word.
pub(crate) fn emitted(engine: &mut Engine, points: &[Point]) -> Vec<String> {
    let mut out: Vec<Emission> = Vec::new();
    for step in evaluation::series::steps(points) {
        engine.apply(step, &mut out);
    }
    out.iter().map(|emission| format!("{emission:?}")).collect()
}
