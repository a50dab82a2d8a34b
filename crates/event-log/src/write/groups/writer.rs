//! The transactions of the appender, on connections of its own.

use std::{mem, sync::Arc, time::Duration};

use atlas_events::Draft;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row, postgres::PgConnectOptions, raw_sql};
use tokio::time::{Instant, timeout};
use tracing::{Instrument, debug};

use crate::{
    LogError, Projection,
    database::{
        self, Deadline,
        outcome::{
            IDLE_PATIENCE, before_commit, is_deadlock, is_no_answer, outcome_of_commit, rollback,
            unless_answered,
        },
    },
    head::{HeadState, segments::SegmentIndex},
    history::History,
    telemetry::LogMetrics,
    write::{
        appended::Appended,
        rows::proxy_socket::{CopyPath, ProxySocket},
        sequencing::{
            locked::{self, HistoryCheck},
            sequencer::Sequencer,
            small,
            speculative::SpeculativeAppend,
        },
    },
};

/// From so many events on COPY is the faster way, although it is some round trips more.
pub(crate) const COPY_EVENTS_MIN: usize = 32;
/// A connection that was idle for longer may have been closed meanwhile. Whoever commits along with
/// the first statement on it could not know the outcome; whoever only begins can.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// What others may wait for waits for locks no longer than so; see [`crate::write::sequencing::speculative`].
const BEGIN_SPECULATIVE: &str = "begin; set local lock_timeout = '1s'; select clock_timestamp()";
/// How often a group is stored that the database undid to end a deadlock: with rows that another
/// process has [ahead](crate::write::sequencing::speculative), of the same events.
const ATTEMPTS_MAX: usize = 3;

/// Stores groups of drafts, one transaction each.
pub(crate) struct Writer {
    options: PgConnectOptions,
    pub(crate) channel: String,
    pub(crate) projection: Option<Arc<dyn Projection>>,
    pub(crate) history: Arc<History>,
    segments: Arc<SegmentIndex>,
    metrics: Arc<LogMetrics>,
    /// Connections of its own, so that appending never waits for a reader to return one. This one is
    /// for few events.
    direct: Option<PgConnection>,
    /// Idle ones for transactions; several are in use while groups are stored ahead.
    idle: Vec<PgConnection>,
    /// Cleared once it turns out that COPY would have to wait.
    may_copy: bool,
    sequencer: Sequencer,
    used: Instant,
}

impl Writer {
    pub(crate) fn new(
        options: PgConnectOptions,
        channel: String,
        projection: Option<Arc<dyn Projection>>,
        (history, segments): (Arc<History>, Arc<SegmentIndex>),
        metrics: Arc<LogMetrics>,
    ) -> Self {
        Self {
            options,
            channel,
            projection,
            history,
            segments,
            metrics,
            direct: None,
            idle: Vec::new(),
            may_copy: true,
            sequencer: Sequencer::Unknown,
            used: Instant::now(),
        }
    }

    /// Stores drafts, whose rows are given too, in one transaction. Nothing else may be prepared.
    ///
    /// While it is under way its connection is not in `self`: one that is left halfway, or whose
    /// state is unknown after an error, is closed and with it the transaction undone.
    ///
    /// # Errors
    /// [`LogError::OutcomeUnknown`] if they may or may not be stored; after any other error they
    /// are certainly not.
    pub(crate) async fn append(
        &mut self,
        drafts: &[Draft],
        rows: &[&[u8]],
        deadline: Deadline,
    ) -> Result<Appended, LogError> {
        let before = self.sequencer.take();
        let mut attempts = 1..=ATTEMPTS_MAX;
        let appended = loop {
            attempts.next();
            match self.append_locked(drafts, rows, deadline).await {
                Err(LogError::Database(error)) if is_deadlock(&error) && !attempts.is_empty() => {
                    debug!(%error, "appending again");
                }
                Err(error) if is_no_answer(&error) => {
                    self.lost();
                    return Err(error);
                }
                ended => break ended?,
            }
        };
        self.sequencer = before.after(drafts, &appended);
        Ok(appended)
    }

