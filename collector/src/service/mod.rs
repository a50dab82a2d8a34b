//! The collector as a service: starting its parts, running them, ending them in order.

mod error;
mod start;

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use event_log::EventLog;
use event_stream::MoreServices;
use service::telemetry::Metrics;
use service::{Addresses, Parts, Security};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{collection::CollectionWorker, config::Config, series::SeriesRegistry};

pub use error::{ServeError, StartError};
pub use service::Listeners;

/// A collector that has started: its database is ready, its listeners are open, nothing is answered
/// yet.
pub struct Service {
    rest: (TcpListener, Router),
    grpc: (TcpListener, event_stream::StreamConfig),
    addresses: Addresses,
    security: Security,
    log: EventLog,
    pool: sqlx::PgPool,
    registry: SeriesRegistry,
    worker: Option<CollectionWorker>,
    metrics: Metrics,
    drain: Duration,
    /// Cancelled when the service is to end.
    stop: CancellationToken,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Runs a collector until `shutdown` is cancelled and what is under way has ended, or the time for
/// that is over. Any number may run in one process.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    config: Config,
    listeners: Listeners,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let service = Service::start(config, listeners, metrics).await?;
    service.run(shutdown).await
}

impl Service {
    /// Where REST is served.
    pub fn rest_address(&self) -> SocketAddr {
        self.addresses.rest
    }

    /// Where gRPC is served.
    pub fn grpc_address(&self) -> SocketAddr {
        self.addresses.grpc
    }

    /// Who is let in, and over what.
    pub fn security(&self) -> &Security {
        &self.security
    }

    /// The collector's log, for those who follow it in the same process.
    pub fn log(&self) -> EventLog {
        self.log.clone()
    }

    /// The series that it collects, or would with a key.
    pub fn series(&self) -> SeriesRegistry {
        self.registry.clone()
    }

    /// Whether it collects. Without a key for the source it only serves and accepts events.
    pub fn collects(&self) -> bool {
        self.worker.is_some()
    }

    /// Serves and collects until `shutdown` is cancelled. Then streams end with `UNAVAILABLE`,
    /// requests under way are answered, and what was accepted is stored; what takes longer than the
    /// configured time is cut off.
    ///
    /// # Errors
    /// [`ServeError::Ended`] if a part ended by itself; the others were then ended in order.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        let Self {
            rest,
            grpc,
            log,
            pool,
            worker,
            metrics,
            drain,
            stop,
            security,
            ..
        } = self;
        let mut parts = Parts::new(stop.clone());
        let (listener, router) = rest;
        parts.serve_rest(security.accept_rest(listener), router);
        let (listener, config) = grpc;
        let incoming = security.accept_grpc(listener).into_stream();
        let more = MoreServices::default();
        let grpc = event_stream::serve_on(incoming, log.clone(), config, more, stop.clone());
        security.watch(&mut parts);
        parts.spawn("gRPC", async move { Ok(grpc.await?) });
        parts.keep_up(metrics);
        if let Some(worker) = worker {
            let collecting = worker.run(stop);
            parts.spawn("collection", async move {
                collecting.await;
                Ok(())
            });
        }
        Ok(parts.run(shutdown, drain, log, pool).await?)
    }
}
