//! Tests of clients that cost much: what they hold is bounded, and others do not notice.

mod built;
mod expensive;
mod flow_control;
mod open_streams;
mod small_frames;
mod stalled;
pub(crate) mod unfinished;
mod untaken;
