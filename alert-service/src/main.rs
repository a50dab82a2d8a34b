//! `alert-service`: notifies people of crossings and transitions.

use std::io::{self, Write};
use std::process::ExitCode;

use alert_service::command::{self, Arguments};
use clap::Parser;
use service::visible;

/// With that of the C library, allocating was a third of what a publish costs the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    command::run(Arguments::parse()).unwrap_or_else(|error| {
        // It repeats what was configured.
        let message = format!("{error:#}");
        let _ = writeln!(io::stderr(), "Error: {}", visible(&message));
        ExitCode::FAILURE
    })
}
