//! Group commit: what waits is stored in one transaction, and several such transactions are under way
//! at once where much waits.

pub(crate) mod appender;
pub(crate) mod group;
pub(crate) mod pipeline;
pub(crate) mod thread;
pub(crate) mod writer;
