//! What an engine emits, and when it emits nothing.

use std::path::Path;
use std::sync::Arc;

use evaluation::machine::Turn;
use threshold_engine::pattern::Direction;
use threshold_engine::pattern::Pattern;
use threshold_engine::{Emission, Engine};

use crate::definitions::*;

#[test]
fn a_crossing_explains_itself() {
    let mut engine = single(
        "when = 'A - B >= 0.5'\nmessage = \"{A} over {B}\"",
        &["A", "B"],
    );
    let mut out = Vec::new();
    engine.apply(&[point(1, "A", 0, "1.2")], &mut out);
    engine.apply(&[point(2, "B", 0, "1.0")], &mut out);
    assert!(out.is_empty());
    engine.apply(&[point(3, "A", 1, "1.50")], &mut out);
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
    assert_eq!(crossing.id.timestamp_ms(), 1_900_000_003_000);
}

#[test]
fn what_was_entered_is_revised_away_and_back() {
    let mut engine = single("when = 'A > 2'", &["A"]);
    assert_eq!(apply(&mut engine, point(1, "A", 0, "1")), "");
    assert_eq!(apply(&mut engine, point(2, "A", 1, "3")), "1 entered");
    assert_eq!(apply(&mut engine, point(3, "A", 2, "3")), "");
    let mut out = Vec::new();
    engine.apply(&[point(4, "A", 1, "2")], &mut out);
    let lines: Vec<_> = out.iter().map(line).collect();
    assert_eq!(lines, ["1 revised entered fell", "2 revised entered"]);
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
    older.known_from = known(1);
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
    let emitted: Vec<_> = ["3", "1", "1", "3", "3", "1"]
        .iter()
        .enumerate()
        .map(|(date, value)| {
            apply(
                &mut engine,
                point(10 + date as u64, "B", date as u64, value),
            )
        })
        .collect();
    assert_eq!(emitted, ["", "1 entered", "", "3 cleared", "", "5 entered"]);
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
fn a_new_version_is_silent_about_the_past_and_names_what_the_old_one_emitted() {
    let mut engine = single("when = 'A > 2'", &["A"]);
    apply(&mut engine, point(1, "A", 0, "1"));
    let mut out = Vec::new();
    engine.apply(&[point(2, "A", 1, "5")], &mut out);
    let emitted = out[0].id();
    apply(&mut engine, point(3, "A", 2, "5"));
    engine.replace_pattern(pattern("p", "when = 'A >= 4'", &["A"]));
    assert_eq!(engine.pattern("p").unwrap().spells().len(), 1);
    out.clear();
    engine.apply(&[point(4, "A", 1, "3")], &mut out);
    let Emission::Crossing(fell) = &out[0] else {
        panic!("{out:?}");
    };
    assert_eq!(
        (fell.stands, fell.turn, fell.revises),
        (false, Turn::Entered, Some(emitted))
    );
    assert_ne!(
        fell.pattern.version,
        pattern("p", "when = 'A > 2'", &["A"]).version
    );
}

#[test]
fn a_regime_changes_by_precedence_dwell_and_stay() {
    let mut engine = Engine::new(patterns(), [regime()]);
    let mut emitted = Vec::new();
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
        engine.apply(&[point(position, "A", date, &a.to_string())], &mut out);
        engine.apply(&[point(position + 1, "B", date, &b.to_string())], &mut out);
        let transitions = out.iter().filter(|e| matches!(e, Emission::Transition(_)));
        emitted.extend(transitions.map(line));
    }
    // Storm comes with A = 3 below B = 4, and dwells for three days, then nothing holds it.
    assert_eq!(emitted, ["3 calm to storm", "6 storm to calm"]);
    assert_eq!(engine.regime_status()[0].state.as_deref(), Some("calm"));
}

#[test]
fn many_crossings_at_a_threshold_become_one_with_hysteresis() {
    let series: Vec<&str> = ["0.1", "-0.1"].repeat(22);
    let count = |fields: &str| {
        let mut engine = single(fields, &["A"]);
        let mut out = Vec::new();
        for (date, value) in series.iter().enumerate() {
            engine.apply(&[point(date as u64, "A", date as u64, value)], &mut out);
        }
        out.len()
    };
    assert_eq!(count("when = 'A < 0'"), 43);
    assert_eq!(count("when = 'A < 0'\nclear_when = 'A > 0.25'"), 1);
    assert_eq!(count("when = 'A < 0'\nfor = 3"), 0);
    assert_eq!(count("when = 'A < 0'\nn_of_m = [3, 6]"), 1);
}
