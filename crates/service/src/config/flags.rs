//! The flags of a service's program.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::{ConfigError, Loaded, Settings, Sources};

/// The flags that every service has.
#[derive(Debug, Clone, Default, Args)]
pub struct CommonFlags {
    /// Configuration file (TOML); if absent, the one that the variable names that is called after the
    /// program, such as COLLECTOR_CONFIG.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to serve REST, such as 127.0.0.1:5000.
    #[arg(long, value_name = "ADDRESS")]
    pub rest: Option<String>,
    /// Where to serve gRPC, such as 127.0.0.1:5001.
    #[arg(long, value_name = "ADDRESS")]
    pub grpc: Option<String>,
    /// Any setting by its key.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print the configuration, without secrets, and end.
    #[arg(long)]
    pub print_config: bool,
}

impl CommonFlags {
    /// As if each were given with `--set`: `KEY=VALUE`.
    pub fn set(settings: Vec<String>) -> Self {
        Self {
            set: settings,
            ..Self::default()
        }
    }
}

/// The flags of one service: those that all have, and those that stand for a setting of its own.
pub trait ServiceFlags: Args {
    /// Those that every service has.
    fn common(&self) -> &CommonFlags;

    /// Those of this service, with their values where they were given.
    fn own(&self) -> Vec<(&'static str, Option<&str>)> {
        Vec::new()
    }

    /// Whether any was given.
    fn any(&self) -> bool {
        let common = self.common();
        let texts = [&common.rest, &common.grpc];
        common.config.is_some()
            || common.print_config
            || !common.set.is_empty()
            || texts.into_iter().any(Option::is_some)
            || self.own().iter().any(|(_, value)| value.is_some())
    }
}

impl<C> Settings<C> {
    /// Reads the configuration from the file that flags name, the environment, and flags, each stronger
    /// than those before. Of several sets of flags, such as those before and after a command, later
    /// ones are stronger.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn load_flags<F: ServiceFlags>(
        &self,
        given: &[&F],
        environment: &[(String, String)],
    ) -> Result<Loaded<C>, ConfigError> {
        self.load_from(given, None, environment)
    }

    /// The same for the program, which also takes the file that a variable names after it.
    pub(crate) fn load_program<F: ServiceFlags>(
        &self,
        given: &[&F],
        environment: &[(String, String)],
    ) -> Result<Loaded<C>, ConfigError> {
        let variable = self.file_variable();
        let named = environment
            .iter()
            .find(|(name, value)| *name == variable && !value.is_empty());
        self.load_from(given, named.map(|(_, file)| Path::new(file)), environment)
    }

    /// The variable that may name the file, such as `COLLECTOR_CONFIG`.
    pub(crate) fn file_variable(&self) -> String {
        format!("{}_CONFIG", self.program.replace('-', "_").to_uppercase())
    }

    fn load_from<F: ServiceFlags>(
        &self,
        given: &[&F],
        file: Option<&Path>,
        environment: &[(String, String)],
    ) -> Result<Loaded<C>, ConfigError> {
        let values = given.iter().flat_map(|flags| {
            let common = flags.common();
            let addresses = [
                ("--rest", common.rest.as_deref()),
                ("--grpc", common.grpc.as_deref()),
            ];
            addresses.into_iter().chain(flags.own())
        });
        let set = given.iter().flat_map(|flags| flags.common().set.clone());
        let files = given.iter().rev().map(|flags| &flags.common().config);
        self.load(&Sources {
            file: files.flatten().next().map(PathBuf::as_path).or(file),
            environment,
            flags: values.collect(),
            set: &set.collect::<Vec<_>>(),
        })
    }
}
