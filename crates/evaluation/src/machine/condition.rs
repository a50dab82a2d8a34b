//! A condition, compiled and checked as a whole.

use std::sync::Arc;

use crate::expression::{CompileError, Compiler, INPUTS_MAX, Input, NodeIndex, Program, Scope};

use super::state::{OnNoData, Rule, RuleError};

/// What a condition reads, and when it enters and clears, compiled.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The compiled expressions.
    pub program: Arc<Program>,
    /// The condition itself.
    pub when: NodeIndex,
    /// Hysteresis: once active, it clears when this holds; else when `when` does not.
    pub clear_when: Option<NodeIndex>,
    /// When it enters and clears.
    pub rule: Rule,
}

/// A condition as somebody writes it.
#[derive(Clone, Debug, Default)]
pub struct ConditionText<'a> {
    /// An expression that is a condition, such as `UNRATE > 5`.
    pub when: &'a str,
    /// Likewise, for clearing.
    pub clear_when: Option<&'a str>,
    /// When it enters and clears.
    pub rule: Rule,
    /// Whether every day that passes is evaluated, also without an observation. Absent: where that can decide, which
    /// is if an expression asks for days since something, or something becomes of the condition without data.
    pub daily: Option<bool>,
}

/// Why a condition is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// The expression of `when`.
    #[error("{0}")]
    When(CompileError),
    /// The expression of `clear_when`.
    #[error("{0}")]
    ClearWhen(CompileError),
    /// A time or a number of the rule.
    #[error("{0}")]
    Rule(#[from] RuleError),
    /// No expression reads the input of this name.
    #[error("input {0} is not used")]
    Unused(String),
    /// There are no inputs.
    #[error("the condition reads no series")]
    ReadsNothing,
    /// There are too many inputs.
    #[error("more than {INPUTS_MAX} inputs")]
    TooManyInputs,
}

impl Condition {
    /// Compiles the expressions over these inputs, and checks the rule.
    ///
    /// # Errors
    /// [`ConditionError`]; that of an expression says at which byte of it.
    pub fn compile(inputs: Vec<Input>, text: ConditionText<'_>) -> Result<Self, ConditionError> {
        if inputs.len() > INPUTS_MAX {
            return Err(ConditionError::TooManyInputs);
        }
        text.rule.check()?;
        let mut compiler = Compiler::new(Scope::Pattern, inputs);
        let when = compiler
            .condition(text.when)
            .map_err(ConditionError::When)?;
        let clear_when = text.clear_when.map(|clear| compiler.condition(clear));
        let clear_when = clear_when.transpose().map_err(ConditionError::ClearWhen)?;
        // Without data there is no observation either.
        let by_policy = (text.rule.on_no_data != OnNoData::Keep).then_some(true);
        let program = compiler.finish(text.daily.or(by_policy));
        let mut inputs = program.inputs().iter().enumerate();
        if let Some((_, unused)) = inputs.find(|(index, _)| !program.reads(*index)) {
            return Err(ConditionError::Unused(unused.name.clone()));
        }
        if program.inputs().is_empty() {
            return Err(ConditionError::ReadsNothing);
        }
        Ok(Self {
            program: Arc::new(program),
            when,
            clear_when,
            rule: text.rule,
        })
    }
}
