//! Making the parts of a service.

use std::sync::Arc;

use atlas_events::Clock;
use chrono::Utc;
use event_log::EventLog;
use secrecy::SecretString;
use service::telemetry::Metrics;
use service::{Listeners, Security, rest::Operation};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
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
    /// Connects to the database, brings it to this version, opens the log, and adds the series of
    /// the configuration to the registry.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        config: Config,
        listeners: Listeners,
        metrics: Metrics,
    ) -> Result<Self, StartError> {
        // With one installed already there is nothing to do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pool = service::connect(&config.database).await?;
        series::migrate(&pool)
            .await
            .map_err(service::StartError::from)?;
        let projection = CountPublished::before(ObservationProjection);
        let log = service::open_log(&pool, &config.events, Some(Arc::new(projection))).await?;
        let listens = (&config.rest, &config.grpc);
        let security = Security::open(&config.security, listens, &pool, METRICS_PREFIX).await?;
        let collects = config.fred.api_key.is_some();
        telemetry::prepare("fred");
        let registry = registry(&config.fred, &pool, &log)?;
        seed(&registry, &config.fred).await?;
        let worker =
            collects.then(|| CollectionWorker::new(registry.clone(), WorkerConfig::default()));
        if !collects {
            warn!("FRED_API_KEY is not set: serving and accepting events, but collecting nothing");
        }

        let stop = CancellationToken::new();
        let addresses = listeners.addresses()?;
        let app = rest::App {
            log: log.clone(),
            registry: registry.clone(),
            observations: Observations::new(pool.clone()),
            collects,
        };
        let operation = Operation {
            log: log.clone(),
            metrics: metrics.clone(),
            metrics_prefix: METRICS_PREFIX,
            security: security.clone(),
            stopping: stop.clone(),
            obstacle: Arc::new(|| None),
        };
        let streams = event_stream::StreamConfig {
            metrics_prefix: METRICS_PREFIX.to_owned(),
            subscriptions_max: config.grpc.subscriptions_max,
            stream_age_max: config.grpc.stream_age_max,
            reflection: config.grpc.reflection,
            gate: security.gate.clone(),
            audit: Some(security.audit_log()),
            preface_timeout: config.security.handshake_timeout,
            message_timeout: config.grpc.message_timeout,
            request_bytes: security.request_bytes.clone(),
            answers: security.answers.clone(),
            connection_bytes_max: config.grpc.connection_bytes_max,
            open_streams: config.grpc.open_streams(),
            ..event_stream::StreamConfig::default()
        };
        Ok(Self {
            rest: (
                listeners.rest,
                rest::router(app, operation, config.rest.request_timeout),
            ),
            grpc: (listeners.grpc, streams),
            addresses,
            security,
            log,
            pool,
            registry,
            worker,
            metrics,
            drain: config.shutdown.drain,
            stop,
        })
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
    let collector = SeriesCollector::new(pool.clone(), log.clone(), fred.clone(), clock.clone());
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
