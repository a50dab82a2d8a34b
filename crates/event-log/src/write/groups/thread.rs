//! A thread for the transactions that store large groups.
//!
//! Such a transaction is a dozen short steps with answers of the database in between. On the threads
//! of the process each of them waited behind the tasks of busy publishers, which cost a third of what
//! can be stored in a second. A few events are stored without it: changing threads takes longer than
//! that wait.

use std::{io, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::JoinError,
};

/// Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct StorageThread {
    runtime: Handle,
    _ended: oneshot::Sender<()>,
}

impl StorageThread {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (guard, ended) = oneshot::channel();
        thread::Builder::new()
            .name("event-log".to_owned())
            .spawn(move || runtime.block_on(ended).is_ok())?;
        Ok(Self {
            runtime: handle,
            _ended: guard,
        })
    }

    /// Runs a future there.
    ///
    /// # Errors
    /// If it panics.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.runtime.spawn(future).await
    }
}
