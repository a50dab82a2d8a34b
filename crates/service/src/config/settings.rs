//! Reading the configuration of a service, whichever service it is.

use std::path::Path;

use crate::config::{
    ConfigError, Reader,
    reader::layers::{self, Names},
    reference::Reference,
    setting::Shown,
};

/// Which settings a service has, and the names that they go by.
#[derive(Debug)]
pub struct Settings<C> {
    /// Name of its program.
    pub program: &'static str,
    /// Flags that stand for a setting, each with its key.
    pub flags: &'static [(&'static str, &'static str)],
    /// Asks for each setting.
    pub read: fn(&mut Reader) -> C,
}

/// What a service was given, weakest first.
#[derive(Debug, Clone, Default)]
pub struct Sources<'a> {
    /// The TOML file.
    pub file: Option<&'a Path>,
    /// The variables.
    pub environment: &'a [(String, String)],
    /// Flags that stand for a setting, and their values where they were given.
    pub flags: Vec<(&'static str, Option<&'a str>)>,
    /// `KEY=VALUE` of `--set`.
    pub set: &'a [String],
}

/// A configuration, as a service uses it and as people see it.
#[derive(Debug, Clone)]
pub struct Loaded<C> {
    /// For the service.
    pub config: C,
    /// For people.
    pub shown: Shown,
}

impl<C> Settings<C> {
    /// Reads the configuration from file, environment and flags, each stronger than those before.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn load(&self, sources: &Sources<'_>) -> Result<Loaded<C>, ConfigError> {
        let asked = self.asked();
        let names = Names {
            sections: asked.sections(),
            keys: asked.keys(),
            aliases: asked.aliases().to_vec(),
            flags: self.flags,
        };
        let mut problems = Vec::new();
        let merged = layers::merge(sources, &names, &mut problems);
        let mut reader = Reader::new(merged, sources.file, problems);
        let config = (self.read)(&mut reader);
        let shown = reader.finish()?;
        Ok(Loaded { config, shown })
    }

    /// What there is to set.
    pub fn reference(&self) -> Reference {
        let asked = self.asked();
        let aliases = asked.aliases().to_vec();
        let (sections, settings) = asked.into_asked();
        Reference {
            program: self.program,
            sections,
            settings,
            aliases,
            flags: self.flags,
        }
    }

    /// A reader that was asked for everything and knew nothing.
    fn asked(&self) -> Reader {
        let mut reader = Reader::new(config::Config::default(), None, Vec::new());
        (self.read)(&mut reader);
        reader
    }
}
