//! The server under measurement, in a process of its own.

use std::io::{Write, stdout};

use anyhow::Result;
use event_log::{EventLog, LogConfig};
use event_stream::StreamConfig;
use tokio::{io::AsyncReadExt, net::TcpListener};
use tokio_util::sync::CancellationToken;

use crate::arguments::ServeOptions;

/// The schema of the log.
pub(crate) const SCHEMA: &str = "bench";

/// How the log works; it keeps all, so that events may be spread over years.
fn log_config() -> LogConfig {
    LogConfig {
        retention: None,
        ..LogConfig::default()
    }
}

/// The log in a database, opened by this process.
pub(crate) async fn open_log(database_url: &str) -> Result<EventLog> {
    let pool = event_log::connect(database_url, SCHEMA, 10).await?;
    Ok(EventLog::open(pool, log_config(), None).await?)
}

/// Serves a log, prints the port it listens on, and ends when standard input does: whoever started
/// it cannot leave it behind.
pub(crate) async fn run(options: &ServeOptions) -> Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter("warn")
        .init();
    let log = open_log(&options.database_url).await?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    writeln!(stdout(), "{}", listener.local_addr()?.port())?;
    let shutdown = CancellationToken::new();
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
            shutdown.cancel();
        }
    });
    event_stream::serve(listener, log.clone(), StreamConfig::default(), shutdown).await?;
    log.close().await;
    Ok(())
}
