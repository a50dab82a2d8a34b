//! The collector as a service: starting its parts, running them, ending them in order.

mod database;
mod error;
mod start;

use std::{future::Future, net::SocketAddr, time::Duration};

use axum::{Router, serve::ListenerExt};
use event_log::EventLog;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{collection::CollectionWorker, config::Config};

pub use error::{ServeError, StartError};
pub use start::Listeners;

/// How often metrics are tidied: what was recorded since is kept raw until then.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// What was accepted is stored, but a database that is away must not keep the process from ending.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// A collector that has started: its database is ready, its listeners are open, nothing is answered
/// yet.
pub struct Service {
    rest: (TcpListener, Router),
    grpc: (TcpListener, event_stream::StreamConfig),
    addresses: (SocketAddr, SocketAddr),
    log: EventLog,
    pool: sqlx::PgPool,
    worker: Option<CollectionWorker>,
    metrics: PrometheusHandle,
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
    metrics: PrometheusHandle,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let service = Service::start(config, listeners, metrics).await?;
    service.run(shutdown).await
}

impl Service {
    /// Where REST is served.
    pub fn rest_address(&self) -> SocketAddr {
        self.addresses.0
    }

    /// Where gRPC is served.
    pub fn grpc_address(&self) -> SocketAddr {
        self.addresses.1
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
            ..
        } = self;
        let mut parts = Parts::default();
        let (listener, router) = rest;
        parts.spawn("REST", serve_rest(listener, router, stop.clone()));
        let (listener, config) = grpc;
        let grpc = event_stream::serve(listener, log.clone(), config, stop.clone());
        parts.spawn("gRPC", async move { Ok(grpc.await?) });
        parts.spawn("metrics", keep_up(metrics, stop.clone()));
        if let Some(worker) = worker {
            let collecting = worker.run(stop.clone());
            parts.spawn("collection", async move {
                collecting.await;
                Ok(())
            });
        }

        let ended = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            ended = parts.next() => Err(ended),
        };
        info!(drain_seconds = drain.as_secs(), "ending");
        stop.cancel();
        if timeout(drain, parts.all_ended()).await.is_err() {
            warn!("clients have not ended in time; cutting them off");
            parts.tasks.shutdown().await;
        }
        if timeout(CLOSE_PATIENCE, log.close()).await.is_err() {
            warn!("the database is away; what was not acknowledged may not be stored");
        }
        let _ = timeout(CLOSE_PATIENCE, pool.close()).await;
        info!("ended");
        ended
    }
}

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// The tasks of a service, each with the name of its part.
#[derive(Default)]
struct Parts {
    tasks: JoinSet<(&'static str, Outcome)>,
}

impl Parts {
    fn spawn(&mut self, name: &'static str, part: impl Future<Output = Outcome> + Send + 'static) {
        self.tasks.spawn(async move { (name, part.await) });
    }

    /// The first part that ends.
    async fn next(&mut self) -> ServeError {
        let (part, reason) = match self.tasks.join_next().await {
            Some(Ok((part, Ok(())))) => (part, "it was not to end".to_owned()),
            Some(Ok((part, Err(error)))) => (part, error.to_string()),
            Some(Err(panicked)) => ("a part", panicked.to_string()),
            None => ("everything", "there was nothing to run".to_owned()),
        };
        ServeError::Ended { part, reason }
    }

    async fn all_ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok((_, Ok(()))) => {}
                Ok((part, Err(error))) => warn!(part, %error, "did not end well"),
                Err(panicked) => error!(%panicked, "a part panicked"),
            }
        }
    }
}

async fn serve_rest(listener: TcpListener, router: Router, stop: CancellationToken) -> Outcome {
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
    });
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await?;
    Ok(())
}

async fn keep_up(metrics: PrometheusHandle, stop: CancellationToken) -> Outcome {
    let mut timer = tokio::time::interval(METRICS_UPKEEP);
    let upkeep = async {
        loop {
            timer.tick().await;
            metrics.run_upkeep();
        }
    };
    stop.run_until_cancelled(upkeep).await;
    Ok(())
}
