//! Reads merged values one by one, remembers what was asked for, and collects everything that is
//! wrong with them.

pub(crate) mod layers;
mod values;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
};

use config::{Config, Value, ValueKind};
use documented::{Documented, DocumentedFields};

use crate::config::{
    ConfigError, Problem,
    problem::unknown,
    setting::{Setting, Shown},
};

/// A value as TOML.
pub use toml::Value as Toml;

/// Values being read. What was never asked for is unknown.
#[derive(Debug)]
pub struct Reader {
    merged: Config,
    file: Option<String>,
    known: BTreeSet<&'static str>,
    sections: Vec<(&'static str, String)>,
    /// What keys mean, and fields, whose names may lack the unit that the key has.
    meanings: BTreeMap<String, String>,
    settings: Vec<Setting>,
    aliases: Vec<(String, &'static str)>,
    problems: Vec<Problem>,
}

impl Reader {
    /// Reads merged values; those without an origin of their own are of the file.
    pub(crate) fn new(merged: Config, file: Option<&Path>, problems: Vec<Problem>) -> Self {
        Self {
            merged,
            file: file.map(|path| path.display().to_string()),
            known: BTreeSet::new(),
            sections: Vec::new(),
            meanings: BTreeMap::new(),
            settings: Vec::new(),
            aliases: Vec::new(),
            problems,
        }
    }

    /// Begins a section. The comments of the struct and its fields say what it and its settings
    /// mean: the key of a setting is the name of its field, or begins with it and ends with a unit.
    pub fn section<T: Documented + DocumentedFields>(&mut self, name: &'static str) {
        let meaning = one_line(T::DOCS);
        let meaning = meaning.strip_prefix(&format!("`[{name}]`: "));
        let meaning = meaning.map_or_else(|| one_line(T::DOCS), ToOwned::to_owned);
        self.sections.push((name, sentence(&meaning)));
        for (field, meaning) in T::FIELD_NAMES.iter().zip(T::FIELD_DOCS) {
            let key = format!("{name}.{field}");
            self.meanings.entry(key).or_insert(one_line(meaning));
        }
    }

    /// Says what a setting means that has no field of its own.
    pub fn describe(&mut self, key: &'static str, meaning: impl Into<String>) {
        let meaning = meaning.into();
        self.meanings.insert(key.to_owned(), meaning.clone());
        if let Some(setting) = self.setting(key) {
            setting.meaning = meaning;
        }
    }

    /// Says what a setting means by the comment on the field that holds it, whatever its name.
    pub fn describe_by_field<T: DocumentedFields>(&mut self, key: &'static str, field: &str) {
        let meaning = T::get_field_docs(field).map(one_line).unwrap_or_default();
        self.describe(key, meaning);
    }

    /// Further variables that set a key, in capitals, weakest first; all are weaker than
    /// `SECTION__KEY`.
    pub fn also(&mut self, key: &'static str, variables: &[&str]) {
        let aliases = variables
            .iter()
            .map(|variable| ((*variable).to_owned(), key));
        self.aliases.extend(aliases);
    }

    /// The raw value of a key. The caller passes its form, default and value to [`Reader::asked`].
    pub fn value(&mut self, key: &'static str) -> Option<Value> {
        self.known.insert(key);
        self.lookup(key).cloned()
    }

    /// Notes what a key has to be, what holds by default and what holds now, which is to be free of
    /// secrets. What was noted before is replaced.
    pub fn asked(
        &mut self,
        key: &'static str,
        form: impl Into<String>,
        default: Option<Toml>,
        value: Option<Toml>,
    ) {
        let setting = Setting {
            key,
            form: form.into(),
            default: default.map(|value| value.to_string()),
            value: value.map(|value| masked(&value.to_string())),
            origin: self.origin(key),
            meaning: self.meaning(key),
        };
        match self.setting(key) {
            Some(known) => *known = setting,
            None => self.settings.push(setting),
        }
    }

    /// Shows a value in another way.
    pub fn show(&mut self, key: &'static str, value: impl Into<Toml>) {
        let value: Toml = value.into();
        if let Some(setting) = self.setting(key) {
            setting.value = Some(masked(&value.to_string()));
        }
    }

    /// Notes a problem with a value that was read by other means.
    pub fn refuse(&mut self, key: impl Into<String>, problem: impl fmt::Display) {
        let problem = Problem::new(key, problem);
        let problem = self.without_secret(problem);
        // A file is named where it is the only one; its values need no further word.
        let origin = self.lookup(&problem.key).and_then(Value::origin);
        let origin = origin.map(ToOwned::to_owned);
        self.problems.push(Problem { origin, ..problem });
    }

    /// Takes out of a problem what was given, if it may be a password or token in the wrong place.
    fn without_secret(&self, mut problem: Problem) -> Problem {
        let given = match self.lookup(&problem.key).map(|value| &value.kind) {
            Some(ValueKind::String(text)) => text.as_str(),
            _ => return problem,
        };
        if !given.is_empty() && !is_harmless(given) {
            problem.problem = problem.problem.replace(given, "***");
        }
        problem
    }

    /// Whether a key was refused.
    pub(crate) fn has_problem(&self, key: &str) -> bool {
        self.problems.iter().any(|problem| problem.key == key)
    }

    /// Whether a key was given.
    pub(crate) fn is_given(&self, key: &str) -> bool {
        self.lookup(key).is_some()
    }

    /// Ends the reading; keys that nobody asked for are among what is wrong.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(crate) fn finish(mut self) -> Result<Shown, ConfigError> {
        let tree = std::mem::take(&mut self.merged);
        let sections = self.sections();
        let place = |setting: &Setting| sections.iter().position(|name| *name == setting.section());
        self.settings.sort_by_key(place);
        let mut strange = Vec::new();
        flatten("", tree.cache, (&self.known, &sections), &mut strange);
        for (key, origin) in strange {
            let name = origin.unwrap_or_else(|| key.clone());
            let problem = unknown(&key, &self.known, &sections);
            self.problems.push(Problem::new(name, problem));
        }
        match self.problems {
            problems if problems.is_empty() => Ok(Shown(self.settings)),
            problems => Err(ConfigError(problems)),
        }
    }

    /// The sections that were begun.
    pub(crate) fn sections(&self) -> Vec<&'static str> {
        self.sections.iter().map(|(name, _)| *name).collect()
    }

