//! Channels: how a notification reaches a person.
//!
//! A channel has a public configuration, which is shown, and a secret, which never is. Sending is one
//! attempt; what becomes of it is an [`Outcome`], from which the delivery decides about the next.

mod destination;
mod kind;
mod message;
mod outcome;
mod pace;
mod protocol;
mod render;
mod seal;
mod secret;
mod sender;
mod web;

pub use destination::{Destination, Problem};
pub use kind::{Channel, ChatId};
pub use message::{Action, ChatAction, Message, MessageKind, Severity};
pub use outcome::Outcome;
pub use protocol::mail::{SmtpConfig, SmtpCredentials, SmtpTls};
pub use seal::{Seal, SealError};
pub use secret::Secret;
pub use sender::{Sender, SenderConfig, SenderError, TELEGRAM_URL};
pub use web::AddressRules;
