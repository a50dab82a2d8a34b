//! How far the rebuild of the memory from the database has come.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

/// Numbers of the sequence of points, and whether anybody can be served meanwhile. Shared by whoever
/// plays points and whoever is asked.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// How many have no memory to serve with.
    holding: AtomicUsize,
    at: AtomicI64,
    to: AtomicI64,
}

/// Until this is dropped there is no memory to serve with.
#[derive(Debug)]
pub(in crate::service) struct Holding(Arc<Progress>);

impl Progress {
    pub(in crate::service) fn hold(self: &Arc<Self>) -> Holding {
        self.holding.fetch_add(1, Ordering::Relaxed);
        Holding(Arc::clone(self))
    }

    /// Points are played from a number up to another one.
    pub(in crate::service) fn begin(&self, at: i64, to: i64) {
        self.to.store(to, Ordering::Relaxed);
        self.reach(at);
    }

    /// Points are played up to a number.
    pub(in crate::service) fn reach(&self, at: i64) {
        self.at.store(at, Ordering::Relaxed);
    }

    /// Why nobody can be served; `None` if everybody can.
    pub(crate) fn obstacle(&self) -> Option<String> {
        (self.holding.load(Ordering::Relaxed) > 0).then(|| self.to_string())
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, to) = (&self.at, &self.to);
        write!(
            f,
            "the engine's memory is being rebuilt from the database: at {} of {} data points",
            at.load(Ordering::Relaxed),
            to.load(Ordering::Relaxed)
        )
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.holding.fetch_sub(1, Ordering::Relaxed);
    }
}
