//! Events that could not be processed.

use std::{fmt, str::FromStr};

use atlas_events::Event;
use chrono::{DateTime, Utc};

use crate::{SourcedEvent, database::stored};

/// What became of an event that could not be processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkedState {
    /// It waits for somebody's decision.
    Parked,
    /// It is about to be processed once more.
    Retrying,
    /// A retry processed it.
    Resolved,
    /// It was given up.
    Discarded,
}

impl ParkedState {
    /// The name, as the table holds it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Retrying => "retrying",
            Self::Resolved => "resolved",
            Self::Discarded => "discarded",
        }
    }
}

impl fmt::Display for ParkedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ParkedState {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [
            Self::Parked,
            Self::Retrying,
            Self::Resolved,
            Self::Discarded,
        ]
        .into_iter()
        .find(|state| state.as_str() == name)
        .ok_or_else(|| format!("\"{name}\" is no state of a parked event"))
    }
}

/// An event that could not be processed.
#[derive(Debug, Clone, PartialEq)]
pub struct ParkedEvent {
    /// Number of the record.
    pub id: u64,
    /// The source that the event came from.
    pub source: String,
    /// What failed: the service, or a part of it such as a pattern.
    pub handler: String,
    /// Why, for people.
    pub reason: String,
    /// How many times it was tried.
    pub attempts: u64,
    /// When it was parked first.
    pub parked_at: DateTime<Utc>,
    /// When it was tried last.
    pub attempted_at: DateTime<Utc>,
    /// What became of it.
    pub state: ParkedState,
    /// The event.
    pub event: Event,
}

/// Which parked events are meant. All given conditions have to hold; the default means all.
#[derive(Debug, Clone, Default)]
pub struct ParkedFilter {
    /// Records by number.
    pub ids: Option<Vec<u64>>,
    /// The source.
    pub source: Option<String>,
    /// The type, as subscriptions spell it.
    pub event_type: Option<String>,
    /// A part of the reason, in upper or lower case.
    pub reason_contains: Option<String>,
    /// Parked at or after this time.
    pub parked_since: Option<DateTime<Utc>>,
    /// Parked before this time.
    pub parked_before: Option<DateTime<Utc>>,
    /// Any of these states; `None` means all that the operation can apply to.
    pub states: Option<Vec<ParkedState>>,
}

impl ParkedFilter {
    pub(crate) fn ids(&self) -> Option<Vec<i64>> {
        let ids = self.ids.as_ref()?;
        Some(ids.iter().map(|id| stored(*id)).collect())
    }

    /// Names of the wanted states among those that an operation applies to.
    pub(crate) fn states(
        &self,
        applicable: &[ParkedState],
        default: &[ParkedState],
    ) -> Vec<String> {
        let wanted = self.states.as_deref().unwrap_or(default);
        let both = wanted.iter().filter(|state| applicable.contains(state));
        both.map(ToString::to_string).collect()
    }
}

/// The handler that is named where an event could not be delivered to any.
pub(crate) const UNDELIVERABLE: &str = "delivery";

/// An event on its way to being parked.
#[derive(Debug, Clone)]
pub(crate) struct Parking {
    pub(crate) event: SourcedEvent,
    pub(crate) handler: String,
    pub(crate) reason: String,
    pub(crate) attempts: u64,
}
