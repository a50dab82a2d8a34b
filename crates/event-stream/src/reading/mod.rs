//! The services that read: `EventStream` and `EventLog`, and what each of their streams holds.

pub(crate) mod consumers;
pub(crate) mod event_stream;
pub(crate) mod log_info;
pub(crate) mod request;
pub(crate) mod subscription;
pub(crate) mod untaken;
