//! Events that cannot be processed are set aside.

mod parked_over_grpc;
pub(crate) mod promise_7_parked;
