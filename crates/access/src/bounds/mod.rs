//! How much clients may have at once: memory in `bytes`, connections and streams in `places`, and what
//! the entry of a token allows in `limits`.

mod bytes;
mod limits;
mod places;

pub use bytes::{ByteBudget, BytesSpent, HeldBytes, Shares};
pub(crate) use limits::{OpenStream, Use};
pub(crate) use places::origin;
pub use places::{NoPlace, Place, PlaceLimits, Places};
