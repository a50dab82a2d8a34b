//! Calm: what keeps messages back that nobody wants, or keeps them for later.
//!
//! Everything here is pure: what a tenant prefers ([`Preferences`]), which alerts that is about ([`Matchers`]), and
//! when quiet hours end. [`Writer`](crate::alert::Writer) asks, in the transaction that stores the deliveries.

mod clock;
mod digest;
mod group;
mod hours;
mod link;
mod matcher;
mod preferences;
mod problems;
mod quiet;
mod unsubscribe;

pub(crate) use group::{Grouping, group_key, joined};
pub(crate) use hours::{Period, check as check_hours, is_within};
pub(crate) use link::{Action, Bound, Link, LinkKeys, Links, SNOOZE};
pub(crate) use matcher::{Matchers, Traits};
pub(crate) use preferences::{Limits, Preferences};
pub(crate) use quiet::Choice;
pub(crate) use unsubscribe::Subscription;
