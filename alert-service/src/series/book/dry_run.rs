//! When a rule would have fired.

use chrono::{DateTime, Days, NaiveDate, Utc};
use evaluation::{Work, machine::ConditionRun, series::SeriesStore};
use rust_decimal::Decimal;

use super::{
    Points, TurnKind,
    level::{Level, Levels, Newest},
};
use crate::{
    rule::Condition,
    series::{
        condition::{SilenceDue, Watched, watched},
        memory,
    },
    store::StoredPoint,
};

/// Something that a rule would have notified of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Firing {
    /// The observation's date, or the time that had come.
    pub(crate) began: String,
    /// Absent: it lasts, or has no duration.
    pub(crate) ended: Option<String>,
    pub(crate) value: Option<Decimal>,
    pub(crate) threshold: Option<Decimal>,
}

/// When a rule would have fired.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct DryRun {
    /// The oldest first.
    pub(crate) firings: Vec<Firing>,
    /// There were more.
    pub(crate) is_cut: bool,
}

/// Why nothing can be said.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DryRunError {
    /// It takes more work than is allowed.
    #[error(transparent)]
    Work(#[from] evaluation::WorkSpent),
    /// It does not compile.
    #[error("{0}")]
    Condition(String),
}

/// Evaluates a condition over stored points, by what is in force today. From a date to a date, both with the day.
///
/// # Errors
/// [`DryRunError`].
pub(crate) fn dry_run(
    condition: &Condition,
    points: Vec<StoredPoint>,
    ((from, to), now): ((NaiveDate, NaiveDate), DateTime<Utc>),
    (work, most): (&Work, usize),
) -> Result<DryRun, DryRunError> {
    let wrong = |error: String| DryRunError::Condition(error);
    let watched = watched(condition).map_err(|problems| {
        let first = problems.into_iter().next();
        wrong(first.map(|(_, problem)| problem).unwrap_or_default())
    })?;
    let mut all = match &watched {
        Watched::Silence { due, .. } => {
            work.spend(points.len());
            of_silence(due, &points, ((from, to), now), most)
        }
        Watched::Times(schedule) => {
            let end = to + Days::new(1);
            let mut at = midnight(from) - chrono::TimeDelta::nanoseconds(1);
            let mut firings = Vec::new();
            while firings.len() <= most {
                at = schedule.next_after(at);
                if at >= midnight(end) {
                    break;
                }
                firings.push(Firing {
                    began: shown(at),
                    ended: None,
                    value: None,
                    threshold: None,
                });
            }
            firings
        }
        Watched::Level { series, level } => {
            of_level(*level, &stored(points, series), (from, to), (work, most))?
        }
        Watched::Expression(expression) => {
            let compiled = expression
                .compile()
                .map_err(|error| wrong(error.to_string()))?;
            let mut store = SeriesStore::default();
            let mut by_series = memory::by_series(points);
            for series in expression.series() {
                let place = store.keep(series);
                let points = by_series.remove(series).unwrap_or_default();
                work.spend(points.points.len());
                let observations = store.get_mut(place);
                for (date, vintage) in points.points {
                    observations.apply(date, vintage.known_from, vintage.value);
                }
            }
            of_expression(compiled, store, (from, to), (work, most))?
        }
    };
    let is_cut = all.len() > most;
    all.truncate(most);
    Ok(DryRun {
        firings: all,
        is_cut,
    })
}

/// Silences between the moments from which on the values were known.
fn of_silence(
    due: &SilenceDue,
    points: &[StoredPoint],
    ((from, to), now): ((NaiveDate, NaiveDate), DateTime<Utc>),
    most: usize,
) -> Vec<Firing> {
    let mut heard: Vec<_> = points.iter().map(|point| point.known_from).collect();
    heard.sort_unstable();
    let next = heard.iter().skip(1).map(Some).chain([None]);
    let silences = heard.iter().zip(next).filter_map(|(seen, next)| {
        let began = due.after(*seen);
        let is_over = next.is_some_and(|next| *next <= began);
        let is_within = began.date_naive() <= to
            && next.is_none_or(|next| next.date_naive() >= from)
            && began <= now;
        (!is_over && is_within).then(|| Firing {
            began: shown(began),
            ended: next.map(|next| shown(*next)),
            value: None,
            threshold: None,
        })
    });
    silences.take(most + 1).collect()
}

fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn midnight(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(chrono::NaiveTime::MIN).and_utc()
}

fn stored(points: Vec<StoredPoint>, series: &str) -> Points {
    memory::by_series(points).remove(series).unwrap_or_default()
}

fn of_level(
    level: Level,
    points: &Points,
    (from, to): (NaiveDate, NaiveDate),
    (work, most): (&Work, usize),
) -> Result<Vec<Firing>, DryRunError> {
    work.spend(points.points.len());
    let mut observations = evaluation::series::Observations::default();
    for (date, vintage) in &points.points {
        observations.apply(*date, vintage.known_from, vintage.value);
    }
    let mut levels = Levels::default();
    levels.add(&"rule".into(), level);
    let mut newest = Newest::at(&observations, NaiveDate::MIN);
    let mut firings: Vec<Firing> = Vec::new();
    let mut turns = Vec::new();
    for observation in observations.iter().take_while(|o| o.date <= to) {
        newest = levels.observed(newest, observation, false, &mut turns);
        for turn in turns.drain(..) {
            let began = Firing {
                began: turn.date.to_string(),
                ended: None,
                value: turn.value,
                threshold: turn.threshold,
            };
            match turn.kind {
                TurnKind::Began | TurnKind::Happened => firings.push(began),
                TurnKind::Ended | TurnKind::Withdrawn => {
                    if let Some(last) = firings.last_mut() {
                        last.ended = Some(turn.date.to_string());
                    }
                }
            }
        }
        firings.retain(|firing| observation.date < from || !is_before(firing, level, from));
        if firings.len() > most {
            break;
        }
    }
    firings.retain(|firing| !is_before(firing, level, from));
    if work.is_spent() {
        return Err(evaluation::WorkSpent.into());
    }
    Ok(firings)
}

/// Whether it was over before a date. Dates as texts are in the order of dates, in the years 1 to 9999.
fn is_before(firing: &Firing, level: Level, from: NaiveDate) -> bool {
    let from = from.to_string();
    match &firing.ended {
        Some(ended) => *ended < from,
        None => level.is_crossing() && firing.began < from,
    }
}

fn of_expression(
    compiled: evaluation::machine::Condition,
    mut store: SeriesStore,
    (from, to): (NaiveDate, NaiveDate),
    (work, most): (&Work, usize),
) -> Result<Vec<Firing>, DryRunError> {
    let mut empty = SeriesStore::default();
    let mut run = ConditionRun::new(compiled, &mut empty);
    run.limit(work.clone());
    run.move_to(|index| store.keep(empty.id(index)));
    let mut changes = evaluation::series::StepChanges::default();
    let series: std::collections::BTreeSet<_> = run.series().iter().copied().collect();
    for index in series {
        for date in store.get(index).dates() {
            let edit = evaluation::series::Edit::Inserted;
            changes.add(index, evaluation::series::Change { date: *date, edit });
        }
    }
    changes.complete(&store);
    if let Some(first) = changes.first_date() {
        run.refill(&store, first);
        run.finish_step(&store, &changes);
    }
    if work.is_spent() {
        return Err(evaluation::WorkSpent.into());
    }
    let spells = run.spells().into_iter();
    let spells = spells
        .filter(|spell| spell.entered <= to && spell.cleared.is_none_or(|cleared| cleared >= from));
    let firings = spells.take(most + 1).map(|spell| {
        let (value, threshold) = run.shown(spell.entered, &store);
        Firing {
            began: spell.entered.to_string(),
            ended: spell.cleared.map(|date| date.to_string()),
            value,
            threshold,
        }
    });
    Ok(firings.collect())
}
