use std::{collections::HashMap, time::Duration};

use chrono::TimeDelta;
use event_log::within;
use tokio::{
    task::{Id, JoinSet},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use ulid::Ulid;

use super::{CollectError, Collected};
use crate::{
    ANSWER_MAX,
    fred::CircuitState,
    series::{SeriesRegistry, store},
    telemetry,
};

/// The source whose series are collected.
const SOURCE: &str = "fred";
/// A series that is due for longer is overdue: the collectors cannot keep up, or none collects.
const OVERDUE_AFTER: TimeDelta = TimeDelta::minutes(10);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// How often it looks for what is due.
    pub poll_interval: Duration,
    /// How long its claim on a series holds after it was last renewed: so long does a series wait
    /// whose collector was killed.
    pub lease: Duration,
    /// At most this many series at once, so that one which answers slowly does not hold up the
    /// others. Their requests take turns at the pace of the source.
    pub concurrency_max: usize,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(2),
            lease: Duration::from_secs(60),
            concurrency_max: 4,
        }
    }
}

/// Collects every series of a registry when it is due. Any number of workers, in any number of
/// processes, share the work.
#[derive(Debug)]
pub struct CollectionWorker {
    registry: SeriesRegistry,
    config: WorkerConfig,
    /// Whose claims are this worker's.
    name: String,
}

/// The collections under way.
#[derive(Default)]
struct Running {
    tasks: JoinSet<Result<Collected, CollectError>>,
    series_ids: HashMap<Id, String>,
}

impl CollectionWorker {
    /// A worker that does nothing yet.
    pub fn new(registry: SeriesRegistry, config: WorkerConfig) -> Self {
        Self {
            registry,
            config,
            name: Ulid::generate().to_string(),
        }
    }

    /// Collects until `stop` is cancelled. Then ends what is under way, which loses nothing, and
    /// leaves it to others.
    pub async fn run(self, stop: CancellationToken) {
        let mut running = Running::default();
        stop.run_until_cancelled(self.collect(&mut running)).await;
        running.tasks.shutdown().await;
        let releasing = store::release(self.registry.pool(), &self.name);
        if let Err(error) = within(ANSWER_MAX, releasing).await {
            warn!(%error, "leases of series could not be released; they will expire");
        }
    }

    async fn collect(&self, running: &mut Running) {
        let mut poll = interval(self.config.poll_interval);
        let mut renew = interval(self.config.lease / 3);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = renew.tick() => self.renew(running).await,
                _ = poll.tick() => self.claim(running).await,
                () = self.registry.due() => self.claim(running).await,
                Some(ended) = running.tasks.join_next_with_id() => {
                    if running.ended(ended) {
                        self.claim(running).await;
                    }
                }
            }
        }
    }

    /// Begins to collect what is due, as far as there is room. A source that is out of order is asked
    /// by one collection only, once that may find it in order again.
    async fn claim(&self, running: &mut Running) {
        loop {
            let fred = self.registry.fred();
            let room = match fred.circuit() {
                CircuitState::Closed { .. } => self.config.concurrency_max,
                CircuitState::Open { .. } if fred.is_askable() => 1,
                CircuitState::Open { .. } | CircuitState::HalfOpen => 0,
            };
            if running.tasks.len() >= room {
                return;
            }
            let now = self.registry.clock().now();
            let claiming = store::claim(self.registry.pool(), &self.name, self.config.lease, now);
            match within(ANSWER_MAX, claiming).await {
                Ok(Some(series_id)) => self.begin(running, series_id),
                Ok(None) => return,
                Err(error) => {
                    warn!(%error, "cannot read which series are due; trying again");
                    return;
                }
            }
        }
    }

    fn begin(&self, running: &mut Running, series_id: String) {
        let collector = self.registry.collector().clone();
        let collected = series_id.clone();
        let task = running
            .tasks
            .spawn(async move { collector.collect(&collected).await });
        running.series_ids.insert(task.id(), series_id);
    }

    /// Renews the leases of what is under way, and reports how long nothing has come from the source.
    async fn renew(&self, running: &Running) {
        let pool = self.registry.pool();
        let series_ids: Vec<String> = running.series_ids.values().cloned().collect();
        if !series_ids.is_empty() {
            let renewing = store::renew(pool, &self.name, &series_ids, self.config.lease);
            if let Err(error) = within(ANSWER_MAX, renewing).await {
                warn!(%error, "leases of series could not be renewed");
            }
        }
        self.report(SOURCE).await;
    }

    /// Reports the state of a source and its series in the metrics.
    async fn report(&self, source: &'static str) {
        let now = self.registry.clock().now();
        let asking = store::standing(self.registry.pool(), source, now - OVERDUE_AFTER);
        match within(ANSWER_MAX, asking).await {
            Ok(standing) => telemetry::report_state(source, &standing, now),
            Err(error) => warn!(%error, "cannot read the state of the series"),
        }
    }
}

impl Running {
    /// Takes note of the end of a collection. False if it may have failed in a way that is not
    /// recorded, so that its claim stays until it expires: trying again at once would likely fail
    /// again.
    fn ended(
        &mut self,
        ended: Result<(Id, Result<Collected, CollectError>), tokio::task::JoinError>,
    ) -> bool {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, Some(outcome)),
            Err(panicked) => (panicked.id(), None),
        };
        let series_id = self.series_ids.remove(&id).unwrap_or_default();
        match outcome {
            Some(Ok(_) | Err(CollectError::Source(_) | CollectError::NotFound(_))) => true,
            // The collector has logged it.
            Some(Err(error)) => {
                debug!(series_id, %error, "collection broke off");
                false
            }
            None => {
                error!(series_id, "the collection panicked; it is repeated");
                false
            }
        }
    }
}
