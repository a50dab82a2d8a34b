use std::{error::Error, sync::Arc};

use atlas_events::{Event, EventType, Timestamp, event::Payload};
use chrono::{DateTime, SubsecRound, Utc};
use sqlx::PgConnection;

/// An error of any kind.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// An event, and where it came from.
#[derive(Debug, Clone)]
pub struct SourcedEvent {
    /// Name of the source.
    pub source: Arc<str>,
    /// The event, with its position in the log of the source.
    pub event: Event,
}

impl SourcedEvent {
    /// Why no handler can process it: it stands in for an event that could not be delivered.
    pub(crate) fn undeliverable(&self) -> Option<String> {
        match &self.event.payload {
            Some(Payload::Undeliverable(stand_in)) => {
                Some(format!("{}: {}", stand_in.reason, stand_in.message))
            }
            _ => None,
        }
    }

    /// Its position in the log of the source: 1, 2, 3, …
    pub fn position(&self) -> u64 {
        self.event.position
    }

    /// When it happened, in whole microseconds as databases keep it.
    pub fn occurred_at(&self) -> DateTime<Utc> {
        // The reader lets no event pass that has no time.
        let at = self.event.occurred_at.and_then(Timestamp::to_utc);
        at.unwrap_or(DateTime::UNIX_EPOCH).trunc_subsecs(6)
    }

    /// When the log stored it; `None` if the source did not say.
    pub fn recorded_at(&self) -> Option<DateTime<Utc>> {
        self.event.recorded_at.and_then(Timestamp::to_utc)
    }

    /// Name of its type, as filters spell it; `unknown` for one of a newer contract.
    pub(crate) fn event_type(&self) -> String {
        let known = self
            .event
            .payload
            .as_ref()
            .and_then(|payload| match payload {
                Payload::Undeliverable(stand_in) => {
                    Some(EventType::from_stored(&stand_in.event_type))
                }
                payload => EventType::of(payload),
            });
        known.map_or_else(|| "unknown".to_owned(), |known| known.as_str().to_owned())
    }
}

/// Why a handler could not process a batch.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// The same batch may succeed later: it is tried again, for as long as it takes.
    #[error("{0}")]
    Transient(#[source] BoxError),
    /// An event can never be processed: it is parked, and the rest of the batch goes on.
    #[error("{reason}")]
    Permanent {
        /// Index of the event in the batch. `None` if the handler does not know: the events of the
        /// batch are then handled one by one.
        event: Option<usize>,
        /// The part of the handler that failed, such as a pattern; `None` names the service.
        handler: Option<String>,
        /// Why, for the people who decide what becomes of the event.
        reason: String,
    },
}

impl HandlerError {
    /// The event at an index of the batch can never be processed.
    pub fn permanent(event: usize, reason: impl Into<String>) -> Self {
        Self::Permanent {
            event: Some(event),
            handler: None,
            reason: reason.into(),
        }
    }

    /// The batch may succeed later.
    pub fn transient(error: impl Into<BoxError>) -> Self {
        Self::Transient(error.into())
    }
}

/// The database found fault with the data: permanent, of an event to be found. All else passes.
impl From<sqlx::Error> for HandlerError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        // Data exceptions and violated constraints.
        if code.is_some_and(|code| code.starts_with("22") || code.starts_with("23")) {
            return Self::Permanent {
                event: None,
                handler: None,
                reason: error.to_string(),
            };
        }
        Self::Transient(error.into())
    }
}

/// An own log could not append: as [`event_log::LogError::is_transient`] says.
impl From<event_log::LogError> for HandlerError {
    fn from(error: event_log::LogError) -> Self {
        if error.is_transient() {
            return Self::Transient(error.into());
        }
        Self::Permanent {
            event: None,
            handler: None,
            reason: error.to_string(),
        }
    }
}

/// What a service does with events.
pub trait Handler: Send {
    /// Processes events of one source, in the order of their positions, each of which was never
    /// processed before. Effects written through `connection` commit together with the checkpoint,
    /// or not at all; the transaction is not to be ended here. At the end is the place for an append
    /// to the service's own log, which keeps others from appending until the commit.
    ///
    /// The session ends if nothing is said through `connection` for 5 seconds, as other instances wait
    /// for this transaction: what computes for longer is to send a statement now and then.
    ///
    /// An event that was parked and is retried comes alone, and out of order.
    ///
    /// # Errors
    /// [`HandlerError`]; everything written through `connection` is undone. A panic is caught and
    /// taken for a permanent error of an event to be found.
    fn handle(
        &mut self,
        connection: &mut PgConnection,
        events: &[SourcedEvent],
    ) -> impl Future<Output = Result<(), HandlerError>> + Send;

    /// The events of a batch of which it is plain, without looking at anything else, that they can never be
    /// processed: by their index, ascending, with the reason. They are parked together, and [`Handler::handle`] is given the
    /// others only, so that nothing has to be undone for them.
    fn unprocessable(&self, events: &[SourcedEvent]) -> Vec<(usize, String)> {
        let _ = events;
        Vec::new()
    }

    /// Makes what the handler keeps in memory agree with the database, read through `connection`.
    /// Called before the first batch, and before the next one after effects were undone or another
    /// instance of the service has written any. From this call on, nobody else writes effects until
    /// the batch behind it is committed, but for the call at the start, which is repeated if somebody
    /// did.
    ///
    /// # Errors
    /// Any error: it is called again later.
    fn reset(
        &mut self,
        connection: &mut PgConnection,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = connection;
        async { Ok(()) }
    }

    /// What the last successful [`Handler::handle`] wrote has been committed: the place for counting,
    /// so that what is undone and done again is not counted twice. A process that ends before is
    /// not notified; nor is one that lost its connection during the commit, even if it turns out to have
    /// succeeded.
    fn committed(&mut self) {}
}
