//! What streams have handed to their connections and clients have not taken counts for its reader, so that
//! readers who take nothing hold no more than their share.

use std::time::Duration;

use access::{ByteBudget, HeldBytes, Shares};
use bytes::Bytes;
use http::Extensions;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{guard, status::Refusal};

/// Hundreds of readers that catch up at once wait for each other. One that finds no room for so long
/// is beside others that take nothing.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How often it looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What a reader may hold of answers.
#[derive(Debug, Clone)]
pub(crate) struct Untaken(ByteBudget);

impl Untaken {
    /// The share of whoever made a request with these extensions.
    pub(crate) fn of(shares: &Shares, extensions: &Extensions) -> Self {
        Self(shares.of(guard::share(extensions)))
    }

    /// Frames that count until the transport drops them, as soon as there is room. Those that other
    /// readers or the ring hold as well are there anyway and do not count.
    ///
    /// # Errors
    /// The share stays used up, or what all have does; at once if the server stops.
    pub(crate) async fn count(
        &self,
        frames: Bytes,
        stop: &CancellationToken,
    ) -> Result<Bytes, Refusal> {
        if !frames.is_unique() {
            return Ok(frames);
        }
        let until = Instant::now() + WAIT_MAX;
        loop {
            match self.0.hold(frames.len() as u64) {
                Ok(held) => {
                    return Ok(Bytes::from_owner(Counted {
                        frames,
                        _held: held,
                    }));
                }
                Err(spent) if stop.is_cancelled() || Instant::now() >= until => {
                    return Err(Refusal::answers_spent(spent));
                }
                Err(_) => sleep(LOOK_INTERVAL).await,
            }
        }
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
