//! The live tail: the [`feeder`] puts the newest events into the [`ring`], from which all readers of a
//! process that are not behind read them ([`follow`]).

pub(crate) mod batch;
pub(crate) mod feeder;
pub(crate) mod follow;
pub(crate) mod ring;
