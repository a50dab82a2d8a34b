//! `atlas`, the command line: follow a log, publish to it, look into it, run everything.
//!
//! Where to change what: commands and flags in [`arguments`], what each command does in [`commands`], the
//! wire, exit codes and messages in [`client`], how an event reads in [`mod@print`].

mod arguments;
mod client;
mod commands;
mod print;
mod time;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::FromArgMatches;
use client::{diagnosis, failure::Failure};
use commands::{alerts, consumption, inspect, manual, publish, series, tail, token, up};
use print::output::{self, Output};
use tokio_util::sync::CancellationToken;

/// With that of the C library, allocating was a third of what a publish costs the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let matches = arguments::command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match &arguments.command {
        Command::Up(options) => up::run(options),
        _ => run_client(&arguments),
    }
}

// One worker keeps connections alive while this thread waits for a slow reader of its output.
#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn run_client(arguments: &Arguments) -> ExitCode {
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    let mut output = Output::standard();
    let ended = match run(arguments, &mut output, &stop).await {
        // It asked another server than this one, over REST.
        Err(failure) if matches!(arguments.command, Command::Series(_)) => Err(failure),
        Err(failure) => Err(diagnosis::explain(&arguments.server, failure).await),
        done => done,
    };
    match ended.and_then(|()| Ok(output.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            // What was printed before is complete lines, also when the command failed.
            let _ = output.flush();
            output::note(format_args!("error: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run(
    arguments: &Arguments,
    output: &mut Output,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let server = &arguments.server;
    match &arguments.command {
        Command::Tail(options) => tail::run(server, options, output, stop).await,
        Command::Publish(options) => publish::run(server, options, output, stop).await,
        Command::Get(options) => until(stop, inspect::get(server, options, output)).await,
        Command::Range(options) => until(stop, inspect::range(server, options, output)).await,
        Command::Info(options) => until(stop, inspect::info(server, options, output)).await,
        Command::Checkpoint(command) => {
            until(stop, consumption::checkpoint(server, command, output)).await
        }
        Command::Parked(command) => until(stop, consumption::parked(server, command, output)).await,
        Command::Series(options) => until(stop, series::run(server, options, output)).await,
        Command::Alerts(options) => until(stop, alerts::run(server, options, output)).await,
        Command::Token(command) => token::run(command, output),
        Command::Completions { shell } => manual::completions(*shell, output),
        Command::Man { folder } => manual::pages(folder, output),
        Command::Up(_) => Err(Failure::Usage("up is no command of a client".to_owned())),
    }
}

async fn until(
    stop: &CancellationToken,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    stop.run_until_cancelled(work).await.unwrap_or(Ok(()))
}

/// The first Ctrl-C ends the command in order, a second one at once.
async fn stop_on_signal(stop: CancellationToken) {
    while tokio::signal::ctrl_c().await.is_ok() {
        if stop.is_cancelled() {
            std::process::exit(130);
        }
        stop.cancel();
    }
}
