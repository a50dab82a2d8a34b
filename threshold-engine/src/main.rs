//! `threshold-engine`: checks definitions and plays them against history.

use std::process::ExitCode;

use clap::Parser;
use threshold_engine::command::{self, Arguments};

/// With that of the C library, allocating was a third of what a publish costs the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    command::run(Arguments::parse())
}
