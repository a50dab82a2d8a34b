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
    pub fn spend(&self, steps: usize) {
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

/// What one changed observation may cost a definition that is evaluated continuously. A copy counts for itself.
///
/// The same sequence of observations spends the same, whatever the machine.
#[derive(Debug)]
pub(crate) struct Allowance {
    steps_max: u64,
    left: AtomicU64,
    spent: AtomicBool,
}

impl Allowance {
    /// So many steps from each [`Self::begin`] on; without bound before the first.
    pub(crate) fn new(steps_max: u64) -> Self {
        Self {
            steps_max,
            left: AtomicU64::new(u64::MAX),
            spent: AtomicBool::new(false),
        }
    }

    /// Another observation has changed.
    pub(crate) fn begin(&self) {
        self.left.store(self.steps_max, Ordering::Relaxed);
    }

    pub(crate) fn spend(&self, steps: usize) {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        let left = self.left.load(Ordering::Relaxed).checked_sub(steps);
        if left.is_none() {
            self.spent.store(true, Ordering::Relaxed);
        }
        self.left.store(left.unwrap_or_default(), Ordering::Relaxed);
    }

    /// Whether an observation took more than is allowed; from then on for ever.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }

    /// How many steps one observation may take.
    pub(crate) fn steps_max(&self) -> u64 {
        self.steps_max
    }
}

impl Clone for Allowance {
    fn clone(&self) -> Self {
        Self {
            steps_max: self.steps_max,
            left: AtomicU64::new(self.left.load(Ordering::Relaxed)),
            spent: AtomicBool::new(self.is_spent()),
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
