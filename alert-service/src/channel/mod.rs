//! Channels: how a notification reaches a person.
//!
//! A channel has a public configuration, which is shown, and a secret, which never is. Sending is one
//! attempt; what becomes of it is an [`Outcome`], from which the delivery decides about the next.

mod message;
mod outcome;

pub use message::{Action, Message, MessageKind, Severity};
pub use outcome::Outcome;
