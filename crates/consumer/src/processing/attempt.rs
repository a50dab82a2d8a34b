//! One transaction: it takes its turn, the checkpoint moves, the events are recorded as processed, the
//! handler writes its effects, all of it commits.

use std::{borrow::Cow, collections::HashSet, fmt, panic::AssertUnwindSafe};

use futures::FutureExt;
use sqlx::{Connection, PgConnection, PgTransaction, raw_sql};
use tracing::Instrument;

use crate::{
    BoxError, Handler, HandlerError, SourcedEvent,
    checkpoint::{self, Checkpoint},
    parked::table,
    processing::{
        batch::Batch,
        claim::{self, Claimed, SourceContext},
        session::{Session, SessionConnection, Watch},
        turn::{self, Turn},
    },
};

/// Plans may be kept here, unlike elsewhere on a connection that knows a log: what a batch needs are
/// keys and rows to add, for which one plan is as good as another, and planning costs the database
/// more than doing them.
///
/// A process that is frozen or cut off says nothing more and closes nothing: the server then ends its
/// session after some seconds, so that the locks of its turn are free for another instance.
const BEGIN: &str = "begin; set local plan_cache_mode = auto; \
                                set local idle_in_transaction_session_timeout = '5s'";
/// The server answers the commit of a transaction that is broken with a silent rollback. A handler
/// may have broken it without an error: a statement fails then, and the commit behind it is not
/// looked at.
const COMMIT: &str = "select; commit";

/// A handler, and which effects its memory knows.
pub(crate) struct Guarded<H> {
    pub(crate) handler: H,
    /// All up to this turn and no others; `None`: some of which it is not known whether they are
    /// committed.
    memory_of: Option<Turn>,
}

/// Why a transaction did not commit, for all that is known.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The checkpoint is not where this consumer left it: an operator or another instance has moved
    /// it.
    Moved,
    /// The handler cannot process the batch as it is.
    Permanent {
        /// Position of the event at fault, if known.
        position: Option<u64>,
        handler: Option<String>,
        reason: String,
    },
    /// It may succeed later.
    Transient(BoxError),
    /// The connection was lost during the commit: it may have succeeded.
    Unknown(sqlx::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved => f.write_str("the checkpoint was moved"),
            Self::Permanent { reason, .. } => f.write_str(reason),
            Self::Transient(reason) => write!(f, "{reason}"),
            Self::Unknown(reason) => write!(f, "the outcome of the commit is unknown: {reason}"),
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Transient(error.into())
    }
}

/// What a committed transaction did.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) turn: Turn,
    pub(crate) checkpoint: Checkpoint,
    /// Events that had been processed before.
    pub(crate) skipped: usize,
    /// Whether the handler took part.
    pub(crate) handled: bool,
}

/// Processes a batch in one transaction.
pub(crate) async fn attempt<H: Handler>(
    session: &mut Session,
    guarded: &mut Guarded<H>,
    context: SourceContext<'_>,
    batch: &Batch,
) -> Result<Committed, Failure> {
    // Not in the session until its state is known again: dropped here, it goes to the pool, which
    // rolls back what it finds open.
    let mut taken = session.take().await?;
    let watch = taken.watch.clone();
    let mut transaction = begin(&mut taken).await?;
    let work = within(&mut transaction, guarded, context, batch);
    match watch.over(work).await? {
        Ok(committed) => {
            commit(transaction, &watch)
                .instrument(trace_context::commit())
                .await?;
            session.put_back(taken);
            guarded.end(committed.turn, committed.handled);
            Ok(committed)
        }
        Err(failure) => {
            // Now rather than when the connection is used next: others wait for the locks.
            let rolled_back = watch.over(transaction.rollback()).await;
            if matches!(rolled_back, Ok(Ok(()))) {
                session.put_back(taken);
            }
            Err(failure)
        }
    }
}

/// Begins a transaction in which a handler works.
pub(crate) async fn begin(taken: &mut SessionConnection) -> Result<PgTransaction<'_>, sqlx::Error> {
    let watch = taken.watch.clone();
    watch.over(taken.connection.begin_with(BEGIN)).await?
}

/// Commits what a handler has done.
///
/// # Errors
/// [`Failure::Transient`] if it is certain that nothing is committed, or [`Failure::Unknown`].
pub(crate) async fn commit(
    mut transaction: PgTransaction<'_>,
    watch: &Watch,
) -> Result<(), Failure> {
    let committing = raw_sql(COMMIT).execute(&mut *transaction);
    match watch.over(committing).await.flatten() {
        // The library has not noticed. The rollback with which it ends what is dropped goes out with
        // the next statement, and finds nothing to undo.
        Ok(_) => Ok(()),
        Err(error) if is_broken(&error) => Err(error.into()),
        // Even an answer from the server is no proof: it may be that of a session which was
        // terminated right after its commit.
        Err(error) => Err(Failure::Unknown(error)),
    }
}

