//! The alert service as a service: starting its parts, running them, ending them in order.

mod error;
mod program;
mod start;

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use consumer::Consumer;
pub use consumer::Source;
use event_log::EventLog;
use event_stream::StreamConfig;
use service::{Addresses, Parts, Security};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{config::Config, context::Context, delivery::Workers, intake::Intake, series::Watch};

pub use crate::telemetry::{describe_metrics, keep_metrics};
pub use error::{ServeError, StartError};
pub use program::{ask_health, renew_log, run_program};
pub use service::{Listeners, telemetry::Metrics};

/// An alert service that has started: its database is ready, its listeners are open; nothing is consumed,
/// sent or answered yet.
pub struct Service {
    rest: (TcpListener, Router),
    grpc: (TcpListener, StreamConfig),
    addresses: Addresses,
    security: Security,
    log: EventLog,
    pool: sqlx::PgPool,
    consumer: Consumer,
    intake: Intake,
    watch: Watch,
    workers: Workers,
    stopped_grace: Duration,
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

/// Runs an alert service until `shutdown` is cancelled and what is under way has ended, or the time for
/// that is over. Any number may run in one process.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    config: Config,
    sources: Vec<Source>,
    listeners: Listeners,
    metrics: Metrics,
    context: Context,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let service = Service::start(config, sources, listeners, metrics, context).await?;
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

    /// The service's own log, for those who follow it in the same process.
    pub fn log(&self) -> EventLog {
        self.log.clone()
    }

    /// Consumes, sends and serves until `shutdown` is cancelled. Then streams end with `UNAVAILABLE`, the
    /// transaction and the attempts under way are ended and requests are answered; what takes longer than
    /// the configured time is cut off.
    ///
    /// # Errors
    /// [`ServeError::Ended`] if a part ended by itself, such as the consumer at a source that is another
    /// log now; the others were then ended in order.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        let mut parts = Parts::new(self.stop.clone());
        let (listener, router) = self.rest;
        parts.serve_rest(self.security.accept_rest(listener), router);
        let (listener, config) = self.grpc;
        let operators = start::operators(&self.consumer);
        let stop = self.stop.clone();
        let incoming = self.security.accept_grpc(listener).into_stream();
        let grpc = event_stream::serve_on(incoming, self.log.clone(), config, operators, stop);
        self.security.watch(&mut parts);
        parts.spawn("gRPC", async move { Ok(grpc.await?) });
        parts.keep_up(self.metrics);
        let consuming = self.consumer.run(self.intake, self.stop.clone());
        let (grace, stop) = (self.stopped_grace, self.stop.clone());
        parts.spawn("consumer", async move {
            let consumed = consuming.await;
            if consumed.is_err() {
                stop.run_until_cancelled(tokio::time::sleep(grace)).await;
            }
            Ok(consumed?)
        });
        let watching = self.watch.run(self.stop.clone());
        parts.spawn("watch", async move {
            watching.await;
            Ok(())
        });
        let sending = self.workers.run(self.stop.clone());
        parts.spawn("deliveries", async move {
            sending.await;
            Ok(())
        });
        Ok(parts.run(shutdown, self.drain, self.log, self.pool).await?)
    }
}
