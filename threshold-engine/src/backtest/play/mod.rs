mod days;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use super::recessions;
use super::result::{
    BacktestResult, EmittedCrossing, EmittedTransition, InputTrace, PatternResult, RegimeResult,
    TracePoint,
};
use crate::emission::Emission;
use crate::engine::Engine;
use crate::library::Library;
use crate::pattern::{Crossing, PatternRun};
use crate::regime::Transition;
use evaluation::expression::Input;
use evaluation::series::{self, Point, SeriesIndex};

/// Which values a backtest sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AsKnown {
    /// Every vintage, when it became known: with the revisions that came later, emitted as such.
    Then,
    /// Every point in the order in which it was given, as an engine emitted it that consumed the log.
    Stored,
    /// The newest vintage of each date only, by date.
    Now,
}

/// What to play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What lies before this date is played, so that windows are filled, but not shown.
    pub from: NaiveDate,
    /// Nothing after this date is played; as known then, nothing that became known after it. As stored,
    /// what became known of those dates later is played, too. Days pass up to it where a definition is
    /// evaluated daily; the end of the year 9999 stands for the newest observation.
    pub to: NaiveDate,
    /// Which values are seen.
    pub as_known: AsKnown,
}

/// Points between two reports of progress.
const PROGRESS_POINTS: usize = 1_000;

/// Plays points, in any order, through a library. `progress` is called now and then with how many points of
/// how many are played.
pub fn run(
    library: &Library,
    mut points: Vec<Point>,
    options: Options,
    mut progress: impl FnMut(usize, usize),
) -> BacktestResult {
    let recessions = recessions::take(&mut points, library, options.to);
    let mut engine = Engine::new(library.patterns.clone(), library.regimes.clone());
    let observed = points.len();
    let points = in_order(days::with_days(points, options, engine.is_daily()), options);
    let mut emitted = Vec::new();
    let mut out = Vec::new();
    let last_known = points.iter().map(|point| point.known_from).max();
    let mut played = 0;
    for step in points.chunk_by(|before, point| is_same_step(before, point, options.as_known)) {
        let Some(last) = step.last() else { continue };
        match (options.as_known, last_known) {
            (AsKnown::Stored, _) => engine.apply(step, &mut out),
            (AsKnown::Now, Some(last_known)) => engine.apply_at(last_known, step, &mut out),
            (AsKnown::Then | AsKnown::Now, _) => engine.apply_at(last.known_from, step, &mut out),
        }
        for emission in out.drain(..) {
            if emission.date() >= options.from {
                emitted.push((emitted_at(last, options.as_known), emission));
            }
        }
        if played % PROGRESS_POINTS + step.len() >= PROGRESS_POINTS {
            progress(played, points.len());
        }
        played += step.len();
    }
    progress(played, points.len());
    let mut result = result(&engine, &emitted, shown(options, &points), observed);
    result.recessions = recessions;
    result
}

/// Of the dates that are asked for, those that there is anything of.
fn shown(mut options: Options, points: &[Point]) -> Options {
    let dates = points.iter().map(|point| point.date);
    if let Some((first, last)) = dates.clone().min().zip(dates.max()) {
        options.from = options.from.max(first);
        options.to = options.to.min(last);
    }
    options
}

/// Whether a point belongs to the step of the one before it. Of all series, what became known at one
/// moment does; of what is known now, what is of one date.
fn is_same_step(before: &Point, point: &Point, as_known: AsKnown) -> bool {
    match as_known {
        AsKnown::Then => before.known_from == point.known_from,
        AsKnown::Stored => series::is_same_step(before, point),
        AsKnown::Now => before.date == point.date,
    }
}

fn emitted_at(point: &Point, as_known: AsKnown) -> DateTime<Utc> {
    match as_known {
        AsKnown::Then | AsKnown::Now => point.known_from,
        AsKnown::Stored => point.cause.occurred_at,
    }
}

/// The points to play, in the order in which they are to be.
fn in_order(mut points: Vec<Point>, options: Options) -> Vec<Point> {
    points.retain(|point| point.date <= options.to);
    match options.as_known {
        AsKnown::Then => {
            points.retain(|point| point.known_from.date_naive() <= options.to);
            points.sort_by(|a, b| {
                (a.known_from, a.date, &a.series).cmp(&(b.known_from, b.date, &b.series))
            });
        }
        AsKnown::Stored => {}
        AsKnown::Now => {
            let mut newest: BTreeMap<_, Point> = BTreeMap::new();
            for point in points {
                let key = (point.date, point.series.clone());
                match newest.get(&key) {
                    Some(known) if known.known_from > point.known_from => {}
                    _ => drop(newest.insert(key, point)),
                }
            }
            points = newest.into_values().collect();
        }
    }
    points
}

