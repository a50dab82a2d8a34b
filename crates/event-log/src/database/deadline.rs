use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::session::no_answer;
use crate::LogError;

/// When whoever waits for an append has to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// `limit` from now.
    pub(crate) fn after(limit: Duration) -> Self {
        Self {
            at: Instant::now() + limit,
            limit,
        }
    }

    /// Halfway from now: for an attempt that leaves time for another.
    pub(crate) fn halfway(self) -> Self {
        let now = Instant::now();
        Self {
            at: now + self.at.saturating_duration_since(now) / 2,
            ..self
        }
    }

    /// More than half of the time is over: too little is left to begin, should the database be slow.
    pub(crate) fn is_late(self) -> bool {
        self.at.saturating_duration_since(Instant::now()) < self.limit / 2
    }

    /// Bounds an operation; the connection that it worked on is then to be dropped.
    ///
    /// # Errors
    /// Those of the operation, or [`LogError::Database`] that says that time was over.
    pub(crate) async fn bound<T, E: Into<LogError>>(
        self,
        operation: impl Future<Output = Result<T, E>>,
    ) -> Result<T, LogError> {
        match timeout_at(self.at, operation).await {
            Ok(ended) => ended.map_err(E::into),
            Err(_) => Err(LogError::Database(no_answer())),
        }
    }
}
