//! What the program of a service does besides running it.

use std::{
    error::Error,
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
};

use event_log::Renewed;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    StartError, ask_readiness, config::DatabaseConfig, logs, renew_log, security::TlsFiles,
};

/// The exit code for a configuration that is not valid, as for flags that are not.
pub const EXIT_CONFIG: u8 = 2;

/// The variables of the process that are text.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Says why a program ends, in one line where that is possible; as a line of the log where that is
/// JSON. If even that cannot be written, the exit code remains.
pub fn fail(program: &str, error: &dyn Error, code: u8) -> ExitCode {
    if logs::are_json() {
        tracing::error!("{program}: {error}");
    } else {
        let _ = writeln!(io::stderr(), "{program}: {error}");
    }
    ExitCode::from(code)
}

/// Says that a program is ready, in one line on standard output. Where the log is JSON the line is
/// one of the log, since whoever collects both expects nothing else.
///
/// # Errors
/// Standard output cannot be written.
pub fn announce(line: &str) -> io::Result<()> {
    if logs::are_json() {
        tracing::info!("{line}");
        return Ok(());
    }
    writeln!(io::stdout(), "{line}")
}

/// Says how the service is that runs with a configuration.
pub(crate) fn print_health(program: &str, rest: SocketAddr, tls: Option<&TlsFiles>) -> ExitCode {
    match ask_readiness(rest, tls) {
        Ok(message) => say(&message),
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "{program}: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Gives the log of a service a new identity, and says what that means.
///
/// # Errors
/// [`StartError`].
pub(crate) async fn renew_log_id(config: &DatabaseConfig) -> Result<ExitCode, StartError> {
    let Renewed { before, now } = renew_log(config).await?;
    Ok(say(&format!(
        "the log in the schema {} was {before} and is {now} from now on; its consumers stop with a \
         message until their checkpoints are reset",
        config.schema
    )))
}

fn say(line: &str) -> ExitCode {
    let said = writeln!(std::io::stdout(), "{line}");
    ExitCode::from(u8::from(said.is_err()))
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
