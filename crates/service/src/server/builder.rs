use std::{future::Future, os::fd::AsFd, sync::Arc};

use axum::Router;
use consumer::{Consumer, ConsumerConfig, ConsumerStatus, Source};
use event_log::{EventLog, Projection};
use event_stream::{MoreServices, StreamConfig};
use sqlx::{PgPool, migrate::Migrator};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Addresses, Listeners, Server};
use crate::{
    Security, StartError,
    config::CommonConfig,
    connect, open_log,
    rest::{self, Obstacle, Operation},
    telemetry::Metrics,
};

/// What the start of a service opens, from which the service builds what is its own: its handlers,
/// its routes, its parts.
#[derive(Debug)]
pub struct ServerBuilder {
    pool: PgPool,
    log: EventLog,
    security: Security,
    config: CommonConfig,
    metrics_prefix: &'static str,
    listeners: Listeners,
    addresses: Addresses,
    metrics: Metrics,
    stop: CancellationToken,
}

impl ServerBuilder {
    /// Connects to the database, brings it to the version of `migrations`, opens the log, and reads
    /// certificates and tokens. `metrics_prefix` is the first part of the names of the service's metrics;
    /// `projection` are rows that the service derives from each event of its log.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open(
        metrics_prefix: &'static str,
        config: &CommonConfig,
        migrations: &Migrator,
        projection: Option<Arc<dyn Projection>>,
        (listeners, metrics): (Listeners, Metrics),
    ) -> Result<Self, StartError> {
        // With one installed already there is nothing to do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pool = connect(&config.database).await?;
        event_log::run_migrations(&pool, migrations).await?;
        let log = open_log(&pool, &config.events, projection).await?;
        let listens = (&config.rest, &config.grpc);
        let security = Security::open(&config.security, listens, &pool, metrics_prefix).await?;
        Ok(Self {
            pool,
            log,
            security,
            config: config.clone(),
            metrics_prefix,
            addresses: listeners.addresses()?,
            listeners,
            metrics,
            stop: CancellationToken::new(),
        })
    }

    /// The connections to the service's database.
    pub fn pool(&self) -> PgPool {
        self.pool.clone()
    }

    /// The service's log.
    pub fn log(&self) -> EventLog {
        self.log.clone()
    }

    /// Prepares a consumer, whose checkpoints are in the service's database.
    ///
    /// # Errors
    /// [`StartError::Consumer`] or [`StartError::Migration`].
    pub async fn open_consumer(
        &self,
        config: ConsumerConfig,
        sources: Vec<Source>,
    ) -> Result<Consumer, StartError> {
        Ok(Consumer::open(self.pool.clone(), config, sources).await?)
    }

    /// What the routes that all services have need. `obstacle` says why the service is not ready
    /// although its database is.
    pub fn operation(&self, obstacle: Obstacle) -> Operation {
        Operation {
            log: self.log.clone(),
            metrics: self.metrics.clone(),
            metrics_prefix: self.metrics_prefix,
            security: self.security.clone(),
            stopping: self.stop.clone(),
            obstacle,
        }
    }

    /// Answers REST while something is under way that has to be done before the service can run.
    ///
    /// # Errors
    /// [`StartError::Listener`].
    pub async fn serve_while<T>(
        &self,
        router: Router,
        work: impl Future<Output = T>,
    ) -> Result<T, StartError> {
        // The same listener twice: what is not accepted on one is on the other.
        let twice = || {
            let second = self.listeners.rest.as_fd().try_clone_to_owned()?;
            TcpListener::from_std(second.into())
        };
        let incoming = self
            .security
            .accept_rest(twice().map_err(StartError::Listener)?);
        Ok(rest::serve_while(incoming, router, work).await)
    }

    /// The service, with these routes.
    pub fn build(self, router: Router) -> Server {
        let streams = self.streams();
        Server {
            rest: (self.listeners.rest, router),
            grpc: (self.listeners.grpc, streams),
            grpc_services: MoreServices::default(),
            addresses: self.addresses,
            security: self.security,
            log: self.log,
            pool: self.pool,
            metrics: self.metrics,
            drain: self.config.shutdown.drain,
            stop: self.stop,
            parts: Vec::new(),
            note: "",
        }
    }

    fn streams(&self) -> StreamConfig {
        let (grpc, security) = (&self.config.grpc, &self.security);
        StreamConfig {
            metrics_prefix: self.metrics_prefix.to_owned(),
            subscriptions_max: grpc.subscriptions_max,
            stream_age_max: grpc.stream_age_max,
            reflection: grpc.reflection,
            gate: security.gate.clone(),
            audit: Some(security.audit_log()),
            preface_timeout: self.config.security.handshake_timeout,
            message_timeout: grpc.message_timeout,
            request_bytes: security.request_bytes.clone(),
            answers: security.answers.clone(),
            connection_bytes_max: grpc.connection_bytes_max,
            open_streams: grpc.open_streams(),
            ..StreamConfig::default()
        }
    }
}

/// Why a service that is up is not ready: it consumes nothing more of a source.
pub fn stopped_source(status: ConsumerStatus) -> Obstacle {
    Arc::new(move || {
        let mut sources = status.sources().into_iter();
        sources.find_map(|source| source.stopped)
    })
}
