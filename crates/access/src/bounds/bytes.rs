//! Bytes that requests may hold in memory while they are received.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A number of bytes that are held at most. A part of it ([`ByteBudget::part`]) is bounded by itself
/// and by the whole. Clones are the same budget.
///
/// Nothing waits for bytes: whoever finds too few is refused, so that requests which hold some of
/// them cannot block each other.
#[derive(Debug, Clone)]
pub struct ByteBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: &'static str,
    bytes_max: u64,
    held: AtomicU64,
    whole: Option<ByteBudget>,
}

/// A budget has too few bytes left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the requests of this {name} that are being received may hold {bytes_max} bytes together")]
pub struct BytesSpent {
    /// Name of the budget.
    pub name: &'static str,
    /// Its bound.
    pub bytes_max: u64,
}

impl ByteBudget {
    /// A budget of `bytes_max` bytes. `name` says whose it is, such as `server`.
    pub fn new(name: &'static str, bytes_max: u64) -> Self {
        Self::with(name, bytes_max, None)
    }

    /// A budget whose bytes count for this one too.
    pub fn part(&self, name: &'static str, bytes_max: u64) -> Self {
        Self::with(name, bytes_max, Some(self.clone()))
    }

    fn with(name: &'static str, bytes_max: u64, whole: Option<Self>) -> Self {
        Self(Arc::new(Inner {
            name,
            bytes_max,
            held: AtomicU64::new(0),
            whole,
        }))
    }

    /// The bound.
    pub fn bytes_max(&self) -> u64 {
        self.0.bytes_max
    }

    /// How many bytes are held.
    pub fn held(&self) -> u64 {
        self.0.held.load(Ordering::Relaxed)
    }

    /// Holds `bytes` until what is returned is dropped.
    ///
    /// # Errors
    /// [`BytesSpent`]; nothing is held then.
    pub fn hold(&self, bytes: u64) -> Result<HeldBytes, BytesSpent> {
        let held = HeldBytes {
            budget: self.clone(),
            bytes: AtomicU64::new(0),
        };
        held.add(bytes)?;
        Ok(held)
    }

    fn take(&self, bytes: u64) -> Result<(), BytesSpent> {
        let Inner {
            name,
            bytes_max,
            held,
            whole,
        } = &*self.0;
        let add = |held: u64| held.checked_add(bytes).filter(|sum| sum <= bytes_max);
        held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .map_err(|_| BytesSpent {
                name,
                bytes_max: *bytes_max,
            })?;
        let taken = whole.as_ref().map_or(Ok(()), |whole| whole.take(bytes));
        taken.inspect_err(|_| {
            held.fetch_sub(bytes, Ordering::Relaxed);
        })
    }

    fn give_back(&self, bytes: u64) {
        self.0.held.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.0.whole {
            whole.give_back(bytes);
        }
    }
}

/// Bytes that a request holds, until this is dropped.
#[derive(Debug)]
pub struct HeldBytes {
    budget: ByteBudget,
    bytes: AtomicU64,
}

impl HeldBytes {
    /// Holds so many more.
    ///
    /// # Errors
    /// [`BytesSpent`]; what was held stays so.
    pub fn add(&self, bytes: u64) -> Result<(), BytesSpent> {
        self.budget.take(bytes)?;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Holds no more than so many any longer.
    pub fn shrink_to(&self, bytes: u64) {
        let before = self.bytes.fetch_min(bytes, Ordering::Relaxed);
        if before > bytes {
            self.budget.give_back(before - bytes);
        }
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.budget.give_back(*self.bytes.get_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_bounded_by_itself_and_by_the_whole() {
        let whole = ByteBudget::new("server", 100);
        let (one, other) = (whole.part("connection", 60), whole.part("connection", 60));
        let held = one.hold(50).unwrap();
        let spent = held.add(11).unwrap_err();
        assert_eq!((spent.name, spent.bytes_max), ("connection", 60));
        let spent = other.hold(51).unwrap_err();
        assert_eq!((spent.name, spent.bytes_max), ("server", 100));
        assert_eq!((one.held(), other.held(), whole.held()), (50, 0, 50));
        held.shrink_to(20);
        held.shrink_to(30);
        let rest = other.hold(60).unwrap();
        assert_eq!((one.held(), other.held(), whole.held()), (20, 60, 80));
        drop((held, rest));
        assert_eq!((one.held(), other.held(), whole.held()), (0, 0, 0));
        assert!(whole.hold(u64::MAX).is_err());
    }
}
