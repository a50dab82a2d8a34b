//! However points are grouped, and wherever an engine starts again, it emits the same events.

use evaluation::series::{Point, steps};
use proptest::prelude::*;
use rust_decimal::Decimal;
use threshold_engine::{Emission, Engine};

use crate::definitions::*;

/// Series, date, value, and whether an older vintage. Up to three that follow each other are one step.
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
            cause: cause(number as u64 / 3 + 1, (number % 3) as u32),
            series: if *is_a { "A" } else { "B" }.into(),
            date: day(*date),
            known_from: known(if *older { 0 } else { number as u64 / 3 }),
            value: value.map(Decimal::from),
        })
        .collect()
}

fn play(engine: &mut Engine, points: &[Point]) -> Vec<String> {
    let mut out = Vec::new();
    for step in steps(points) {
        engine.apply(step, &mut out);
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

    /// What stands after all points is what a fold over the final values gives, and what was emitted
    /// adds up to it.
    #[test]
    fn what_was_emitted_is_what_stands(raw in raw_points()) {
        let points = points(&raw);
        let mut engine = Engine::new(patterns(), [regime()]);
        let mut out = Vec::new();
        let mut emitted = std::collections::BTreeSet::new();
        for step in steps(&points) {
            out.clear();
            engine.apply(step, &mut out);
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
                let changed = if stands { emitted.insert(key) } else { emitted.remove(&key) };
                prop_assert!(changed, "emitted twice: {emission:?}");
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
            prop_assert_eq!(&emitted, &standing);
        }
    }
}
