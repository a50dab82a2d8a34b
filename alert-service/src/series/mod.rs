//! Rules over series and the clock.
//!
//! `condition` is what rules state; `book` evaluates it, without a clock or a database. `clockwork` knows what is due when.
//! `memory` keeps both in agreement with the database, `alerts` makes alerts of what becomes of rules, and `watch` does
//! what no event brings about.

mod alerts;
mod book;
mod clockwork;
mod collected;
mod combine;
mod condition;
mod evaluation;
mod memory;
mod watch;

pub(crate) use alerts::{Occasion, end_silences, turn};
pub(crate) use book::{DryRun, DryRunError, History, dry_run};
pub(crate) use collected::{Collected, read};
pub(crate) use condition::{
    Composite, Indicator, Operator, Price, Silence, Times, is_expression, problem_of_message,
    problems, reach_days, series_read, series_to_be_known,
};
pub use evaluation::Evaluation;
pub(crate) use memory::{Memory, SharedMemory, heard, stored_points};
pub(crate) use watch::Watch;
