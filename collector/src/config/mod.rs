//! The collector's configuration: one typed struct, read once at start.
//!
//! A value comes from a TOML file, is overridden by the environment, and that by flags. Everything
//! that is wrong is reported at once, with its key and where it came from.

mod flags;
mod load;
mod seed;

use std::time::Duration;

use documented::{Documented, DocumentedFields};
use secrecy::SecretString;
pub use service::config::{
    CommonConfig, CommonFlags, ConfigError, DatabaseConfig, EventsConfig, GrpcConfig, Loaded,
    LogFormat, Problem, RestConfig, ShutdownConfig, TelemetryConfig,
};

pub use flags::Flags;
pub use load::{SETTINGS, load};
pub use seed::{Backfill, SeriesSeed};

/// How a collector works. `Debug` shows no secrets.
#[derive(Debug, Clone)]
pub struct Config {
    /// What every service is configured by.
    pub common: CommonConfig,
    /// `[fred]`: collection from FRED.
    pub fred: FredConfig,
}

impl AsRef<CommonConfig> for Config {
    fn as_ref(&self) -> &CommonConfig {
        &self.common
    }
}

/// `[fred]`: collection from FRED.
#[derive(Debug, Clone, Documented, DocumentedFields)]
pub struct FredConfig {
    /// Without a key nothing is collected. It is free:
    /// <https://fred.stlouisfed.org/docs/api/api_key.html>.
    pub api_key: Option<SecretString>,
    /// Where the API is, such as `https://api.stlouisfed.org/fred`.
    pub base_url: String,
    /// Time between the starts of two requests; FRED refuses a third one within a second.
    pub request_interval: Duration,
    /// A request that takes longer has failed.
    pub request_timeout: Duration,
    /// A collection is given up after this many requests in vain.
    pub attempts_max: u32,
    /// For so long after a time of its schedule a series is asked again until it has news, with pauses of 1, 2, 4, 8, …
    /// minutes. This is for schedules that are set, and that do not come again within that time. 0: each time once.
    pub news_wait: Duration,
    /// The series to have in the registry; those that it has already stay as they are. In the
    /// environment: ids with commas between them.
    pub series: Vec<SeriesSeed>,
}
