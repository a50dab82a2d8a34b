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

/// What a page has at the most, unless its last event is larger than what is left of it.
const PAGE_BYTES: u64 = 256 * 1024;

/// What a reader may hold of answers.
#[derive(Debug)]
pub(crate) struct Untaken {
    share: ByteBudget,
    /// Waited for, and not used yet.
    room: Option<Room>,
}

#[derive(Debug)]
struct Room {
    held: HeldBytes,
    bytes: u64,
}

/// There is no room for so many bytes at present.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoRoom {
    bytes: u64,
}

impl Untaken {
    /// The share of whoever made a request with these extensions.
    pub(crate) fn of(shares: &Shares, extensions: &Extensions) -> Self {
        Self {
            share: shares.of(guard::share(extensions)),
            room: None,
        }
    }

    /// Frames that count until the transport drops them. Those that other readers or the ring hold as
    /// well are there anyway and do not count.
    ///
    /// # Errors
    /// [`NoRoom`], and the frames are gone: while a reader waits for [`Untaken::room`] it holds nothing,
    /// and then reads them again.
    pub(crate) fn count(&mut self, frames: Bytes) -> Result<Bytes, NoRoom> {
        let room = self.room.take();
        if !frames.is_unique() {
            return Ok(frames);
        }
        let bytes = frames.len() as u64;
        let held = match room {
            Some(room) => room.fit(bytes),
            None => self.share.hold(bytes).ok(),
        };
        let held = held.ok_or(NoRoom { bytes })?;
        Ok(Bytes::from_owner(Counted {
            frames,
            _held: held,
        }))
    }

    /// Waits for room for a page, and keeps it for what is counted next. A reader that will not find any then reads
    /// nothing: what it reads in vain costs as much as what it is given.
    ///
    /// # Errors
    /// As [`Untaken::room`].
    pub(crate) async fn room_for_page(&mut self, stop: &CancellationToken) -> Result<(), Refusal> {
        if self.room.is_some() {
            return Ok(());
        }
        let bytes = PAGE_BYTES.min(self.share.bytes_max());
        self.room(NoRoom { bytes }, stop).await
    }

    /// Waits for room, and keeps it for what is counted next.
    ///
    /// # Errors
    /// The share stays used up, or what all have does; at once if the server stops.
    pub(crate) async fn room(
        &mut self,
        NoRoom { bytes }: NoRoom,
        stop: &CancellationToken,
    ) -> Result<(), Refusal> {
        let until = Instant::now() + WAIT_MAX;
        loop {
            match self.share.hold(bytes) {
                Ok(held) => {
                    self.room = Some(Room { held, bytes });
                    return Ok(());
                }
                Err(spent) if stop.is_cancelled() || Instant::now() >= until => {
                    return Err(Refusal::answers_spent(spent));
                }
                Err(_) => sleep(LOOK_INTERVAL).await,
            }
        }
    }
}

impl Room {
    /// The same for so many bytes; `None` if these are more and there is no room for them.
    fn fit(self, bytes: u64) -> Option<HeldBytes> {
        self.held.shrink_to(bytes);
        self.held.add(bytes.saturating_sub(self.bytes)).ok()?;
        Some(self.held)
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
