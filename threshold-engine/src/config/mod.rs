//! The engine's configuration: one typed struct, read once at start, as with every service.

mod flags;
mod load;

use std::{collections::BTreeSet, fmt, path::PathBuf, str::FromStr, time::Duration};

use access::CredentialFiles;
use consumer::{ConsumerError, Source};
use documented::{Documented, DocumentedFields};
pub use service::config::{
    CommonConfig, CommonFlags, ConfigError, DatabaseConfig, EventsConfig, GrpcConfig, Loaded,
    RestConfig, ShutdownConfig, SourceConfig, TelemetryConfig,
};

pub use flags::Flags;
pub use load::{SETTINGS, load};

/// How an engine works. `Debug` shows no secrets.
#[derive(Debug, Clone)]
pub struct Config {
    /// What every service is configured by.
    pub common: CommonConfig,
    /// `[consumer]`: the logs that are consumed.
    pub consumer: ConsumptionConfig,
    /// `[patterns]`: the definitions.
    pub patterns: PatternsConfig,
    /// `[snapshots]`: states of the memory that a start begins with.
    pub snapshots: SnapshotsConfig,
}

/// `[consumer]`: the logs that are consumed.
#[derive(Debug, Clone, Documented, DocumentedFields)]
pub struct ConsumptionConfig {
    /// At least one, each with a name that stays the same for as long as its checkpoint is to be
    /// found; one without a name is `collector`.
    pub sources: Vec<SourceConfig>,
    /// What the servers of the sources ask for.
    pub credentials: CredentialFiles,
    /// At start, go back to the events of this many months ago; what was processed then is skipped.
    /// 0 (`None`): from the checkpoint.
    pub backfill_months: Option<u32>,
    /// At most this many events in one transaction.
    pub batch_events_max: usize,
    /// How long an engine that cannot consume any further still answers before it ends with an error.
    /// Meanwhile `/readyz`, the metrics and the checkpoints show why.
    pub stopped_grace: Duration,
}

/// `[patterns]`: the definitions.
#[derive(Debug, Clone, Documented, DocumentedFields)]
pub struct PatternsConfig {
    /// Folder with patterns and regimes.
    pub folder: PathBuf,
    /// How often the files are looked at.
    pub reload_interval: Duration,
    /// The series that are collected: a definition that reads another one, of which nothing was ever
    /// received either, is refused. `None`: not known, so that nothing is refused.
    pub collected: Option<BTreeSet<String>>,
    /// What becomes of such a definition where it is known what is collected.
    pub uncollected: Uncollected,
}

/// `[snapshots]`: states of the memory that a start begins with.
#[derive(Debug, Clone, Documented, DocumentedFields)]
pub struct SnapshotsConfig {
    /// How often the state of the memory is stored, if anything has come since, so that a start plays only
    /// what came later. 0 (`None`): never.
    pub interval: Option<Duration>,
}

/// What becomes of a definition that reads a series which nobody collects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncollected {
    /// It is refused.
    Refuse,
    /// It is deployed, without data, and a warning says so.
    Warn,
}

impl FromStr for Uncollected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "warn" => Ok(Self::Warn),
            _ => Err("is to be \"refuse\" or \"warn\"".to_owned()),
        }
    }
}

impl fmt::Display for Uncollected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refuse => "refuse",
            Self::Warn => "warn",
        })
    }
}

impl ConsumptionConfig {
    /// The sources, over gRPC.
    ///
    /// # Errors
    /// [`ConsumerError::Address`].
    pub fn sources(&self) -> Result<Vec<Source>, ConsumerError> {
        service::config::sources(&self.sources, &self.credentials)
    }
}

impl AsRef<CommonConfig> for Config {
    fn as_ref(&self) -> &CommonConfig {
        &self.common
    }
}
