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
use sqlx::{AssertSqlSafe, PgPool, postgres::PgListener};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    LogError, OnHistoryChange,
    database::{connections, outcome::is_no_answer, within},
    head::{self, Head, segments::SegmentIndex},
    history::{History, Mark, Server},
    live::{batch::Batch, ring::Ring},
    read::page::{self, PAGE_EVENTS_MAX},
    telemetry::LogMetrics,
};

/// How often the server is asked how it is set.
const SERVER_INTERVAL: Duration = Duration::from_secs(10);

/// How long the database may take to answer the feeder. What is not answered is asked again on another
/// connection: nothing may hold up the newest events for ever.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// The same for a page of events, which may have to come from a disk.
const PAGE_TIMEOUT: Duration = Duration::from_secs(20);

/// What a transaction has stored; nothing if it failed.
#[derive(Debug, Default)]
pub(crate) struct LocalCommit {
    pub(crate) drafts: Vec<Draft>,
    /// Indices of the drafts that were stored, in position order.
    pub(crate) fresh: Vec<usize>,
    /// The position of the first of them.
    pub(crate) first_position: u64,
    pub(crate) recorded_at: DateTime<Utc>,
}

impl LocalCommit {
    /// The last event that was stored; `None` if none was.
    fn mark(&self) -> Option<Mark> {
        let stored = self.fresh.len() as u64;
        (stored > 0).then(|| Mark {
            position: self.first_position + stored - 1,
            recorded_at: Some(self.recorded_at),
        })
    }
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

/// How appends pass on what was committed.
#[derive(Debug, Clone)]
pub(crate) struct Transfers {
    in_flight: Arc<InFlight>,
    commits: mpsc::Sender<LocalCommit>,
    history: Arc<History>,
}

impl Transfers {
    pub(crate) fn new(
        in_flight: Arc<InFlight>,
        commits: mpsc::Sender<LocalCommit>,
        history: Arc<History>,
    ) -> Self {
        Self {
            in_flight,
            commits,
            history,
        }
    }

    /// Whether there is a transaction that the feeder has not seen the end of.
    pub(crate) fn any(&self) -> bool {
        self.in_flight.any()
    }

    /// For one transaction, before it can be announced.
    pub(crate) fn begin(&self) -> Transfer {
        self.in_flight.begin();
        Transfer {
            to: self.clone(),
            commit: LocalCommit::default(),
        }
    }
}

/// Sends the feeder one message when it is dropped: what was committed, or nothing.
#[derive(Debug)]
pub(crate) struct Transfer {
    to: Transfers,
    commit: LocalCommit,
}

impl Transfer {
    pub(crate) fn finish(mut self, commit: LocalCommit) {
        if let Some(mark) = commit.mark() {
            self.to.history.advance(mark);
        }
        self.commit = commit;
    }
}

impl Drop for Transfer {
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
    /// The greatest position that a notification announced.
    pub(crate) announced: u64,
    /// The last event that the ring was given.
    pub(crate) tail: Mark,
    pub(crate) history: Arc<History>,
    pub(crate) rule: OnHistoryChange,
    /// When the server was last asked how it is set.
    pub(crate) server_read_at: Option<Instant>,
    pub(crate) metrics: Arc<LogMetrics>,
}

impl Feeder {
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut listener = self.listen().await;
        let mut listened_at = Instant::now();
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
                    // Perhaps another server answers from now on.
                    None => {
                        self.server_read_at = None;
                        self.look().await;
                    }
                },
                _ = poll.tick() => {
                    if listened_at.elapsed() >= SERVER_INTERVAL {
                        self.check_listener(&mut listener).await;
                        listened_at = Instant::now();
                    }
                    if listener.is_none() {
                        listener = self.listen().await;
                    }
                    self.look().await;
                }
            }
            if self.announced > self.ring.tail() && !self.in_flight.any() {
                self.catch_up_or_warn().await;
            }
        }
    }

    async fn listen(&self) -> Option<PgListener> {
        let options = self.pool.connect_options().as_ref().clone();
        let listening = async {
            let pool = connections::of_feeder(options);
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(&self.channel).await?;
            Ok::<_, sqlx::Error>(listener)
        };
        within(ANSWER_TIMEOUT, listening)
            .await
            .inspect_err(|error| warn!(%error, "cannot listen for appends; polling instead"))
            .ok()
    }

    /// Gives up a connection that does not answer. Nothing else is ever sent on it, so that a host that
    /// is gone would not be missed.
    async fn check_listener(&self, listener: &mut Option<PgListener>) {
        let Some(listening) = listener else { return };
        // To listen again changes nothing, and notifications that come meanwhile are kept.
        let listen = format!("listen \"{}\"", self.channel);
        let asking = sqlx::query(AssertSqlSafe(listen)).execute(listening);
        if let Err(error) = within(ANSWER_TIMEOUT, asking).await {
            warn!(%error, "the connection that listens for appends does not answer; listening anew");
            *listener = None;
        }
    }

    /// Looks at the database although nothing was announced.
    async fn look(&mut self) {
        if self
            .server_read_at
            .is_none_or(|at| at.elapsed() >= SERVER_INTERVAL)
        {
            match within(ANSWER_TIMEOUT, Server::read(&self.pool)).await {
                Ok(server) => {
                    self.history.saw_server(server);
                    self.server_read_at = Some(Instant::now());
                }
                Err(error) => debug!(%error, "cannot read the settings of the server"),
            }
        }
        self.catch_up_or_warn().await;
        let enforcing = self.history.enforce(&self.pool, self.rule);
        if let Err(error) = within(ANSWER_TIMEOUT, enforcing).await {
            warn!(%error, "cannot record that the log went back; trying again");
        }
    }

    async fn take(&mut self, commit: LocalCommit) {
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
            let mark = batch.mark();
            if self.ring.push(batch) {
                self.tail = mark;
            } else if mark.position > self.ring.tail() {
                self.catch_up_or_warn().await;
            }
        }
    }

    async fn catch_up_or_warn(&mut self) {
        match self.catch_up().await {
            Ok(()) => {}
            // Reported once, by whoever noticed.
            Err(LogError::Unverified(_)) => {}
            Err(error) => {
                warn!(%error, "cannot read the newest events; trying again shortly");
                if is_no_answer(&error) {
                    // The library tests a connection that is given back, without a bound: one that falls silent just
                    // then keeps the only place of its pool for as long as it is.
                    let options = self.pool.connect_options().as_ref().clone();
                    self.pool = connections::of_feeder(options);
                }
            }
        }
    }

    /// Reads what other processes appended.
    async fn catch_up(&mut self) -> Result<(), LogError> {
        let before = self.history.mark();
        let head = within(ANSWER_TIMEOUT, head::read(&self.pool)).await;
        self.metrics.saw_head(head.as_ref().ok());
        let head = head?;
        self.history.compare(before, head.view())?;
        while self.tail.position < head.last_position {
            let is_trimmed = self.tail.position < head.first_position;
            let after = self.tail.position.saturating_sub(u64::from(!is_trimmed));
            let looking = self.segments.window(&self.pool, after, PAGE_EVENTS_MAX);
            let window = within(ANSWER_TIMEOUT, looking).await?;
            let Some(window) = window else { return Ok(()) };
            let reading = page::batch(&self.pool, self.tail, is_trimmed, window);
            let batch = match within(PAGE_TIMEOUT, reading).await {
                // The followers that come to this place get the error, instead of waiting for ever.
                Err(error @ (LogError::Hole { .. } | LogError::Trimmed { .. })) => {
                    self.ring.restart(head.last_position);
                    self.tail = Mark::of_head(&head);
                    return Err(error);
                }
                Err(LogError::Unverified(change)) => return Err(self.history.change(change)),
                batch => batch?,
            };
            let Some(batch) = batch else { return Ok(()) };
            self.metrics.undeliverable.increment(batch.undeliverable);
            self.verify(&batch, &head).await?;
            let mark = batch.mark();
            if !self.ring.push(batch) {
                return Ok(());
            }
            self.tail = mark;
            self.history.advance(mark);
        }
        Ok(())
    }

    /// Compares a batch of the database with the newest event that this process knows, if that is in
    /// it. Pages are compared with the tail only, and what this process has stored since, perhaps
    /// after the head was read, may be gone.
    async fn verify(&self, batch: &Batch, head: &Head) -> Result<(), LogError> {
        let (known, last) = (self.history.mark(), batch.mark());
        let is_within = self.tail.position < known.position && known.position <= last.position;
        if !is_within || known == last || known.position < head.first_position {
            return Ok(());
        }
        let verifying = async {
            let mut connection = self.pool.acquire().await?;
            self.history
                .verify_mark(&mut connection, &self.segments, known, last.position)
                .await
        };
        within(ANSWER_TIMEOUT, verifying).await
    }
}

