//! From a condition as a rule states it to what is evaluated.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use evaluation::{
    expression::{Input, SERIES_ID_CHARS_MAX},
    machine::{
        Condition as Machine, ConditionError, ConditionRun, ConditionText, Rule as Turning,
        RuleError,
    },
    series::SeriesStore,
};
use schedule::Schedule;

use super::{
    composite::of_composite,
    definition::{Part, Silence},
    indicator::of_indicator,
    price::of_price,
    schedule::read_times,
};
use crate::rule::Condition;
use crate::series::book::Level;

/// What is wrong: fields and problems.
pub(crate) type Problems = Vec<(String, String)>;

/// At most so many steps of work of an expression for one observation: some hundredths of a second.
const STEPS_MAX: u64 = 2_000_000;
const SILENCE_SECONDS: std::ops::RangeInclusive<u32> = 60..=366 * 86_400;
const GRACE_SECONDS_MAX: u32 = 31 * 86_400;

/// What a rule over series or the clock watches.
#[derive(Debug, Clone)]
pub(crate) enum Watched {
    /// The latest value of a series, by itself.
    Level { series: String, level: Level },
    /// An expression.
    Expression(Expression),
    /// Times.
    Times(Schedule),
    /// A series that does not come.
    Silence { series: String, due: SilenceDue },
}

/// When a silence has lasted for too long.
#[derive(Debug, Clone)]
pub(crate) enum SilenceDue {
    /// So long after the series was last heard of.
    After(TimeDelta),
    /// So long after the first time of the schedule behind that.
    Expected(Box<Schedule>, TimeDelta),
}

/// A condition that the evaluation evaluates, before it is compiled. Equal ones share one evaluation.
#[derive(Debug, Clone)]
pub(crate) struct Expression {
    pub(crate) inputs: Vec<Input>,
    pub(crate) when: String,
    pub(crate) clear_when: Option<String>,
    pub(crate) turning: Turning,
}

impl Expression {
    /// What two of them have in common that are the same.
    pub(crate) fn key(&self) -> String {
        let inputs = self.inputs.iter().map(|input| {
            let (name, series) = (&input.name, &input.series);
            let (frequency, age) = (input.frequency, input.max_age_days);
            format!("{name:?}={series:?}/{frequency:?}/{age}")
        });
        let inputs: Vec<_> = inputs.collect();
        format!(
            "{}\n{:?}\n{:?}\n{:?}",
            inputs.join(","),
            self.when,
            self.clear_when,
            self.turning
        )
    }

    pub(crate) fn compile(&self) -> Result<Machine, ConditionError> {
        let text = ConditionText {
            when: &self.when,
            clear_when: self.clear_when.as_deref(),
            rule: self.turning.clone(),
            daily: Some(false),
        };
        Machine::compile(self.inputs.clone(), text)
    }

    /// Ids of the series that it reads, each once.
    pub(crate) fn series(&self) -> BTreeSet<&str> {
        let series = self.inputs.iter().map(|input| input.series.as_str());
        series.collect()
    }
}

impl Watched {
    /// Ids of the series that it is about.
    pub(crate) fn series(&self) -> BTreeSet<&str> {
        match self {
            Self::Level { series, .. } | Self::Silence { series, .. } => [series.as_str()].into(),
            Self::Expression(expression) => expression.series(),
            Self::Times(_) => BTreeSet::new(),
        }
    }

    /// What fires, within the rule.
    pub(crate) fn fingerprint(&self) -> String {
        match self {
            Self::Silence { series, .. } => format!("silent:{series}"),
            Self::Times(_) => "time".to_owned(),
            _ => {
                let series: Vec<_> = self.series().into_iter().collect();
                atlas_events::clip(&format!("series:{}", series.join("+")), 200).into_owned()
            }
        }
    }
}

/// What a condition over series watches.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn watched(condition: &Condition) -> Result<Watched, Problems> {
    let mut problems = Problems::new();
    let watched = match condition {
        Condition::Pattern { .. }
        | Condition::Regime { .. }
        | Condition::External { .. }
        | Condition::Rules(_) => {
            problems.push((
                "condition.kind".to_owned(),
                "is about what the engine or another program emits, or about other rules, and not about series"
                    .to_owned(),
            ));
            None
        }
        Condition::Price(price) => of_price(price, &mut problems),
        Condition::Indicator(indicator) => of_indicator(indicator, &mut problems),
        Condition::Composite(composite) => of_composite(composite, &mut problems),
        Condition::Time(times) => {
            read_times(times, "condition.", &mut problems).map(Watched::Times)
        }
        Condition::Silence(silence) => of_silence(silence, &mut problems),
    };
    match watched {
        Some(watched) if problems.is_empty() => Ok(watched),
        _ => Err(problems),
    }
}

/// What is wrong with a condition over series, whatever series there are.
pub(crate) fn problems(condition: &Condition) -> Problems {
    let compiled = watched(condition).and_then(|watched| match &watched {
        Watched::Expression(expression) => match expression.compile() {
            Ok(compiled) => check_cost(compiled),
            Err(error) => Err(vec![of_error(condition, expression, error)]),
        },
        _ => Ok(()),
    });
    compiled.err().unwrap_or_default()
}

/// Many rules share the time of one transaction.
fn check_cost(compiled: Machine) -> Result<(), Problems> {
    let run = ConditionRun::new(compiled, &mut SeriesStore::default());
    let steps = run.graph().steps_of(1);
    if steps <= STEPS_MAX {
        return Ok(());
    }
    let problem = format!(
        "takes up to {steps} steps of work for one observation, more than {STEPS_MAX}: use shorter windows"
    );
    Err(vec![("condition".to_owned(), problem)])
}

