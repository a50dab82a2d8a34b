//! Types, names and bounds of an expression, and its compilation to nodes.

mod method;

use std::fmt;

use rust_decimal::Decimal;

use crate::did_you_mean;
use crate::expression::cost::{STEPS_MAX, cost};
use crate::expression::excerpt::excerpt;
use crate::expression::function::{FUNCTIONS, method};
use crate::expression::input::Input;
use crate::expression::node::{Arithmetic, Comparison, NodeIndex, Op, Program, describe};
use crate::expression::parse::{Syntax, SyntaxError, Term, parse};
use crate::expression::terms::{EXCLUDING, arithmetic, comparison};
use crate::expression::value::Value;

/// At most this many nodes in one definition, which bounds the work of one evaluation.
const NODES_MAX: usize = 400;
/// Nested windows together look back at most this far.
const HISTORY_DAYS_MAX: u32 = 36_600;

/// What an expression is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// The same at every date.
    Number,
    /// A number at each of its dates.
    Series,
    /// True or false at each date.
    Condition,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "a number",
            Self::Series => "a series",
            Self::Condition => "a condition",
        })
    }
}

/// Why an expression is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct CompileError {
    /// Where: a byte of the expression, from 0.
    pub offset: usize,
    /// For people.
    pub reason: String,
}

impl CompileError {
    /// The line of the expression around the place, and a caret below it. Two lines, indented.
    pub fn excerpt(&self, source: &str) -> String {
        excerpt(source, self.offset)
    }
}

impl From<SyntaxError> for CompileError {
    fn from(error: SyntaxError) -> Self {
        Self {
            offset: error.offset,
            reason: error.reason,
        }
    }
}

/// What may stand in an expression besides series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nothing.
    Pattern,
    /// `pattern("id")`.
    Regime,
}

/// Compiles the expressions of one definition into one program.
pub struct Compiler {
    scope: Scope,
    program: Program,
}

#[derive(Clone, Copy)]
struct Typed {
    node: NodeIndex,
    of: Type,
}

pub(super) fn refuse<T>(at: &Syntax, reason: impl Into<String>) -> Result<T, CompileError> {
    Err(CompileError {
        offset: at.offset,
        reason: reason.into(),
    })
}

/// "1 < A < 5" would compare a condition with 5.
fn refuse_chain(sides: &[Syntax]) -> Result<(), CompileError> {
    let is_comparison = |side: &&Syntax| match &side.term {
        Term::Call { function, .. } => comparison(function).is_some(),
        _ => false,
    };
    match sides.iter().find(is_comparison) {
        Some(side) => refuse(
            side,
            "comparisons are not strung together: write 1 < A && A < 5",
        ),
        None => Ok(()),
    }
}

impl Compiler {
    /// For expressions over these inputs, 32 at most.
    pub fn new(scope: Scope, inputs: Vec<Input>) -> Self {
        let nodes = Vec::new();
        Self {
            scope,
            program: Program {
                nodes,
                inputs,
                daily: false,
            },
        }
    }

    /// Adds an expression that has to be a condition.
    pub fn condition(&mut self, source: &str) -> Result<NodeIndex, CompileError> {
        self.expression(source, Type::Condition)
    }

    fn expression(&mut self, source: &str, expected: Type) -> Result<NodeIndex, CompileError> {
        let syntax = parse(source)?;
        let typed = self.compile(&syntax)?;
        if typed.of != expected {
            let reason = format!(
                "this is {}, not {expected}: compare it, as in A > 1",
                typed.of
            );
            return refuse(&syntax, reason);
        }
        let cost = cost(&self.program);
        if cost.steps > STEPS_MAX {
            let window = cost.costliest.unwrap_or_default();
            let reason = format!(
                "one changed observation can take {} steps of work, and {STEPS_MAX} are allowed: \
                 shorten {window}, or use fewer windows",
                cost.steps
            );
            return refuse(&syntax, reason);
        }
        Ok(typed.node)
    }

    #[cfg(test)]
    pub(super) fn shown(&self, condition: NodeIndex) -> NodeIndex {
        self.program.shown_comparison(condition).unwrap().0
    }

    /// All that was added.
    ///
    /// Every day that passes is evaluated where `daily` says so; unless it says otherwise, where an expression asks for
    /// days since something.
    pub fn finish(mut self, daily: Option<bool>) -> Program {
        let asked = self.program.asks_for_age();
        self.program.daily = daily.unwrap_or(asked);
        self.program
    }

    fn compile(&mut self, at: &Syntax) -> Result<Typed, CompileError> {
        match &at.term {
            Term::Number(number) => self.add(at, Op::Number(*number), Type::Number),
            Term::Truth(truth) => self.add(at, Op::Truth(*truth), Type::Condition),
            Term::Text(text) => {
                let inputs = &self.program.inputs;
                let is_input = inputs.iter().any(|i| i.name == *text || i.series == *text);
                let hint = if is_input {
                    ": write the name without quotes"
                } else {
                    ""
                };
                refuse(at, format!("\"{text}\" has no meaning here{hint}"))
            }
            Term::Name(name) => self.input(at, name),
            Term::Call {
                function,
                target: Some(target),
                arguments,
            } => self.method(at, function, target, arguments),
            Term::Call {
                function,
                target: None,
                arguments,
            } => self.call(at, function, arguments),
        }
    }

