//! `threshold-engine`: checks definitions and plays them against history.

use std::process::ExitCode;

use clap::Parser;
use threshold_engine::command::{self, Arguments};

fn main() -> anyhow::Result<ExitCode> {
    command::run(Arguments::parse())
}
