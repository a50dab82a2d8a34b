//! Running the parts of a service, and ending them in order.

use std::{future::Future, time::Duration};

use axum::Router;
use event_log::EventLog;
use sqlx::PgPool;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{PartEnded, rest, security::Incoming, telemetry::Metrics};

/// How often metrics are tidied: what was recorded since is kept raw until then.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// What was accepted is stored, but a database that is away must not keep the process from ending.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// How a part ended.
pub type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// The tasks of a service, each with the name of its part.
#[derive(Debug)]
pub struct Parts {
    tasks: JoinSet<(&'static str, Outcome)>,
    stop: CancellationToken,
}

impl Parts {
    /// No parts yet. `stop` is cancelled once they are to end.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            tasks: JoinSet::new(),
            stop,
        }
    }

    /// Starts a part, which is to end when `stop` is cancelled and not before.
    pub fn spawn(
        &mut self,
        name: &'static str,
        part: impl Future<Output = Outcome> + Send + 'static,
    ) {
        self.tasks.spawn(async move { (name, part.await) });
    }

    /// Cancelled once the parts are to end.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Serves REST.
    pub fn serve_rest(&mut self, incoming: Incoming, router: Router) {
        let stop = self.stop.clone();
        self.spawn("REST", async move {
            rest::serve(incoming, router, stop).await;
            Ok(())
        });
    }

    /// Keeps the metrics of the process tidy.
    pub fn keep_up(&mut self, metrics: Metrics) {
        let stop = self.stop.clone();
        self.spawn("metrics", keep_up(metrics, stop));
    }

    /// Runs until `shutdown` is cancelled. Then the parts are asked to end and those that have not
    /// within `drain` are cut off; what the log had accepted is stored, and the pool is closed.
    ///
    /// # Errors
    /// [`PartEnded`] if a part ended by itself; the others were then ended in order.
    pub async fn run(
        mut self,
        shutdown: CancellationToken,
        drain: Duration,
        log: EventLog,
        pool: PgPool,
    ) -> Result<(), PartEnded> {
        let ended = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            ended = self.next() => Err(ended),
            log_id = log.replaced() => Err(PartEnded {
                part: "the log",
                reason: format!("it was given the identity {log_id}; start again to serve it"),
            }),
            task = log.failed() => Err(PartEnded {
                part: "the event log",
                reason: format!("its {task} panicked"),
            }),
        };
        info!(drain_seconds = drain.as_secs(), "ending");
        self.stop.cancel();
        if timeout(drain, self.all_ended()).await.is_err() {
            warn!("clients did not disconnect in time; closing their connections");
            self.tasks.shutdown().await;
        }
        if timeout(CLOSE_PATIENCE, log.close()).await.is_err() {
            warn!(
                "the database cannot be reached; events that were not acknowledged may not be \
                 stored"
            );
        }
        let _ = timeout(CLOSE_PATIENCE, pool.close()).await;
        info!("ended");
        ended
    }

    /// The first part that ends.
    async fn next(&mut self) -> PartEnded {
        let (part, reason) = match self.tasks.join_next().await {
            Some(Ok((part, Ok(())))) => (part, "it was not to end".to_owned()),
            Some(Ok((part, Err(error)))) => (part, error.to_string()),
            Some(Err(panicked)) => ("a part", panicked.to_string()),
            None => ("everything", "there was nothing to run".to_owned()),
        };
        PartEnded { part, reason }
    }

    async fn all_ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok((_, Ok(()))) => {}
                Ok((part, Err(error))) => warn!(part, %error, "ended with an error"),
                Err(panicked) => error!(%panicked, "a part panicked"),
            }
        }
    }
}

async fn keep_up(metrics: Metrics, stop: CancellationToken) -> Outcome {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use atlas_events::Draft;
    use event_log::{LogConfig, Projection};
    use futures::future::BoxFuture;
    use sqlx::PgConnection;
    use test_support::{TestDatabase, drafts};

    use super::*;

    struct Panicking;

    impl Projection for Panicking {
        fn apply<'a>(
            &'a self,
            _connection: &'a mut PgConnection,
            _events: &'a [(u64, &'a Draft)],
        ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
            Box::pin(async { panic!("as a test wants it") })
        }
    }

    #[tokio::test]
    async fn a_panic_in_the_log_ends_the_service() {
        let database = TestDatabase::create().await;
        let pool = event_log::connect(&database.url(), "log", 4).await.unwrap();
        let projection = Some(Arc::new(Panicking) as Arc<dyn Projection>);
        let log = EventLog::open(pool.clone(), LogConfig::default(), projection);
        let log = log.await.unwrap();
        let stop = CancellationToken::new();
        let mut parts = Parts::new(stop.clone());
        parts.spawn("patience", async move {
            stop.cancelled().await;
            Ok(())
        });
        log.append(drafts(0..1)).await.unwrap_err();
        let running = parts.run(CancellationToken::new(), Duration::from_secs(1), log, pool);
        let ended = timeout(Duration::from_secs(30), running).await.unwrap();
        let error = ended.unwrap_err().to_string();
        assert!(
            error.contains("event log ended: its appender panicked"),
            "{error}"
        );
    }
}
