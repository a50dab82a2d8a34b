//! Patterns: conditions with a name, read from files.

mod crossing;
mod emitted;
mod emitting;
mod file;
mod run;
mod template;

pub use crossing::{Crossing, Direction};
pub(crate) use emitted::{Emitted, Known};
pub(crate) use file::normalised;
pub use run::PatternRun;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use evaluation::{expression::Program, machine::Condition};

use crate::definition::{Severity, TestCase};

pub use template::Facts;
use template::Template;

/// A pattern as its file defines it, compiled.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Unique; 1 to 100 characters.
    pub id: String,
    /// Title, for people.
    pub name: String,
    /// Definition and source, for people.
    pub description: String,
    /// How grave it is when it is active.
    pub severity: Severity,
    /// For routing; free.
    pub labels: BTreeMap<String, String>,
    /// Whether it is evaluated.
    pub enabled: bool,
    /// Hash of everything above and below but the tests and where the file lies.
    pub version: String,
    /// What it reads, and when it enters and clears.
    pub condition: Condition,
    /// The condition as written.
    pub when_text: String,
    /// The clear condition as written.
    pub clear_when_text: Option<String>,
    /// Tests that stand in the file.
    pub tests: Vec<TestCase>,
    /// Where it was read from.
    pub file: PathBuf,
    /// The text that it was read from.
    pub(crate) text: Arc<str>,
    /// The line of its id, and of each input by its place in the program.
    pub(crate) lines: Vec<usize>,
    message: Template,
}

impl Pattern {
    /// The compiled conditions.
    pub fn program(&self) -> &Program {
        &self.condition.program
    }

    /// The series that it reads, each once.
    pub fn series_ids(&self) -> Vec<String> {
        let inputs = self.program().inputs().iter();
        let mut ids: Vec<_> = inputs.map(|input| input.series.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The message of a crossing.
    pub fn render(&self, facts: &Facts<'_>) -> String {
        self.message.render(self, facts)
    }
}