/// Whether an expression is evaluated for it, which takes more than a comparison.
pub(crate) fn is_expression(condition: &Condition) -> bool {
    matches!(watched(condition), Ok(Watched::Expression(_)))
}

/// How many days its windows look back together.
pub(crate) fn reach_days(condition: &Condition) -> u32 {
    let Ok(Watched::Expression(expression)) = watched(condition) else {
        return 0;
    };
    let compiled = expression.compile().ok();
    let history = compiled.map_or(0, |compiled| compiled.program.history_days());
    // How long an observation counts is no window.
    let ages = expression.inputs.iter().map(|input| input.max_age_days);
    history.saturating_sub(ages.max().unwrap_or(0))
}

/// Ids of the series that a condition reads.
pub(crate) fn series_read(condition: &Condition) -> Vec<String> {
    let Ok(watched) = watched(condition) else {
        return Vec::new();
    };
    watched.series().into_iter().map(str::to_owned).collect()
}

/// Ids of series that have to be known.
pub(crate) fn series_to_be_known(condition: &Condition) -> BTreeSet<String> {
    fn of_part(part: &Part, known: &mut BTreeSet<String>) {
        match part {
            Part::Price(price) if !price.series_may_be_unknown => {
                known.insert(price.series.clone());
            }
            Part::Indicator(indicator) if !indicator.series_may_be_unknown => {
                let inputs = indicator.inputs.iter();
                known.extend(
                    inputs.map(|(name, input)| input.series.clone().unwrap_or(name.clone())),
                );
            }
            Part::Composite(composite) => {
                composite
                    .conditions
                    .iter()
                    .for_each(|part| of_part(part, known));
            }
            Part::Price(_) | Part::Indicator(_) => {}
        }
    }
    let mut known = BTreeSet::new();
    match condition {
        Condition::Price(price) => of_part(&Part::Price(price.clone()), &mut known),
        Condition::Indicator(indicator) => of_part(&Part::Indicator(indicator.clone()), &mut known),
        Condition::Composite(composite) => of_part(&Part::Composite(composite.clone()), &mut known),
        Condition::Silence(silence) if !silence.series_may_be_unknown => {
            known.insert(silence.series.clone());
        }
        _ => {}
    }
    known
}

fn of_error(
    condition: &Condition,
    expression: &Expression,
    error: ConditionError,
) -> (String, String) {
    let is_written = matches!(condition, Condition::Indicator(_));
    let placed = |field: &str, text: &str, error: &evaluation::expression::CompileError| {
        let problem = match is_written {
            true => format!(
                "{} (at character {})\n{}",
                error.reason,
                text[..error.offset.min(text.len())].chars().count() + 1,
                error.excerpt(text)
            ),
            false => error.reason.clone(),
        };
        (field.to_owned(), problem)
    };
    match &error {
        ConditionError::When(error) if is_written => {
            placed("condition.when", &expression.when, error)
        }
        ConditionError::ClearWhen(error) => {
            let text = expression.clear_when.as_deref().unwrap_or_default();
            placed("condition.clear_when", text, error)
        }
        ConditionError::When(error) => placed("condition.conditions", &expression.when, error),
        ConditionError::Rule(problem) => {
            let field = match problem {
                RuleError::NoHold => "for",
                RuleError::NoKeepFor => "keep_for",
                RuleError::NOfM(..) => "n_of_m",
            };
            (format!("condition.{field}"), error.to_string())
        }
        ConditionError::Unused(_)
        | ConditionError::ReadsNothing
        | ConditionError::TooManyInputs => ("condition.inputs".to_owned(), error.to_string()),
    }
}

pub(super) fn check_series(series: &str, field: &str, problems: &mut Problems) {
    let chars = series.chars().count();
    if !(1..=SERIES_ID_CHARS_MAX).contains(&chars) || series.chars().any(char::is_control) {
        let problem = format!("is to have 1 to {SERIES_ID_CHARS_MAX} characters, on one line");
        problems.push((field.to_owned(), problem));
    }
}

fn of_silence(silence: &Silence, problems: &mut Problems) -> Option<Watched> {
    check_series(&silence.series, "condition.series", problems);
    let seconds = |seconds: u32| TimeDelta::seconds(seconds.into());
    let due = match (silence.after_seconds, &silence.expected) {
        (Some(after), None) => {
            if !SILENCE_SECONDS.contains(&after) {
                let (least, most) = (SILENCE_SECONDS.start(), SILENCE_SECONDS.end());
                let problem = format!("is to be from {least} to {most}");
                problems.push(("condition.after_seconds".to_owned(), problem));
            }
            if silence.grace_seconds.is_some() {
                let problem = "is for expected times only".to_owned();
                problems.push(("condition.grace_seconds".to_owned(), problem));
            }
            SilenceDue::After(seconds(after))
        }
        (None, Some(times)) => {
            let grace = silence.grace_seconds.unwrap_or(0);
            if grace > GRACE_SECONDS_MAX {
                let problem = format!("is to be at most {GRACE_SECONDS_MAX}");
                problems.push(("condition.grace_seconds".to_owned(), problem));
            }
            let schedule = read_times(times, "condition.expected.", problems)?;
            SilenceDue::Expected(Box::new(schedule), seconds(grace))
        }
        _ => {
            let problem = "exactly one of after_seconds and expected is to be given".to_owned();
            problems.push(("condition".to_owned(), problem));
            return None;
        }
    };
    let series = silence.series.clone();
    Some(Watched::Silence { series, due })
}