    fn input(&mut self, at: &Syntax, name: &str) -> Result<Typed, CompileError> {
        let inputs = &self.program.inputs;
        let found = inputs.iter().position(|i| i.name == name);
        match found.or_else(|| inputs.iter().position(|i| i.series == name)) {
            Some(index) => self.add(at, Op::Input(index as u8), Type::Series),
            None if name == EXCLUDING => refuse(at, format!("{EXCLUDING} stands after a window")),
            None => {
                let names = inputs.iter().flat_map(|i| [i.name.as_str(), &i.series]);
                let names = names.chain(["true", "false"]);
                let hint = did_you_mean(name, names);
                refuse(at, format!("{name} is not among the inputs{hint}"))
            }
        }
    }

    fn call(
        &mut self,
        at: &Syntax,
        function: &str,
        arguments: &[Syntax],
    ) -> Result<Typed, CompileError> {
        if let Some(arithmetic) = arithmetic(function) {
            let [left, right] = self.two(at, function, arguments)?;
            return self.binary(at, arithmetic, left, right);
        }
        if let Some(comparison) = comparison(function) {
            refuse_chain(arguments)?;
            let [left, right] = self.two(at, function, arguments)?;
            return self.compare(at, comparison, left, right);
        }
        match (function, arguments) {
            ("&&" | "||", [left, right]) => {
                let (left, right) = (self.truth(left)?, self.truth(right)?);
                let op = match function {
                    "&&" => Op::And(left, right),
                    _ => Op::Or(left, right),
                };
                self.add(at, op, Type::Condition)
            }
            ("!", [inner]) => {
                let inner = self.truth(inner)?;
                self.add(at, Op::Not(inner), Type::Condition)
            }
            ("neg", [inner]) => {
                let inner = self.numeric(inner)?;
                self.negate(at, inner)
            }
            ("series", [id]) => match &id.term {
                Term::Text(id) => self.input(at, id),
                _ => refuse(id, "series(…) takes the id in quotes"),
            },
            ("pattern", [id]) => self.pattern(at, id),
            ("series" | "pattern", _) => refuse(at, format!("{function}(…) takes one argument")),
            _ => {
                let hint = match method(function) {
                    Some(_) => format!(", write series.{function}(…)"),
                    None => did_you_mean(function, FUNCTIONS.iter().copied()),
                };
                refuse(at, format!("there is no function {function}{hint}"))
            }
        }
    }

    fn pattern(&mut self, at: &Syntax, id: &Syntax) -> Result<Typed, CompileError> {
        match (&id.term, self.scope) {
            (_, Scope::Pattern) => refuse(at, "pattern(…) is for regimes only"),
            (Term::Text(id), Scope::Regime) => {
                self.add(at, Op::Pattern(id.clone()), Type::Condition)
            }
            _ => refuse(id, "pattern(…) takes the id in quotes"),
        }
    }

    fn two(
        &mut self,
        at: &Syntax,
        function: &str,
        arguments: &[Syntax],
    ) -> Result<[Typed; 2], CompileError> {
        match arguments {
            [left, right] => Ok([self.numeric(left)?, self.numeric(right)?]),
            _ => refuse(at, format!("{function}(…) takes two arguments")),
        }
    }

    fn numeric(&mut self, at: &Syntax) -> Result<Typed, CompileError> {
        let typed = self.compile(at)?;
        match typed.of {
            Type::Condition => refuse(at, "a condition where a series or a number is needed"),
            _ => Ok(typed),
        }
    }

    fn truth(&mut self, at: &Syntax) -> Result<NodeIndex, CompileError> {
        let typed = self.compile(at)?;
        match typed.of {
            Type::Condition => Ok(typed.node),
            other => refuse(at, format!("{other} where a condition is needed")),
        }
    }

    fn constant(&self, typed: Typed) -> Option<Decimal> {
        match self.program.node(typed.node).op {
            Op::Number(number) => Some(number),
            _ => None,
        }
    }

    fn negate(&mut self, at: &Syntax, inner: Typed) -> Result<Typed, CompileError> {
        match self.constant(inner) {
            Some(number) => self.add(at, Op::Number(-number), Type::Number),
            None => self.add(at, Op::Negate(inner.node), inner.of),
        }
    }

    fn binary(
        &mut self,
        at: &Syntax,
        arithmetic: Arithmetic,
        left: Typed,
        right: Typed,
    ) -> Result<Typed, CompileError> {
        match (self.constant(left), self.constant(right)) {
            (Some(left), Some(right)) => match arithmetic.apply(left, right) {
                Value::Number(number) => self.add(at, Op::Number(number), Type::Number),
                _ => refuse(at, "this number does not exist"),
            },
            _ => {
                let op = Op::Binary(arithmetic, left.node, right.node);
                self.add(at, op, Type::Series)
            }
        }
    }

    fn compare(
        &mut self,
        at: &Syntax,
        comparison: Comparison,
        left: Typed,
        right: Typed,
    ) -> Result<Typed, CompileError> {
        if left.of == Type::Number && right.of == Type::Number {
            return refuse(at, "two numbers are compared, which never changes");
        }
        let op = Op::Compare(comparison, left.node, right.node);
        self.add(at, op, Type::Condition)
    }

    /// The node for an operation: an equal one, or a new one.
    fn add(&mut self, at: &Syntax, op: Op, of: Type) -> Result<Typed, CompileError> {
        let nodes = &mut self.program.nodes;
        if let Some(equal) = nodes.iter().position(|node| node.op == op) {
            let node = NodeIndex(equal as u16);
            return Ok(Typed { node, of });
        }
        if nodes.len() == NODES_MAX {
            return refuse(at, format!("more than {NODES_MAX} operations in one file"));
        }
        let node = describe(op, &self.program.inputs, nodes);
        if node.history_days > HISTORY_DAYS_MAX {
            return refuse(at, "its windows together look back more than a century");
        }
        nodes.push(node);
        let node = NodeIndex((nodes.len() - 1) as u16);
        Ok(Typed { node, of })
    }
}
