//! What each channel is sent, and what its answers mean.

pub(super) mod log;
pub(super) mod mail;
pub(super) mod ntfy;
pub(super) mod slack;
pub(super) mod telegram;
pub(super) mod webhook;
