//! Random patterns over random series with vintages: what the engine emits, beside evaluation from
//! scratch, and beside engines that were restarted, restored from a snapshot, or had undone steps.
//!
//! `ATLAS_DIFFERENTIAL_CASES` cases (300 if absent), of seeds from `ATLAS_DIFFERENTIAL_SEED` on (1 if
//! absent). A failure names the seed of its case.

#[path = "../../../tests/determinism/naive.rs"]
mod naive;
mod random;

use std::collections::BTreeSet;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use chrono::NaiveDate;
use rand::{Rng, SeedableRng, rngs::StdRng};

use self::naive::{Hold, Known, NaiveRule, Signals, Turns, Values, emissions_of, fold, news_from};
use crate::pattern::Direction;
use crate::pattern::Pattern;
use crate::{Emission, Engine};
use evaluation::calendar::{Frequency, Hold as Needed, Span, Term};
use evaluation::expression::{Naive, NodeIndex};
use evaluation::machine::Turn;
use evaluation::series::{Point, SeriesStore, steps};

fn term(term: Term) -> Hold {
    let span = match term {
        Term::Span(span) => span,
        Term::Business(days) => return Hold::Weekdays(days),
    };
    match span {
        Span::Days(days) => Hold::Span {
            months: 0,
            days: days.into(),
        },
        Span::Months(months) => Hold::Span { months, days: 0 },
    }
}

fn rule(pattern: &Pattern) -> NaiveRule {
    let hold = |needed: Option<Needed>| match needed {
        None => Hold::Observations(0),
        Some(Needed::Count(count)) => Hold::Observations(count as usize),
        Some(Needed::Term(of)) => term(of),
    };
    let rule = &pattern.condition.rule;
    let plain = NaiveRule::PLAIN;
    NaiveRule {
        hold: hold(rule.hold),
        keep: hold(rule.keep_for),
        n_of_m: rule
            .n_of_m
            .map_or(plain.n_of_m, |[n, m]| (n.into(), m.into())),
        cooldown: rule.cooldown.map_or(plain.cooldown, term),
    }
}

/// The inputs whose observations a condition counts: those of its coarsest frequency, and none if all
/// are irregular.
fn counted(pattern: &Pattern, condition: NodeIndex) -> Vec<String> {
    let order = |frequency: Frequency| match frequency {
        Frequency::Irregular => 0,
        Frequency::Daily => 1,
        Frequency::Weekly => 2,
        Frequency::Monthly => 3,
        Frequency::Quarterly => 4,
        Frequency::Annual => 5,
    };
    let inputs = pattern.program().inputs_of(condition);
    let inputs: Vec<_> = inputs
        .map(|input| (order(input.frequency), input.series.clone()))
        .collect();
    let coarsest = inputs.iter().map(|(order, _)| *order).max();
    let coarsest = inputs
        .into_iter()
        .filter(|(order, _)| Some(*order) == coarsest);
    coarsest
        .filter(|(order, _)| *order > 0)
        .map(|(_, series)| series)
        .collect()
}

/// When a pattern turns, given the values in force.
fn turns(pattern: &Pattern, values: &Values) -> Turns {
    let mut store = SeriesStore::default();
    let mut dates: BTreeSet<NaiveDate> = BTreeSet::new();
    for series in pattern.series_ids() {
        let index = store.keep(&series);
        for (date, value) in values.get(&series).into_iter().flatten() {
            dates.insert(*date);
            let known_from = chrono::DateTime::UNIX_EPOCH;
            store.get_mut(index).apply(*date, known_from, Some(*value));
        }
    }
    let naive = Naive::new(pattern.program(), &store);
    let when_counted = counted(pattern, pattern.condition.when);
    let clear = pattern.condition.clear_when;
    let clear_counted = counted(pattern, clear.unwrap_or(pattern.condition.when));
    let counts = |series: &[String], date: &NaiveDate| {
        let has = |series: &String| values.get(series).is_some_and(|of| of.contains_key(date));
        series.iter().all(has)
    };
    let truth = |condition, date| naive.shown(condition, date).truth();
    let signals = dates.iter().map(|date| {
        let signals = Signals {
            when: truth(pattern.condition.when, *date),
            clear: clear.map(|clear| truth(clear, *date)),
            when_counts: counts(&when_counted, date),
            clear_counts: counts(&clear_counted, date),
        };
        (*date, signals)
    });
    fold(&rule(pattern), signals)
}