    /// Stores drafts in one transaction that holds the head from its beginning.
    async fn append_locked(
        &mut self,
        drafts: &[Draft],
        rows: &[&[u8]],
        deadline: Deadline,
    ) -> Result<Appended, LogError> {
        let mut connection = deadline.bound(self.begin()).await?;
        let rows = (self.may_copy && drafts.len() >= COPY_EVENTS_MIN).then_some(rows);
        let projection = self.projection.as_deref();
        let check = HistoryCheck {
            history: &self.history,
            segments: &self.segments,
        };
        let channel = self.channel.as_str();
        let appending = locked::append(&mut connection, drafts, rows, channel, projection, check);
        let appended = deadline.bound(appending).await?;
        let events = appended.fresh.len();
        self.commit(&mut connection, events, deadline).await?;
        self.idle.push(connection);
        Ok(appended)
    }

    async fn commit(
        &self,
        connection: &mut PgConnection,
        events: usize,
        deadline: Deadline,
    ) -> Result<(), LogError> {
        let committing = Instant::now();
        let commit = raw_sql("commit").execute(connection);
        deadline
            .bound(commit.instrument(trace_context::commit()))
            .await
            .map_err(outcome_of_commit)?;
        self.metrics.commit_seconds.record(committing.elapsed());
        if let Some(projection) = &self.projection {
            projection.committed(events);
        }
        Ok(())
    }

    /// Begins to store drafts behind the groups that are being stored; `None` if that cannot be, so
    /// that they are to be appended once those are.
    pub(crate) async fn prepare(
        &mut self,
        drafts: &[Draft],
        deadline: Deadline,
    ) -> Option<SpeculativeAppend> {
        if drafts.len() < COPY_EVENTS_MIN {
            return None;
        }
        let attempt = deadline.halfway();
        let from = self.admit(drafts, attempt).await?;
        match attempt.bound(self.begin_speculative()).await {
            Ok(begun) if self.may_copy => {
                let ahead = SpeculativeAppend::new(begun, drafts, from);
                self.sequencer.moved_to(ahead.to());
                Some(ahead)
            }
            Ok(_) => {
                self.sequencer = Sequencer::Unknown;
                None
            }
            Err(error) => {
                debug!(%error, "a fast append failed; storing the group in the ordinary way");
                self.sequencer = Sequencer::Unknown;
                None
            }
        }
    }

    /// Takes back the connection of a group that was prepared and committed.
    pub(crate) fn finished(&mut self, connection: PgConnection) {
        self.idle.push(connection);
    }

    /// Takes back what is left of one that was not; all that was prepared behind it is to be undone.
    pub(crate) fn unfinished(&mut self, connection: Option<PgConnection>) {
        match connection {
            Some(connection) => self.idle.push(connection),
            // What befell it may have befallen those beside it.
            None => self.idle.clear(),
        }
        self.sequencer = Sequencer::Unknown;
    }

    /// The database does not answer: nothing is known, no connection is trusted any more, and whoever
    /// else has stopped while the head was locked is ended.
    fn lost(&mut self) {
        self.sequencer = Sequencer::Unknown;
        self.direct = None;
        self.idle.clear();
        let options = self.options.clone();
        tokio::spawn(async move { database::end_stalled(&options).await });
    }

    /// Stores a few drafts in one statement, where no other process is likely to have moved the head
    /// and their ids are known to be new; `None` if that cannot be.
    pub(crate) async fn append_few(
        &mut self,
        drafts: &[Draft],
        deadline: Deadline,
    ) -> Result<Option<Appended>, LogError> {
        // Nothing to store must not move the head: its time is that of the event at its position.
        if drafts.is_empty() || drafts.len() >= COPY_EVENTS_MIN {
            return Ok(None);
        }
        let Some(state) = self.admit(drafts, deadline.halfway()).await else {
            return Ok(None);
        };
        let mut sequencer = self.sequencer.take();
        let stored = self.append_few_behind(&state, drafts, deadline).await;
        let stored = stored.inspect_err(|error| {
            if is_no_answer(error) {
                self.lost();
            }
        })?;
        if let Some(appended) = &stored {
            sequencer.moved_to(appended.left);
            self.sequencer = sequencer;
        }
        Ok(stored)
    }

