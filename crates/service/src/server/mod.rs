//! What a service serves, and what it does beside that: opened by a [`ServerBuilder`], run as a
//! [`Server`].

mod builder;
mod listeners;
mod parts;

use std::{future::Future, net::SocketAddr, time::Duration};

use axum::Router;
use consumer::{CheckpointsService, Consumer, Handler, ParkedEventsService};
use event_log::EventLog;
use event_stream::{MoreServices, StreamConfig};
use futures::{FutureExt, future::BoxFuture};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{PartEnded, Security, telemetry::Metrics};

pub use builder::{ServerBuilder, stopped_source};
pub use listeners::{Addresses, Listeners};
pub use parts::{Outcome, Parts};

/// A service that has started: its database is ready, its listeners are open; nothing is consumed or
/// answered until it runs.
pub struct Server {
    rest: (TcpListener, Router),
    grpc: (TcpListener, StreamConfig),
    grpc_services: MoreServices,
    addresses: Addresses,
    security: Security,
    log: EventLog,
    pool: PgPool,
    metrics: Metrics,
    drain: Duration,
    /// Cancelled when the service is to end.
    stop: CancellationToken,
    parts: Vec<(&'static str, BoxFuture<'static, Outcome>)>,
    note: &'static str,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Server {
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

    /// Cancelled when the service is to end.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Adds a part that runs with the service. It is to end when [`stop`](Self::stop) is cancelled and
    /// not before.
    pub fn add_part(
        &mut self,
        name: &'static str,
        part: impl Future<Output = ()> + Send + 'static,
    ) {
        let part = async move {
            part.await;
            Outcome::Ok(())
        };
        self.parts.push((name, part.boxed()));
    }

    /// Serves more over gRPC, which the contract describes.
    pub fn add_grpc(&mut self, add: impl FnOnce(MoreServices) -> MoreServices) {
        self.grpc_services = add(std::mem::take(&mut self.grpc_services));
    }

    /// Adds the part that consumes logs, and what operators use over gRPC: checkpoints and parked
    /// events. After a consumer has stopped, the service still answers for `stopped_grace`, not ready,
    /// so that operators can ask why; then it ends with the consumer's error.
    pub fn consume(
        &mut self,
        consumer: Consumer,
        handler: impl Handler + Sync + 'static,
        stopped_grace: Duration,
    ) {
        self.grpc_services = std::mem::take(&mut self.grpc_services)
            .with(ParkedEventsService::server(consumer.admin()))
            .with(CheckpointsService::server(consumer.admin()));
        let stop = self.stop.clone();
        let consuming = async move {
            let consumed = consumer.run(handler, stop.clone()).await;
            if consumed.is_err() {
                stop.run_until_cancelled(tokio::time::sleep(stopped_grace))
                    .await;
            }
            Ok(consumed?)
        };
        self.parts.push(("consumer", consuming.boxed()));
    }

    /// What the line that says that the service is ready ends with.
    pub fn set_note(&mut self, note: &'static str) {
        self.note = note;
    }

    /// The line that says that the service is ready, and where it is found.
    pub fn ready_line(&self, title: &str) -> String {
        let (rest, grpc) = self.security.urls(self.addresses.rest, self.addresses.grpc);
        let note = self.note;
        format!("{title} is ready: REST {rest}, gRPC {grpc}{note}")
    }

    /// Serves, and runs all parts, until `shutdown` is cancelled. Then streams end with `UNAVAILABLE`,
    /// requests and transactions under way are ended, and what was accepted is stored; what takes
    /// longer than the configured time is cut off.
    ///
    /// # Errors
    /// [`PartEnded`] if a part ended by itself, such as the consumer at a source that is another log
    /// now; the others were then ended in order.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), PartEnded> {
        let mut parts = Parts::new(self.stop.clone());
        let (listener, router) = self.rest;
        parts.serve_rest(self.security.accept_rest(listener), router);
        let (listener, config) = self.grpc;
        let incoming = self.security.accept_grpc(listener).into_stream();
        let (log, services, stop) = (self.log.clone(), self.grpc_services, self.stop);
        let grpc = event_stream::serve_on(incoming, log, config, services, stop);
        self.security.watch(&mut parts);
        parts.spawn("gRPC", async move { Ok(grpc.await?) });
        parts.keep_up(self.metrics);
        for (name, part) in self.parts {
            parts.spawn(name, part);
        }
        parts.run(shutdown, self.drain, self.log, self.pool).await
    }
}
