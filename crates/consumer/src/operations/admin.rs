//! What operators can do about a consumer: in the database, so that it works whether or not the
//! consumer runs.

use std::{sync::Arc, time::Duration};

use atlas_events::Violation;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use crate::{
    Checkpoint, ParkedFilter, ParkedPage, ParkedState, checkpoint, database,
    parked::{event, table},
};

/// How often outcomes that somebody waits for are looked at.
const OUTCOME_INTERVAL: Duration = Duration::from_millis(50);

/// Where to send a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// To the first event that occurred at or after a time, in whatever log the source is now. In the
    /// log of the checkpoint never beyond it, so that nothing is left out; in another log to the
    /// events of a day before that time, as it is not known there what was processed: what was stored
    /// later than a day after it occurred may be left out.
    Time(DateTime<Utc>),
    /// Behind a position of the log that the checkpoint names. What lies before is never processed.
    Position(u64),
    /// Behind a position of another log, to which the checkpoint belongs from then on.
    PositionIn {
        /// The log.
        log_id: Uuid,
        /// The position.
        position: u64,
    },
    /// On in a log that agrees with the one of the checkpoint up to a position: behind that, or behind
    /// the checkpoint's own position where this is before. Nothing is left out.
    ContinueIn {
        /// The log as it is now: with a new identity, or with the one that it had.
        log_id: Uuid,
        /// The last position that both have in common: where the log ended after it was restored.
        common_position: u64,
    },
    /// To the first event that the log keeps, in whatever log the source is now.
    Beginning,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// There is no such checkpoint.
    #[error("the service \"{service}\" has no checkpoint{}", of_source(.source_name.as_deref()))]
    NoCheckpoint {
        /// The service.
        service: String,
        /// The source, if one was named.
        source_name: Option<String>,
    },
    /// A position means nothing without a log, and none has been reached yet.
    #[error(
        "the checkpoint of a source names no log and position yet; reset it to a time, to the \
         beginning, or to a position together with its log"
    )]
    NoLog,
    /// What was asked for breaks a rule; the database was not asked.
    #[error(transparent)]
    Invalid(#[from] Violation),
    /// The database refused or failed; nothing was changed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

fn of_source(source: Option<&str>) -> String {
    source.map_or_else(String::new, |source| {
        format!(" for the source \"{source}\"")
    })
}

/// What became of retried events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retried {
    /// How many were handed to the consumer.
    pub marked: u64,
    /// Of these, how many were processed.
    pub resolved: u64,
    /// Of these, how many failed again.
    pub failed: u64,
}

/// Checkpoints and parked events of a service.
#[derive(Debug, Clone)]
pub struct ConsumerAdmin {
    pool: PgPool,
    service: String,
    wake: Option<Arc<Notify>>,
}

impl ConsumerAdmin {
    /// For the service of this name, whose tables are in the schema that `pool` connects to. Its
    /// consumer, if it runs, reacts within its poll interval.
    pub fn new(pool: PgPool, service: impl Into<String>) -> Self {
        let (service, wake) = (service.into(), None);
        Self {
            pool,
            service,
            wake,
        }
    }

    /// The same, after the tables were brought to this version: for a program that may be newer than
    /// the last consumer that ran.
    ///
    /// # Errors
    /// If a migration fails, or the database is of a newer version.
    pub async fn open(
        pool: PgPool,
        service: impl Into<String>,
    ) -> Result<Self, sqlx::migrate::MigrateError> {
        database::migrate(&pool).await?;
        Ok(Self::new(pool, service))
    }

    pub(crate) fn waking(pool: PgPool, service: String, wake: Arc<Notify>) -> Self {
        Self {
            pool,
            service,
            wake: Some(wake),
        }
    }

    fn wake(&self) {
        if let Some(wake) = &self.wake {
            wake.notify_one();
        }
    }