fn crossings(out: &[Emission]) -> Vec<((NaiveDate, bool), bool, bool)> {
    let of = |emission: &Emission| match emission {
        Emission::Crossing(c) => {
            let is_news = c.direction != Direction::Revised;
            Some(((c.date, c.turn == Turn::Entered), c.stands, is_news))
        }
        Emission::Transition(_) => None,
    };
    out.iter().filter_map(of).collect()
}

/// What each step makes an engine emit, word for word.
fn play(engine: &mut Engine, all: &[&[Point]]) -> Vec<String> {
    let mut out = Vec::new();
    for step in all {
        engine.apply(step, &mut out);
    }
    out.iter().map(|emission| format!("{emission:?}")).collect()
}

/// Compares one case; gives how many emissions it had.
fn case(seed: u64, refused: &AtomicU64) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let (pattern, texts_refused) = random::pattern(&mut random);
    refused.fetch_add(texts_refused, Ordering::Relaxed);
    let points = random::points(&mut random, &pattern);
    let all: Vec<&[Point]> = steps(&points).collect();
    let about = || format!("seed {seed}\n{}\n{points:#?}", pattern.text);
    let engine = || Engine::new([Arc::clone(&pattern)], []);

    // From scratch, after every step.
    let inputs = pattern.series_ids();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let (mut first, mut known) = (engine(), Known::default());
    let (mut ever, mut before) = (BTreeSet::new(), Values::new());
    let mut before_turns = Turns::new();
    let mut emitted = Vec::new();
    for step in &all {
        let mut out = Vec::new();
        first.apply(step, &mut out);
        assert!(first.failed().is_empty(), "{}", about());
        known.add(step);
        let after = known.values();
        let after_turns = turns(&pattern, &after);
        let news = news_from(&before, &after, &inputs);
        let expected = emissions_of(&before_turns, &after_turns, news, &mut ever, |(date, _)| {
            *date
        });
        assert_eq!(crossings(&out), expected, "{}", about());
        (before, before_turns) = (after, after_turns);
        emitted.push(
            out.iter()
                .map(|emission| format!("{emission:?}"))
                .collect::<Vec<_>>(),
        );
    }

    // Others that came to a step in another way go on alike.
    let cut = random.random_range(0..=all.len());
    let (by_then, later) = all.split_at(cut);
    let expected = emitted[cut..].concat();
    let mut rebuilt = engine();
    rebuilt.rebuild(&by_then.concat());
    assert_eq!(
        play(&mut rebuilt, later),
        expected,
        "rebuilt at {cut}: {}",
        about()
    );
    let mut source = engine();
    play(&mut source, by_then);
    let mut of_image = Engine::of_image(source.image(), vec![Arc::clone(&pattern)], Vec::new());
    assert_eq!(
        play(&mut of_image, later),
        expected,
        "of an image at {cut}: {}",
        about()
    );
    let mut refilling = engine();
    refilling.refill_beyond(0);
    let all_emitted = emitted.concat();
    assert_eq!(
        play(&mut refilling, &all),
        all_emitted,
        "refilled: {}",
        about()
    );
    let ahead = random.random_range(0..=later.len());
    source.keep_undo();
    play(&mut source, &later[..ahead]);
    assert!(source.undo(), "{}", about());
    assert_eq!(
        play(&mut source, later),
        expected,
        "undone at {cut}: {}",
        about()
    );
    emitted.iter().map(Vec::len).sum()
}

#[test]
fn random_patterns_emit_what_their_definitions_say() {
    let setting = |name: &str, default| match env::var(name) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => default,
    };
    let cases: u64 = setting("ATLAS_DIFFERENTIAL_CASES", 300);
    let first: u64 = setting("ATLAS_DIFFERENTIAL_SEED", 1);
    let (next, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let (emitted, silent) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= cases {
                return;
            }
            let count = case(first + number, &refused) as u64;
            emitted.fetch_add(count, Ordering::Relaxed);
            silent.fetch_add(u64::from(count == 0), Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().unwrap().get() {
            scope.spawn(work);
        }
    });
    let [emitted, silent, refused] = [emitted, silent, refused].map(AtomicU64::into_inner);
    println!("{cases} cases, {silent} silent, {emitted} emissions, {refused} texts refused");
    assert!(emitted > cases && silent < cases * 2 / 3 && refused < cases);
}
