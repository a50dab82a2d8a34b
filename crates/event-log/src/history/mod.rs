//! The relation of a process to the database that holds its log.
//!
//! A database can be restored to an earlier state, replaced by a replica that lacked the newest
//! commits, set to lose commits, or cut off, all while processes have the log open. One component
//! watches for that. Nothing is acknowledged, delivered or called caught-up that it does not vouch
//! for.
//!
//! The proof is in the content: an event is recognised by its position and the time it was stored
//! ([`Mark`]). Every look at the head, and every append under its lock, compares the database with
//! the newest event that this process has seen there. Where the head is behind it, or another event
//! is in its place, the log went back. That state is final for the process and is written into the
//! head row, so that no other process appends either, also after a restart.

mod contact;
mod halt;
mod mark;
mod server;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{PgConnection, PgPool};
use tokio::{sync::watch, time::Instant};
use tracing::error;
use uuid::Uuid;

use crate::{
    LogError,
    head::{Head, HeadView, segments::SegmentIndex},
    telemetry::LogMetrics,
};

pub(crate) use contact::watch_contact;
pub(crate) use mark::Mark;
pub(crate) use server::Server;

/// Without contact to the database for this long, a process claims nothing about the end of the log.
const FRESH: Duration = Duration::from_secs(3);

/// Why a process does not vouch for its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// The database was restored to an earlier state: events are missing that were acknowledged or
    /// delivered, and their positions may have been given to others. An operator has to decide; see
    /// [`crate::EventLog::renew_identity`].
    #[error(
        "the log went back: the event at position {position} is no longer in the database, which \
         ends at {last_position}; nothing is appended or delivered until an operator runs \
         new-log-id, which gives the log a new identity"
    )]
    WentBack {
        /// The last position that was known.
        position: u64,
        /// The last position that the database holds.
        last_position: u64,
    },
    /// The log was given a new identity; the process has to open it again.
    #[error("the log was replaced: its identity is {log_id} now")]
    Replaced {
        /// The new identity.
        log_id: Uuid,
    },
    /// The database has not been heard of for too long.
    #[error("the database has not answered for {seconds} s")]
    OutOfContact {
        /// For how long.
        seconds: u64,
    },
    /// The server is set so that it may lose what it has committed.
    #[error("the database may lose commits: {setting} is off")]
    NotDurable {
        /// The setting at fault.
        setting: &'static str,
    },
}

/// What is known of the log's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Intact,
    /// Passes once the database is heard of again.
    OutOfContact {
        seconds: u64,
    },
    /// Final: [`Unverified::WentBack`] or [`Unverified::Replaced`].
    Changed(Unverified),
}

/// Watches the relation to the database; see the module.
#[derive(Debug)]
pub(crate) struct History {
    log_id: Uuid,
    state: watch::Sender<State>,
    // Std mutexes: held for a few instructions, never across an await.
    mark: Mutex<Mark>,
    heard_at: Mutex<Instant>,
    server: Mutex<Option<Server>>,
    metrics: Arc<LogMetrics>,
}

impl History {
    /// Of a log that was read just now.
    pub(crate) fn new(head: &Head, metrics: Arc<LogMetrics>) -> Arc<Self> {
        let history = Self {
            log_id: head.log_id,
            state: watch::Sender::new(State::Intact),
            mark: Mutex::new(Mark::of_head(head)),
            heard_at: Mutex::new(Instant::now()),
            server: Mutex::default(),
            metrics,
        };
        if let Some(position) = head.halted_after {
            history.change(Unverified::WentBack {
                position,
                last_position: head.last_position,
            });
        }
        history
            .metrics
            .history_intact
            .set(f64::from(u8::from(head.halted_after.is_none())));
        Arc::new(history)
    }

    /// The newest event that this process has seen in the database.
    pub(crate) fn mark(&self) -> Mark {
        *lock(&self.mark)
    }

    /// An event was seen in the database, or stored there.
    pub(crate) fn advance(&self, to: Mark) {
        let mut mark = lock(&self.mark);
        if to.position > mark.position {
            *mark = to;
        }
        drop(mark);
        self.heard();
    }

    fn heard(&self) {
        *lock(&self.heard_at) = Instant::now();
        self.state.send_if_modified(|state| {
            let back = matches!(state, State::OutOfContact { .. });
            if back {
                *state = State::Intact;
            }
            back
        });
    }

    /// How long ago the database was last heard of.
    pub(crate) fn silence(&self) -> Duration {
        lock(&self.heard_at).elapsed()
    }

    /// Whether what this process knows of the end of the log is fresh.
    pub(crate) fn is_fresh(&self) -> bool {
        self.silence() <= FRESH && *self.state.borrow() == State::Intact
    }

    /// Whether the log may be read and delivered.
    ///
    /// # Errors
    /// [`LogError::Unverified`].
    pub(crate) fn check(&self) -> Result<(), LogError> {
        match *self.state.borrow() {
            State::Intact => Ok(()),
            State::OutOfContact { seconds } => Err(Unverified::OutOfContact { seconds }.into()),
            State::Changed(change) => Err(change.into()),
        }
    }

