//! The file of a pattern.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::Pattern;
use super::template::Template;
use crate::calendar::{BusinessCalendar, BusinessDays, Hold, Term};
use crate::definition::{
    Evaluate, File, LoadError, RawCase, RawInput, Refusal, Severity, business_days, cases,
    check_id, check_labels, check_name, inputs_of, version_of,
};
use crate::expression::{Compiler, Input, Scope};
use crate::machine::{OnNoData, Rule};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPattern {
    id: Spanned<String>,
    name: Spanned<String>,
    description: Spanned<String>,
    severity: Severity,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default = "enabled_unless_said")]
    enabled: bool,
    inputs: BTreeMap<Spanned<String>, RawInput>,
    when: Spanned<String>,
    clear_when: Option<Spanned<String>>,
    r#for: Option<Spanned<Hold>>,
    keep_for: Option<Spanned<Hold>>,
    cooldown: Option<Term>,
    n_of_m: Option<Spanned<[u8; 2]>>,
    #[serde(default)]
    on_no_data: OnNoData,
    evaluate: Option<Evaluate>,
    #[serde(default)]
    business_days: BusinessDays,
    #[serde(default)]
    holidays: Vec<Spanned<String>>,
    message: Option<Spanned<String>>,
    #[serde(default)]
    tests: Vec<RawCase>,
}

fn enabled_unless_said() -> bool {
    true
}

/// What makes the version of a pattern.
#[derive(Serialize)]
struct Identity<'a> {
    id: &'a str,
    name: &'a str,
    description: &'a str,
    severity: Severity,
    labels: &'a BTreeMap<String, String>,
    inputs: &'a [Input],
    when: String,
    clear_when: Option<String>,
    rule: &'a Rule,
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evaluate: Option<Evaluate>,
}

impl Pattern {
    /// Reads a pattern from the text of its file.
    pub fn read(path: &Path, text: &str) -> Result<Self, LoadError> {
        let file = File { path, text };
        let raw = file.parse::<RawPattern>();
        raw.and_then(|raw| compile(raw, file))
            .map_err(|refusal| file.error(refusal))
    }
}

fn compile(raw: RawPattern, file: File<'_>) -> Result<Pattern, Refusal> {
    check_id(&raw.id)?;
    check_name(&raw.name)?;
    check_labels(&raw.id, &raw.labels)?;
    if raw.description.get_ref().trim().is_empty() {
        return Err(Refusal::at(
            &raw.description,
            "a pattern needs a description",
        ));
    }
    let business = business_days(raw.business_days, &raw.holidays)?;
    let inputs = inputs_of(&raw.inputs, &business)?;
    let rule = rule_of(&raw, business)?;
    let message = Template::parse(raw.message.as_ref(), &inputs)?;
    let version = version(&raw, &inputs, &rule)?;
    let mut compiler = Compiler::new(Scope::Pattern, inputs);
    let mut condition = |source: &Spanned<String>| {
        let compiled = compiler.condition(source.get_ref());
        compiled.map_err(|error| file.in_expression(source, error))
    };
    let when = condition(&raw.when)?;
    let clear_when = raw.clear_when.as_ref().map(&mut condition).transpose()?;
    let daily = raw.evaluate.map(Evaluate::is_daily);
    // Without data there is no observation either.
    let by_policy = (raw.on_no_data != OnNoData::Keep).then_some(true);
    let program = compiler.finish(daily.or(by_policy));
    for (index, name) in raw.inputs.keys().enumerate() {
        if !program.reads(index) {
            let reason = format!("input {} is not used", name.get_ref());
            return Err(Refusal::at(name, reason));
        }
    }
    if raw.inputs.is_empty() {
        return Err(Refusal::at(&raw.when, "the condition reads no series"));
    }
    let lines =
        std::iter::once(raw.id.span().start).chain(raw.inputs.keys().map(|k| k.span().start));
    let lines = lines.map(|offset| file.line(offset)).collect();
    let tests = cases(raw.tests, file)?;
    Ok(Pattern {
        tests,
        id: raw.id.into_inner(),
        name: raw.name.into_inner(),
        description: raw.description.into_inner().trim().to_owned(),
        severity: raw.severity,
        labels: raw.labels,
        enabled: raw.enabled,
        version,
        rule,
        program: Arc::new(program),
        when,
        clear_when,
        when_text: normalised(raw.when.get_ref()),
        clear_when_text: raw.clear_when.map(|text| normalised(text.get_ref())),
        file: file.path.to_owned(),
        text: file.text.into(),
        lines,
        message,
    })
}

fn rule_of(raw: &RawPattern, business: BusinessCalendar) -> Result<Rule, Refusal> {
    for window in [&raw.r#for, &raw.keep_for].into_iter().flatten() {
        let zero = match window.get_ref() {
            Hold::Count(count) => *count == 0,
            Hold::Term(term) => term.is_zero(),
        };
        if zero {
            return Err(Refusal::at(
                window,
                "nothing lasts for no time: leave it out",
            ));
        }
    }
    if let Some(n_of_m) = &raw.n_of_m {
        let [n, m] = *n_of_m.get_ref();
        let m_max = crate::machine::RECENT_MAX;
        if n == 0 || n > m || m > m_max {
            let reason = format!("n_of_m = [{n}, {m}] is not 1 <= n <= m <= {m_max}");
            return Err(Refusal::at(n_of_m, reason));
        }
    }
    let hold = raw.r#for.as_ref().map(|w| *w.get_ref());
    let keep_for = raw.keep_for.as_ref().map(|w| *w.get_ref());
    let cooldown = raw.cooldown.map(Hold::Term);
    let mut holds = [hold, keep_for, cooldown].into_iter().flatten();
    let counts_business = holds.any(|hold| matches!(hold, Hold::Term(Term::Business(_))));
    Ok(Rule {
        hold,
        keep_for,
        cooldown: raw.cooldown,
        n_of_m: raw.n_of_m.as_ref().map(|n| *n.get_ref()),
        on_no_data: raw.on_no_data,
        business: counts_business.then_some(business),
    })
}

fn version(raw: &RawPattern, inputs: &[Input], rule: &Rule) -> Result<String, Refusal> {
    let identity = Identity {
        id: raw.id.get_ref(),
        name: raw.name.get_ref(),
        description: raw.description.get_ref().trim(),
        severity: raw.severity,
        labels: &raw.labels,
        inputs,
        when: normalised(raw.when.get_ref()),
        clear_when: raw
            .clear_when
            .as_ref()
            .map(|text| normalised(text.get_ref())),
        rule,
        message: raw.message.as_ref().map(|text| text.get_ref().as_str()),
        evaluate: raw.evaluate,
    };
    version_of(&identity).map_err(|error| Refusal::at(&raw.id, error.to_string()))
}

/// Without line breaks and repeated spaces, which mean nothing in an expression.
pub(crate) fn normalised(expression: &str) -> String {
    expression.split_whitespace().collect::<Vec<_>>().join(" ")
}
