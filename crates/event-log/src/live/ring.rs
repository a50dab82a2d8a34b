//! The newest events of a log, in memory, shared by all readers of the process.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use crate::live::batch::Batch;

/// Small batches are handed out together up to this size, so that a reader that is behind does not
/// get thousands of tiny ones.
const TOGETHER_BYTES_MAX: usize = 64 * 1024;

/// What the ring knows of the events after a cursor.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// These come next; at least one.
    Batches(Vec<Arc<Batch>>),
    /// Nothing is stored after the cursor, as far as the ring knows.
    AtTail,
    /// The ring no longer holds what comes next; the database does.
    Behind,
}

/// A bounded run of the newest batches. Positions in it are consecutive.
#[derive(Debug)]
pub(crate) struct Ring {
    // A std mutex: held for a few instructions, never across an await.
    held: Mutex<Held>,
    tail: watch::Sender<u64>,
    bytes_max: usize,
}

#[derive(Debug)]
struct Held {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
    tail: u64,
}

impl Ring {
    /// An empty ring whose next event is the one after `tail`.
    pub(crate) fn new(tail: u64, bytes_max: usize) -> Self {
        let held = Held {
            batches: VecDeque::new(),
            bytes: 0,
            tail,
        };
        Self {
            held: Mutex::new(held),
            tail: watch::Sender::new(tail),
            bytes_max,
        }
    }

    /// Notifies of each change of the last position.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.tail.subscribe()
    }

    /// The last position that has reached this process.
    pub(crate) fn tail(&self) -> u64 {
        *self.tail.borrow()
    }

    /// Adds the batch that follows the tail. Returns false, and adds nothing, if it does not follow.
    pub(crate) fn push(&self, batch: Batch) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if batch.first_position() != held.tail + 1 {
            return false;
        }
        held.tail = batch.last_position();
        held.bytes += batch.bytes();
        held.batches.push_back(Arc::new(batch));
        while held.bytes > self.bytes_max {
            let Some(oldest) = held.batches.pop_front() else {
                break;
            };
            held.bytes -= oldest.bytes();
        }
        let tail = held.tail;
        drop(held);
        self.tail.send_replace(tail);
        true
    }

    /// Forgets all, and resumes after `tail`: what comes before it has to be read from the
    /// database.
    pub(crate) fn restart(&self, tail: u64) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.batches.clear();
        held.bytes = 0;
        held.tail = tail;
        drop(held);
        self.tail.send_replace(tail);
    }

    /// How many events are held, and how many bytes they take.
    pub(crate) fn held(&self) -> (u64, usize) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let first = held.batches.front().map(|batch| batch.first_position());
        let events = first.map_or(0, |first| held.tail + 1 - first);
        (events, held.bytes)
    }

    /// What comes after a cursor.
    pub(crate) fn after(&self, cursor: u64) -> Lookup {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if cursor >= held.tail {
            return Lookup::AtTail;
        }
        let index = held
            .batches
            .partition_point(|batch| batch.last_position() <= cursor);
        let reaches = |batch: &&Arc<Batch>| batch.first_position() <= cursor + 1;
        if held.batches.get(index).filter(reaches).is_none() {
            return Lookup::Behind;
        }
        let mut bytes = 0;
        let together = held.batches.iter().skip(index).take_while(|batch| {
            let first = bytes == 0;
            bytes += batch.bytes();
            first || bytes <= TOGETHER_BYTES_MAX
        });
        Lookup::Batches(together.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use atlas_events::EventType;
    use chrono::Utc;

    use super::*;
    use crate::live::batch::BatchBuilder;

    fn batch(positions: std::ops::RangeInclusive<u64>) -> Batch {
        let mut builder = BatchBuilder::default();
        for position in positions {
            let event_type = EventType::from_stored("custom:Test");
            builder.push(position, Utc::now(), &[0; 100], (event_type, "Test"), &[]);
        }
        builder.finish().unwrap()
    }

    #[test]
    fn what_does_not_follow_the_tail_is_not_taken() {
        let ring = Ring::new(10, 1_000_000);
        assert!(!ring.push(batch(12..=13)));
        assert!(!ring.push(batch(9..=11)));
        assert!(ring.push(batch(11..=13)));
        assert_eq!(ring.tail(), 13);
    }

    #[test]
    fn a_cursor_finds_its_successor_or_where_to_look() {
        let ring = Ring::new(10, 1_000_000);
        ring.push(batch(11..=20));
        ring.push(batch(21..=30));
        assert!(matches!(ring.after(9), Lookup::Behind));
        assert!(matches!(ring.after(30), Lookup::AtTail));
        assert!(matches!(ring.after(99), Lookup::AtTail));
        for cursor in 10..30 {
            let Lookup::Batches(found) = ring.after(cursor) else {
                panic!("{cursor}")
            };
            assert!(found[0].first_position() <= cursor + 1 && found[0].last_position() > cursor);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let ring = Ring::new(0, 10_000);
        for first in (1..10_000).step_by(10) {
            assert!(ring.push(batch(first..=first + 9)));
        }
        let held = ring.held.lock().unwrap();
        assert!(held.bytes <= 10_000 && !held.batches.is_empty());
    }
}
