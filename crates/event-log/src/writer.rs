//! The transactions of the appender, on connections of its own.

use std::sync::Arc;

use atlas_events::Draft;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions, raw_sql};
use tokio::time::Instant;
use tracing::{Instrument, warn};

use crate::{
    LogError, Projection,
    append::{self, Appended},
    nodelay::Doorway,
    telemetry::LogMetrics,
};

/// From so many events on COPY is the faster way, although it is one round trip more.
const COPY_EVENTS_MIN: usize = 32;

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
