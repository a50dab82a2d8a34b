//! Events that could not be processed.

use std::{fmt, str::FromStr};

use atlas_events::{Event, Violation};
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

/// Some of the parked events, in the order of their numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct ParkedPage {
    /// At most as many as were asked for; fewer where these are large.
    pub events: Vec<ParkedEvent>,
    /// Whether there are others after the last one.
    pub has_more: bool,
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

/// At most so many numbers of records in one filter.
const IDS_MAX: usize = 1_000;
/// At most so many characters in a name, and in a part of a reason.
const NAME_CHARS_MAX: usize = 200;
const REASON_CHARS_MAX: usize = 1_000;

/// Checks what a client names a source by, at `field`.
pub(crate) fn check_name(field: &str, name: &str) -> Result<(), Violation> {
    check_text(field, name, NAME_CHARS_MAX, |_| false)
}

/// The database takes no NUL, and nothing that is stored holds what no terminal shows.
fn check_text(
    field: &str,
    text: &str,
    chars_max: usize,
    is_fine: impl Fn(char) -> bool,
) -> Result<(), Violation> {
    if text.chars().count() > chars_max {
        let problem = format!("has more than {chars_max} characters");
        return Err(Violation::new(field, problem));
    }
    match text.chars().any(|c| c.is_control() && !is_fine(c)) {
        true => Err(Violation::new(field, "holds a control character")),
        false => Ok(()),
    }
}

impl ParkedFilter {
    /// That it can be asked for.
    ///
    /// # Errors
    /// More than 1,000 `ids`; a text that is too long or holds a control character.
    pub fn check(&self) -> Result<(), Violation> {
        if self.ids.as_ref().is_some_and(|ids| ids.len() > IDS_MAX) {
            let problem = format!("has more than {IDS_MAX} entries");
            return Err(Violation::new("ids", problem));
        }
        let text = |text: &'_ Option<String>| text.clone().unwrap_or_default();
        check_name("source", &text(&self.source))?;
        check_name("event_type", &text(&self.event_type))?;
        // Reasons may be of several lines.
        let (field, reason) = ("reason_contains", text(&self.reason_contains));
        check_text(field, &reason, REASON_CHARS_MAX, |c| "\n\r\t".contains(c))
    }

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
