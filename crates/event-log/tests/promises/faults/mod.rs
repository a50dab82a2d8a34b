//! Tests of faults: lost connections, frozen processes, panics, silence.

mod dropped_begin;
mod frozen_start;
mod killed_connections;
mod panics;
mod sessions;
mod silence;
