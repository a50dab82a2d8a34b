//! The tasks of a log, and what becomes of it when one of them panics.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
};

use futures::FutureExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::error;

use crate::EventLog;

/// The tasks of a log.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    failure: Arc<Failure>,
}

#[derive(Debug, Default)]
struct Failure {
    task: OnceLock<&'static str>,
    happened: CancellationToken,
}

impl Tasks {
    /// Starts one.
    pub(super) fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let failure = Arc::clone(&self.failure);
        self.tracker.spawn(async move {
            // Nothing of it is used any more.
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                error!(
                    task = name,
                    "a task of the log panicked; the log has stopped"
                );
                let _ = failure.task.set(name);
                failure.happened.cancel();
            }
        });
    }

    /// Waits until all have ended; no more are started.
    pub(super) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl EventLog {
    /// Waits until a task of the log has panicked, and returns which: forever, if all is well. The log
    /// does not work any more then, and the process is to be ended.
    pub async fn failed(&self) -> &'static str {
        let failure = &self.0.tasks.failure;
        failure.happened.cancelled().await;
        failure.task.get().copied().unwrap_or("a task")
    }

    /// Which task of the log has panicked, if one has; see [`EventLog::failed`].
    pub fn failure(&self) -> Option<&'static str> {
        self.0.tasks.failure.task.get().copied()
    }
}
