use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Batches that one publisher sends one after the other. Once one of them is not stored, none behind
/// it is: the log holds them in the order in which they were sent, without a gap.
#[derive(Debug, Clone)]
pub struct Sequence {
    broken: Arc<AtomicBool>,
    goes_on: bool,
}

impl Sequence {
    /// A sequence that ends with the first batch that is not stored.
    pub fn new() -> Self {
        Self {
            broken: Arc::default(),
            goes_on: false,
        }
    }

    /// A sequence whose batches are stored even if one before them is not.
    pub fn that_goes_on() -> Self {
        Self {
            goes_on: true,
            ..Self::new()
        }
    }

    /// Whether it goes on behind a batch that is not stored.
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// A batch of it was not stored, or nobody knows.
    pub(crate) fn break_off(&self) {
        if !self.goes_on {
            self.broken.store(true, Ordering::Release);
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}

impl Default for Sequence {
    fn default() -> Self {
        Self::new()
    }
}
