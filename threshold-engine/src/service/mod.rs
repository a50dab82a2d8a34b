//! The engine as a service.

mod collected;
mod definitions;
mod error;
mod memory;
mod recovery;
mod standby;
mod start;
mod telemetry;
mod timekeeping;
mod watch;

use service::{Program, Server, config::Settings, telemetry::MetricsError};

use crate::config::{Config, Flags, SETTINGS};

pub use collected::Registry;
pub use consumer::Source;
pub use definitions::ReloadError;
pub(crate) use definitions::{Definitions, Edits};
pub use error::StartError;
pub(crate) use memory::{AgreeError, Memory, SharedMemory};
pub(crate) use recovery::Progress;
pub use service::{Listeners, telemetry::Metrics};
pub use telemetry::{describe_metrics, keep_metrics};

/// The engine, as its program runs it. Any number may run in one process.
#[derive(Debug)]
pub struct Service;

impl Program for Service {
    type Flags = Flags;
    type Config = Config;
    type StartError = StartError;

    const TITLE: &'static str = "threshold engine";
    const ABOUT: &'static str = "Evaluates patterns over series of observations";
    const SETTINGS: Settings<Config> = SETTINGS;

    fn keep_metrics() -> Result<Metrics, MetricsError> {
        keep_metrics()
    }

    async fn start(
        config: Config,
        listeners: Listeners,
        metrics: Metrics,
    ) -> Result<Server, StartError> {
        let sources = config.consumer.sources()?;
        Self::start(config, sources, listeners, metrics).await
    }
}
