//! The collector as a service.

mod error;
mod start;

use service::{
    Program, Server,
    config::Settings,
    telemetry::{Metrics, MetricsError},
};

use crate::{
    config::{Config, Flags, SETTINGS},
    telemetry::keep_metrics,
};

pub use error::StartError;
pub use service::Listeners;

/// The collector, as its program runs it. Any number may run in one process.
#[derive(Debug)]
pub struct Service;

impl Program for Service {
    type Flags = Flags;
    type Config = Config;
    type StartError = StartError;

    const TITLE: &'static str = "collector";
    const ABOUT: &'static str = "Collects observations into an event log on TimescaleDB and serves it \
                                 over gRPC and REST";
    const SETTINGS: Settings<Config> = SETTINGS;

    fn keep_metrics() -> Result<Metrics, MetricsError> {
        keep_metrics()
    }

    async fn start(
        config: Config,
        listeners: Listeners,
        metrics: Metrics,
    ) -> Result<Server, StartError> {
        Self::start(config, listeners, metrics).await
    }
}
