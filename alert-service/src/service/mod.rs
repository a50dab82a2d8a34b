//! The alert service as a service.

mod error;
mod start;

use service::{Program, Server, config::Settings, telemetry::MetricsError};

use crate::{
    Context,
    config::{Config, Flags, SETTINGS},
};

pub use crate::telemetry::{describe_metrics, keep_metrics};
pub use consumer::Source;
pub use error::StartError;
pub use service::{Listeners, telemetry::Metrics};

/// The alert service, as its program runs it. Any number may run in one process.
#[derive(Debug)]
pub struct Service;

impl Program for Service {
    type Flags = Flags;
    type Config = Config;
    type StartError = StartError;

    const TITLE: &'static str = "alert service";
    const ABOUT: &'static str = "Notifies people of crossings and transitions";
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
        Self::start(config, sources, listeners, metrics, Context::system()).await
    }
}
