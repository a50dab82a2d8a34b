//! `alert-service`: notifies people of crossings and transitions.

use std::process::ExitCode;

use alert_service::service::Service;

/// With that of the C library, allocating was a third of what a publish costs the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service::main::<Service>()
}
