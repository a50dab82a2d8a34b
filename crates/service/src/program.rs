//! The program of a service: its commands, from flags to exit code.

use std::{error::Error, future::Future, io::Write, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::{
    EXIT_CONFIG, Listeners, Server, Signals, announce,
    config::{CommonConfig, ConfigError, Loaded, ServiceFlags, Settings},
    environment, fail,
    process::{print_health, renew_log_id},
    telemetry,
    telemetry::{Metrics, MetricsError},
};

/// A service, as its program needs it.
pub trait Program {
    /// Its flags.
    type Flags: ServiceFlags;
    /// Its configuration.
    type Config: AsRef<CommonConfig>;
    /// Why it could not start: one line that says what to do.
    type StartError: Error + Send + Sync + 'static;

    /// What it is called in messages, such as `threshold engine`.
    const TITLE: &'static str;
    /// What it is for, in one sentence of its help.
    const ABOUT: &'static str;
    /// Its settings, with the name of its program.
    const SETTINGS: Settings<Self::Config>;

    /// Keeps the metrics of the process. Once for each process.
    ///
    /// # Errors
    /// [`MetricsError`].
    fn keep_metrics() -> Result<Metrics, MetricsError>;

    /// Starts it.
    ///
    /// # Errors
    /// [`Program::StartError`].
    fn start(
        config: Self::Config,
        listeners: Listeners,
        metrics: Metrics,
    ) -> impl Future<Output = Result<Server, Self::StartError>>;
}

/// The commands that every service has.
#[derive(Debug, Clone, Subcommand)]
pub enum ServiceCommand<F: ServiceFlags> {
    /// Runs the service; the default command.
    Serve(F),
    /// Asks the service that runs with this configuration whether it is ready.
    Health(F),
    /// Gives the service's own log a new identity, after a restore from which events are missing that
    /// readers may have seen; no instance of the service may run meanwhile.
    NewLogId(F),
}

/// The arguments of a program that has no commands of its own.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments<F: ServiceFlags> {
    #[command(subcommand)]
    command: Option<ServiceCommand<F>>,
    #[command(flatten)]
    flags: F,
}

/// The whole program of a service that has no commands of its own.
pub fn main<P: Program>() -> ExitCode {
    let arguments = Arguments::<P::Flags>::from_arg_matches(
        &described::<P>(Arguments::<P::Flags>::command()).get_matches(),
    );
    match arguments {
        Ok(arguments) => run::<P>(&arguments.flags, arguments.command.as_ref()),
        Err(error) => error.exit(),
    }
}

/// A program's command line with its name, what its help says first, and the variable that names its
/// file.
pub fn described<P: Program>(command: clap::Command) -> clap::Command {
    let (program, about) = (P::SETTINGS.program, P::ABOUT);
    let command = command.name(program).about(about).long_about(format!(
        "{about}\n\nEvery setting has a place in the TOML file, a name in the environment (port in \
         section grpc is GRPC__PORT) and can be given as --set grpc.port=5001; flags win over the \
         environment, and that over the file. {program}.example.toml lists them all."
    ));
    with_variable(command, &P::SETTINGS.file_variable())
}

fn with_variable(command: clap::Command, variable: &str) -> clap::Command {
    let help = format!("Configuration file (TOML); if absent, the one that {variable} names");
    let of_file = |argument: clap::Arg| match argument.get_id() == "config" {
        true => argument.help(help.clone()),
        false => argument,
    };
    command
        .mut_args(of_file)
        .mut_subcommands(|inner| with_variable(inner, variable))
}

/// Runs a command, or the service where there is none. `before` are the flags before the command.
pub fn run<P: Program>(before: &P::Flags, command: Option<&ServiceCommand<P::Flags>>) -> ExitCode {
    let after = match command {
        None => None,
        Some(
            ServiceCommand::Serve(flags)
            | ServiceCommand::Health(flags)
            | ServiceCommand::NewLogId(flags),
        ) => Some(flags),
    };
    let given: Vec<_> = [Some(before), after].into_iter().flatten().collect();
    let Loaded { config, shown } = match load::<P>(&given) {
        Ok(loaded) => loaded,
        Err(error) => return fail(P::SETTINGS.program, &error, EXIT_CONFIG),
    };
    if given.iter().any(|flags| flags.common().print_config) {
        let printed = write!(std::io::stdout(), "{shown}");
        return ExitCode::from(u8::from(printed.is_err()));
    }
    let done = match command {
        None | Some(ServiceCommand::Serve(_)) => serve::<P>(config),
        Some(ServiceCommand::Health(_)) => {
            let common = config.as_ref();
            let tls = common.security.rest_tls.as_ref();
            Ok(print_health(P::SETTINGS.program, common.rest.address, tls))
        }
        Some(ServiceCommand::NewLogId(_)) => renew(config.as_ref()),
    };
    done.unwrap_or_else(|error| fail(P::SETTINGS.program, error.as_ref(), 1))
}

/// Reads the configuration of a service's program, from these flags and the environment of the
/// process.
///
/// # Errors
/// Every problem at once.
pub fn load<P: Program>(given: &[&P::Flags]) -> Result<Loaded<P::Config>, ConfigError> {
    P::SETTINGS.load_program(given, &environment())
}

type Done = Result<ExitCode, Box<dyn Error + Send + Sync>>;

fn serve<P: Program>(config: P::Config) -> Done {
    let program = P::SETTINGS.program;
    let _traces = match telemetry::begin(&config.as_ref().telemetry, program) {
        Ok(traces) => traces,
        Err(error) => return Ok(fail(program, &error, EXIT_CONFIG)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(until_the_end::<P>(config))
}

async fn until_the_end<P: Program>(config: P::Config) -> Done {
    let metrics = P::keep_metrics()?;
    let mut signals = Signals::watch()?;
    let listeners = Listeners::bind(config.as_ref()).await?;
    let server = tokio::select! {
        started = P::start(config, listeners, metrics) => started?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    announce(&server.ready_line(P::TITLE))?;
    let shutdown = CancellationToken::new();
    let running = server.run(shutdown.clone());
    match signals.end(running, &shutdown).await {
        Some(ended) => ended.map_or_else(|error| Err(error.into()), |()| Ok(ExitCode::SUCCESS)),
        None => Err("ended at once by a second signal".into()),
    }
}

fn renew(config: &CommonConfig) -> Done {
    let runtime = tokio::runtime::Runtime::new()?;
    Ok(runtime.block_on(renew_log_id(&config.database))?)
}
