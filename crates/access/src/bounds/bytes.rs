//! Bytes that requests may hold in memory while they are received, and answers until they are taken.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// What is bounded, in words for clients.
const REQUESTS: &str = "requests that are being received";
const ANSWERS: &str = "answers that are not taken yet";
/// Parts that nobody holds any more are looked for once there are this many.
const SWEEP_MIN: usize = 1_024;

/// A number of bytes that are held at most. A part of it ([`ByteBudget::part`]) is bounded by itself
/// and by the whole, and what counts for two budgets ([`ByteBudget::and`]) by both. Clones are the same budget.
///
/// Nothing waits in a queue for bytes: requests that find too few are refused, so that those which hold some
/// of them cannot block each other.
#[derive(Debug, Clone)]
pub struct ByteBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    what: &'static str,
    name: &'static str,
    bytes_max: u64,
    held: AtomicU64,
    /// What is held here is held there, too.
    wholes: Vec<ByteBudget>,
}

/// A budget has too few bytes left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {what} of this {name} may hold {bytes_max} bytes together")]
pub struct BytesSpent {
    /// What is bounded.
    pub what: &'static str,
    /// Name of the budget.
    pub name: &'static str,
    /// Its bound.
    pub bytes_max: u64,
}

impl ByteBudget {
    /// A budget of `bytes_max` bytes for requests. `name` says whose it is, such as `server`.
    pub fn new(name: &'static str, bytes_max: u64) -> Self {
        Self::with(REQUESTS, name, bytes_max, Vec::new())
    }

    /// A budget of `bytes_max` bytes for the answers of a server.
    pub fn of_answers(bytes_max: u64) -> Self {
        Self::with(ANSWERS, "server", bytes_max, Vec::new())
    }

    /// A budget whose bytes count for this one too.
    pub fn part(&self, name: &'static str, bytes_max: u64) -> Self {
        Self::with(self.0.what, name, bytes_max, vec![self.clone()])
    }

    /// A budget whose bytes count for this one and for another.
    pub fn and(&self, other: &Self) -> Self {
        let wholes = vec![self.clone(), other.clone()];
        Self::with(self.0.what, self.0.name, u64::MAX, wholes)
    }

    fn with(what: &'static str, name: &'static str, bytes_max: u64, wholes: Vec<Self>) -> Self {
        Self(Arc::new(Inner {
            what,
            name,
            bytes_max,
            held: AtomicU64::new(0),
            wholes,
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
            what,
            name,
            bytes_max,
            held,
            wholes,
        } = &*self.0;
        let add = |held: u64| held.checked_add(bytes).filter(|sum| sum <= bytes_max);
        held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .map_err(|_| BytesSpent {
                what,
                name,
                bytes_max: *bytes_max,
            })?;
        for (index, whole) in wholes.iter().enumerate() {
            if let Err(spent) = whole.take(bytes) {
                held.fetch_sub(bytes, Ordering::Relaxed);
                wholes[..index]
                    .iter()
                    .for_each(|whole| whole.give_back(bytes));
                return Err(spent);
            }
        }
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        self.0.held.fetch_sub(bytes, Ordering::Relaxed);
        let wholes = self.0.wholes.iter();
        wholes.for_each(|whole| whole.give_back(bytes));
    }
}

/// A budget of which each caller may hold a part. Clones are the same.
#[derive(Debug, Clone)]
pub struct Shares(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    whole: ByteBudget,
    each_max: u64,
    parts: Mutex<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    by_caller: HashMap<String, ByteBudget>,
    sweep_at: usize,
}

impl Shares {
    /// Parts of at most `each_max` bytes of a whole.
    pub fn new(whole: ByteBudget, each_max: u64) -> Self {
        Self(Arc::new(Shared {
            whole,
            each_max,
            parts: Mutex::default(),
        }))
    }

    /// What all callers may hold together.
    pub fn whole(&self) -> &ByteBudget {
        &self.0.whole
    }

    /// The part of a caller, by [`Caller::share`](crate::Caller::share).
    pub fn of(&self, caller: String) -> ByteBudget {
        let Shared {
            whole,
            each_max,
            parts,
        } = &*self.0;
        let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
        if parts.by_caller.len() >= parts.sweep_at.max(SWEEP_MIN) {
            // What is held holds its budget.
            parts
                .by_caller
                .retain(|_, part| Arc::strong_count(&part.0) > 1);
            parts.sweep_at = parts.by_caller.len() * 2;
        }
        let part = parts.by_caller.entry(caller);
        part.or_insert_with(|| whole.part("caller", *each_max))
            .clone()
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

    #[test]
    fn what_counts_for_two_is_bounded_by_both() {
        let (whole, connection) = (
            ByteBudget::new("server", 100),
            ByteBudget::new("connection", 50),
        );
        let caller = whole.part("caller", 60);
        let both = connection.and(&caller);
        let held = both.hold(40).unwrap();
        assert_eq!(both.hold(11).unwrap_err().name, "connection");
        let elsewhere = caller.hold(15).unwrap();
        assert_eq!(held.add(6).unwrap_err().name, "caller");
        // What is refused is held nowhere.
        assert_eq!(
            (connection.held(), caller.held(), whole.held()),
            (40, 55, 55)
        );
        held.shrink_to(10);
        assert_eq!(
            (connection.held(), caller.held(), whole.held()),
            (10, 25, 25)
        );
        drop((held, elsewhere));
        assert_eq!((connection.held(), caller.held(), whole.held()), (0, 0, 0));
    }

    #[test]
    fn each_caller_has_a_share() {
        let shares = Shares::new(ByteBudget::of_answers(100), 60);
        let of = |caller: &str| shares.of(caller.to_owned());
        let held = of("a").hold(50).unwrap();
        let spent = of("a").hold(11).unwrap_err();
        assert_eq!((spent.name, spent.bytes_max), ("caller", 60));
        let spent = of("b").hold(51).unwrap_err();
        assert_eq!((spent.name, spent.bytes_max), ("server", 100));
        // However many others come and go, it is known what is held.
        for n in 0..10_000 {
            of(&n.to_string()).hold(1).unwrap();
        }
        assert!(shares.0.parts.lock().unwrap().by_caller.len() <= SWEEP_MIN + 1);
        assert!(of("a").hold(11).is_err());
        drop(held);
        of("a").hold(60).unwrap();
    }
}
