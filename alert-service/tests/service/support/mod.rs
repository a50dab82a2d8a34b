//! What tests of the service share: a service with its database and logs, and who receives its messages.

pub(crate) mod bed;
pub(crate) mod receiver;
#[path = "../../channels/support/smtp_server.rs"]
#[expect(dead_code, reason = "the tests of channels use all of it")]
pub(crate) mod smtp_server;
pub(crate) mod teams;
