//! How much a client may send, hold and open.

mod answers;
mod bounds;
mod limits;
