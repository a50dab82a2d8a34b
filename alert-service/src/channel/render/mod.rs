//! Text within the budget of a channel, measured in the channel's own unit.

mod budget;
mod parts;

pub(super) use budget::{Unit, clean, cut, one_line};
pub(super) use parts::{body, facts, heading, is_short, links, tidy};
