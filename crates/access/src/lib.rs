//! Who may do what: bearer tokens and client certificates, scopes, what they are limited to, and
//! how much of it. Knows no transport and no database.
//!
//! A [`Gate`] turns what a client presents into an [`Access`], once for each call; handlers ask the
//! access. Where to change what: the file of tokens in `entry` and `file`, authentication in
//! `tokens`, names of certificates in `name` and `certificate`, what an access may do in `grant`, how much in `bounds`, what
//! is known about a caller in `caller`.

mod bounds;
mod caller;
mod certificate;
mod client;
mod denied;
mod entry;
mod file;
mod gate;
mod grant;
pub mod name;
mod secret;
mod tokens;

pub use bounds::{ByteBudget, BytesSpent, HeldBytes, NoPlace, Place, PlaceLimits, Places, Shares};
pub use caller::{AuditLog, AuditRecord, Caller, Peer, Recording};
pub use certificate::Certificate;
pub use client::{CredentialError, CredentialFiles, Credentials};
pub use denied::{Denied, Kind};
pub use entry::{Entry, Identity, Scope};
pub use file::{FileError, parse, render};
pub use gate::Gate;
pub use grant::{Access, StreamPlace};
pub use secret::Secret;
pub use tokens::Tokens;
