//! Each event has its effects once, whatever happens.

pub(crate) mod promise_6_exactly_once;
mod promise_6_several_instances;
mod silence;
