//! The service `EventPublisher`: batches are checked, queued, and answered in order.

pub(crate) mod acknowledgements;
pub(crate) mod batch;
pub(crate) mod publisher;