    /// Name of the service.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Where the service stands, by the name of the source.
    ///
    /// # Errors
    /// [`AdminError::Database`].
    pub async fn checkpoints(&self) -> Result<Vec<Checkpoint>, AdminError> {
        Ok(checkpoint::list(&self.pool, &self.service).await?)
    }

    /// Sends the consumer of `source` (`None`: of all) elsewhere, and ends its stop. Events whose effects
    /// are committed are skipped there.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed.
    pub async fn reset(&self, source: Option<&str>, to: Reset) -> Result<(), AdminError> {
        event::check_name("source", source.unwrap_or_default())?;
        let mut transaction = self.pool.begin().await?;
        let service = &self.service;
        let (found, without_log) = match to {
            Reset::Position(to) => {
                checkpoint::set_position(&mut transaction, service, source, None, to).await?
            }
            Reset::PositionIn { log_id, position } => {
                let log_id = Some(log_id);
                checkpoint::set_position(&mut transaction, service, source, log_id, position)
                    .await?
            }
            Reset::ContinueIn {
                log_id,
                common_position: to,
            } => checkpoint::continue_in(&mut transaction, service, source, log_id, to).await?,
            Reset::Time(time) => {
                let moved = checkpoint::seek(&mut transaction, service, source, Some(time)).await?;
                (moved, 0)
            }
            Reset::Beginning => {
                let moved = checkpoint::seek(&mut transaction, service, source, None).await?;
                (moved, 0)
            }
        };
        if found == 0 {
            return Err(AdminError::NoCheckpoint {
                service: self.service.clone(),
                source_name: source.map(str::to_owned),
            });
        }
        if without_log > 0 {
            return Err(AdminError::NoLog);
        }
        transaction.commit().await?;
        self.wake();
        Ok(())
    }

    /// A page of at most `count_max` parked events in the order of their numbers, after one of them
    /// (0: from the first on). It ends with the event that makes it larger than 2 MiB.
    ///
    /// # Errors
    /// [`AdminError::Invalid`], [`AdminError::Database`].
    pub async fn parked(
        &self,
        filter: &ParkedFilter,
        after_id: u64,
        count_max: u32,
    ) -> Result<ParkedPage, AdminError> {
        filter.check()?;
        let page = table::list(&self.pool, &self.service, filter, after_id, count_max);
        Ok(page.await?)
    }

    /// Has the running consumer process parked events once more, and waits at most `wait` for what
    /// becomes of them. Discarded ones are retried only if the filter names that state.
    ///
    /// # Errors
    /// [`AdminError::Invalid`], [`AdminError::Database`]; the events may be marked nevertheless.
    pub async fn retry(
        &self,
        filter: &ParkedFilter,
        wait: Duration,
    ) -> Result<Retried, AdminError> {
        filter.check()?;
        let deadline = Instant::now() + wait;
        let ids = table::mark_retrying(&self.pool, &self.service, filter).await?;
        self.wake();
        loop {
            let retried = self.outcome(&ids).await?;
            let is_done = retried.resolved + retried.failed == retried.marked;
            if is_done || Instant::now() >= deadline {
                return Ok(retried);
            }
            sleep_until(deadline.min(Instant::now() + OUTCOME_INTERVAL)).await;
        }
    }

    async fn outcome(&self, ids: &[u64]) -> Result<Retried, AdminError> {
        let states = table::states(&self.pool, ids).await?;
        let count = |wanted| states.iter().filter(|state| **state == wanted).count() as u64;
        Ok(Retried {
            marked: ids.len() as u64,
            resolved: count(ParkedState::Resolved),
            failed: count(ParkedState::Parked),
        })
    }

    /// Gives up events that are parked or retrying. Returns how many.
    ///
    /// # Errors
    /// [`AdminError::Invalid`], [`AdminError::Database`].
    pub async fn discard(&self, filter: &ParkedFilter) -> Result<u64, AdminError> {
        filter.check()?;
        let ids = table::discard(&self.pool, &self.service, filter).await?;
        Ok(ids.len() as u64)
    }
}
