//! Conditions over series and the clock: what rules state, what is wrong with it, and what is evaluated of it.

mod compile;
mod composite;
mod definition;
mod indicator;
mod message;
mod price;
mod schedule;

pub(crate) use compile::{
    Expression, SilenceDue, Watched, is_expression, problems, reach_days, series_read,
    series_to_be_known, watched,
};
pub(crate) use definition::{Composite, Indicator, Operator, Price, Silence, Times};
pub(crate) use message::{Said, filled, problem_of_message};
