//! What is known of a setting: what it has to be, what it is, and where that comes from.

use std::fmt;

/// A setting that a service asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Section and name, such as `grpc.port`.
    pub key: &'static str,
    /// What it has to be, with its bounds.
    pub form: String,
    /// What holds where nothing is given, as TOML; `None` if nothing does.
    pub default: Option<String>,
    /// What holds, as TOML with secrets masked; `None` if nothing does.
    pub value: Option<String>,
    /// The file, variable or flag that set it; `None` if none did.
    pub origin: Option<String>,
    /// What it means.
    pub meaning: String,
}

impl Setting {
    /// The section.
    pub fn section(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }

    /// The name within the section.
    pub fn name(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, name)| name)
    }

    /// The variable that sets it.
    pub fn variable(&self) -> String {
        variable(self.key)
    }
}

/// The variable that sets a key: `GRPC__PORT` for `grpc.port`.
pub(super) fn variable(key: &str) -> String {
    key.replace('.', "__").to_ascii_uppercase()
}

/// A configuration as it holds: the TOML file that makes the same one, with the origin of every
/// value. Secrets are masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown(
    /// In the order of the file.
    pub Vec<Setting>,
);

impl Shown {
    /// What holds for a key, as TOML with secrets masked.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.get(key)?.value.as_deref()
    }

    /// The file, variable or flag that set a key.
    pub fn origin(&self, key: &str) -> Option<&str> {
        self.get(key)?.origin.as_deref()
    }

    fn get(&self, key: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.key == key)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# The configuration in effect, and where each value is from."
        )?;
        let mut section = "";
        for setting in &self.0 {
            if setting.section() != section {
                section = setting.section();
                writeln!(f, "\n[{section}]")?;
            }
            let name = setting.name();
            let origin = setting.origin.as_deref().unwrap_or("default");
            match &setting.value {
                Some(value) => writeln!(f, "{:<50} # {origin}", format!("{name} = {value}"))?,
                None => writeln!(f, "# {name} is not set")?,
            }
        }
        Ok(())
    }
}
