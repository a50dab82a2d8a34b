//! The file of a pattern.

use std::collections::BTreeMap;
use std::path::Path;

use evaluation::{
    calendar::{BusinessCalendar, BusinessDays, Hold, Term},
    expression::{Input, InputText},
    machine::{Condition, ConditionError, ConditionText, OnNoData, Rule, RuleError},
};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::Pattern;
use super::template::Template;
use crate::definition::{
    Evaluate, File, LoadError, RawCase, Refusal, Severity, business_days, cases, check_id,
    check_labels, check_name, inputs_of, version_of,
};

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
    inputs: BTreeMap<Spanned<String>, InputText>,
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
    let rule = rule_of(&raw, business);
    let message = Template::parse(raw.message.as_ref(), &inputs)?;
    let version = version(&raw, &inputs, &rule)?;
    let written = ConditionText {
        when: raw.when.get_ref(),
        clear_when: raw.clear_when.as_ref().map(|text| text.get_ref().as_str()),
        rule,
        daily: raw.evaluate.map(Evaluate::is_daily),
    };
    let condition = Condition::compile(inputs, written);
    let condition = condition.map_err(|error| refusal(&raw, file, error))?;
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
        condition,
        when_text: normalised(raw.when.get_ref()),
        clear_when_text: raw.clear_when.map(|text| normalised(text.get_ref())),
        file: file.path.to_owned(),
        text: file.text.into(),
        lines,
        message,
    })
}

/// A mistake in what is to be compiled, at its place in the file.
fn refusal(raw: &RawPattern, file: File<'_>, error: ConditionError) -> Refusal {
    let reason = error.to_string();
    let at_hold = |hold: Option<&Spanned<Hold>>| match hold {
        Some(hold) => Refusal::at(hold, reason.clone()),
        None => Refusal::at(&raw.when, reason.clone()),
    };
    match error {
        ConditionError::When(error) => file.in_expression(&raw.when, error),
        ConditionError::ClearWhen(error) => {
            file.in_expression(raw.clear_when.as_ref().unwrap_or(&raw.when), error)
        }
        ConditionError::Rule(RuleError::NoHold) => at_hold(raw.r#for.as_ref()),
        ConditionError::Rule(RuleError::NoKeepFor) => at_hold(raw.keep_for.as_ref()),
        ConditionError::Rule(RuleError::NOfM(..)) => match &raw.n_of_m {
            Some(n_of_m) => Refusal::at(n_of_m, reason),
            None => Refusal::at(&raw.when, reason),
        },
        ConditionError::Unused(name) => {
            let input = raw.inputs.keys().find(|input| *input.get_ref() == name);
            match input {
                Some(input) => Refusal::at(input, reason),
                None => Refusal::at(&raw.when, reason),
            }
        }
        ConditionError::ReadsNothing | ConditionError::TooManyInputs => {
            Refusal::at(&raw.when, reason)
        }
    }
}

fn rule_of(raw: &RawPattern, business: BusinessCalendar) -> Rule {
    let rule = Rule {
        hold: raw.r#for.as_ref().map(|hold| *hold.get_ref()),
        keep_for: raw.keep_for.as_ref().map(|hold| *hold.get_ref()),
        cooldown: raw.cooldown,
        n_of_m: raw.n_of_m.as_ref().map(|n| *n.get_ref()),
        on_no_data: raw.on_no_data,
        business: None,
    };
    rule.with_business(business)
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
