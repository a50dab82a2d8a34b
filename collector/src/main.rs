//! `collector`: gathers observations into an event log and serves it over gRPC and REST.

use std::{io::Write, process::ExitCode};

use ::service::{EXIT_CONFIG, Signals, announce, fail, print_health, renew_log_id};
use clap::Parser;
use collector::{
    config::{self, Command, Config, Flags, Loaded},
    service::{Listeners, Service},
    telemetry,
};
use tokio_util::sync::CancellationToken;

/// With that of the C library, allocating was a third of what a publish costs the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PROGRAM: &str = "collector";

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let environment = ::service::environment();
    let Loaded { config, shown } = match config::load(&flags, &environment) {
        Ok(loaded) => loaded,
        Err(error) => return fail(PROGRAM, &error, EXIT_CONFIG),
    };
    if flags.print_config {
        let printed = write!(std::io::stdout(), "{shown}");
        return ExitCode::from(u8::from(printed.is_err()));
    }
    match flags.command {
        Some(Command::Health) => {
            let tls = config.security.rest_tls.as_ref();
            return print_health(PROGRAM, config.rest.address, tls);
        }
        Some(Command::NewLogId) => {
            let renewed = renew_log_id(&config.database).await;
            return renewed.unwrap_or_else(|error| fail(PROGRAM, &error, 1));
        }
        None => {}
    }
    let _traces = match telemetry::begin(&config.telemetry, PROGRAM) {
        Ok(traces) => traces,
        Err(error) => return fail(PROGRAM, &error, EXIT_CONFIG),
    };
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(PROGRAM, error.as_ref(), 1),
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
    let (rest, grpc) = service
        .security()
        .urls(service.rest_address(), service.grpc_address());
    let collecting = match service.collects() {
        true => "",
        false => "; not collecting, since FRED_API_KEY is not set",
    };
    announce(&format!(
        "collector is ready: REST {rest}, gRPC {grpc}{collecting}"
    ))?;
    let shutdown = CancellationToken::new();
    let running = service.run(shutdown.clone());
    match signals.end(running, &shutdown).await {
        Some(ended) => Ok(ended?),
        None => anyhow::bail!("ended at once by a second signal"),
    }
}
