//! `collector`: gathers observations into an event log and serves it over gRPC and REST.

use std::process::ExitCode;

use collector::service::Service;

/// With that of the C library, allocating was a third of what a publish costs the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service::main::<Service>()
}
