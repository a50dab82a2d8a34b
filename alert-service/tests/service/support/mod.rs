//! What tests of the service share: a service with its database and logs, and who receives its messages.

pub(crate) mod bed;
pub(crate) mod receiver;
