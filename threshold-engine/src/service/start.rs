//! Making the parts of a service.

use std::sync::Arc;

use consumer::{
    CheckpointsService, Consumer, ConsumerConfig, ConsumerError, ConsumerStatus,
    ParkedEventsService, Source,
};
use event_stream::{MoreServices, StreamConfig};
use service::telemetry::Metrics;
use service::{
    Listeners, Security,
    rest::{Obstacle, Operation},
};
use tokio::{net::TcpListener, sync::Mutex};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Registry, ReloadError, Service, StartError,
    collected::Collected,
    definitions::Definitions,
    memory::Memory,
    recovery::{Progress, Recovery},
    telemetry::{self, METRICS_PREFIX},
    timekeeping::Timekeeper,
};
use crate::{
    config::Config,
    handler::{EngineHandler, SERVICE},
    rest, store,
};

impl Service {
    /// Connects to the database, brings it to this version, opens the log, reads the definitions
    /// and makes the memory of the database.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        config: Config,
        sources: Vec<Source>,
        listeners: Listeners,
        metrics: Metrics,
    ) -> Result<Self, StartError> {
        Self::start_knowing(config, sources, None, listeners, metrics).await
    }

    /// The same; `registry` lists which series are collected, so that definitions that read others
    /// are refused.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_knowing(
        config: Config,
        sources: Vec<Source>,
        registry: Option<Registry>,
        listeners: Listeners,
        metrics: Metrics,
    ) -> Result<Self, StartError> {
        // With one installed already there is nothing to do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = &config.patterns.folder;
        if let Err(problem) = std::fs::read_dir(folder) {
            let folder = folder.clone();
            return Err(StartError::Folder { folder, problem });
        }
        telemetry::prepare();
        let pool = service::connect(&config.database).await?;
        store::migrate(&pool)
            .await
            .map_err(service::StartError::from)?;
        let log = service::open_log(&pool, &config.events, None).await?;
        let listens = (&config.rest, &config.grpc);
        let security = Security::open(&config.security, listens, &pool, METRICS_PREFIX).await?;
        let consumer_config = ConsumerConfig {
            batch_events_max: config.consumer.batch_events_max,
            backfill_months: config.consumer.backfill_months,
            ..ConsumerConfig::new(SERVICE)
        };
        let consumer = Consumer::open(pool.clone(), consumer_config, sources).await;
        let consumer = consumer.map_err(|error| match error {
            ConsumerError::Migration(error) => service::StartError::from(error).into(),
            error => StartError::from(error),
        })?;
        let memory = Arc::new(Mutex::new(Memory::new()));
        let collected = Collected::new(&config.patterns, registry);
        let progress = Arc::<Progress>::default();
        let holding = progress.hold();
        let recovery = Recovery::new(pool.clone(), Arc::clone(&memory), Arc::clone(&progress));
        let definitions = Definitions::new(
            pool.clone(),
            Arc::clone(&memory),
            recovery.clone(),
            log.clone(),
            &config.patterns,
            collected,
        );

        let stop = CancellationToken::new();
        let addresses = listeners.addresses()?;
        let app = rest::App {
            pool: pool.clone(),
            memory: Arc::clone(&memory),
            definitions: definitions.clone(),
            admin: consumer.admin(),
            status: consumer.status(),
            evaluations: rest::evaluations(),
            progress: Arc::clone(&progress),
        };
        let operation = Operation {
            log: log.clone(),
            metrics: metrics.clone(),
            metrics_prefix: METRICS_PREFIX,
            security: security.clone(),
            stopping: stop.clone(),
            obstacle: obstacle(progress, consumer.status()),
        };
        let streams = StreamConfig {
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
            ..StreamConfig::default()
        };
        let router = rest::router(app, operation, config.rest.request_timeout);
        // How far it is can be asked meanwhile.
        let (answering, rest) = shared_listener(listeners.rest)?;
        let incoming = security.accept_rest(answering);
        let making = async {
            let _holding = holding;
            match definitions.reload().await {
                // An engine whose log is halted says so, and serves what there is; the files are looked at again.
                Err(ReloadError::Log(reason)) => {
                    warn!(%reason, "definitions cannot be deployed yet; trying again");
                    Ok(())
                }
                reloaded => reloaded.map(drop),
            }
        };
        service::rest::serve_while(incoming, router.clone(), making).await?;
        let found = definitions.report();
        let (patterns, mistakes) = (found.patterns.len(), found.mistakes.len());
        info!(patterns, mistakes, folder = %folder.display(), "definitions were read");
        let timekeeper = Timekeeper::new(
            pool.clone(),
            Arc::clone(&memory),
            EngineHandler::new(Arc::clone(&memory), log.clone()),
            consumer.status(),
        );
        Ok(Self {
            timekeeper,
            rest: (rest, router),
            grpc: (listeners.grpc, streams),
            addresses,
            security,
            handler: EngineHandler::new(Arc::clone(&memory), log.clone()),
            memory,
            recovery,
            log,
            pool,
            consumer,
            definitions,
            reload_interval: config.patterns.reload_interval,
            snapshot_interval: config.snapshots.interval,
            stopped_grace: config.consumer.stopped_grace,
            metrics,
            drain: config.shutdown.drain,
            stop,
        })
    }
}

/// Why an engine that is up is not ready: its memory is being made, or it consumes nothing more of a
/// source.
fn obstacle(progress: Arc<Progress>, status: ConsumerStatus) -> Obstacle {
    Arc::new(move || {
        let mut sources = status.sources().into_iter();
        let stopped = || sources.find_map(|source| source.stopped);
        progress.obstacle().or_else(stopped)
    })
}

/// The same listener twice: what is not accepted on one is on the other.
fn shared_listener(listener: TcpListener) -> Result<(TcpListener, TcpListener), StartError> {
    let twice = || {
        let first = listener.into_std()?;
        let second = first.try_clone()?;
        Ok((
            TcpListener::from_std(first)?,
            TcpListener::from_std(second)?,
        ))
    };
    twice().map_err(StartError::Listener)
}

/// What operators use over gRPC.
pub(super) fn operators(consumer: &Consumer) -> MoreServices {
    MoreServices::default()
        .with(ParkedEventsService::server(consumer.admin()))
        .with(CheckpointsService::server(consumer.admin()))
}
