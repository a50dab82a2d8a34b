//! Merging file, environment and flags into one set of values.

use std::path::Path;

use config::{ConfigBuilder, File, FileFormat, Value, ValueKind, builder::DefaultState};

use super::{Problem, traces};

/// What a service was given, and the names that it knows.
#[derive(Debug, Clone)]
pub struct Given<'a> {
    /// The sections of the file, which are also the first parts of names in the environment.
    pub sections: &'static [&'static str],
    /// Names in the environment, in capitals, besides `SECTION__KEY`, weakest first, each with its
    /// key.
    pub aliases: &'static [(&'static str, &'static str)],
    /// The TOML file.
    pub file: Option<&'a Path>,
    /// The variables.
    pub environment: &'a [(String, String)],
    /// Flags that stand for a setting: the flag, its key and, if it was given, its value.
    pub flags: Vec<(&'static str, &'static str, Option<String>)>,
    /// `KEY=VALUE` of `--set`.
    pub set: &'a [String],
}

/// All values by key, each with where it came from.
pub(super) fn merge(given: &Given<'_>, problems: &mut Vec<Problem>) -> config::Config {
    let mut builder = config::Config::builder();
    if let Some(path) = given.file {
        match read_file(path) {
            Ok(file) => builder = builder.add_source(file),
            Err(problem) => problems.push(problem),
        }
    }
    for setting in from_environment(given).chain(from_flags(given, problems)) {
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
    let file = File::from_str(&text, FileFormat::Toml);
    config::Config::builder()
        .add_source(file.clone())
        .build()
        .map_err(|error| Problem::new(&name, format!("is not valid TOML: {error}")))?;
    Ok(file)
}

/// An empty variable counts as none, as compose files pass it for one that is not set.
fn from_environment(all: &Given<'_>) -> impl Iterator<Item = Setting> {
    let given = all
        .environment
        .iter()
        .filter(|(_, value)| !value.is_empty());
    let mut settings: Vec<(usize, Setting)> = given
        .filter_map(|(name, value)| {
            let (strength, key) = key_of(all, name)?;
            let origin = name.clone();
            let value = value.clone();
            Some((strength, Setting { key, value, origin }))
        })
        .collect();
    settings.sort_by_key(|(strength, _)| *strength);
    settings.into_iter().map(|(_, setting)| setting)
}

/// The key that a variable sets, if it is ours, and its strength among those of the same key.
fn key_of(given: &Given<'_>, name: &str) -> Option<(usize, String)> {
    let upper = name.to_ascii_uppercase();
    let mut aliases = given.aliases.iter().chain(&traces::ALIASES).enumerate();
    if let Some((strength, (_, key))) = aliases.find(|(_, (alias, _))| *alias == upper) {
        return Some((strength, (*key).to_owned()));
    }
    let (section, key) = upper.split_once("__")?;
    let section = section.to_ascii_lowercase();
    given.sections.contains(&section.as_str()).then(|| {
        let key = key.replace("__", ".").to_ascii_lowercase();
        (usize::MAX, format!("{section}.{key}"))
    })
}

fn from_flags(given: &Given<'_>, problems: &mut Vec<Problem>) -> Vec<Setting> {
    let named = given.flags.iter().filter_map(|(origin, key, value)| {
        Some(Setting {
            key: (*key).to_owned(),
            value: value.clone()?,
            origin: (*origin).to_owned(),
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
