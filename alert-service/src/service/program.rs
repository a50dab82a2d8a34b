//! The program that runs an alert service.

use std::{io::Write, process::ExitCode};

use service::{EXIT_CONFIG, Signals, announce, fail, print_health, renew_log_id};
use tokio_util::sync::CancellationToken;

use super::{Listeners, Service};
use crate::{
    Context,
    config::{self, Config, Flags, Loaded},
    telemetry::keep_metrics,
};

const PROGRAM: &str = "alert-service";

/// Runs an alert service until a signal asks it to end.
///
/// # Errors
/// The system gives no threads.
pub fn run_program(flags: &Flags) -> anyhow::Result<ExitCode> {
    let Loaded { config, shown } = match config::load(flags, &service::environment()) {
        Ok(loaded) => loaded,
        Err(error) => return Ok(fail(PROGRAM, &error, EXIT_CONFIG)),
    };
    if flags.print_config {
        write!(std::io::stdout(), "{shown}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let _traces = match service::telemetry::begin(&config.telemetry, PROGRAM) {
        Ok(traces) => traces,
        Err(error) => return Ok(fail(PROGRAM, &error, EXIT_CONFIG)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    Ok(match runtime.block_on(run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(PROGRAM, error.as_ref(), 1),
    })
}

/// Says how the alert service is that runs with a configuration.
pub fn ask_health(flags: &Flags) -> ExitCode {
    match config::load(flags, &service::environment()) {
        Ok(Loaded { config, .. }) => {
            let tls = config.security.rest_tls.as_ref();
            print_health(PROGRAM, config.rest.address, tls)
        }
        Err(error) => fail(PROGRAM, &error, EXIT_CONFIG),
    }
}

/// Gives the alert service's log a new identity.
///
/// # Errors
/// The system gives no threads.
pub fn renew_log(flags: &Flags) -> anyhow::Result<ExitCode> {
    let config = match config::load(flags, &service::environment()) {
        Ok(loaded) => loaded.config,
        Err(error) => return Ok(fail(PROGRAM, &error, EXIT_CONFIG)),
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let renewed = runtime.block_on(renew_log_id(&config.database));
    Ok(renewed.unwrap_or_else(|error| fail(PROGRAM, &error, 1)))
}

async fn run(config: Config) -> anyhow::Result<()> {
    let metrics = keep_metrics()?;
    let mut signals = Signals::watch()?;
    let listeners = Listeners::bind(&config).await?;
    let sources = config.consumer.sources()?;
    let service = tokio::select! {
        started = Service::start(config, sources, listeners, metrics, Context::system()) => started?,
        () = signals.next() => return Ok(()),
    };
    let (rest, grpc) = service
        .security()
        .urls(service.rest_address(), service.grpc_address());
    announce(&format!("alert service is ready: REST {rest}, gRPC {grpc}"))?;
    let shutdown = CancellationToken::new();
    let running = service.run(shutdown.clone());
    match signals.end(running, &shutdown).await {
        Some(ended) => Ok(ended?),
        None => anyhow::bail!("ended at once by a second signal"),
    }
}
