//! Reads merged values one by one and collects everything that is wrong with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

use config::{Config, Value, ValueKind};

use super::layers::{self, Given};

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

/// Values being read. What was never asked for is unknown.
#[derive(Debug)]
pub struct Reader {
    merged: Config,
    known: BTreeSet<&'static str>,
    /// Where values came from that are not of the file.
    origins: BTreeMap<&'static str, String>,
    problems: Vec<Problem>,
    sections: &'static [&'static str],
}

impl Reader {
    /// Merges everything that was given.
    pub fn open(given: &Given<'_>) -> Self {
        let mut problems = Vec::new();
        let merged = layers::merge(given, &mut problems);
        Self {
            sections: given.sections,
            merged,
            known: BTreeSet::new(),
            origins: BTreeMap::new(),
            problems,
        }
    }

    /// The raw value of a key.
    pub fn value(&mut self, key: &'static str) -> Option<Value> {
        self.known.insert(key);
        let value = self.lookup(key)?.clone();
        self.origins
            .extend(value.origin().map(|origin| (key, origin.to_owned())));
        Some(value)
    }

    /// The library's own look-up forgets where a value came from.
    fn lookup(&self, key: &str) -> Option<&Value> {
        let mut found = &self.merged.cache;
        for name in key.split('.') {
            let ValueKind::Table(table) = &found.kind else {
                return None;
            };
            found = table.get(name)?;
        }
        Some(found)
    }

    /// Notes a problem with a value that was read by other means.
    pub fn refuse(&mut self, key: impl Into<String>, problem: impl fmt::Display) {
        let problem = Problem::new(key, problem);
        let origin = self.origins.get(problem.key.as_str()).cloned();
        self.problems.push(Problem { origin, ..problem });
    }

    /// A text, which is never repeated in a problem: it may be a secret.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        let value = self.value(key)?;
        match value.kind {
            ValueKind::String(text) => Some(text),
            _ => {
                self.refuse(key, "is to be a text, in quotation marks");
                None
            }
        }
    }

    /// Texts: a list in the file, or one text with commas between them.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        let texts: Option<Vec<String>> = match value.kind {
            ValueKind::String(texts) => {
                let texts = texts.split(',').map(str::trim);
                Some(
                    texts
                        .filter(|text| !text.is_empty())
                        .map(str::to_owned)
                        .collect(),
                )
            }
            ValueKind::Array(entries) => entries
                .into_iter()
                .map(|entry| match entry.kind {
                    ValueKind::String(text) => Some(text),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        if texts.is_none() {
            self.refuse(key, "is to be a list of texts, such as [\"a\", \"b\"]");
        }
        texts
    }

    /// A text, read as what it stands for.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, key: &'static str, default: T) -> T {
        let Some(text) = self.text(key) else {
            return default;
        };
        text.parse().unwrap_or_else(|error| {
            self.refuse(key, error);
            default
        })
    }

    /// An address to listen at.
    pub fn address(&mut self, key: &'static str, default: SocketAddr) -> SocketAddr {
        let Some(text) = self.text(key) else {
            return default;
        };
        text.parse().unwrap_or_else(|_| {
            self.refuse(
                key,
                format!("\"{text}\" is not an IP address and a port, such as {default}"),
            );
            default
        })
    }

    /// A whole number within bounds.
    pub fn number(&mut self, key: &'static str, default: u64, bounds: RangeInclusive<u64>) -> u64 {
        let Some(value) = self.value(key) else {
            return default;
        };
        let shown = value.to_string();
        let number = match value.kind {
            ValueKind::Float(_) | ValueKind::Boolean(_) => None,
            _ => value.into_uint().ok(),
        };
        match number {
            Some(number) if bounds.contains(&number) => number,
            _ => {
                let (least, most) = bounds.into_inner();
                self.refuse(
                    key,
                    format!("{shown} is not a whole number from {least} to {most}"),
                );
                default
            }
        }
    }

    /// A number of milliseconds.
    pub fn milliseconds(
        &mut self,
        key: &'static str,
        default: u64,
        bounds: RangeInclusive<u64>,
    ) -> Duration {
        Duration::from_millis(self.number(key, default, bounds))
    }

    /// A number of seconds.
    pub fn seconds(
        &mut self,
        key: &'static str,
        default: u64,
        bounds: RangeInclusive<u64>,
    ) -> Duration {
        Duration::from_secs(self.number(key, default, bounds))
    }

    /// Ends the reading; keys that nobody asked for are among what is wrong.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn finish(self) -> Result<(), ConfigError> {
        match self.problems() {
            problems if problems.is_empty() => Ok(()),
            problems => Err(ConfigError(problems)),
        }
    }

    fn problems(mut self) -> Vec<Problem> {
        let tree = std::mem::take(&mut self.merged);
        let mut given = Vec::new();
        flatten("", tree.cache, (&self.known, self.sections), &mut given);
        for (key, origin) in given {
            let name = origin.unwrap_or_else(|| key.clone());
            let problem = unknown(&key, &self.known, self.sections);
            self.problems.push(Problem::new(name, problem));
        }
        self.problems
    }
}

/// The keys of a tree that are not known, with where they came from.
fn flatten(
    path: &str,
    value: Value,
    (known, sections): (&BTreeSet<&'static str>, &[&'static str]),
    unknown: &mut Vec<(String, Option<String>)>,
) {
    if known.contains(path) {
        return;
    }
    let origin = value.origin().map(ToOwned::to_owned);
    match value.kind {
        ValueKind::Table(table) if path.is_empty() || sections.contains(&path) => {
            let mut entries: Vec<_> = table.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            for (name, value) in entries {
                let inner = match path {
                    "" => name,
                    _ => format!("{path}.{name}"),
                };
                flatten(&inner, value, (known, sections), unknown);
            }
        }
        _ => unknown.push((path.to_owned(), origin)),
    }
}

fn unknown(key: &str, known: &BTreeSet<&'static str>, sections: &[&'static str]) -> String {
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
