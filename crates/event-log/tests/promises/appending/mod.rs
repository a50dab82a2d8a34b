//! Tests of the write path: durable, idempotent, fair, and honest about what is not stored.

mod fair_shares;
mod in_transactions;
mod large_groups;
mod prepared_ahead;
mod promise_1_durable;
mod promise_3_idempotent;
mod promise_9_honest_errors;
mod side_by_side;
pub(crate) mod small_appends;
