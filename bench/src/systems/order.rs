//! What readers of peers prove, by what the event itself says.

use anyhow::{Context, Result, ensure};
use atlas_events::Event;
use bytes::Bytes;
use futures::future::BoxFuture;
use prost::Message;

use super::Subscriber;
use crate::{load::clock::Latencies, reader::raw::Scanned};

/// The event as a peer carries it: with the fields that ATLAS adds, so that it is as long. The
/// position is how many the publisher sent.
pub(super) fn encode(mut event: Event, position: u64) -> Bytes {
    event.position = position;
    event.recorded_at = event.occurred_at;
    event.encode_to_vec().into()
}

/// A reader of a peer, which hands what it reads to its [`Order`].
pub(super) trait Checked: Send {
    fn order(&mut self) -> &mut Order;

    /// Reads until the order is complete.
    fn read(&mut self) -> BoxFuture<'_, Result<()>>;
}

impl<T: Checked> Subscriber for T {
    fn read_to(&mut self, last: u64, warm_up: u64) -> BoxFuture<'_, Result<Latencies>> {
        Box::pin(async move {
            self.order().expect(last, Some(warm_up))?;
            self.read().await?;
            self.order().latencies()
        })
    }

    fn skip_to(&mut self, last: u64) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.order().expect(last, None)?;
            self.read().await
        })
    }
}

/// What a reader has got, and is to get: each event once. Not their order, which the clients of peers
/// do not keep for what is in flight together.
pub(super) struct Order {
    /// By number.
    seen: Vec<bool>,
    count: u64,
    last: u64,
    greatest: u64,
    warm_up: u64,
    latencies: Option<Latencies>,
}

impl Order {
    pub(super) fn new() -> Self {
        Self {
            seen: Vec::new(),
            count: 0,
            last: 0,
            greatest: 0,
            warm_up: 0,
            latencies: None,
        }
    }

    /// Up to `last`; with latencies of what comes behind the warm-up, where given.
    pub(super) fn expect(&mut self, last: u64, warm_up: Option<u64>) -> Result<()> {
        self.last = last;
        self.seen.resize(last as usize + 1, false);
        self.warm_up = warm_up.unwrap_or_default();
        self.latencies = warm_up.map(|_| Latencies::new()).transpose()?;
        Ok(())
    }

    /// The greatest number that came.
    pub(super) fn greatest(&self) -> u64 {
        self.greatest
    }

    pub(super) fn complete(&self) -> bool {
        self.count >= self.last
    }

    /// Takes an encoded event, which must not have come before.
    pub(super) fn take(&mut self, mut encoded: &[u8]) -> Result<()> {
        let scanned = Scanned::read(&mut encoded)?;
        self.came(scanned.position, scanned.occurred_at_us)
    }

    /// Takes an event whose position is not among its bytes.
    pub(super) fn take_at(&mut self, position: u64, mut encoded: &[u8]) -> Result<()> {
        let scanned = Scanned::read(&mut encoded)?;
        self.came(position, scanned.occurred_at_us)
    }

    fn came(&mut self, position: u64, due_us: u64) -> Result<()> {
        let seen = self.seen.get_mut(position as usize);
        let seen = seen.with_context(|| format!("event {position} was not published"))?;
        ensure!(!*seen, "event {position} came twice");
        *seen = true;
        self.count += 1;
        self.greatest = self.greatest.max(position);
        if position > self.warm_up
            && let Some(latencies) = &mut self.latencies
        {
            latencies.record_since(due_us)?;
        }
        Ok(())
    }

    pub(super) fn latencies(&mut self) -> Result<Latencies> {
        self.latencies.take().map_or_else(Latencies::new, Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::message;

    #[test]
    fn each_event_counts_once_in_whatever_order() {
        let encoded = |position| encode(message::event(1, 1_000_000), position);
        let mut order = Order::new();
        order.expect(2, None).unwrap();
        order.take(&encoded(2)).unwrap();
        assert!(order.take(&encoded(2)).is_err());
        assert!(order.take(&encoded(3)).is_err());
        assert!(!order.complete());
        order.take(&encoded(1)).unwrap();
        assert!(order.complete());
    }
}
