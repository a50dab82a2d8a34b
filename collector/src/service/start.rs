//! Making the parts of a collector.

use std::sync::Arc;

use atlas_events::Clock;
use chrono::{TimeDelta, Utc};
use event_log::EventLog;
use secrecy::SecretString;
use service::{Listeners, Server, ServerBuilder, telemetry::Metrics};
use sqlx::PgPool;
use tracing::{info, warn};

use super::{Service, StartError};
use crate::{
    collection::{CollectionWorker, SeriesCollector, WorkerConfig},
    config::{self, Config},
    fred::{FredClient, FredConfig},
    observations::{ObservationProjection, Observations},
    rest,
    series::{self, NewSeries, SeriesRegistry},
    telemetry::{self, CountPublished, METRICS_PREFIX},
};

impl Service {
    /// Starts a collector: its database, its log, its registry with the series of the configuration.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        config: Config,
        listeners: Listeners,
        metrics: Metrics,
    ) -> Result<Server, StartError> {
        let started = Self::start_with_registry(config, listeners, metrics).await;
        started.map(|(server, _)| server)
    }

    /// The same, with the registry of what it collects; `None` without a key for the source: then it
    /// only serves and accepts events.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_with_registry(
        config: Config,
        listeners: Listeners,
        metrics: Metrics,
    ) -> Result<(Server, Option<SeriesRegistry>), StartError> {
        let projection = Arc::new(CountPublished::before(ObservationProjection));
        let builder = ServerBuilder::open(
            METRICS_PREFIX,
            &config.common,
            &series::MIGRATOR,
            Some(projection),
            (listeners, metrics),
        )
        .await?;
        let (pool, log) = (builder.pool(), builder.log());
        let collects = config.fred.api_key.is_some();
        telemetry::prepare("fred");
        let registry = registry(&config.fred, &pool, &log)?;
        seed(&registry, &config.fred).await?;
        let app = rest::App {
            log,
            registry: registry.clone(),
            observations: Observations::new(pool),
            collects,
        };
        let operation = builder.operation(Arc::new(|| None));
        let router = rest::router(app, operation, config.common.rest.request_timeout);
        let mut server = builder.build(router);
        if collects {
            let worker = CollectionWorker::new(registry.clone(), WorkerConfig::default());
            server.add_part("collection", worker.run(server.stop()));
        } else {
            warn!("FRED_API_KEY is not set: serving and accepting events, but collecting nothing");
            server.set_note("; not collecting, since FRED_API_KEY is not set");
        }
        Ok((server, collects.then_some(registry)))
    }
}

/// The registry. Without a key it is kept and shown like any other, and nothing asks the source.
fn registry(
    config: &config::FredConfig,
    pool: &PgPool,
    log: &EventLog,
) -> Result<SeriesRegistry, StartError> {
    let key = config
        .api_key
        .clone()
        .unwrap_or_else(|| SecretString::from(""));
    let fred = FredConfig {
        base_url: config.base_url.clone(),
        request_interval: config.request_interval,
        request_timeout: config.request_timeout,
        attempts_max: config.attempts_max,
        ..FredConfig::new(key)
    };
    let fred = FredClient::new(fred, pool.clone(), Clock::system())?;
    let (pool, clock) = (pool.clone(), Clock::system());
    let collector = SeriesCollector::new(pool.clone(), log.clone(), fred.clone(), clock.clone())
        .with_news_wait(TimeDelta::from_std(config.news_wait).unwrap_or_default());
    Ok(SeriesRegistry::new(pool, fred, collector, clock))
}

async fn seed(registry: &SeriesRegistry, config: &config::FredConfig) -> Result<(), StartError> {
    let today = Utc::now().date_naive();
    let seeds: Vec<NewSeries> = config
        .series
        .iter()
        .map(|seed| NewSeries {
            id: seed.id.clone(),
            schedule: seed.schedule.clone(),
            backfill: seed.backfill.on(today),
        })
        .collect();
    let added = registry.seed(&seeds).await?;
    if added > 0 {
        info!(added, "series of the configuration added");
    }
    Ok(())
}
