//! Readers of peers: the same proofs as for ATLAS, by what the event itself says.

use anyhow::{Result, ensure};
use atlas_events::Event;
use bytes::Bytes;
use prost::Message;

use crate::{clock::Latencies, raw::Scanned};

/// The event as a peer carries it: with the fields that ATLAS adds, so that it is as long. The
/// position is how many the publisher sent.
pub(super) fn encode(mut event: Event, position: u64) -> Bytes {
    event.position = position;
    event.recorded_at = event.occurred_at;
    event.encode_to_vec().into()
}

/// What a reader has got, and is to get.
pub(super) struct Order {
    position: u64,
    pub(super) last: u64,
    warm_up: u64,
    latencies: Option<Latencies>,
}

impl Order {
    pub(super) fn new() -> Self {
        Self {
            position: 0,
            last: 0,
            warm_up: 0,
            latencies: None,
        }
    }

    /// From here on up to `last`; with latencies of what comes behind the warm-up, where given.
    pub(super) fn expect(&mut self, last: u64, warm_up: Option<u64>) -> Result<()> {
        self.last = last;
        self.warm_up = warm_up.unwrap_or_default();
        self.latencies = warm_up.map(|_| Latencies::new()).transpose()?;
        Ok(())
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn complete(&self) -> bool {
        self.position >= self.last
    }

    /// Takes an encoded event, which must be the next.
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
        let next = self.position + 1;
        ensure!(
            position == next,
            "event {position} came where {next} was due"
        );
        self.position = next;
        if next > self.warm_up
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
