//! What the program of a service does besides running it.

use std::{error::Error, io::Write, process::ExitCode};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code for a configuration that is not valid, as for flags that are not.
pub const EXIT_CONFIG: u8 = 2;

/// The variables of the process that are text.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Says why a program ends, in one line where that is possible. If even that cannot be written, the
/// code tells.
pub fn fail(program: &str, error: &dyn Error, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{program}: {error}");
    ExitCode::from(code)
}

/// The signals that ask a process to end.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Watches from now on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn watch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Runs to the end, which the first signal asks for through `shutdown`. `None` if a second one
    /// has cut it off.
    pub async fn end<T>(
        &mut self,
        running: impl Future<Output = T>,
        shutdown: &CancellationToken,
    ) -> Option<T> {
        tokio::pin!(running);
        tokio::select! {
            ended = &mut running => return Some(ended),
            () = self.next() => shutdown.cancel(),
        }
        tokio::select! {
            ended = &mut running => Some(ended),
            () = self.next() => None,
        }
    }
}
