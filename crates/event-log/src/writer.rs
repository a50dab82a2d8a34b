//! The transactions of the appender, on connections of its own.

use std::{sync::Arc, time::Duration};

use atlas_events::Draft;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions, raw_sql};
use tokio::time::Instant;
use tracing::{Instrument, warn};

use crate::{
    LogError, Projection,
    append::{self, Appended, Left},
    append_small,
    nodelay::Doorway,
    telemetry::LogMetrics,
};

/// From so many events on COPY is the faster way, although it is one round trip more.
const COPY_EVENTS_MIN: usize = 32;
/// A connection that was idle for longer may have been closed meanwhile. Whoever commits along with
/// the first statement on it could not tell what became of that; who only begins can.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Stores groups of drafts, one transaction each.
pub(crate) struct Writer {
    options: PgConnectOptions,
    channel: String,
    projection: Option<Arc<dyn Projection>>,
    metrics: Arc<LogMetrics>,
    /// Connections of its own, so that appending never waits for a reader to return one.
    direct: Option<PgConnection>,
    copying: Option<PgConnection>,
    /// Cleared once it turns out that COPY would have to wait.
    may_copy: bool,
    head: LastHead,
    used: Instant,
}

/// What is known of the head.
#[derive(Debug, Clone, Copy)]
enum LastHead {
    Unknown,
    /// Left here, after other processes had moved it too.
    Disturbed(Left),
    /// Left here, after it had been found where it was left before.
    Ours(Left),
}

impl LastHead {
    /// What is known behind an append under the lock.
    fn after(self, appended: &Appended) -> Self {
        let found = appended.first_position - 1;
        match self {
            Self::Disturbed(left) | Self::Ours(left) if left.last_position == found => {
                Self::Ours(appended.left)
            }
            _ => Self::Disturbed(appended.left),
        }
    }
}

impl Writer {
    pub(crate) fn new(
        options: PgConnectOptions,
        channel: String,
        projection: Option<Arc<dyn Projection>>,
        metrics: Arc<LogMetrics>,
    ) -> Self {
        Self {
            options,
            channel,
            projection,
            metrics,
            direct: None,
            copying: None,
            may_copy: true,
            head: LastHead::Unknown,
            used: Instant::now(),
        }
    }

    /// Stores drafts, whose rows are given too, in one transaction.
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
    ) -> Result<Appended, LogError> {
        if let Some(appended) = self.append_small(drafts).await? {
            return Ok(appended);
        }
        let copying = match drafts.len() >= COPY_EVENTS_MIN {
            true => self.begin_copying().await?,
            false => None,
        };
        let (mut connection, rows) = match copying {
            Some(connection) => (connection, Some(rows)),
            None => (self.begin_direct().await?, None),
        };
        let projection = self.projection.as_deref();
        let appended =
            append::append(&mut connection, drafts, rows, &self.channel, projection).await?;
        let committing = Instant::now();
        raw_sql("commit")
            .execute(&mut connection)
            .instrument(trace_context::commit())
            .await
            .map_err(outcome_of_commit)?;
        self.metrics.commit_seconds.record(committing.elapsed());
        if let Some(projection) = &self.projection {
            projection.committed(appended.fresh.len());
        }
        match rows {
            Some(_) => self.copying = Some(connection),
            None => self.direct = Some(connection),
        }
        self.head = self.head.after(&appended);
        self.used = Instant::now();
        Ok(appended)
    }

    /// Stores a few drafts in one statement, where nothing else need be in its transaction and no
    /// other process is likely to have moved the head; `None` if that cannot be.
    async fn append_small(&mut self, drafts: &[Draft]) -> Result<Option<Appended>, LogError> {
        let LastHead::Ours(left) = self.head else {
            return Ok(None);
        };
        let small = drafts.len() < COPY_EVENTS_MIN && self.projection.is_none();
        if !small || self.used.elapsed() > IDLE_MAX || !append_small::can_append(drafts, left) {
            return Ok(None);
        }
        let Some(mut connection) = self.direct.take() else {
            return Ok(None);
        };
        let started = Instant::now();
        let appended = append_small::append(&mut connection, drafts, left, &self.channel)
            .instrument(trace_context::commit())
            .await?;
        if let Some(appended) = &appended {
            self.metrics.commit_seconds.record(started.elapsed());
            self.head = LastHead::Ours(appended.left);
        }
        self.direct = Some(connection);
        self.used = Instant::now();
        Ok(appended)
    }

    async fn begin_direct(&mut self) -> Result<PgConnection, LogError> {
        match begun(self.direct.take()).await {
            Some(connection) => Ok(connection),
            None => begin(PgConnection::connect_with(&self.options).await?).await,
        }
    }

    /// `None` if COPY would wait on any connection that can be made here.
    async fn begin_copying(&mut self) -> Result<Option<PgConnection>, LogError> {
        if !self.may_copy {
            return Ok(None);
        }
        if let Some(connection) = begun(self.copying.take()).await {
            return Ok(Some(connection));
        }
        let connection = match Doorway::new(&self.options) {
            Ok(Some(doorway)) => doorway.connect(&self.options).await?,
            Ok(None) => PgConnection::connect_with(&self.options).await?,
            Err(error) => {
                warn!(%error, "large groups are stored more slowly: no socket can be made in the \
                               folder for temporary files");
                self.may_copy = false;
                return Ok(None);
            }
        };
        begin(connection).await.map(Some)
    }
}

/// A connection with a transaction begun; `None` if the server closed it while it was idle, or there
/// is none.
async fn begun(idle: Option<PgConnection>) -> Option<PgConnection> {
    begin(idle?).await.ok()
}

async fn begin(mut connection: PgConnection) -> Result<PgConnection, LogError> {
    raw_sql("begin").execute(&mut connection).await?;
    Ok(connection)
}

/// A commit is known to be undone only if the server says that it failed for the transaction's own
/// sake (SQLSTATE classes 22, 23, 25, 40). A server that is being stopped (class 57) may end a
/// connection after the commit, and one that does not answer may have committed.
pub(crate) fn outcome_of_commit(error: sqlx::Error) -> LogError {
    let code = error
        .as_database_error()
        .and_then(|e| e.code())
        .unwrap_or_default();
    if ["22", "23", "25", "40"]
        .iter()
        .any(|class| code.starts_with(class))
    {
        LogError::Database(error)
    } else {
        LogError::OutcomeUnknown(error)
    }
}
