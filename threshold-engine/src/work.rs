//! A bound on the work of an evaluation that somebody asks for.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// How much an evaluation may do, and hold. Clones share one bound; the default has none.
///
/// Work is counted in steps: a node at a date, or a value that a window looks at. Whoever evaluates
/// stops once the bound is reached, and what was computed until then means nothing.
#[derive(Clone, Debug, Default)]
pub struct Work(Option<Arc<Left>>);

#[derive(Debug)]
struct Left {
    steps: AtomicU64,
    entries: AtomicU64,
    ended: AtomicBool,
}

/// An evaluation took more work than it may, or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the evaluation takes more work than is allowed: use shorter windows, or fewer of them")]
pub struct WorkSpent;

impl Work {
    /// At most so many steps, and at most so many values kept at a time.
    pub fn bounded(steps_max: u64, entries_max: u64) -> Self {
        Self(Some(Arc::new(Left {
            steps: AtomicU64::new(steps_max),
            entries: AtomicU64::new(entries_max),
            ended: AtomicBool::new(false),
        })))
    }

    /// Has the evaluation end soon.
    pub fn cancel(&self) {
        if let Some(left) = &self.0 {
            left.ended.store(true, Ordering::Relaxed);
        }
    }

    /// Whether nothing is left, or it was cancelled.
    pub fn is_spent(&self) -> bool {
        let ended = |left: &Arc<Left>| left.ended.load(Ordering::Relaxed);
        self.0.as_ref().is_some_and(ended)
    }

    /// Counts steps.
    pub(crate) fn spend(&self, steps: usize) {
        if let Some(left) = &self.0 {
            left.take(&left.steps, steps);
        }
    }

    /// Counts values that are kept from now on.
    pub(crate) fn hold(&self, entries: usize) {
        if let Some(left) = &self.0 {
            left.take(&left.entries, entries);
        }
    }
}

impl Left {
    /// One thread counts; others only read.
    fn take(&self, from: &AtomicU64, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let left = from.load(Ordering::Relaxed).checked_sub(count);
        if left.is_none() {
            self.ended.store(true, Ordering::Relaxed);
        }
        from.store(left.unwrap_or_default(), Ordering::Relaxed);
    }
}
