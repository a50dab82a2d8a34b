//! What streams have handed to their connections and clients have not taken counts for its reader, so that
//! readers who take nothing hold no more than their share.

use access::{ByteBudget, HeldBytes, Shares};
use bytes::Bytes;
use http::Extensions;

use crate::{guard, status::Refusal};

/// What a reader may hold of answers.
#[derive(Debug, Clone)]
pub(crate) struct Untaken(ByteBudget);

impl Untaken {
    /// The share of whoever made a request with these extensions.
    pub(crate) fn of(shares: &Shares, extensions: &Extensions) -> Self {
        Self(shares.of(guard::share(extensions)))
    }

    /// Frames that count until the transport drops them. Those that other readers or the ring hold as
    /// well are there anyway and do not count.
    ///
    /// # Errors
    /// The share is used up, or what all have is.
    pub(crate) fn count(&self, frames: Bytes) -> Result<Bytes, Refusal> {
        if !frames.is_unique() {
            return Ok(frames);
        }
        let held = self.0.hold(frames.len() as u64);
        let held = held.map_err(Refusal::answers_spent)?;
        Ok(Bytes::from_owner(Counted {
            frames,
            _held: held,
        }))
    }
}

struct Counted {
    frames: Bytes,
    _held: HeldBytes,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.frames
    }
}
