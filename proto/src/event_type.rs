use std::sync::Arc;

use crate::event::Payload;

/// Names of the payloads that are stored, as filters and the `event_type` column spell them.
/// `CustomEvent` stands for every `custom:<type>`.
pub const KNOWN_EVENT_TYPES: [&str; 5] = [
    "SeriesCollectedEvent",
    "CollectionFailedEvent",
    "ThresholdCrossedEvent",
    "RegimeTransitionEvent",
    "CustomEvent",
];

/// Prefix of the names of types that the platform does not know.
pub(crate) const CUSTOM_PREFIX: &str = "custom:";

/// The name under which an event is stored and filtered: a payload's message name, or
/// `custom:<type>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventType(Arc<str>);

impl EventType {
    /// The type of a payload; `None` for the markers, which are never stored.
    pub fn of(payload: &Payload) -> Option<Self> {
        let name = match payload {
            Payload::SeriesCollected(_) => KNOWN_EVENT_TYPES[0],
            Payload::CollectionFailed(_) => KNOWN_EVENT_TYPES[1],
            Payload::ThresholdCrossed(_) => KNOWN_EVENT_TYPES[2],
            Payload::RegimeTransition(_) => KNOWN_EVENT_TYPES[3],
            Payload::Custom(custom) => {
                return Some(Self(format!("{CUSTOM_PREFIX}{}", custom.r#type).into()));
            }
            Payload::Heartbeat(_) | Payload::CaughtUp(_) | Payload::FellBehind(_) => return None,
        };
        Some(Self(name.into()))
    }

    /// A type by the name it was stored under.
    pub fn from_stored(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the platform does not know the type.
    pub fn is_custom(&self) -> bool {
        self.0.starts_with(CUSTOM_PREFIX)
    }
}