/// The position that the next notification announces; `None` if it is not known, because the
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

#[cfg(test)]
mod tests {
    use test_support::{TestDatabase, drafts};

    use super::*;
    use crate::{EventLog, LogConfig, Unverified};

    /// Another history that shares what the ring was given, but not what this process has stored since.
    #[tokio::test]
    async fn a_feeder_that_lags_does_not_take_another_history_for_its_own() {
        let database = TestDatabase::create().await;
        let pool = crate::connect(&database.url(), "log", 6).await.unwrap();
        let log = EventLog::open(pool.clone(), LogConfig::default(), None);
        let log = log.await.unwrap();
        log.append(drafts(0..4)).await.unwrap();
        let tail = Mark::of_head(&log.head().await.unwrap());
        let metrics = LogMetrics::new("log");
        log.append(drafts(4..10)).await.unwrap();
        let history = History::new(&log.head().await.unwrap(), Arc::clone(&metrics));
        log.close().await;
        let mut feeder = Feeder {
            pool: pool.clone(),
            channel: String::new(),
            ring: Arc::new(Ring::new(tail.position, 1_000_000)),
            segments: Arc::default(),
            in_flight: Arc::default(),
            poll_interval: SERVER_INTERVAL,
            commits: mpsc::channel(1).1,
            announced: 0,
            tail,
            history: Arc::clone(&history),
            rule: OnHistoryChange::Halt,
            server_read_at: None,
            metrics,
        };
        // As a failover does to a server that had only the first four, and then gets others.
        let replace = "update log.events set recorded_at = recorded_at + interval '1 s'
                       where position > 4;
                       update log.log_head set latest_recorded_at = latest_recorded_at + interval '1 s'";
        sqlx::raw_sql(replace).execute(&pool).await.unwrap();
        let other = EventLog::open(pool, LogConfig::default(), None).await;
        let other = other.unwrap();
        other.append(drafts(100..110)).await.unwrap();
        other.close().await;
        let taken = feeder.catch_up().await;
        assert!(
            matches!(
                taken,
                Err(LogError::Unverified(Unverified::WentBack {
                    position: 10,
                    ..
                }))
            ),
            "{taken:?}"
        );
        assert_eq!(feeder.ring.tail(), 4);
        assert!(history.check().is_err());
    }
}
