//! How much may wait to be stored, and who waits for room.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError},
    time::timeout,
};

use crate::LogError;

/// Room for events and bytes. Whoever finds none waits behind those that came before.
#[derive(Debug, Clone)]
pub(super) struct Room {
    events: Bound,
    bytes: Bound,
    /// For the bytes of calls that wait for room: what they hold is bounded too.
    outside: Bound,
}

impl Room {
    pub(super) fn new(events_max: usize, bytes_max: usize) -> Self {
        Self {
            events: Bound::new(events_max),
            bytes: Bound::new(bytes_max),
            outside: Bound::new(bytes_max),
        }
    }

    /// Takes room for a batch, if there is enough and nobody waits for it.
    pub(super) fn try_enter(&self, events: usize, bytes: usize) -> Result<Place, LogError> {
        Ok(Place {
            held: Some((self.events.try_take(events)?, self.bytes.try_take(bytes)?)),
            bytes,
        })
    }

    /// Takes room for a batch as soon as there is enough.
    pub(super) async fn enter(
        &self,
        events: usize,
        bytes: usize,
        wait_max: Duration,
    ) -> Result<Place, LogError> {
        if let Ok(place) = self.try_enter(events, bytes) {
            return Ok(place);
        }
        let entering = async {
            // Always in this order, so that nobody waits for another who waits for him.
            let events = self.events.take(events).await?;
            Ok((events, self.bytes.take(bytes).await?))
        };
        let held = timeout(wait_max, entering)
            .await
            .unwrap_or(Err(LogError::Overloaded))?;
        Ok(Place {
            held: Some(held),
            bytes,
        })
    }

    /// As [`Room::enter`]; but if those that wait so hold as much as may wait to be stored, nobody
    /// else waits.
    pub(super) async fn enter_if_few_wait(
        &self,
        events: usize,
        bytes: usize,
        wait_max: Duration,
    ) -> Result<Place, LogError> {
        if let Ok(place) = self.try_enter(events, bytes) {
            return Ok(place);
        }
        let _outside = self.outside.try_take(bytes)?;
        self.enter(events, bytes, wait_max).await
    }

    /// Nobody enters any more; whoever waits gets an error.
    pub(super) fn close(&self) {
        self.events.0.close();
        self.bytes.0.close();
    }
}

/// One bound and what is left of it, in the order of those who wait.
#[derive(Debug, Clone)]
struct Bound(Arc<Semaphore>, u32);

impl Bound {
    fn new(max: usize) -> Self {
        // Where a count is 32 bits wide, so is the bound.
        let max = u32::try_from(max).unwrap_or(u32::MAX).max(1);
        Self(Arc::new(Semaphore::new(max as usize)), max)
    }

    /// A batch larger than all the room there is waits until it has it alone.
    fn clamped(&self, amount: usize) -> u32 {
        u32::try_from(amount).unwrap_or(u32::MAX).min(self.1)
    }

    fn try_take(&self, amount: usize) -> Result<OwnedSemaphorePermit, LogError> {
        let taken = Arc::clone(&self.0).try_acquire_many_owned(self.clamped(amount));
        taken.map_err(|error| match error {
            TryAcquireError::Closed => LogError::Closed,
            TryAcquireError::NoPermits => LogError::Overloaded,
        })
    }

    async fn take(&self, amount: usize) -> Result<OwnedSemaphorePermit, LogError> {
        let taken = Arc::clone(&self.0).acquire_many_owned(self.clamped(amount));
        taken.await.map_err(|_closed| LogError::Closed)
    }
}

/// Room that a batch has, given back when it leaves or is dropped.
#[derive(Debug)]
pub(super) struct Place {
    held: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
    bytes: usize,
}

impl Place {
    /// How many bytes it was taken for.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives the room back.
    pub(super) fn leave(&mut self) {
        self.held = None;
    }
}
