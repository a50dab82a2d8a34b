//! The loop of a consumer: takes batches of its sources in turn, and looks after what operators
//! asked for.

use std::{sync::Arc, task::Poll, time::Duration};

use event_log::within;
use metrics::{Gauge, gauge};
use sqlx::PgPool;
use tokio::{sync::Notify, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use trace_context::Pace;
use tracing::{debug, info, warn};

use crate::{
    ConsumerConfig, ConsumerError, Handler, Source,
    checkpoint::{self, Checkpoint},
    parked::table,
    processing::{
        attempt::{self, Failure, Guarded},
        batch::Limits,
        session::Session,
        stopping::{halt, stop_of, stopped},
        trace,
    },
    source::{lag::ConsumerStatus, reader::ReaderSettings, running::Running},
};

/// Why the loop ends.
#[derive(Debug)]
pub(crate) enum Halt {
    Shutdown,
    Fatal(ConsumerError),
}

impl From<ConsumerError> for Halt {
    fn from(error: ConsumerError) -> Self {
        Self::Fatal(error)
    }
}

/// A running consumer.
pub(crate) struct Worker<H> {
    pub(crate) pool: PgPool,
    pub(crate) session: Session,
    pub(crate) config: ConsumerConfig,
    pub(crate) guarded: Guarded<H>,
    pub(crate) sources: Vec<Running>,
    pub(crate) shutdown: CancellationToken,
    wake: Arc<Notify>,
    parked: Gauge,
    /// While parked events are being retried: the number of the last one that was.
    pub(crate) retried_to: Option<u64>,
    /// How often spans are made that no trace asked for.
    pub(crate) pace: Pace,
}

impl<H: Handler> Worker<H> {
    pub(crate) fn new(
        pool: PgPool,
        config: ConsumerConfig,
        handler: H,
        shutdown: CancellationToken,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            pace: Pace::one_in(trace::INTERVAL),
            parked: gauge!(format!("{}_parked_events", config.metrics_prefix)),
            retried_to: None,
            session: Session::new(pool.clone(), config.database_answer_max),
            pool,
            config,
            guarded: Guarded::new(handler),
            sources: Vec::new(),
            shutdown,
            wake,
        }
    }

    /// Runs until shutdown, or until a source cannot be consumed any further.
    pub(crate) async fn run(
        mut self,
        sources: &[Source],
        status: &ConsumerStatus,
    ) -> Result<(), ConsumerError> {
        match self.work(sources, status).await {
            Halt::Shutdown => Ok(()),
            Halt::Fatal(error) => Err(error),
        }
    }

    async fn work(&mut self, sources: &[Source], status: &ConsumerStatus) -> Halt {
        let done = async {
            self.refuse_stopped(sources, status).await?;
            self.prepare().await?;
            self.start(sources, status).await?;
            self.consume().await
        };
        match done.await {
            Ok(never) => match never {},
            Err(halt) => halt,
        }
    }

    /// Has the handler build its memory.
    async fn prepare(&mut self) -> Result<(), Halt> {
        let mut failures = 0;
        while let Err(reason) = self.try_to_prepare().await {
            warn!(?reason, "cannot begin to consume yet; trying again");
            failures += 1;
            self.pause(failures).await?;
        }
        Ok(())
    }

    async fn try_to_prepare(&mut self) -> Result<(), Failure> {
        let mut taken = self.session.take().await?;
        let watch = taken.watch.clone();
        let mut transaction = attempt::begin(&mut taken).await?;
        let preparing = self.guarded.prepare(&mut transaction, &self.config.service);
        watch.over(preparing).await??;
        attempt::commit(transaction, &watch).await?;
        self.session.put_back(taken);
        Ok(())
    }

    /// Ends at once if this service has stopped before, also if that was in another process.
    async fn refuse_stopped(
        &self,
        sources: &[Source],
        status: &ConsumerStatus,
    ) -> Result<(), Halt> {
        let found = self.load_checkpoints().await?;
        for (source, state) in sources.iter().zip(status.sources.iter()) {
            if let Some(stopped) = stop_of(&found, source.name()) {
                return Err(halt(state, stopped));
            }
        }
        Ok(())
    }

    /// Starts reading all sources from their checkpoints.
    async fn start(&mut self, sources: &[Source], status: &ConsumerStatus) -> Result<(), Halt> {
        let mut failures = 0;
        let checkpoints = loop {
            let reading = self.first_checkpoints(sources);
            match within(self.config.database_answer_max, reading).await {
                Ok(checkpoints) => break checkpoints,
                Err(reason) => warn!(%reason, "cannot read the checkpoints; trying again"),
            }
            failures += 1;
            self.pause(failures).await?;
        };
        for (source, state) in sources.iter().zip(status.sources.iter()) {
            let mut checkpoints = checkpoints.iter();
            let checkpoint = checkpoints.find(|checkpoint| checkpoint.source == *source.name);
            if let Some(stopped) = checkpoint.and_then(stopped) {
                return Err(halt(state, stopped));
            }
            let running = Running::start(
                source.clone(),
                Arc::clone(state),
                checkpoint.cloned(),
                self.reader_settings(),
            );
            self.sources.push(running);
        }
        Ok(())
    }

    /// The checkpoints from which to start, moved back in time if that is configured.
    async fn first_checkpoints(&self, sources: &[Source]) -> Result<Vec<Checkpoint>, sqlx::Error> {
        let service = &self.config.service;
        let mut transaction = self.pool.begin().await?;
        let is_stopped = |found: &Checkpoint| found.stop.is_some();
        let found = checkpoint::list(&mut *transaction, service).await?;
        // A replay at each start must not end a stop.
        if found.iter().any(is_stopped) {
            return Ok(found);
        }
        if let Some(months) = self.config.backfill_months {
            let since = checkpoint::months_before(self.config.clock.now(), months);
            info!(%since, "replaying");
            for source in sources {
                let name = source.name();
                if !checkpoint::insert(&mut transaction, service, name, Some(since)).await? {
                    checkpoint::seek(&mut transaction, service, Some(name), Some(since)).await?;
                }
            }
        }
        let checkpoints = checkpoint::list(&mut *transaction, service).await?;
        transaction.commit().await?;
        Ok(checkpoints)
    }

    fn reader_settings(&self) -> ReaderSettings {
        ReaderSettings {
            service: self.config.service.clone(),
            heartbeat_interval: self.config.heartbeat_interval,
            backoff: self.config.reconnect_backoff.clone(),
            clock: self.config.clock.clone(),
        }
    }

    async fn consume(&mut self) -> Result<std::convert::Infallible, Halt> {
        let limits = Limits {
            events: self.config.batch_events_max,
            bytes: self.config.batch_bytes_max,
            wait: self.config.batch_wait,
        };
        let mut poll = tokio::time::interval(self.config.poll_interval);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turn = 0;
        // Batches and retries take turns, so that neither holds up the other.
        let mut retries_are_next = false;
        loop {
            let retrying = self.retried_to.is_some();
            let next = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Err(Halt::Shutdown),
                _ = poll.tick() => Next::LookAround,
                () = self.wake.notified() => Next::LookAround,
                () = std::future::ready(()), if retrying && retries_are_next => Next::Retry,
                index = next_ready(&mut self.sources, turn) => Next::Batch(index),
                () = std::future::ready(()), if retrying => Next::Retry,
            };
            match next {
                Next::LookAround => self.look_around().await?,
                Next::Retry => {
                    self.retry_some().await?;
                    retries_are_next = false;
                }
                Next::Batch(index) => {
                    turn = index + 1;
                    match self.sources[index].queue.next(limits).await {
                        Ok(Some(batch)) => self.process(index, batch).await?,
                        Ok(None) => {}
                        Err(error) => self.give_up(index, error).await?,
                    }
                    retries_are_next = true;
                }
            }
        }
    }

    /// Does what operators asked for in the database.
    async fn look_around(&mut self) -> Result<(), Halt> {
        match self.read_checkpoints().await {
            Ok(found) => {
                for source in &self.sources {
                    if let Some(stopped) = stop_of(&found, source.name()) {
                        return Err(halt(&source.state, stopped));
                    }
                }
                self.follow_moves(&found);
            }
            Err(reason) => {
                warn!(%reason, "cannot read the checkpoints");
                return Ok(());
            }
        }
        // Unless some are being retried already, which goes on.
        self.retried_to.get_or_insert(0);
        let counting = table::count_open(&self.pool, &self.config.service);
        match within(self.config.database_answer_max, counting).await {
            Ok(open) => self.parked.set(open as f64),
            Err(reason) => warn!(%reason, "cannot count the parked events"),
        }
        Ok(())
    }

    /// Follows the checkpoints that are elsewhere than this consumer left them.
    fn follow_moves(&mut self, found: &[Checkpoint]) {
        for index in 0..self.sources.len() {
            let source = &self.sources[index];
            let mut checkpoints = found.iter();
            let found = checkpoints.find(|checkpoint| checkpoint.source == source.name());
            if !checkpoint::agree(found, source.checkpoint.as_ref()) {
                self.follow(index, found.cloned(), 0);
            }
        }
    }

    /// Follows the checkpoint of a source to where it was moved, when what is in hand reaches up to a
    /// position: goes on behind it if another instance has done the work, or else starts the source
    /// anew from there.
    pub(crate) fn follow(&mut self, index: usize, found: Option<Checkpoint>, in_hand: u64) {
        let running = &mut self.sources[index];
        if let Some(found) = &found
            && running.go_on_behind(found, in_hand)
        {
            debug!(
                source = running.name(),
                position = found.position,
                "another instance committed first"
            );
            return;
        }
        info!(source = running.name(), "the checkpoint was moved");
        let (source, state) = (running.source.clone(), Arc::clone(&running.state));
        let settings = self.reader_settings();
        self.sources[index] = Running::start(source, state, found, settings);
    }

    /// The checkpoint of a source, however long the database takes to answer.
    pub(crate) async fn load_checkpoint(&self, index: usize) -> Result<Option<Checkpoint>, Halt> {
        let source = &self.sources[index];
        let found = self.load_checkpoints().await?;
        let found = found.into_iter().find(|c| c.source == source.name());
        match found.as_ref().and_then(stopped) {
            Some(stopped) => Err(halt(&source.state, stopped)),
            None => Ok(found),
        }
    }

    async fn load_checkpoints(&self) -> Result<Vec<Checkpoint>, Halt> {
        let mut failures = 0;
        loop {
            match self.read_checkpoints().await {
                Ok(found) => return Ok(found),
                Err(reason) => warn!(%reason, "cannot read the checkpoints; trying again"),
            }
            failures += 1;
            self.pause(failures).await?;
        }
    }

    async fn read_checkpoints(&self) -> Result<Vec<Checkpoint>, sqlx::Error> {
        let reading = checkpoint::list(&self.pool, &self.config.service);
        within(self.config.database_answer_max, reading).await
    }

    /// Waits before the next attempt; ends with the shutdown.
    pub(crate) async fn pause(&self, failures: u64) -> Result<(), Halt> {
        let failures = u32::try_from(failures).unwrap_or(u32::MAX);
        let pause: Duration = self.config.retry_backoff.pause(failures);
        let slept = self.shutdown.run_until_cancelled(tokio::time::sleep(pause));
        slept.await.ok_or(Halt::Shutdown)
    }
}

/// What there is to do.
enum Next {
    LookAround,
    Retry,
    /// Of a source.
    Batch(usize),
}

/// The next source, from a place on, of which a batch can be made.
async fn next_ready(sources: &mut [Running], from: usize) -> usize {
    std::future::poll_fn(|context| {
        let count = sources.len();
        for offset in 0..count {
            let index = (from + offset) % count;
            if sources[index].queue.poll_ready(context) {
                return Poll::Ready(index);
            }
        }
        Poll::Pending
    })
    .await
}
