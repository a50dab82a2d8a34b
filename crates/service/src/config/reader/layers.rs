//! Merging file, environment and flags into one set of values.

use std::path::Path;

use config::{ConfigBuilder, File, FileFormat, Value, ValueKind, builder::DefaultState};

use crate::config::{Problem, Sources, setting::variable};

/// The names that a service knows.
pub(crate) struct Names {
    /// The sections of the file, which are also the first parts of names in the environment.
    pub(crate) sections: Vec<&'static str>,
    pub(crate) keys: Vec<&'static str>,
    /// Names in the environment besides `SECTION__KEY`, weakest first, each with its key.
    pub(crate) aliases: Vec<(String, &'static str)>,
    pub(crate) flags: &'static [(&'static str, &'static str)],
}

/// Names in the environment that differ from a known one by no more are mistakes of typing.
const TYPOS_MAX: usize = 2;

/// All values by key, each with where it came from.
pub(crate) fn merge(
    given: &Sources<'_>,
    names: &Names,
    problems: &mut Vec<Problem>,
) -> config::Config {
    let mut builder = config::Config::builder();
    if let Some(path) = given.file {
        match read_file(path) {
            Ok(file) => builder = builder.add_source(file),
            Err(problem) => problems.push(problem),
        }
    }
    for setting in from_environment(given, names, problems)
        .into_iter()
        .chain(from_flags(given, names, problems))
    {
        builder = add(builder, setting, problems);
    }
    match builder.build() {
        Ok(merged) => merged,
        Err(error) => {
            problems.push(Problem::new("configuration", error));
            config::Config::default()
        }
    }
}

struct Setting {
    key: String,
    value: String,
    origin: String,
}

fn add(
    builder: ConfigBuilder<DefaultState>,
    setting: Setting,
    problems: &mut Vec<Problem>,
) -> ConfigBuilder<DefaultState> {
    let Setting { key, value, origin } = setting;
    // The library reads keys as paths with operators; ours are plain.
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    if !key.chars().all(plain) || key.split('.').any(str::is_empty) {
        problems.push(Problem::new(&origin, "is not a known setting"));
        return builder;
    }
    let value = Value::new(Some(&origin), ValueKind::String(value));
    match builder.clone().set_override(&key, value) {
        Ok(builder) => builder,
        Err(error) => {
            problems.push(Problem::new(&origin, error));
            builder
        }
    }
}

/// Reads a file and checks that it is TOML, so that one with a mistake does not hide the others.
fn read_file(path: &Path) -> Result<File<config::FileSourceString, FileFormat>, Problem> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Problem::new(&name, format!("cannot be read: {error}")))?;
    if let Err(error) = text.parse::<toml::Table>() {
        let place = place(&text, error.span().map_or(0, |span| span.start));
        return Err(Problem::new(&name, format!("is not valid TOML at {place}")));
    }
    let file = File::from_str(&text, FileFormat::Toml);
    let read = config::Config::builder().add_source(file.clone()).build();
    read.map_err(|_| Problem::new(&name, "cannot be taken as settings"))?;
    Ok(file)
}

/// Where something is in a file. The text there is not repeated: it may hold a password.
fn place(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    format!("line {line}, column {column}")
}

/// An empty variable counts as none, as compose files pass it for one that is not set.
fn from_environment(
    given: &Sources<'_>,
    names: &Names,
    problems: &mut Vec<Problem>,
) -> Vec<Setting> {
    let mut settings: Vec<(usize, Setting)> = Vec::new();
    for (name, value) in given.environment.iter().filter(|(_, v)| !v.is_empty()) {
        let upper = name.to_ascii_uppercase();
        let (origin, value) = (name.clone(), value.clone());
        match names.key_of(&upper) {
            Some((strength, key)) => settings.push((strength, Setting { key, value, origin })),
            None => {
                let meant = names.meant(&upper);
                problems.extend(meant.map(|meant| {
                    Problem::new(
                        name,
                        format!("is not a known variable; the nearest is {meant}"),
                    )
                }));
            }
        }
    }
    settings.sort_by_key(|(strength, _)| *strength);
    settings.into_iter().map(|(_, setting)| setting).collect()
}

impl Names {
    /// The key that a variable sets, if it is ours, and its strength among those of the same key.
    fn key_of(&self, upper: &str) -> Option<(usize, String)> {
        if let Some(found) = self.alias(upper) {
            return Some(found);
        }
        let (section, key) = upper.split_once("__")?;
        let section = section.to_ascii_lowercase();
        self.sections.contains(&section.as_str()).then(|| {
            let key = key.replace("__", ".").to_ascii_lowercase();
            (self.aliases.len(), format!("{section}.{key}"))
        })
    }

    fn alias(&self, upper: &str) -> Option<(usize, String)> {
        let strength = self.aliases.iter().position(|(alias, _)| alias == upper)?;
        Some((strength, self.aliases[strength].1.to_owned()))
    }

    /// The variable that one was probably meant to be that sets nothing. The environment is full of
    /// names of others, so only those are looked at that are made as ours are.
    fn meant(&self, upper: &str) -> Option<String> {
        let (section, _) = upper.split_once("__")?;
        let aliases = self.aliases.iter().map(|(alias, _)| alias.clone());
        let known = self.keys.iter().map(|key| variable(key)).chain(aliases);
        let distances = known.map(|known| (strsim::damerau_levenshtein(upper, &known), known));
        let (distance, nearest) = distances.min()?;
        let of_ours = self.aliases.iter().any(|(alias, _)| {
            alias
                .split_once("__")
                .is_some_and(|(first, _)| first == section)
        });
        (of_ours || distance <= TYPOS_MAX).then_some(nearest)
    }
}

fn from_flags(given: &Sources<'_>, names: &Names, problems: &mut Vec<Problem>) -> Vec<Setting> {
    let named = given.flags.iter().filter_map(|(flag, value)| {
        let (_, key) = names.flags.iter().find(|(known, _)| known == flag)?;
        Some(Setting {
            key: (*key).to_owned(),
            value: (*value)?.to_owned(),
            origin: (*flag).to_owned(),
        })
    });
    let mut settings: Vec<Setting> = named.collect();
    for text in given.set {
        match text.split_once('=') {
            Some((key, value)) => settings.push(Setting {
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
                origin: format!("--set {}", key.trim()),
            }),
            None => problems.push(Problem::new(
                "--set",
                "is to be KEY=VALUE, such as --set grpc.port=5001",
            )),
        }
    }
    settings
}