/// The server has refused a statement because an earlier one of the transaction has failed (SQLSTATE
/// 25P02).
fn is_broken(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "25P02")
}

async fn within<H: Handler>(
    connection: &mut PgConnection,
    guarded: &mut Guarded<H>,
    context: SourceContext<'_>,
    batch: &Batch,
) -> Result<Committed, Failure> {
    let Claimed {
        turn,
        checkpoint,
        known,
    } = claim(connection, context, batch).await?;
    let fresh = without(&batch.events, &known);
    let handled = !fresh.is_empty();
    if handled {
        guarded.handle(connection, turn, &fresh).await?;
    }
    for parking in &batch.parking {
        if !known.contains(&parking.event.position()) {
            table::park(connection, context.service, parking).await?;
        }
    }
    Ok(Committed {
        turn,
        checkpoint,
        skipped: known.len(),
        handled,
    })
}

/// Moves the checkpoint, if it is where it was left, and records the events as processed.
async fn claim(
    connection: &mut PgConnection,
    context: SourceContext<'_>,
    batch: &Batch,
) -> Result<Claimed, Failure> {
    if context.checkpoint.is_none()
        && !checkpoint::insert(connection, context.service, context.source, None).await?
    {
        return Err(Failure::Moved);
    }
    let parked = batch.parking.iter().map(|parking| &parking.event);
    let events = parked.chain(&batch.events);
    let claimed = claim::claim(connection, context, &batch.advance, events).await?;
    claimed.ok_or(Failure::Moved)
}

fn without<'a>(events: &'a [SourcedEvent], known: &HashSet<u64>) -> Cow<'a, [SourcedEvent]> {
    if known.is_empty() {
        return Cow::Borrowed(events);
    }
    let fresh = events
        .iter()
        .filter(|event| !known.contains(&event.position()));
    Cow::Owned(fresh.cloned().collect())
}

impl<H: Handler> Guarded<H> {
    pub(crate) fn new(handler: H) -> Self {
        let memory_of = None;
        Self { handler, memory_of }
    }

    /// Has the handler build its memory before there is anything to handle.
    pub(crate) async fn prepare(
        &mut self,
        connection: &mut PgConnection,
        service: &str,
    ) -> Result<(), Failure> {
        // Read first: what others commit from here on is of a later turn, known to it or not.
        let last = turn::last(&mut *connection, service).await?;
        self.reset(connection).await?;
        self.memory_of = Some(last);
        Ok(())
    }

    /// The events that the handler can never process.
    pub(crate) fn unprocessable(&self, events: &[SourcedEvent]) -> Vec<(usize, String)> {
        let found = AssertUnwindSafe(|| self.handler.unprocessable(events));
        // Whatever makes it panic is found again when the events are handled.
        std::panic::catch_unwind(found).unwrap_or_default()
    }

    /// Has the handler process events in a turn, after making its memory agree with the database if
    /// need be.
    pub(crate) async fn handle(
        &mut self,
        connection: &mut PgConnection,
        turn: Turn,
        events: &[SourcedEvent],
    ) -> Result<(), Failure> {
        // Until the commit is known, its memory is ahead of the database.
        if self.memory_of.take() != Some(turn.before()) {
            self.reset(connection).await?;
        }
        let handled = AssertUnwindSafe(self.handler.handle(connection, events));
        let error = match handled.catch_unwind().await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(panic) => {
                return Err(Failure::Permanent {
                    position: None,
                    handler: None,
                    reason: format!("the handler panicked: {}", panic_message(&*panic)),
                });
            }
        };
        Err(match error {
            HandlerError::Transient(error) => Failure::Transient(error),
            HandlerError::Permanent {
                event,
                handler,
                reason,
            } => Failure::Permanent {
                // An index that no event has is treated as a missing one.
                position: event
                    .and_then(|index| events.get(index))
                    .map(SourcedEvent::position),
                handler,
                reason,
            },
        })
    }

    /// A turn is committed, in which the handler took part or not.
    pub(crate) fn end(&mut self, turn: Turn, handled: bool) {
        // Where it did not, there is nothing that it does not know and did not lack before.
        if handled || self.memory_of == Some(turn.before()) {
            self.memory_of = Some(turn);
        }
    }

    /// Makes the handler's memory agree with the database.
    async fn reset(&mut self, connection: &mut PgConnection) -> Result<(), Failure> {
        let reset = AssertUnwindSafe(self.handler.reset(connection));
        match reset.catch_unwind().await {
            Ok(done) => done.map_err(Failure::Transient),
            Err(panic) => {
                let message = panic_message(&*panic);
                let reason = format!("the handler panicked while it was reset: {message}");
                Err(Failure::Transient(reason.into()))
            }
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
