//! Making the parts of a service.

use std::sync::Arc;

use consumer::{ConsumerConfig, ConsumerStatus, Source};
use service::{
    Listeners, Server, ServerBuilder, rest::Obstacle, stopped_source, telemetry::Metrics,
};
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::{
    Registry, ReloadError, Service, StartError,
    collected::Collected,
    definitions::Definitions,
    memory::Memory,
    recovery::{self, Progress, Recovery},
    standby,
    telemetry::{self, METRICS_PREFIX},
    timekeeping::Timekeeper,
    watch,
};
use crate::{
    config::Config,
    handler::{EngineHandler, SERVICE},
    rest, store,
};

impl Service {
    /// Starts an engine: its database, its log, its definitions, and its memory, rebuilt from the
    /// database.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        config: Config,
        sources: Vec<Source>,
        listeners: Listeners,
        metrics: Metrics,
    ) -> Result<Server, StartError> {
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
    ) -> Result<Server, StartError> {
        let folder = &config.patterns.folder;
        if let Err(problem) = std::fs::read_dir(folder) {
            let folder = folder.clone();
            return Err(StartError::Folder { folder, problem });
        }
        telemetry::prepare();
        let builder = ServerBuilder::open(
            METRICS_PREFIX,
            &config.common,
            &store::MIGRATOR,
            None,
            (listeners, metrics),
        )
        .await?;
        let (pool, log) = (builder.pool(), builder.log());
        let consumer_config = ConsumerConfig {
            batch_events_max: config.consumer.batch_events_max,
            backfill_months: config.consumer.backfill_months,
            ..ConsumerConfig::new(SERVICE)
        };
        let consumer = builder.open_consumer(consumer_config, sources).await?;
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

        let app = rest::App {
            pool: pool.clone(),
            memory: Arc::clone(&memory),
            definitions: definitions.clone(),
            admin: consumer.admin(),
            status: consumer.status(),
            evaluations: rest::evaluations(),
            progress: Arc::clone(&progress),
        };
        let operation = builder.operation(obstacle(progress, consumer.status()));
        let router = rest::router(app, operation, config.common.rest.request_timeout);
        // How far it is can be asked meanwhile.
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
        builder.serve_while(router.clone(), making).await??;
        let found = definitions.report();
        let (patterns, mistakes) = (found.patterns.len(), found.mistakes.len());
        info!(patterns, mistakes, folder = %folder.display(), "definitions were read");
        let handler = || EngineHandler::new(Arc::clone(&memory), log.clone());
        let timekeeper = Timekeeper::new(
            pool.clone(),
            Arc::clone(&memory),
            handler(),
            consumer.status(),
        );
        let mut server = builder.build(router);
        let stop = server.stop();
        if let Some(interval) = config.snapshots.interval {
            let memory = Arc::clone(&memory);
            let keeping = recovery::keep_snapshots(pool, memory, interval, stop.clone());
            server.add_part("snapshots", keeping);
        }
        server.add_part("time", timekeeper.keep(stop.clone()));
        server.consume(consumer, handler(), config.consumer.stopped_grace);
        let following = standby::follow(recovery, Arc::clone(&memory), stop.clone());
        server.add_part("standby", following);
        let interval = config.patterns.reload_interval;
        server.add_part("definitions", watch::watch(definitions, interval, stop));
        Ok(server)
    }
}

/// Why an engine that is up is not ready: its memory is being made, or it consumes nothing more of a
/// source.
fn obstacle(progress: Arc<Progress>, status: ConsumerStatus) -> Obstacle {
    let stopped = stopped_source(status);
    Arc::new(move || progress.obstacle().or_else(|| stopped()))
}
