//! File descriptors: connections leave some of them to everything else, so that files of tokens and
//! certificates can be opened however many connections there are.

use std::sync::atomic::{AtomicUsize, Ordering};

use rlimit::Resource;
use tracing::{debug, warn};

/// What connections leave: for the database, files, listeners and clients of others.
const RESERVE: usize = 256;

/// Connections that this process serves, on whatever listener.
static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

/// A descriptor that a connection has.
#[derive(Debug)]
pub(crate) struct Descriptor(());

impl Descriptor {
    /// One for a connection; `None` if that would take from the reserve.
    pub(crate) fn take() -> Option<Self> {
        let room = room();
        let one_more = |taken: usize| (taken < room).then_some(taken + 1);
        CONNECTIONS
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()
            .map(|_| Self(()))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        CONNECTIONS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many connections the process may have. The limit is read each time, since it can be changed
/// from outside.
fn room() -> usize {
    let limit = Resource::NOFILE.get_soft().unwrap_or(u64::MAX);
    beside_reserve(usize::try_from(limit).unwrap_or(usize::MAX))
}

fn beside_reserve(limit: usize) -> usize {
    limit - RESERVE.min(limit / 2)
}

/// Raises the limit of open files as far as the process may, and warns if there is no room for so
/// many connections.
pub(crate) fn raise(connections: usize) {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        debug!(%error, "the limit of open files stays as it is");
    }
    let room = room();
    if room < connections {
        warn!(
            connections_max = connections,
            room,
            "the limit of open files allows fewer connections than are configured; raise it (ulimit -n)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_reserve_whatever_the_limit() {
        for (limit, room) in [
            (0, 0),
            (100, 50),
            (256, 128),
            (1_024, 768),
            (65_536, 65_280),
        ] {
            assert_eq!(beside_reserve(limit), room, "{limit}");
        }
    }
}
