//! The file of a model of regimes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{Regime, RegimeState};
use crate::definition::{
    Evaluate, File, LoadError, RawCase, Refusal, business_days, cases, check_id, check_name,
    inputs_of, version_of,
};
use crate::pattern::normalised;
use evaluation::calendar::{BusinessCalendar, BusinessDays, Term};
use evaluation::expression::{Compiler, Input, InputText, NodeIndex, Scope};

/// At most this many states in one model.
const STATES_MAX: usize = 32;
/// Scores are below this: with decimals of 10 digits they have 28.
const SCORE_END: Decimal = Decimal::from_parts(2_808_348_672, 232_830_643, 0, false, 0);
/// At most this many signals of one state.
const SIGNALS_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRegime {
    id: Spanned<String>,
    name: Spanned<String>,
    description: Spanned<String>,
    initial: Spanned<String>,
    #[serde(default)]
    inputs: BTreeMap<Spanned<String>, InputText>,
    evaluate: Option<Evaluate>,
    #[serde(default)]
    business_days: BusinessDays,
    #[serde(default)]
    holidays: Vec<Spanned<String>>,
    states: Vec<RawState>,
    #[serde(default)]
    tests: Vec<RawCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawState {
    id: Spanned<String>,
    enter: Option<Spanned<String>>,
    stay: Option<Spanned<String>>,
    min_dwell: Option<Term>,
    #[serde(default)]
    signals: Vec<RawSignal>,
    enter_at: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSignal {
    when: Spanned<String>,
    weight: Spanned<String>,
}

/// What makes the version of a model.
#[derive(Serialize)]
struct Identity<'a> {
    id: &'a str,
    name: &'a str,
    description: &'a str,
    initial: &'a str,
    inputs: &'a [Input],
    states: Vec<StateIdentity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evaluate: Option<Evaluate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    business: Option<&'a BusinessCalendar>,
}

#[derive(Serialize)]
struct StateIdentity<'a> {
    id: &'a str,
    enter: Option<String>,
    stay: Option<String>,
    min_dwell: Option<Term>,
    signals: Vec<(String, Decimal)>,
    enter_at: Option<Decimal>,
}

impl Regime {
    /// Reads a model from the text of its file.
    pub fn read(path: &Path, text: &str) -> Result<Self, LoadError> {
        let file = File { path, text };
        let raw = file.parse::<RawRegime>();
        raw.and_then(|raw| compile(raw, file))
            .map_err(|refusal| file.error(refusal))
    }
}

fn compile(raw: RawRegime, file: File<'_>) -> Result<Regime, Refusal> {
    check_id(&raw.id)?;
    check_name(&raw.name)?;
    let initial = check_states(&raw)?;
    let business = business_days(raw.business_days, &raw.holidays)?;
    let inputs = inputs_of(&raw.inputs, &business)?;
    let version = version(&raw, &inputs, &business)?;
    let mut compiler = Compiler::new(Scope::Regime, inputs);
    let states: Vec<_> = raw
        .states
        .iter()
        .map(|state| compile_state(state, file, &mut compiler))
        .collect::<Result<_, _>>()?;
    let program = compiler.finish(raw.evaluate.map(Evaluate::is_daily));
    for (index, name) in raw.inputs.keys().enumerate() {
        if !program.reads(index) {
            let reason = format!("input {} is not used", name.get_ref());
            return Err(Refusal::at(name, reason));
        }
    }
    let lines =
        std::iter::once(raw.id.span().start).chain(raw.inputs.keys().map(|k| k.span().start));
    let lines = lines.map(|offset| file.line(offset)).collect();
    let tests = cases(raw.tests, file)?;
    Ok(Regime {
        tests,
        id: raw.id.into_inner(),
        name: raw.name.into_inner(),
        description: raw.description.into_inner().trim().to_owned(),
        version,
        business,
        patterns: patterns_of(&states, &program),
        states,
        initial,
        program: Arc::new(program),
        file: file.path.to_owned(),
        text: file.text.into(),
        lines,
    })
}

