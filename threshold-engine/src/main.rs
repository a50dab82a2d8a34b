//! `threshold-engine`: checks definitions and plays them against history.

use std::io::{self, Write};
use std::process::ExitCode;

use service::visible;
use threshold_engine::command;

/// With that of the C library, allocating was a third of what a publish costs the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    command::run().unwrap_or_else(|error| {
        // Names of files and what they hold are in it.
        let message = format!("{error:#}");
        let _ = writeln!(io::stderr(), "Error: {}", visible(&message));
        ExitCode::FAILURE
    })
}
