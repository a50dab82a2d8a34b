//! The page that lists what there is to set.

use std::fmt;

use super::setting::{Setting, variable};

/// What there is to set of a service. `Display` is a part of a Markdown page.
#[derive(Debug, Clone)]
pub struct Reference {
    pub(super) program: &'static str,
    pub(super) sections: Vec<(&'static str, String)>,
    pub(super) settings: Vec<Setting>,
    pub(super) aliases: Vec<(String, &'static str)>,
    pub(super) flags: &'static [(&'static str, &'static str)],
}

impl Reference {
    /// Every setting.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// Whether a variable of the environment sets something.
    pub fn knows_variable(&self, name: &str) -> bool {
        let name = name.to_ascii_uppercase();
        let keys = self.settings.iter().map(|setting| setting.key);
        keys.flat_map(|key| self.variables(key))
            .any(|known| known == name)
    }

    /// The variables that set a key, the strongest first.
    fn variables(&self, key: &str) -> Vec<String> {
        let aliases = self.aliases.iter().rev();
        let aliases = aliases.filter(|(_, of)| *of == key);
        let aliases = aliases.map(|(alias, _)| alias.clone());
        [variable(key)].into_iter().chain(aliases).collect()
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, setting: &Setting) -> fmt::Result {
        let (name, form, meaning) = (setting.name(), &setting.form, &setting.meaning);
        let default = match &setting.default {
            Some(default) => format!("`{default}`"),
            None => "–".to_owned(),
        };
        let variables: Vec<_> = self.variables(setting.key);
        let flags = self.flags.iter().filter(|(_, key)| *key == setting.key);
        let names = variables
            .iter()
            .map(String::as_str)
            .chain(flags.map(|(flag, _)| *flag));
        let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
        let names = names.join(", ");
        writeln!(f, "| `{name}` | {form} | {default} | {meaning} | {names} |")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## `{}`", self.program)?;
        for (section, meaning) in &self.sections {
            writeln!(f, "\n### `[{section}]`\n\n{meaning}\n")?;
            writeln!(
                f,
                "| key | what | default | meaning | variables and flags |"
            )?;
            writeln!(f, "|---|---|---|---|---|")?;
            let settings = self.settings.iter();
            for setting in settings.filter(|setting| setting.section() == *section) {
                self.row(f, setting)?;
            }
        }
        Ok(())
    }
}
