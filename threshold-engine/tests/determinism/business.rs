//! Ages and times in business days.

use std::path::Path;
use std::sync::Arc;

use evaluation::series::{passed, steps};
use proptest::prelude::*;
use threshold_engine::Engine;
use threshold_engine::pattern::Pattern;
use threshold_engine::regime::Regime;

use crate::definitions::day;
use crate::time::{apply_all, observed, points, raw_steps};

fn business() -> Vec<Arc<Pattern>> {
    let read = |id: &str, fields: &str| {
        let text = format!(
            "id = \"{id}\"\nname = \"{id}\"\ndescription = \"d\"\nseverity = \"info\"\n{fields}\n\
             on_no_data = \"emit\"\nbusiness_days = \"us_federal\"\nholidays = [\"2024-02-06\"]\n\
             [inputs]\nA = {{ frequency = \"daily\", unit = \"index\", max_age = \"1bd\" }}\n"
        );
        Arc::new(Pattern::read(Path::new("b.toml"), &text).unwrap())
    };
    vec![
        read("level", "when = 'A > 2'"),
        read("mean", "when = 'A.mean(\"3d\") > 2'"),
        read("ago", "when = 'A.change(\"1d\") > 0'"),
        read(
            "held",
            "when = 'A > 2'\nfor = \"2bd\"\nkeep_for = \"1bd\"\ncooldown = \"2bd\"",
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Step by step it is what it would be if all had come at once.
    #[test]
    fn business_days_make_no_difference_to_what_stands(raw in raw_steps()) {
        let patterns = business();
        let mut engine = Engine::new(patterns.clone(), []);
        let points = points(&raw);
        let mut applied = 0;
        for step in steps(&points) {
            engine.apply(step, &mut Vec::new());
            applied += step.len();
            let mut fresh = Engine::new([], []);
            fresh.load(&points[..applied]);
            patterns.iter().for_each(|pattern| fresh.replace_pattern(pattern.clone()));
            for (run, fresh) in engine.patterns().iter().zip(fresh.patterns()) {
                prop_assert_eq!(run.steps(), fresh.steps(), "{}", run.pattern().id);
            }
        }
    }
}

#[test]
fn a_weekend_with_a_holiday_is_no_gap() {
    // A Friday; the Monday is the birthday of Martin Luther King.
    let mut engine = Engine::new([business()[0].clone()], []);
    let friday = (0..30)
        .find(|index| day(*index).to_string() == "2024-01-12")
        .unwrap();
    assert_eq!(
        apply_all(&mut engine, &[observed(1, friday, 5)]),
        ["11 entered"]
    );
    let days: Vec<_> = (friday..friday + 7).map(|date| passed(day(date))).collect();
    // It counts on Tuesday.
    assert_eq!(apply_all(&mut engine, &days), ["16 no_data"]);
}

#[test]
fn a_time_in_business_days_ends_on_a_day_that_passes() {
    let mut engine = Engine::new([business()[3].clone()], []);
    let friday = (0..30)
        .find(|index| day(*index).to_string() == "2024-01-12")
        .unwrap();
    let before = apply_all(&mut engine, &[observed(1, friday, 5)]);
    assert_eq!(before, [""; 0]);
    let tuesday = friday + 4;
    let mut steps: Vec<_> = (friday..tuesday).map(|date| passed(day(date))).collect();
    steps.push(observed(2, tuesday, 5));
    steps.push(observed(3, tuesday + 1, 5));
    // Monday is a holiday: Tuesday is the first business day, Wednesday the second.
    assert_eq!(apply_all(&mut engine, &steps), ["16 entered"]);
}

#[test]
fn a_regime_dwells_for_business_days() {
    let text = "id = \"m\"\nname = \"m\"\ndescription = \"d\"\ninitial = \"calm\"\nbusiness_days = \"us_federal\"\n\
        [[states]]\nid = \"storm\"\nenter = 'A > 2'\nmin_dwell = \"2bd\"\n[[states]]\nid = \"calm\"\n\
        [inputs]\nA = { frequency = \"daily\", unit = \"index\" }\n";
    let model = Arc::new(Regime::read(Path::new("m.toml"), text).unwrap());
    let mut engine = Engine::new([], [model]);
    let friday = (0..30)
        .find(|index| day(*index).to_string() == "2024-01-12")
        .unwrap();
    // Monday is a holiday: it may end on Wednesday, although nothing holds from Saturday on.
    let values = [1, 5, 1, 1, 1, 1, 1, 1];
    let steps: Vec<_> = (1..)
        .zip(friday - 1..)
        .zip(values)
        .map(|((position, date), value)| observed(position, date, value))
        .collect();
    let emitted = apply_all(&mut engine, &steps);
    assert_eq!(emitted, ["11 calm to storm", "16 storm to calm"]);
}
