//! Feeds the ring: from the appender of this process where positions follow on, else from the
//! database, woken by notifications and, since these may be lost, by a timer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use atlas_events::Draft;
use chrono::{DateTime, Utc};
use sqlx::{PgPool, postgres::PgListener};
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    LogError,
    batch::Batch,
    head,
    read::{self, PAGE_EVENTS_MAX},
    ring::Ring,
    segment::SegmentIndex,
    telemetry::LogMetrics,
};

/// What the appender tells of a group once its transaction has ended; nothing if it failed.
#[derive(Debug, Default)]
pub(crate) struct LocalCommit {
    pub(crate) drafts: Vec<Draft>,
    /// Indices of the drafts that were stored, in position order.
    pub(crate) fresh: Vec<usize>,
    /// The position of the first of them.
    pub(crate) first_position: u64,
    pub(crate) recorded_at: DateTime<Utc>,
}

/// Groups that the appender has begun and the feeder has not seen the end of. While there are any,
/// a notification needs no read: the events come from the appender without one.
#[derive(Debug, Default)]
pub(crate) struct InFlight(AtomicU64);

impl InFlight {
    pub(crate) fn begin(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn end(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }

    fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// How whoever appends hands over what was committed.
#[derive(Debug, Clone)]
pub(crate) struct Handovers {
    in_flight: Arc<InFlight>,
    commits: mpsc::Sender<LocalCommit>,
}

impl Handovers {
    pub(crate) fn new(in_flight: Arc<InFlight>, commits: mpsc::Sender<LocalCommit>) -> Self {
        Self { in_flight, commits }
    }

    /// For one transaction, before it can be announced.
    pub(crate) fn begin(&self) -> Handover {
        self.in_flight.begin();
        Handover {
            to: self.clone(),
            commit: LocalCommit::default(),
        }
    }
}

/// Tells the feeder once, when it is dropped: nothing, unless there is a commit to tell of.
#[derive(Debug)]
pub(crate) struct Handover {
    to: Handovers,
    commit: LocalCommit,
}

impl Handover {
    pub(crate) fn tell(mut self, commit: LocalCommit) {
        self.commit = commit;
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        let commit = std::mem::take(&mut self.commit);
        // A feeder that is busy reading the database will find there what does not fit.
        if self.to.commits.try_send(commit).is_err() {
            self.to.in_flight.end();
        }
    }
}

pub(crate) struct Feeder {
    pub(crate) pool: PgPool,
    pub(crate) channel: String,
    pub(crate) ring: Arc<Ring>,
    pub(crate) segments: Arc<SegmentIndex>,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) poll_interval: Duration,
    pub(crate) commits: mpsc::Receiver<LocalCommit>,
    /// The greatest position that a notification told of.
    pub(crate) announced: u64,
    pub(crate) metrics: Arc<LogMetrics>,
}

impl Feeder {
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut listener = self.listen().await;
        let mut poll = tokio::time::interval(self.poll_interval);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(commit) = self.commits.recv() => {
                    self.take(commit).await;
                    self.in_flight.end();
                }
                announced = next_notification(&mut listener) => match announced {
                    Some(position) => self.announced = self.announced.max(position),
                    None => self.catch_up_or_warn().await,
                },
                _ = poll.tick() => {
                    if listener.is_none() {
                        listener = self.listen().await;
                    }
                    self.catch_up_or_warn().await;
                }
            }
            if self.announced > self.ring.tail() && !self.in_flight.any() {
                self.catch_up_or_warn().await;
            }
        }
    }

    async fn listen(&self) -> Option<PgListener> {
        let listening = async {
            let mut listener = PgListener::connect_with(&self.pool).await?;
            listener.listen(&self.channel).await?;
            Ok::<_, sqlx::Error>(listener)
        };
        listening
            .await
            .inspect_err(|error| warn!(%error, "cannot listen for appends; polling instead"))
            .ok()
    }

    async fn take(&self, commit: LocalCommit) {
        if commit.fresh.is_empty() && self.announced > self.ring.tail() {
            // The appender stored nothing new, so that what was announced is another's.
            self.catch_up_or_warn().await;
        }
        let LocalCommit {
            drafts,
            fresh,
            first_position,
            recorded_at,
        } = commit;
        for batch in Batch::of_appended(&drafts, &fresh, first_position, recorded_at) {
            if batch.first_position() > self.ring.tail() + 1 {
                self.catch_up_or_warn().await;
            }
            let last_position = batch.last_position();
            if !self.ring.push(batch) && last_position > self.ring.tail() {
                self.catch_up_or_warn().await;
            }
        }
    }

    async fn catch_up_or_warn(&self) {
        if let Err(error) = self.catch_up().await {
            warn!(%error, "cannot read the newest events; trying again shortly");
        }
    }

    /// Reads what other processes appended.
    async fn catch_up(&self) -> Result<(), LogError> {
        let head = head::read(&self.pool).await;
        self.metrics.saw_head(head.as_ref().ok());
        let last_position = head?.last_position;
        while self.ring.tail() < last_position {
            let after = self.ring.tail();
            let window = self
                .segments
                .window(&self.pool, after, PAGE_EVENTS_MAX)
                .await?;
            let Some(window) = window else { return Ok(()) };
            let batch = read::batch(&self.pool, after, window).await;
            if matches!(batch, Err(LogError::Hole { .. } | LogError::Trimmed { .. })) {
                // The followers that come to this place are to be told, not to wait for ever.
                self.ring.restart(last_position);
            }
            if !batch?.is_some_and(|batch| self.ring.push(batch)) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The position that the next notification announces; `None` if it cannot be told, because the
/// connection was lost meanwhile or the notification is not ours.
async fn next_notification(listener: &mut Option<PgListener>) -> Option<u64> {
    let Some(listening) = listener else {
        return std::future::pending().await;
    };
    match listening.try_recv().await {
        Ok(Some(notification)) => notification.payload().parse().ok(),
        Ok(None) => None,
        Err(error) => {
            warn!(%error, "lost the connection that listens for appends; polling instead");
            *listener = None;
            None
        }
    }
}
