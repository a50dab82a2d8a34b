//! What is wrong with a configuration, as it is reported to people.

use std::{collections::BTreeSet, fmt};

/// Something wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, or what else is at fault, such as a file.
    pub key: String,
    /// The variable or flag that set it, if one did.
    pub origin: Option<String>,
    /// What is wrong and what to do, for people. Free of secrets.
    pub problem: String,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self {
            key: key.into(),
            origin: None,
            problem: problem.to_string(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{} ({origin}): {}", self.key, self.problem),
            None => write!(f, "{}: {}", self.key, self.problem),
        }
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration is not valid:{}", .0.iter().map(|p| format!("\n  {p}")).collect::<String>())]
pub struct ConfigError(
    /// At least one.
    pub Vec<Problem>,
);

/// What to say of a key that nobody asked for.
pub(super) fn unknown(
    key: &str,
    known: &BTreeSet<&'static str>,
    sections: &[&'static str],
) -> String {
    if sections.contains(&key) {
        return format!("is a section: write [{key}]");
    }
    let candidates = known.iter().chain(sections);
    let nearest = candidates.max_by(|a, b| likeness(key, a).total_cmp(&likeness(key, b)));
    match nearest {
        Some(nearest) => format!("is not a known setting; the nearest is {nearest}"),
        None => "is not a known setting".to_owned(),
    }
}

/// How alike two keys are, from 0 to 1; one that is right but for its section is very alike.
fn likeness(given: &str, known: &str) -> f64 {
    let name = |key: &str| {
        key.rsplit_once('.')
            .map_or(key, |(_, name)| name)
            .to_owned()
    };
    let whole = strsim::jaro_winkler(given, known);
    let part = strsim::jaro_winkler(&name(given), &name(known));
    (whole + part) / 2.0
}
