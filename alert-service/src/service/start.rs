//! Making the parts of a service.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use consumer::{
    CheckpointsService, Consumer, ConsumerConfig, ConsumerError, ConsumerStatus,
    ParkedEventsService, Source,
};
use event_stream::{MoreServices, StreamConfig};
use service::{
    Listeners, Security,
    rest::{Obstacle, Operation},
    telemetry::Metrics,
};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{Service, StartError};
use crate::{
    SERVICE,
    channel::{AddressRules, Seal, Sender, SenderConfig},
    config::Config,
    context::Context,
    delivery::{Policy, Workers},
    intake::{Ages, Intake},
    rest,
    series::{SharedMemory, Watch},
    store,
    telemetry::{self, METRICS_PREFIX},
};

/// Longer than an attempt takes, and with what looks for expired leases under 30 seconds.
const LEASE: Duration = Duration::from_secs(26);

impl Service {
    /// Connects to the database, brings it to this version and opens the log.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        config: Config,
        sources: Vec<Source>,
        listeners: Listeners,
        metrics: Metrics,
        context: Context,
    ) -> Result<Self, StartError> {
        // With one installed already there is nothing to do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        telemetry::prepare();
        let seal = match config.channels.key_files.as_slice() {
            [] => None,
            files => Some(Arc::new(Seal::from_files(files)?)),
        };
        let sender = Sender::new(sender_config(&config, &context))?;
        let pool = service::connect(&config.database).await?;
        store::migrate(&pool)
            .await
            .map_err(service::StartError::from)?;
        let log = service::open_log(&pool, &config.events, None).await?;
        let listens = (&config.rest, &config.grpc);
        let security = Security::open(&config.security, listens, &pool, METRICS_PREFIX).await?;
        let consumer_config = ConsumerConfig {
            batch_events_max: config.consumer.batch_events_max,
            ..ConsumerConfig::new(SERVICE)
        };
        let consumer = Consumer::open(pool.clone(), consumer_config, sources).await;
        let consumer = consumer.map_err(|error| match error {
            ConsumerError::Migration(error) => service::StartError::from(error).into(),
            error => StartError::from(error),
        })?;
        let stop = CancellationToken::new();
        let wake = Arc::new(Notify::new());
        let patience = delta(config.deliveries.deadline);
        let app = rest::App {
            pool: pool.clone(),
            log: log.clone(),
            context: context.clone(),
            sender: sender.clone(),
            seal: seal.clone(),
            patience,
            wake: Arc::clone(&wake),
            evaluations: Arc::new(Semaphore::new(rest::EVALUATIONS_MAX)),
        };
        let operation = Operation {
            log: log.clone(),
            metrics: metrics.clone(),
            metrics_prefix: METRICS_PREFIX,
            security: security.clone(),
            stopping: stop.clone(),
            obstacle: obstacle(consumer.status()),
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
        let workers = Workers {
            pool: pool.clone(),
            log: log.clone(),
            sender,
            seal,
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
        let memory = SharedMemory::default();
        let watch = Watch {
            pool: pool.clone(),
            log: log.clone(),
            context: context.clone(),
            memory: Arc::clone(&memory),
            patience,
            observation_max: ages.observation_max,
            wake: Arc::clone(&wake),
            poll_interval: config.deliveries.poll_interval,
            status: consumer.status(),
        };
        Ok(Self {
            addresses: listeners.addresses()?,
            rest: (
                listeners.rest,
                rest::router(app, operation, config.rest.request_timeout),
            ),
            grpc: (listeners.grpc, streams),
            security,
            intake: Intake::new(log.clone(), context, ages, patience, memory, wake),
            watch,
            workers,
            log,
            pool,
            consumer,
            stopped_grace: config.consumer.stopped_grace,
            metrics,
            drain: config.shutdown.drain,
            stop,
        })
    }
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

/// Why a service that is up is not ready: it consumes nothing more of a source.
fn obstacle(status: ConsumerStatus) -> Obstacle {
    Arc::new(move || {
        status
            .sources()
            .into_iter()
            .find_map(|source| source.stopped)
    })
}

/// What operators use over gRPC.
pub(super) fn operators(consumer: &Consumer) -> MoreServices {
    MoreServices::default()
        .with(ParkedEventsService::server(consumer.admin()))
        .with(CheckpointsService::server(consumer.admin()))
}
