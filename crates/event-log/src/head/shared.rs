//! One look at the head for all who begin to read at the same time.
//!
//! Hundreds of readers who come back at once, as after a restart, would otherwise wait for as many
//! looks, and for connections that others need.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

use crate::{EventLog, Head, LogError, database::within};

/// A look takes no longer, so that one that is never answered keeps nobody waiting for good.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// How the last look ended.
#[derive(Debug, Default)]
enum Last {
    #[default]
    None,
    /// It began then, and found this.
    Found(Instant, Head),
    /// It failed then.
    Failed(Instant),
}

/// The last look; whoever has the lock looks.
#[derive(Debug, Default)]
pub(crate) struct SharedHead(Mutex<Last>);

impl SharedHead {
    /// The head as it was at some moment since this was called.
    ///
    /// # Errors
    /// As [`EventLog::head`].
    pub(crate) async fn read(&self, log: &EventLog) -> Result<Head, LogError> {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        match &*last {
            Last::Found(begun, head) if *begun >= asked => return Ok(head.clone()),
            Last::Failed(at) if *at >= asked => {
                // Not one after the other while the database is away.
                drop(last);
                return within(LOOK_TIMEOUT, log.head()).await;
            }
            _ => {}
        }
        let begun = Instant::now();
        let found = within(LOOK_TIMEOUT, log.head()).await;
        *last = match &found {
            Ok(head) => Last::Found(begun, head.clone()),
            Err(_) => Last::Failed(Instant::now()),
        };
        found
    }
}
