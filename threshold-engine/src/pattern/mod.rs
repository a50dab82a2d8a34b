//! Patterns: conditions with a name, read from files.

mod file;
mod template;

pub(crate) use file::normalised;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::definition::{Severity, TestCase};
use crate::expression::{NodeIndex, Program};
use crate::machine::Rule;

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
    /// When it enters and clears.
    pub rule: Rule,
    /// The compiled conditions.
    pub program: Arc<Program>,
    /// The condition.
    pub when: NodeIndex,
    /// Hysteresis: once active, the pattern clears when this holds; else when the condition does not.
    pub clear_when: Option<NodeIndex>,
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
    /// The series that it reads, each once.
    pub fn series_ids(&self) -> Vec<String> {
        let inputs = self.program.inputs().iter();
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
