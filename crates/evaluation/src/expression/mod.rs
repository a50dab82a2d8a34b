//! Conditions over series: read as CEL, checked and compiled at load, evaluated incrementally.
//!
//! A text becomes a syntax tree (`parse`), which the checker (`check`, [`Compiler`]) turns into nodes of a
//! [`Program`]: the expressions of one definition, common parts once. A [`Graph`] evaluates a program
//! over a store and keeps a column of values for each node that a window runs over.
//!
//! Numbers are decimals throughout: sums are exact, quotients have 28 digits and are compared by 12
//! decimals, so that what is equal in exact arithmetic is equal. Only the standard
//! deviation and the z-score are floating point, rounded to 12 significant digits.

mod check;
mod cost;
mod excerpt;
mod function;
mod graph;
mod input;
#[cfg(any(test, feature = "naive"))]
mod naive;
mod node;
mod parse;
mod terms;
#[cfg(test)]
mod tests;
mod value;

pub use check::{CompileError, Compiler, Scope, Type};
pub use excerpt::excerpt;
pub use function::function_names;
pub use graph::{DateRange, Graph, View};
pub use input::{INPUTS_MAX, Input, InputError, InputText, SERIES_ID_CHARS_MAX};
#[cfg(any(test, feature = "naive"))]
pub use naive::Naive;
pub use node::{NodeIndex, Program};
pub use value::{Missing, Reason, Value};