    /// Whether events may be appended. A process out of contact may try: the database answers, or
    /// does not.
    ///
    /// # Errors
    /// [`LogError::Unverified`].
    pub(crate) fn check_append(&self) -> Result<(), LogError> {
        if let State::Changed(change) = *self.state.borrow() {
            return Err(change.into());
        }
        match lock(&self.server).as_ref().and_then(Server::unsafe_setting) {
            Some(setting) => Err(Unverified::NotDurable { setting }.into()),
            None => Ok(()),
        }
    }

    /// Resolves once the log may no longer be read. May be dropped and called again.
    pub(crate) async fn unverified(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as `self`.
        let _ = state.wait_for(|state| *state != State::Intact).await;
    }

    /// Resolves once the log was given a new identity, and returns it. May be dropped and called
    /// again.
    pub(crate) async fn replaced(&self) -> Uuid {
        let mut state = self.state.subscribe();
        loop {
            if let State::Changed(Unverified::Replaced { log_id }) = *state.borrow_and_update() {
                return log_id;
            }
            if state.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Compares a head that was read after `before` was the mark. `false`: the head is beyond the
    /// mark, and [`History::verify`] has to look at the event there.
    ///
    /// # Errors
    /// [`LogError::Unverified`] if the history has changed.
    pub(crate) fn compare(&self, before: Mark, head: HeadView) -> Result<bool, LogError> {
        let went_back = |position| Unverified::WentBack {
            position,
            last_position: head.last_position,
        };
        if head.log_id != self.log_id {
            return Err(self.change(Unverified::Replaced {
                log_id: head.log_id,
            }));
        }
        if let Some(position) = head.halted_after {
            return Err(self.change(went_back(position)));
        }
        let same = head.last_position == before.position;
        if head.last_position < before.position && head.in_recovery {
            // It may come yet: a replica lags, a server replays. Only what can be written to has a history
            // of its own; until then this is no contact.
            let seconds = self.silence().as_secs();
            return Err(Unverified::OutOfContact { seconds }.into());
        }
        if head.last_position < before.position || same && head.recorded_at != before.recorded_at {
            return Err(self.change(went_back(before.position)));
        }
        if same {
            self.heard();
        }
        Ok(same || before.position == 0)
    }

    /// As [`History::compare`], with a look at the event at the mark where that is needed.
    ///
    /// # Errors
    /// [`LogError::Unverified`] or [`LogError::Database`].
    pub(crate) async fn verify(
        &self,
        connection: &mut PgConnection,
        segments: &SegmentIndex,
        before: Mark,
        head: HeadView,
    ) -> Result<(), LogError> {
        let is_trimmed = before.position < head.first_position;
        if !self.compare(before, head)? && !is_trimmed {
            self.verify_mark(connection, segments, before, head.last_position)
                .await?;
        }
        self.heard();
        Ok(())
    }

    /// Looks whether the database has the event at a mark, which is not beyond `last_position`.
    ///
    /// # Errors
    /// [`LogError::Unverified`] or [`LogError::Database`].
    pub(crate) async fn verify_mark(
        &self,
        connection: &mut PgConnection,
        segments: &SegmentIndex,
        mark: Mark,
        last_position: u64,
    ) -> Result<(), LogError> {
        let found = mark::recorded_at(connection, segments, mark.position).await?;
        if found == mark.recorded_at {
            return Ok(());
        }
        Err(self.change(Unverified::WentBack {
            position: mark.position,
            last_position,
        }))
    }

    /// Notes that the history has changed, and reports it once.
    pub(crate) fn change(&self, change: Unverified) -> LogError {
        let noticed = self.state.send_if_modified(|state| match state {
            State::Intact | State::OutOfContact { .. } => {
                *state = State::Changed(change);
                true
            }
            // An operator has decided.
            State::Changed(Unverified::WentBack { .. })
                if matches!(change, Unverified::Replaced { .. }) =>
            {
                *state = State::Changed(change);
                true
            }
            State::Changed(_) => false,
        });
        if noticed {
            self.metrics.history_intact.set(0.0);
            error!(log_id = %self.log_id, "{change}");
        }
        change.into()
    }

    /// Takes note of how the server is set.
    pub(crate) fn saw_server(&self, found: Server) {
        let mut server = lock(&self.server);
        found.log_changes(server.as_ref());
        self.metrics
            .durable
            .set(f64::from(u8::from(found.unsafe_setting().is_none())));
        *server = Some(found);
    }

    /// Writes a halt into the head row, or gives the log a new identity, as the rule says; does
    /// nothing while the history is intact, or where the database has the newest known event: the log
    /// that this process knows may be there again, whatever stood at the address before.
    ///
    /// # Errors
    /// [`LogError::Database`]; to be tried again.
    pub(crate) async fn enforce(
        &self,
        pool: &PgPool,
        rule: OnHistoryChange,
    ) -> Result<(), LogError> {
        let State::Changed(Unverified::WentBack { position, .. }) = *self.state.borrow() else {
            return Ok(());
        };
        let mark = self.mark();
        match rule {
            OnHistoryChange::Halt => halt::write(pool, self.log_id, position, mark).await,
            OnHistoryChange::NewLogId => halt::renew(pool, self.log_id, mark).await,
        }
    }
}

/// What to do once a log went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnHistoryChange {
    /// Append and deliver nothing until an operator gives the log a new identity.
    #[default]
    Halt,
    /// Give it a new identity at once: consumers stop, publishers go on.
    NewLogId,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
