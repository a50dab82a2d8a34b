use std::{collections::HashSet, sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    ConsumerAdmin, ConsumerConfig, ConsumerError, ConsumerStatus, Handler, Source, database,
    processing::{processed, worker::Worker},
    source::lag::{self, SourceState},
};

const NAME_CHARS_MAX: usize = 100;
/// What subscriptions allow.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);
const HEARTBEAT_MAX: Duration = Duration::from_secs(3_600);

/// Consumes logs with exactly-once effects.
#[derive(Debug)]
pub struct Consumer {
    pool: PgPool,
    config: ConsumerConfig,
    sources: Arc<[Source]>,
    status: ConsumerStatus,
    wake: Arc<Notify>,
}

impl Consumer {
    /// Prepares to consume `sources`, and brings the consumer's tables to this version in the
    /// schema that `pool` connects to ([`event_log::connect`]), where the effects belong, too.
    ///
    /// # Errors
    /// [`ConsumerError::SameName`], [`ConsumerError::Configuration`] or
    /// [`ConsumerError::Migration`].
    pub async fn open(
        pool: PgPool,
        config: ConsumerConfig,
        sources: Vec<Source>,
    ) -> Result<Self, ConsumerError> {
        check(&config, &sources)?;
        database::migrate(&pool).await?;
        let state = |source| {
            let interval = config.heartbeat_interval;
            Arc::new(SourceState::new(source, &config.metrics_prefix, interval))
        };
        let status = ConsumerStatus {
            sources: sources.iter().map(state).collect(),
            clock: config.clock.clone(),
        };
        Ok(Self {
            pool,
            config,
            sources: sources.into(),
            status,
            wake: Arc::default(),
        })
    }

    /// Where the consumer stands, for as long as the process lives.
    pub fn status(&self) -> ConsumerStatus {
        self.status.clone()
    }

    /// What operators can do. It works through the database; this one also wakes the consumer, so
    /// that it reacts at once.
    pub fn admin(&self) -> ConsumerAdmin {
        ConsumerAdmin::waking(
            self.pool.clone(),
            self.config.service.clone(),
            Arc::clone(&self.wake),
        )
    }

    /// Hands events to `handler` until `shutdown`; the transaction that is under way then is ended
    /// first. A source or a database that is away is waited for. May be dropped at any moment:
    /// whatever was not committed is done again by the next run, here or elsewhere.
    ///
    /// # Errors
    /// [`ConsumerError::OtherLog`], [`ConsumerError::OutOfRange`], [`ConsumerError::Hole`],
    /// [`ConsumerError::Damaged`] or [`ConsumerError::Refused`]: a source cannot be consumed any
    /// further before somebody has decided what to do. All that came before is processed.
    pub async fn run<H: Handler>(
        self,
        handler: H,
        shutdown: CancellationToken,
    ) -> Result<(), ConsumerError> {
        let _sampling: Vec<_> = self
            .sources
            .iter()
            .zip(self.status.sources.iter())
            .map(|(source, state)| {
                let clock = self.config.clock.clone();
                let sampling = lag::sample(Arc::clone(state), source.origin.clone(), clock);
                AbortOnDropHandle::new(tokio::spawn(sampling))
            })
            .collect();
        let _pruning = AbortOnDropHandle::new(tokio::spawn(processed::prune_regularly(
            self.pool.clone(),
            self.config.clone(),
            Arc::clone(&self.sources),
        )));
        let worker = Worker::new(self.pool, self.config, handler, shutdown, self.wake);
        worker.run(&self.sources, &self.status).await
    }
}

fn check(config: &ConsumerConfig, sources: &[Source]) -> Result<(), ConsumerError> {
    let wrong = |problem: &str| Err(ConsumerError::Configuration(problem.to_owned()));
    if sources.is_empty() {
        return wrong("there is no source to consume");
    }
    if config.batch_events_max == 0 {
        return wrong("batch_events_max is 0; a batch has at least one event");
    }
    if !(HEARTBEAT_MIN..=HEARTBEAT_MAX).contains(&config.heartbeat_interval) {
        return wrong("heartbeat_interval is not between 100 ms and 1 hour");
    }
    if config.database_answer_max < Duration::from_secs(1) {
        return wrong("database_answer_max is less than a second");
    }
    if config.poll_interval.is_zero() {
        return wrong("poll_interval is zero");
    }
    let mut names = HashSet::new();
    for source in sources {
        if !names.insert(source.name()) {
            return Err(ConsumerError::SameName(source.name().to_owned()));
        }
    }
    names.insert(&config.service);
    let bad = |name: &&str| {
        let chars = name.chars().count();
        chars == 0 || chars > NAME_CHARS_MAX || name.contains('\0')
    };
    match names.iter().find(|name| bad(name)) {
        Some(name) => {
            let problem = format!(
                "\"{name}\" is no name for a service or a source: use 1 to {NAME_CHARS_MAX} \
                 characters"
            );
            Err(ConsumerError::Configuration(problem))
        }
        None => Ok(()),
    }
}
