//! Programs that work together where nobody is let in without being asked: an engine that follows a
//! collector, and the command line, over TLS and with tokens that `atlas token` has made.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod command_line;
mod engine;
mod harness;
mod mistakes;
mod operators;
