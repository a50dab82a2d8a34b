//! Tests of calls: publishing, input, access, health and reflection.

mod bad_input;
mod health_and_reflection;
mod isolation;
mod publishing;
mod rules;
pub(crate) mod unreadable;
