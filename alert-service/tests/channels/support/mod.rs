//! Servers that channels are sent to, and a message to send.

pub(crate) mod http_server;
pub(crate) mod sample;
pub(crate) mod smtp_server;