/// Gives the place of the initial state.
fn check_states(raw: &RawRegime) -> Result<usize, Refusal> {
    if raw.states.len() > STATES_MAX {
        let reason = format!("more than {STATES_MAX} states");
        return Err(Refusal::at(&raw.id, reason));
    }
    for (index, state) in raw.states.iter().enumerate() {
        check_id(&state.id)?;
        if raw.states[..index].iter().any(|s| s.id == state.id) {
            let reason = format!("state {} stands twice", state.id.get_ref());
            return Err(Refusal::at(&state.id, reason));
        }
        if state.signals.len() > SIGNALS_MAX {
            let reason = format!("more than {SIGNALS_MAX} signals");
            return Err(Refusal::at(&state.id, reason));
        }
        if state.signals.is_empty() != state.enter_at.is_none() {
            return Err(Refusal::at(
                &state.id,
                "signals and enter_at need each other",
            ));
        }
    }
    let initial = raw.initial.get_ref();
    let place = raw.states.iter().position(|s| s.id.get_ref() == initial);
    place.ok_or_else(|| Refusal::at(&raw.initial, format!("there is no state {initial}")))
}

fn compile_state(
    raw: &RawState,
    file: File<'_>,
    compiler: &mut Compiler,
) -> Result<RegimeState, Refusal> {
    let mut condition = |source: &Spanned<String>| {
        let compiled = compiler.condition(source.get_ref());
        compiled.map_err(|error| file.in_expression(source, error))
    };
    let mut signals = Vec::new();
    let mut most = Some(Decimal::ZERO);
    for signal in &raw.signals {
        let weight = decimal(&signal.weight)?;
        // Scores are emitted with 28 digits at most, whichever of the signals hold.
        most = most.and_then(|most| most.checked_add(weight.abs()));
        if most.is_none_or(|most| most >= SCORE_END) {
            let reason = "the weights of the state have a sum of more than 18 digits";
            return Err(Refusal::at(&signal.weight, reason));
        }
        signals.push((condition(&signal.when)?, weight));
    }
    Ok(RegimeState {
        id: raw.id.get_ref().clone(),
        enter: raw.enter.as_ref().map(&mut condition).transpose()?,
        stay: raw.stay.as_ref().map(&mut condition).transpose()?,
        signals,
        enter_at: raw.enter_at.as_ref().map(decimal).transpose()?,
        min_dwell: raw.min_dwell,
    })
}

fn decimal(text: &Spanned<String>) -> Result<Decimal, Refusal> {
    let number = atlas_events::parse_decimal(text.get_ref());
    number.ok_or_else(|| Refusal::at(text, "this is no decimal such as \"1.5\""))
}

fn patterns_of(states: &[RegimeState], program: &evaluation::expression::Program) -> Vec<String> {
    let mut patterns: Vec<String> = states
        .iter()
        .flat_map(RegimeState::conditions)
        .flat_map(|node| program.patterns_of(node))
        .map(str::to_owned)
        .collect();
    patterns.sort_unstable();
    patterns.dedup();
    patterns
}

impl RegimeState {
    /// Every condition of the state.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = NodeIndex> {
        let signals = self.signals.iter().map(|(when, _)| *when);
        self.enter.into_iter().chain(self.stay).chain(signals)
    }
}

fn version(
    raw: &RawRegime,
    inputs: &[Input],
    business: &BusinessCalendar,
) -> Result<String, Refusal> {
    let text = |source: &Option<Spanned<String>>| source.as_ref().map(|s| normalised(s.get_ref()));
    let mut states = Vec::new();
    for state in &raw.states {
        let mut signals = Vec::new();
        for signal in &state.signals {
            signals.push((normalised(signal.when.get_ref()), decimal(&signal.weight)?));
        }
        states.push(StateIdentity {
            id: state.id.get_ref(),
            enter: text(&state.enter),
            stay: text(&state.stay),
            min_dwell: state.min_dwell,
            signals,
            enter_at: state.enter_at.as_ref().map(decimal).transpose()?,
        });
    }
    let mut dwells = raw.states.iter().filter_map(|state| state.min_dwell);
    let counts_business = dwells.any(|dwell| matches!(dwell, Term::Business(_)));
    let identity = Identity {
        id: raw.id.get_ref(),
        name: raw.name.get_ref(),
        description: raw.description.get_ref().trim(),
        initial: raw.initial.get_ref(),
        inputs,
        states,
        evaluate: raw.evaluate,
        business: counts_business.then_some(business),
    };
    version_of(&identity).map_err(|error| Refusal::at(&raw.id, error.to_string()))
}