fn result(
    engine: &Engine,
    emitted: &[(DateTime<Utc>, Emission)],
    options: Options,
    points: usize,
) -> BacktestResult {
    let patterns = engine.patterns().iter();
    let mut patterns: Vec<_> = patterns
        .map(|run| pattern_result(run, engine, options.from))
        .collect();
    let regimes = engine.regimes().iter();
    let mut regimes: Vec<_> = regimes
        .map(|run| RegimeResult {
            id: run.model().id.clone(),
            name: run.model().name.clone(),
            transitions: Vec::new(),
            spells: run.spells(),
        })
        .collect();
    for (emitted_at, emission) in emitted {
        match emission {
            Emission::Crossing(crossing) => {
                let id = &crossing.pattern.id;
                if let Ok(place) = patterns.binary_search_by(|p| p.id.cmp(id)) {
                    let crossing = emitted_crossing(crossing, *emitted_at);
                    patterns[place].crossings.push(crossing);
                }
            }
            Emission::Transition(transition) => {
                let id = &transition.model.id;
                if let Ok(place) = regimes.binary_search_by(|r| r.id.cmp(id)) {
                    let transition = emitted_transition(transition, *emitted_at);
                    regimes[place].transitions.push(transition);
                }
            }
        }
    }
    let failed = engine.failed().iter();
    let failed = failed.map(|failed| format!("{} {}: {}", failed.kind, failed.id, failed.reason));
    BacktestResult {
        from: options.from,
        to: options.to,
        as_known: options.as_known,
        points,
        patterns,
        regimes,
        failed: failed.collect(),
        recessions: Vec::new(),
    }
}

fn pattern_result(run: &PatternRun, engine: &Engine, from: NaiveDate) -> PatternResult {
    let pattern = run.pattern();
    let first = run.steps().partition_point(|step| step.date < from);
    let shown = &run.steps()[first..];
    let trace = shown.iter().map(|step| {
        let (value, threshold) = run.shown(step.date, engine.store());
        TracePoint {
            date: step.date,
            value,
            threshold,
        }
    });
    let mut spells = run.spells();
    spells.retain(|spell| spell.cleared.is_none_or(|cleared| cleared >= from));
    PatternResult {
        id: pattern.id.clone(),
        name: pattern.name.clone(),
        severity: pattern.severity,
        version: pattern.version.clone(),
        description: pattern.description.clone(),
        when: pattern.when_text.clone(),
        evaluated_dates: shown.len(),
        dates_without_data: shown.iter().filter(|step| step.state.no_data).count(),
        crossings: Vec::new(),
        spells,
        trace: trace.collect(),
        inputs: input_traces(run, engine, from),
    }
}

/// Daily series have no value on weekends and holidays.
const GAP_DAYS_MIN: i64 = 14;

fn input_traces(run: &PatternRun, engine: &Engine, from: NaiveDate) -> Vec<InputTrace> {
    let inputs = run.pattern().program().inputs().iter().zip(run.series());
    let trace = |(input, series): (&Input, &SeriesIndex)| {
        let held = engine.store().get(*series);
        let first = held.dates().partition_point(|date| *date < from);
        let shown = (first..held.dates().len()).map(|index| held.observation(index));
        let observations: Vec<_> = shown.map(|o| (o.date, o.value)).collect();
        InputTrace {
            name: input.name.clone(),
            series: input.series.clone(),
            title: None,
            is_look_alike: false,
            unit: input.unit.clone(),
            max_age_days: input.max_age_days,
            gap_days: i64::from(input.max_age_days).max(GAP_DAYS_MIN),
            count: observations.len(),
            observations,
        }
    };
    inputs.map(trace).collect()
}

fn emitted_crossing(crossing: &Crossing, emitted_at: DateTime<Utc>) -> EmittedCrossing {
    EmittedCrossing {
        pattern: crossing.pattern.id.clone(),
        date: crossing.date,
        emitted_at,
        direction: crossing.direction,
        turn: crossing.turn,
        stands: crossing.stands,
        value: crossing.outcome.value,
        threshold: crossing.outcome.threshold,
        message: crossing.message.clone(),
    }
}

fn emitted_transition(transition: &Transition, emitted_at: DateTime<Utc>) -> EmittedTransition {
    EmittedTransition {
        model: transition.model.id.clone(),
        since: transition.since,
        emitted_at,
        from: transition.from.clone(),
        to: transition.to.clone(),
        revised: transition.revised,
        stands: transition.stands,
        score: transition.score,
        triggers: transition.triggers.clone(),
    }
}
