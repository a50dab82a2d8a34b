//! What happens to received events: the [`worker`] makes batches ([`batch`]) of them in turn, sees each through
//! ([`process`]) until one transaction ([`attempt`]) has committed its effects, and stops where a
//! checkpoint and a log contradict each other ([`stopping`]).

pub(crate) mod attempt;
pub(crate) mod batch;
pub(crate) mod claim;
pub(crate) mod process;
pub(crate) mod processed;
pub(crate) mod session;
pub(crate) mod stopping;
pub(crate) mod trace;
pub(crate) mod turn;
pub(crate) mod worker;
