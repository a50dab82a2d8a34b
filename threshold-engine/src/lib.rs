//! The threshold engine: patterns over series of observations, and the crossings they emit.
//!
//! Definitions are files ([`library`], [`pattern`], [`regime`]), whose conditions are expressions over
//! series (crate [`evaluation`]). The [`Engine`] takes points in one at a time and emits what they bring about;
//! [`evaluation::machine`] is the state machine of a condition. [`check`](mod@check) runs the tests that stand in files,
//! [`backtest`] plays history.

#[cfg(test)]
extern crate self as threshold_engine;

pub mod backtest;
pub mod check;
pub mod command;
pub mod config;
mod current_state;
pub mod definition;
mod emission;
mod engine;
mod handler;
pub mod library;
mod lifecycle;
pub mod pattern;
mod received;
pub mod regime;
mod rest;
pub mod service;
mod snapshot;
pub mod status;
mod store;

pub use current_state::CurrentState;
pub use emission::Emission;
pub use engine::{Engine, Failed};
pub use handler::SERVICE;
