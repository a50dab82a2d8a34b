//! Runs the tests that stand in definitions.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::NaiveTime;
use rust_decimal::Decimal;
use ulid::Ulid;

use crate::definition::TestCase;
use crate::engine::Engine;
use crate::library::Library;
use crate::pattern::Pattern;
use crate::regime::Regime;
use evaluation::Work;
use evaluation::expression::Input;
use evaluation::series::{Cause, Point, passed};

/// At most so much work in one test: some seconds of a core.
const STEPS_MAX: u64 = 100_000_000;
/// At most so many values kept for windows in one test.
const ENTRIES_MAX: u64 = 4_000_000;

/// At most so many days pass in one test: a century.
const DAYS_MAX: usize = 36_525;

/// How one test went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// Id of the pattern or model.
    pub definition: String,
    /// The file that it stands in.
    pub file: PathBuf,
    /// Its line.
    pub line: usize,
    /// Its name.
    pub case: String,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Runs every test of a library, also those of disabled patterns.
pub fn check(library: &Library) -> Vec<CaseResult> {
    let mut results = Vec::new();
    for pattern in &library.patterns {
        for case in &pattern.tests {
            results.push(CaseResult {
                definition: pattern.id.clone(),
                file: pattern.file.clone(),
                line: case.line,
                case: case.name.clone(),
                failure: run_pattern(pattern, case).err(),
            });
        }
    }
    for regime in &library.regimes {
        for case in &regime.tests {
            results.push(CaseResult {
                definition: regime.id.clone(),
                file: regime.file.clone(),
                line: case.line,
                case: case.name.clone(),
                failure: run_regime(regime, library, case).err(),
            });
        }
    }
    results
}

fn run_pattern(pattern: &Arc<Pattern>, case: &TestCase) -> Result<(), String> {
    let mut tested = Pattern::clone(pattern);
    tested.enabled = true;
    let mut engine = Engine::new([Arc::new(tested)], []);
    let points = points(
        case,
        pattern.program().inputs(),
        pattern.program().is_daily(),
    )?;
    play(&mut engine, &points)?;
    let run = engine.pattern(&pattern.id).ok_or("the pattern is gone")?;
    let crossings = run.steps().iter().filter_map(|step| {
        let turn = step.turn?;
        Some(format!("{} {}", step.date, turn.name()))
    });
    compare(case, crossings.collect())
}

fn run_regime(regime: &Arc<Regime>, library: &Library, case: &TestCase) -> Result<(), String> {
    let asked = |pattern: &&Arc<Pattern>| regime.patterns.contains(&pattern.id);
    let patterns: Vec<_> = library.patterns.iter().filter(asked).cloned().collect();
    let mut inputs = regime.program.inputs().to_vec();
    for pattern in &patterns {
        inputs.extend_from_slice(pattern.program().inputs());
    }
    let mut engine = Engine::new(patterns, [regime.clone()]);
    let points = points(case, &inputs, engine.is_daily())?;
    play(&mut engine, &points)?;
    let run = engine.regimes().first().ok_or("the model is gone")?;
    let spells = run.spells();
    let spells = spells.iter().map(|s| format!("{} {}", s.since, s.state));
    compare(case, spells.collect())
}

fn play(engine: &mut Engine, points: &[Point]) -> Result<(), String> {
    let work = Work::bounded(STEPS_MAX, ENTRIES_MAX);
    let played = engine.rebuild_within(points, &work);
    played.map_err(|spent| spent.to_string())
}

fn compare(case: &TestCase, happened: Vec<String>) -> Result<(), String> {
    let wanted: Vec<String> = case
        .expect
        .iter()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    if happened == wanted {
        return Ok(());
    }
    let listed = |lines: &[String]| match lines {
        [] => "nothing".to_owned(),
        lines => lines.join(", "),
    };
    Err(format!(
        "expected {}, but there was {}",
        listed(&wanted),
        listed(&happened)
    ))
}

/// The observations of a test by date, those of one date in the order of their names; each known
/// from its date on. If time counts, each date is followed by its passing.
fn points(case: &TestCase, inputs: &[Input], is_daily: bool) -> Result<Vec<Point>, String> {
    let mut points = Vec::new();
    for series in &case.series {
        let named = |input: &&Input| input.name == series.name || input.series == series.name;
        let Some(input) = inputs.iter().find(named) else {
            return Err(format!("{} is not among the inputs", series.name));
        };
        let observations = series.observations.iter();
        points.extend(observations.map(|(date, value)| (*date, input.series.as_str(), *value)));
    }
    points.sort();
    let numbered = points.into_iter().enumerate();
    let mut points: Vec<Point> = numbered
        .map(|(number, (date, series, value))| point(number as u64 + 1, series, date, value))
        .collect();
    let (first, last) = (points.first(), points.last());
    if is_daily && let Some((first, last)) = first.zip(last) {
        let last = case.until.unwrap_or(last.date);
        let days = first.date.iter_days().take_while(|day| *day <= last);
        let days: Vec<Point> = days.take(DAYS_MAX).map(passed).collect();
        points.extend(days);
        points.sort_by_key(|point| (point.date, point.series.is_empty()));
    }
    Ok(points)
}

fn point(position: u64, series: &str, date: chrono::NaiveDate, value: Decimal) -> Point {
    let known_from = date.and_time(NaiveTime::MIN).and_utc();
    Point {
        cause: Cause {
            source: "test".into(),
            position,
            index: 0,
            event_id: Ulid::from_parts(0, u128::from(position)),
            occurred_at: known_from,
        },
        series: series.into(),
        date,
        known_from,
        value: Some(value),
    }
}
