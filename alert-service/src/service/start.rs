//! Making the parts of a service.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use consumer::{ConsumerConfig, ConsumerStatus, Source};
use service::{
    Listeners, Server, ServerBuilder, rest::Obstacle, stopped_source, telemetry::Metrics,
};
use tokio::sync::{Notify, Semaphore};

use super::{Service, StartError};
use crate::{
    SERVICE,
    beginning::begin_with_log,
    bot::Bots,
    calm::{LinkKeys, Links},
    channel::{AddressRules, Seal, Sender, SenderConfig},
    config::Config,
    context::Context,
    delivery::{Policy, Workers},
    grpc::AlertRulesService,
    intake::{Ages, Intake},
    removal::Removal,
    rest,
    series::{History, Memory, SharedMemory, Watch},
    store,
    telemetry::{self, METRICS_PREFIX},
};

/// Longer than an attempt takes, and with what looks for expired leases under 30 seconds.
const LEASE: Duration = Duration::from_secs(26);

impl Service {
    /// Starts an alert service: its database, its log, what it consumes and what it sends.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        config: Config,
        sources: Vec<Source>,
        listeners: Listeners,
        metrics: Metrics,
        context: Context,
    ) -> Result<Server, StartError> {
        telemetry::prepare();
        let seal = match config.channels.key_files.as_slice() {
            [] => None,
            files => Some(Arc::new(Seal::from_files(files)?)),
        };
        let links = config.public_url.as_ref().zip(seal.as_deref());
        let links = links.map(|(url, seal)| Arc::new(Links::new(url, LinkKeys::of(seal))));
        let sender = Sender::new(sender_config(&config, &context))?;
        let builder = ServerBuilder::open(
            METRICS_PREFIX,
            &config.common,
            &store::MIGRATOR,
            None,
            (listeners, metrics),
        )
        .await?;
        let (pool, log) = (builder.pool(), builder.log());
        if config.channels.begin_with_log {
            begin_with_log(&pool, &context)
                .await
                .map_err(StartError::Beginning)?;
        }
        let consumer_config = ConsumerConfig {
            batch_events_max: config.consumer.batch_events_max,
            ..ConsumerConfig::new(SERVICE)
        };
        let consumer = builder.open_consumer(consumer_config, sources).await?;
        let wake = Arc::new(Notify::new());
        let patience = delta(config.deliveries.deadline);
        let history = History {
            years: config.alerts.history_years,
        };
        let memory = Memory::new(history);
        let operation = builder.operation(obstacle(memory.loaded(), consumer.status()));
        let memory = SharedMemory::new(memory.into());
        let app = rest::App {
            pool: pool.clone(),
            log: log.clone(),
            context: context.clone(),
            sender: sender.clone(),
            seal: seal.clone(),
            links: links.clone(),
            patience,
            wake: Arc::clone(&wake),
            streams: rest::Streams::default(),
            turns: rest::Turns::of_connections(config.common.database.connections_max),
            stopping: operation.stopping.clone(),
            evaluations: Arc::new(Semaphore::new(rest::EVALUATIONS_MAX)),
            history,
            expressions_max: config.alerts.expressions_per_owner_max,
        };
        let bots = config
            .channels
            .telegram_polling
            .then(|| Bots::new(app.clone()));
        let rules = AlertRulesService::server(app.clone());
        let router = rest::router(app, operation, config.common.rest.request_timeout);
        let workers = Workers {
            pool: pool.clone(),
            log: log.clone(),
            sender,
            seal,
            links,
            asks_telegram: config.channels.telegram_polling,
            context: context.clone(),
            policy: Policy {
                retry_base: config.deliveries.retry_base,
                retry_max: config.deliveries.retry_max,
                failures_max: i32::try_from(config.deliveries.failures_max).unwrap_or(i32::MAX),
                pause_max: config.deliveries.pause_max,
            },
            slots: config.deliveries.concurrency,
            lane: config.deliveries.per_destination_max,
            poll_interval: config.deliveries.poll_interval,
            lease: LEASE,
            wake: Arc::clone(&wake),
        };
        let ages = Ages {
            event_max: delta(config.alerts.event_age_max),
            observation_max: TimeDelta::days(i64::from(config.alerts.observation_age_max_days)),
        };
        let removal = Removal {
            pool: pool.clone(),
            context: context.clone(),
            keep: TimeDelta::days(i64::from(config.alerts.retention_days)),
            keep_edits: TimeDelta::days(i64::from(config.alerts.edits_retention_days)),
        };
        let watch = Watch {
            pool,
            log: log.clone(),
            context: context.clone(),
            memory: Arc::clone(&memory),
            patience,
            observation_max: ages.observation_max,
            wake: Arc::clone(&wake),
            poll_interval: config.deliveries.poll_interval,
            status: consumer.status(),
        };
        let intake = Intake::new(log, context, ages, patience, memory, wake);
        let mut server = builder.build(router);
        server.add_grpc(|services| services.with(rules));
        server.consume(consumer, intake, config.consumer.stopped_grace);
        server.add_part("deliveries", workers.run(server.stop()));
        server.add_part("watch", watch.run(server.stop()));
        server.add_part("removal", removal.run(server.stop()));
        if let Some(bots) = bots {
            server.add_part("bots", bots.run(server.stop()));
        }
        Ok(server)
    }
}

/// Why a service that is up is not ready: its rules are not loaded, or a source is not followed.
fn obstacle(is_loaded: Arc<AtomicBool>, status: ConsumerStatus) -> Obstacle {
    let stopped = stopped_source(status.clone());
    Arc::new(move || {
        if let Some(reason) = stopped() {
            return Some(reason);
        }
        if !is_loaded.load(Ordering::Relaxed) {
            return Some("the rules are being loaded from the database".to_owned());
        }
        let waited_for = status
            .sources()
            .into_iter()
            .find(|source| source.log_id.is_none());
        waited_for.map(|source| format!("the log of {} was not reached yet", source.source))
    })
}

fn sender_config(config: &Config, context: &Context) -> SenderConfig {
    let telegram_url = config.channels.telegram_url.clone();
    SenderConfig {
        addresses: AddressRules {
            allowed_prefixes: config.channels.allowed_prefixes.clone(),
            http_allowed: config.channels.http_allowed,
        },
        smtp: config.mail.clone(),
        ..SenderConfig::new(telegram_url, context.clock.clone())
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::days(366))
}
