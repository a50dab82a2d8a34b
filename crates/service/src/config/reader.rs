//! Reads merged values one by one, remembers what was asked for, and collects everything that is
//! wrong with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use config::{Config, Value, ValueKind};
use documented::{Documented, DocumentedFields};

use super::{
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
    pub(super) fn new(merged: Config, file: Option<&Path>, problems: Vec<Problem>) -> Self {
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

    /// The raw value of a key. Its form, default and value are to be told to [`Reader::asked`].
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
            value: value.map(|value| value.to_string()),
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
            setting.value = Some(value.to_string());
        }
    }

    /// Notes a problem with a value that was read by other means.
    pub fn refuse(&mut self, key: impl Into<String>, problem: impl fmt::Display) {
        let problem = Problem::new(key, problem);
        // A file is named where it is the only one; its values need no further word.
        let origin = self.lookup(&problem.key).and_then(Value::origin);
        let origin = origin.map(ToOwned::to_owned);
        self.problems.push(Problem { origin, ..problem });
    }

    /// Whether a key was refused.
    pub(crate) fn has_problem(&self, key: &str) -> bool {
        self.problems.iter().any(|problem| problem.key == key)
    }

    /// Whether a key was given.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.lookup(key).is_some()
    }

    /// A text, which is never repeated in a problem.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        let text = self.value(key).and_then(|value| match value.kind {
            ValueKind::String(text) => Some(text),
            _ => {
                self.refuse(key, "is to be a text, in quotation marks");
                None
            }
        });
        self.asked(key, "text", None, text.clone().map(Toml::from));
        text
    }

    /// A text, or what holds by default.
    pub fn text_or(&mut self, key: &'static str, default: &str) -> String {
        let text = self.text(key).unwrap_or_else(|| default.to_owned());
        self.asked(
            key,
            "text",
            Some(default.into()),
            Some(text.as_str().into()),
        );
        text
    }

    /// The path of a file or folder.
    pub fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let path = self.text(key);
        let shown = path.clone().map(Toml::from);
        self.asked(key, "path", None, shown);
        path.map(PathBuf::from)
    }

    /// One of some words.
    pub fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)], default: usize) -> T {
        let (default_word, default) = words[default];
        let text = self.text_or(key, default_word);
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let (value, listed) = (Some(text.as_str().into()), known.join(" or "));
        self.asked(key, listed.clone(), Some(default_word.into()), value);
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meant)) => *meant,
            None => {
                self.refuse(key, format!("\"{text}\" is not known; known are {listed}"));
                default
            }
        }
    }

    /// Texts: a list in the file, or one text with commas between them.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let texts = self.value(key).and_then(|value| {
            let texts = listed(value);
            if texts.is_none() {
                self.refuse(key, "is to be a list of texts, such as [\"a\", \"b\"]");
            }
            texts
        });
        self.asked(key, "list of texts", None, texts.clone().map(Toml::from));
        texts
    }

    /// A text, read as what it stands for.
    pub fn parsed<T: FromStr<Err: fmt::Display> + fmt::Display>(
        &mut self,
        key: &'static str,
        default: T,
    ) -> T {
        let default_text = default.to_string();
        let text = self.text_or(key, &default_text);
        text.parse().unwrap_or_else(|error| {
            self.refuse(key, error);
            default
        })
    }

    /// An address to listen at.
    pub fn address(&mut self, key: &'static str, default: SocketAddr) -> SocketAddr {
        let text = self.text_or(key, &default.to_string());
        let (default_text, shown) = (default.to_string().into(), text.as_str().into());
        self.asked(key, "IP address and port", Some(default_text), Some(shown));
        text.parse().unwrap_or_else(|_| {
            self.refuse(
                key,
                format!("\"{text}\" is not an IP address and a port, such as {default}"),
            );
            default
        })
    }

    /// Yes or no.
    pub fn switch(&mut self, key: &'static str, default: bool) -> bool {
        let given = self.value(key);
        let on = match given.as_ref().map(|value| &value.kind) {
            None => default,
            Some(ValueKind::Boolean(on)) => *on,
            Some(ValueKind::String(text)) if text == "true" => true,
            Some(ValueKind::String(text)) if text == "false" => false,
            Some(_) => {
                self.refuse(key, "is to be true or false");
                default
            }
        };
        self.asked(key, "true or false", Some(default.into()), Some(on.into()));
        on
    }

    /// A number within bounds.
    pub fn fraction(
        &mut self,
        key: &'static str,
        default: f64,
        bounds: RangeInclusive<f64>,
    ) -> f64 {
        let (least, most) = (bounds.start(), bounds.end());
        let held = self.value(key).map_or(default, |value| {
            let shown = value.to_string();
            let number = value.into_float().ok();
            number.filter(|n| bounds.contains(n)).unwrap_or_else(|| {
                self.refuse(
                    key,
                    format!("{shown} is not a number from {least} to {most}"),
                );
                default
            })
        });
        let form = format!("number from {least} to {most}");
        self.asked(key, form, Some(default.into()), Some(held.into()));
        held
    }

    /// A whole number within bounds.
    pub fn number(&mut self, key: &'static str, default: u64, bounds: RangeInclusive<u64>) -> u64 {
        let number = self.number_if_given(key, bounds.clone());
        let held = number.unwrap_or(default);
        let form = whole_number(&bounds);
        self.asked(key, form, Some(integer(default)), Some(integer(held)));
        held
    }

    /// A whole number within bounds, if it was given and is one.
    pub fn number_if_given(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<u64>,
    ) -> Option<u64> {
        let number = self.value(key).and_then(|value| {
            let shown = value.to_string();
            let number = match value.kind {
                ValueKind::Float(_) | ValueKind::Boolean(_) => None,
                _ => value.into_uint().ok(),
            };
            let number = number.filter(|number| bounds.contains(number));
            if number.is_none() {
                let (least, most) = bounds.clone().into_inner();
                let problem = format!("{shown} is not a whole number from {least} to {most}");
                self.refuse(key, problem);
            }
            number
        });
        self.asked(key, whole_number(&bounds), None, number.map(integer));
        number
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
    pub(super) fn finish(mut self) -> Result<Shown, ConfigError> {
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
    pub(super) fn sections(&self) -> Vec<&'static str> {
        self.sections.iter().map(|(name, _)| *name).collect()
    }

    /// The keys that were asked for.
    pub(super) fn keys(&self) -> Vec<&'static str> {
        self.known.iter().copied().collect()
    }

    /// The further variables, weakest first, each with its key.
    pub(super) fn aliases(&self) -> &[(String, &'static str)] {
        &self.aliases
    }

    /// The sections with what they mean, and the settings.
    pub(super) fn into_asked(self) -> (Vec<(&'static str, String)>, Vec<Setting>) {
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

    fn origin(&self, key: &str) -> Option<String> {
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

fn whole_number(bounds: &RangeInclusive<u64>) -> String {
    format!("{} to {}", bounds.start(), bounds.end())
}

/// TOML has no greater numbers; no setting does either.
fn integer(number: u64) -> Toml {
    Toml::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn listed(value: Value) -> Option<Vec<String>> {
    match value.kind {
        ValueKind::String(texts) => {
            let texts = texts.split(',').map(str::trim);
            let texts = texts.filter(|text| !text.is_empty());
            Some(texts.map(str::to_owned).collect())
        }
        ValueKind::Array(entries) => entries
            .into_iter()
            .map(|entry| match entry.kind {
                ValueKind::String(text) => Some(text),
                _ => None,
            })
            .collect(),
        _ => None,
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
