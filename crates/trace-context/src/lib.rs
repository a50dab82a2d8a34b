//! Spans that are exported, and the W3C trace contexts that tie them together across processes and
//! through the log.
//!
//! Only spans whose target is [`TARGET`] are exported: those of libraries are not. Where nothing is
//! exported, making one costs a look at a flag. What happens many thousand times a second is not
//! given a span each: one is made where a recorded span asks for it, or as often as a [`Pace`]
//! allows.
//!
//! An event carries the context of the span that published it. Who reads it later *links* to that
//! context: a trace that took it for its parent would grow for as long as events cause events.

mod context;
mod pace;
mod span;

pub use context::TraceContext;
pub use pace::Pace;
pub use span::{
    TARGET, commit, count, failed, is_asked_for, is_on, is_recorded, link, set_parent, turn_on,
};
#[doc(hidden)]
pub use tracing;
