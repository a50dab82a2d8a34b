//! What is printed, and how an event reads.

mod alerts;
pub(crate) mod output;
pub(crate) mod style;
pub(crate) mod text;