    /// The keys that were asked for.
    pub(crate) fn keys(&self) -> Vec<&'static str> {
        self.known.iter().copied().collect()
    }

    /// The further variables, weakest first, each with its key.
    pub(crate) fn aliases(&self) -> &[(String, &'static str)] {
        &self.aliases
    }

    /// The sections with what they mean, and the settings.
    pub(crate) fn into_asked(self) -> (Vec<(&'static str, String)>, Vec<Setting>) {
        (self.sections, self.settings)
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

    /// Where the value of a key came from: the file, a variable or a flag.
    pub(crate) fn origin(&self, key: &str) -> Option<String> {
        let value = self.lookup(key)?;
        let origin = value.origin().map(ToOwned::to_owned);
        origin.or_else(|| self.file.clone())
    }

    fn setting(&mut self, key: &str) -> Option<&mut Setting> {
        self.settings.iter_mut().find(|setting| setting.key == key)
    }

    fn meaning(&self, key: &str) -> String {
        let fields = self.meanings.iter().filter(|(field, _)| {
            let rest = key.strip_prefix(field.as_str());
            rest.is_some_and(|unit| unit.is_empty() || unit.starts_with('_'))
        });
        let nearest = fields.max_by_key(|(field, _)| field.len());
        nearest.map_or_else(String::new, |(_, meaning)| meaning.clone())
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

/// Whether a text is a number, an address of numbers, a path, or a few short words: no token, and no
/// key.
fn is_harmless(text: &str) -> bool {
    let is_number = text.len() <= 20 && text.parse::<f64>().is_ok();
    let is_address = text.len() <= 40
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | ':' | '[' | ']'));
    let is_words = text.len() <= 24
        && text
            .split([' ', '_', '-'])
            .all(|word| word.len() <= 12 && word.chars().all(|c| c.is_ascii_alphabetic()));
    let is_path = text.starts_with('/') && text.split('/').all(|name| name.len() <= 30);
    is_number || is_address || is_words || is_path
}

/// A value with `***` for what is a password in an address.
fn masked(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else {
        return value.to_owned();
    };
    let is_database = scheme.ends_with("postgres") || scheme.ends_with("postgresql");
    // The last "@": one in a password need not be escaped to be there.
    let (credentials, place) = match rest.rsplit_once('@') {
        Some((credentials, place)) => (Some(credentials), place),
        None => (None, rest),
    };
    let user = match credentials.map(|credentials| (credentials, credentials.split_once(':'))) {
        None => String::new(),
        Some((_, Some((user, _)))) => format!("{user}:***@"),
        Some((user, None)) if is_database => format!("{user}@"),
        Some((_, None)) => "***@".to_owned(),
    };
    // What is in a query is nobody's to know either; that of a database is masked where it is read.
    let place = match place.split_once('?') {
        Some((before, query)) if !is_database => {
            let quote = if query.ends_with('"') { "\"" } else { "" };
            format!("{before}?***{quote}")
        }
        _ => place.to_owned(),
    };
    format!("{scheme}://{user}{place}")
}

/// A comment on one line, in the words of those who write files and not Rust.
fn one_line(comment: &str) -> String {
    let words: Vec<_> = comment.split_whitespace().collect();
    words
        .join(" ")
        .replace(" (`None`)", "")
        .replace(". `None`: ", ". Not set: ")
        .replace("; `None`: ", "; not set: ")
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_addresses_are_masked() {
        for (value, expected) in [
            ("\"http://host:1/x\"", "\"http://host:1/x\""),
            ("\"http://user:pass@host\"", "\"http://user:***@host\""),
            (
                "\"http://user:p/a@s?s@host/x\"",
                "\"http://user:***@host/x\"",
            ),
            ("\"https://token@host\"", "\"https://***@host\""),
            ("\"https://host/x?api_key=k3y\"", "\"https://host/x?***\""),
            (
                "\"postgres://atlas@db/atlas?sslmode=x\"",
                "\"postgres://atlas@db/atlas?sslmode=x\"",
            ),
            ("5", "5"),
        ] {
            assert_eq!(masked(value), expected);
        }
    }

    #[test]
    fn what_may_be_a_token_is_not_harmless() {
        for harmless in [
            "xml",
            "soon",
            "Not A Name",
            "70000",
            "-0.5",
            "127.0.0.1:80",
            "/run/secrets/key",
        ] {
            assert!(is_harmless(harmless), "{harmless}");
        }
        for other in [
            "0123456789abcdef0123456789abcdef",
            "hunter2",
            "correcthorsebattery",
        ] {
            assert!(!is_harmless(other), "{other}");
        }
    }
}
