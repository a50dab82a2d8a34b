use std::panic::AssertUnwindSafe;

use atlas_events::Clock;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use event_log::{EventLog, LogError, within};
use futures::FutureExt;
use metrics::counter;
use sqlx::PgPool;
use trace_context::TARGET;
use tracing::{Instrument, debug, field::Empty, info, info_span};

use super::{commit, failure, fetch};
use crate::{
    ANSWER_MAX,
    fred::{FredClient, FredFailure},
    series::store,
};

/// How often a collection begins again because another one was faster.
const RESTARTS_MAX: usize = 5;

/// Collects one series at a time; clones are the same.
#[derive(Debug, Clone)]
pub struct SeriesCollector {
    pub(super) pool: PgPool,
    pub(super) log: EventLog,
    pub(super) fred: FredClient,
    clock: Clock,
    pub(super) news_wait: TimeDelta,
}

/// What a collection brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// The series.
    pub series_id: String,
    /// How many values were new or revised.
    pub data_points: usize,
    /// Position of the first event that has them; absent if there was nothing new.
    pub first_position: Option<u64>,
    /// Position of the last one.
    pub last_position: Option<u64>,
    /// When the series is to be collected next, unless it is paused.
    pub next_collection_at: DateTime<Utc>,
}

/// Why a series was not collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The source did not give what was needed; that is recorded as an event.
    #[error(transparent)]
    Source(#[from] FredFailure),
    /// The series is not in the registry (any more).
    #[error("the series \"{0}\" is not collected")]
    NotFound(String),
    /// Other collectors were faster, again and again.
    #[error("other collectors are collecting the series \"{0}\" at present")]
    Busy(String),
    /// The collector made a mistake; that is recorded as an event.
    #[error("the collection panicked")]
    Panicked,
    /// The log refused or failed; that is recorded as an event if the database can.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The database failed; that is recorded as an event if it can.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl SeriesCollector {
    /// A collector of the series in the registry of `pool`, into `log`, which must be opened on the
    /// same pool with [`crate::observations::ObservationProjection`]: news are what the observations
    /// do not hold yet.
    pub fn new(pool: PgPool, log: EventLog, fred: FredClient, clock: Clock) -> Self {
        Self {
            pool,
            log,
            fred,
            clock,
            news_wait: TimeDelta::zero(),
        }
    }

    /// Asks a series with a schedule of its own again until it has news, for so long after each time of the schedule.
    pub fn with_news_wait(self, news_wait: TimeDelta) -> Self {
        Self { news_wait, ..self }
    }

    /// Asks the source for what is new or revised, stores it, and schedules the next collection. May
    /// be dropped at any time, and run by any number of collectors at once: nothing is lost or
    /// stored twice.
    ///
    /// # Errors
    /// [`CollectError`].
    pub async fn collect(&self, series_id: &str) -> Result<Collected, CollectError> {
        let span = info_span!(
            target: TARGET,
            "collect",
            atlas.source = "fred",
            atlas.series.id = series_id,
            atlas.points = Empty,
        );
        let collecting = self.collect_and_log(series_id).instrument(span.clone());
        let collected = collecting.await;
        match &collected {
            Ok(collected) => {
                span.record("atlas.points", trace_context::count(collected.data_points));
            }
            Err(error) => trace_context::failed(&span, error),
        }
        collected
    }

    async fn collect_and_log(&self, series_id: &str) -> Result<Collected, CollectError> {
        let asked_at = self.now();
        // What a panic leaves behind is dropped with the transaction.
        let collecting = AssertUnwindSafe(self.try_collect(series_id)).catch_unwind();
        let outcome = collecting.await.unwrap_or(Err(CollectError::Panicked));
        match outcome.map_err(failure::sorted) {
            Ok(collected) => {
                log_outcome(&collected);
                Ok(collected)
            }
            Err(error) => {
                failure::record(self, series_id, &error, asked_at).await?;
                Err(error)
            }
        }
    }

    /// The present as precisely as the database stores it, so that events and rows have the same value.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now().trunc_subsecs(6)
    }

    async fn try_collect(&self, series_id: &str) -> Result<Collected, CollectError> {
        for _ in 0..RESTARTS_MAX {
            let before = within(ANSWER_MAX, store::get(&self.pool, series_id))
                .await?
                .ok_or_else(|| CollectError::NotFound(series_id.to_owned()))?;
            let asked_at = self.now();
            let metadata = match before.needs_metadata(asked_at) {
                true => Some(self.fred.series(series_id).await?),
                false => None,
            };
            let fetched = fetch::fetch(&self.fred, &before, asked_at).await?;
            let limit = commit::time_max(&fetched);
            let committing = self.commit(&before, metadata, fetched, asked_at);
            let stored = within(limit, committing).await?;
            if let Some(collected) = stored {
                return Ok(collected);
            }
            debug!(
                series_id,
                "another collection committed first; starting again"
            );
        }
        Err(CollectError::Busy(series_id.to_owned()))
    }
}

fn log_outcome(collected: &Collected) {
    let outcome = if collected.data_points > 0 {
        info!(
            series_id = collected.series_id,
            data_points = collected.data_points,
            last_position = collected.last_position,
            "collected"
        );
        "news"
    } else {
        debug!(series_id = collected.series_id, "nothing new");
        "nothing_new"
    };
    counter!("fredcollector_collections_total", "source" => "fred", "outcome" => outcome)
        .increment(1);
}
