//! `collector`: gathers observations into an event log and serves it over gRPC and REST.

use std::{io::Write, process::ExitCode};

use clap::Parser;
use collector::{
    config::{self, Config, Flags},
    service::{Listeners, Service},
    telemetry,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The configuration is not valid, as for flags that are not.
const EXIT_CONFIG: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let environment: Vec<_> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let config = match config::load(&flags, &environment) {
        Ok(config) => config,
        Err(error) => return fail(&error, EXIT_CONFIG),
    };
    if flags.print_config {
        let printed = write!(std::io::stdout(), "{config}");
        return ExitCode::from(u8::from(printed.is_err()));
    }
    telemetry::write_log_lines(&config.telemetry);
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.as_ref(), 1),
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let metrics = telemetry::keep_metrics()?;
    let mut signals = Signals::watch()?;
    let listeners = Listeners::bind(&config).await?;
    let service = tokio::select! {
        started = Service::start(config, listeners, metrics) => started?,
        () = signals.next() => return Ok(()),
    };
    let (rest, grpc) = (service.rest_address(), service.grpc_address());
    let collecting = match service.collects() {
        true => "",
        false => "; not collecting, since FRED_API_KEY is not set",
    };
    writeln!(
        std::io::stdout(),
        "collector is ready: REST http://{rest}, gRPC http://{grpc}{collecting}"
    )?;
    let shutdown = CancellationToken::new();
    let running = service.run(shutdown.clone());
    tokio::pin!(running);
    tokio::select! {
        ended = &mut running => return Ok(ended?),
        () = signals.next() => shutdown.cancel(),
    }
    tokio::select! {
        ended = &mut running => Ok(ended?),
        () = signals.next() => anyhow::bail!("ended at once by a second signal"),
    }
}

/// The signals that ask a process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn watch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Says why, in one line where that is possible. If even that cannot be written, the code tells.
fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "collector: {error}");
    ExitCode::from(code)
}
