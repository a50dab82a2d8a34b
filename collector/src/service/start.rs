//! Making the parts of a service.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use atlas_events::Clock;
use chrono::Utc;
use event_log::{EventLog, LogConfig};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Service, StartError, database};
use crate::{
    collection::{CollectionWorker, SeriesCollector, WorkerConfig},
    config::{self, Config, EventsConfig},
    fred::{FredClient, FredConfig},
    observations::{ObservationProjection, Observations},
    rest,
    series::{self, NewSeries, SeriesRegistry},
    telemetry::{CountPublished, METRICS_PREFIX},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Where a collector is served.
#[derive(Debug)]
pub struct Listeners {
    /// REST, health and metrics.
    pub rest: TcpListener,
    /// Event streams and publishing.
    pub grpc: TcpListener,
}

impl Listeners {
    /// Listens at the addresses of the configuration.
    ///
    /// # Errors
    /// [`StartError::Listen`].
    pub async fn bind(config: &Config) -> Result<Self, StartError> {
        Ok(Self {
            rest: bind("REST", "REST__ADDRESS", config.rest.address).await?,
            grpc: bind("gRPC", "GRPC__ADDRESS", config.grpc.address).await?,
        })
    }
}

async fn bind(
    part: &'static str,
    key: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, StartError> {
    let listening = TcpListener::bind(address).await;
    listening.map_err(|source| StartError::Listen {
        part,
        key,
        address,
        source,
    })
}

impl Service {
    /// Connects to the database, brings it to this version, opens the log, and adds the series of
    /// the configuration to the registry.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        config: Config,
        listeners: Listeners,
        metrics: PrometheusHandle,
    ) -> Result<Self, StartError> {
        // With one installed already there is nothing to do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pool = database::connect(&config.database).await?;
        series::migrate(&pool).await?;
        let log = open_log(&pool, &config.events).await?;
        let collects = config.fred.api_key.is_some();
        let registry = registry(&config.fred, &pool, &log)?;
        seed(&registry, &config.fred).await?;
        let worker =
            collects.then(|| CollectionWorker::new(registry.clone(), WorkerConfig::default()));
        if !collects {
            warn!("FRED_API_KEY is not set: serving and accepting events, but collecting nothing");
        }

        let stop = CancellationToken::new();
        let addresses = (
            local_address(&listeners.rest, "REST", config.rest.address)?,
            local_address(&listeners.grpc, "gRPC", config.grpc.address)?,
        );
        let app = rest::App {
            log: log.clone(),
            registry,
            observations: Observations::new(pool.clone()),
            metrics: metrics.clone(),
            collects,
            stopping: stop.clone(),
        };
        let streams = event_stream::StreamConfig {
            metrics_prefix: METRICS_PREFIX.to_owned(),
            subscriptions_max: config.grpc.subscriptions_max,
            ..event_stream::StreamConfig::default()
        };
        Ok(Self {
            rest: (
                listeners.rest,
                rest::router(app, config.rest.request_timeout),
            ),
            grpc: (listeners.grpc, streams),
            addresses,
            log,
            pool,
            worker,
            metrics,
            drain: config.shutdown.drain,
            stop,
        })
    }
}

async fn open_log(pool: &PgPool, config: &EventsConfig) -> Result<EventLog, StartError> {
    let log_config = LogConfig {
        // The bounds of the setting keep the product within what a duration holds.
        retention: config
            .retention_days
            .map(|days| DAY * u32::try_from(days).unwrap_or(u32::MAX)),
        ring_bytes_max: config.ring_bytes_max,
        poll_interval: config.poll_interval,
        queue_events_max: config.queue_events_max,
        ..LogConfig::default()
    };
    let projection = CountPublished::before(ObservationProjection);
    let log = EventLog::open(pool.clone(), log_config, Some(Arc::new(projection)))
        .await
        .map_err(database::from_log)?;
    info!(log_id = %log.log_id(), timescaledb = log.edition(), "log opened");
    Ok(log)
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

fn local_address(
    listener: &TcpListener,
    part: &'static str,
    address: SocketAddr,
) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Listen {
        part,
        key: "its address",
        address,
        source,
    })
}