    async fn append_few_behind(
        &mut self,
        state: &HeadState,
        drafts: &[Draft],
        deadline: Deadline,
    ) -> Result<Option<Appended>, LogError> {
        let is_idle = mem::replace(&mut self.used, Instant::now()).elapsed() > IDLE_MAX;
        let in_transaction = is_idle || self.projection.is_some();
        let mut connection = deadline.bound(self.direct(in_transaction)).await?;
        let started = Instant::now();
        let storing = small::append(&mut connection, drafts, state, &self.channel);
        let stored = match in_transaction {
            true => deadline.bound(storing).await.map_err(before_commit)?,
            false => {
                let committing = storing.instrument(trace_context::commit());
                deadline.bound(committing).await.map_err(unless_answered)?
            }
        };
        let Some(appended) = stored else {
            // Where none was begun there is nothing to undo, and the server would write a warning.
            self.direct = match in_transaction {
                true => rollback(connection).await,
                false => Some(connection),
            };
            return Ok(None);
        };
        if let Some(projection) = &self.projection {
            let numbered: Vec<_> = (appended.first_position..).zip(drafts).collect();
            let applying = projection.apply(&mut connection, &numbered);
            deadline.bound(applying).await?;
        }
        match in_transaction {
            true => self.commit(&mut connection, drafts.len(), deadline).await?,
            false => self.metrics.commit_seconds.record(started.elapsed()),
        }
        self.direct = Some(connection);
        Ok(Some(appended))
    }

    /// [`Sequencer::admit`], once it is known which ids are stored.
    async fn admit(&mut self, drafts: &[Draft], deadline: Deadline) -> Option<HeadState> {
        if self.sequencer.lacks_ids() {
            let mut connection = self.idle.pop()?;
            let loading = self.sequencer.load_ids(&mut connection);
            deadline.bound(loading).await.ok()?;
            self.idle.push(connection);
        }
        self.sequencer.admit(drafts)
    }

    /// For statements that look at no chunk, so that their plans can be kept.
    async fn direct(&mut self, begins: bool) -> Result<PgConnection, LogError> {
        match self.direct.take() {
            Some(idle) if begins => {
                if let Some(begun) = self.begun(begin(idle)).await {
                    return Ok(begun);
                }
            }
            Some(idle) => return Ok(idle),
            None => {}
        }
        let kept = [
            ("plan_cache_mode", "force_generic_plan"),
            // A plan that is made while a table is small would scan it once it is not.
            ("enable_seqscan", "off"),
        ];
        let options = self.options.clone().options(kept);
        let connection = database::connect_session(&options).await?;
        match begins {
            true => begin(connection).await,
            false => Ok(connection),
        }
    }

    /// A connection with a transaction begun.
    async fn begin(&mut self) -> Result<PgConnection, LogError> {
        while let Some(idle) = self.idle.pop() {
            if let Some(begun) = self.begun(begin(idle)).await {
                return Ok(begun);
            }
        }
        begin(self.connect().await?).await
    }

    /// The same with the time of the database's clock, and less patience.
    async fn begin_speculative(&mut self) -> Result<(PgConnection, DateTime<Utc>), LogError> {
        while let Some(idle) = self.idle.pop() {
            if let Some(begun) = self.begun(begin_speculative(idle)).await {
                return Ok(begun);
            }
        }
        begin_speculative(self.connect().await?).await
    }

    /// What was begun on an idle connection; `None` if the server closed it meanwhile. Of a server
    /// that does not answer there the others are not asked.
    async fn begun<T>(
        &mut self,
        beginning: impl Future<Output = Result<T, LogError>>,
    ) -> Option<T> {
        match timeout(IDLE_PATIENCE, beginning).await {
            Ok(begun) => begun.ok(),
            Err(_) => {
                self.idle.clear();
                None
            }
        }
    }

    /// One on which COPY does not wait, if such a one can be made.
    async fn connect(&mut self) -> Result<PgConnection, LogError> {
        let (socket, path) = ProxySocket::new(&self.options);
        self.may_copy = path != CopyPath::None;
        self.metrics.copies_by(path);
        if let Some(socket) = socket {
            return socket.connect(&self.options).await;
        }
        database::connect_session(&self.options).await
    }
}

async fn begin(mut connection: PgConnection) -> Result<PgConnection, LogError> {
    raw_sql("begin").execute(&mut connection).await?;
    Ok(connection)
}

async fn begin_speculative(
    mut connection: PgConnection,
) -> Result<(PgConnection, DateTime<Utc>), LogError> {
    let begun = raw_sql(BEGIN_SPECULATIVE)
        .fetch_one(&mut connection)
        .await?;
    let now = begun.try_get(0)?;
    Ok((connection, now))
}
