//! gRPC beside the log: rules, by the same work as over REST.

mod document;
mod refusal;
mod rules;

pub(crate) use rules::AlertRulesService;
