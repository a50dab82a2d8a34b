//! The server that holds the log: which one it is, and whether it keeps what it commits.

use sqlx::PgPool;
use tracing::{error, info, warn};

use crate::LogError;

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// Changes when a replica is promoted; `None` while it is one.
    timeline: Option<String>,
    in_recovery: bool,
    fsync: bool,
    full_page_writes: bool,
}

impl Server {
    /// One that may lose what it commits.
    #[cfg(test)]
    pub(crate) fn unsafe_for_tests() -> Self {
        Self {
            timeline: None,
            in_recovery: false,
            fsync: false,
            full_page_writes: true,
        }
    }

    /// Asks the server.
    ///
    /// # Errors
    /// [`LogError::Database`].
    pub(crate) async fn read(pool: &PgPool) -> Result<Self, LogError> {
        let server = sqlx::query_as!(
            Self,
            r#"select
                   case when not pg_is_in_recovery()
                        then left(pg_walfile_name(pg_current_wal_lsn()), 8) end as timeline,
                   pg_is_in_recovery() as "in_recovery!",
                   current_setting('fsync')::boolean as "fsync!",
                   current_setting('full_page_writes')::boolean as "full_page_writes!""#
        )
        .fetch_one(pool)
        .await?;
        Ok(server)
    }

    /// The setting by which the server may lose what it has committed.
    pub(super) fn unsafe_setting(&self) -> Option<&'static str> {
        match self {
            Self { fsync: false, .. } => Some("fsync"),
            Self {
                full_page_writes: false,
                ..
            } => Some("full_page_writes"),
            Self { .. } => None,
        }
    }

    /// Logs what differs from what was known.
    pub(super) fn log_changes(&self, before: Option<&Self>) {
        let Self {
            timeline,
            in_recovery,
            ..
        } = self;
        if let Some(Self {
            timeline: Some(from),
            ..
        }) = before
            && let Some(to) = timeline
            && from != to
        {
            info!(
                from,
                to, "the server is on another timeline: it was restored, or a replica was promoted"
            );
        }
        if *in_recovery && before.is_none_or(|before| !before.in_recovery) {
            warn!("the server is a replica: nothing can be appended");
        }
        let setting = self.unsafe_setting();
        if setting.is_some() && before.and_then(Self::unsafe_setting) != setting {
            error!(
                setting,
                "the server may lose what it commits; nothing is appended"
            );
        }
    }
}
