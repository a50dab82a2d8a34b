use std::sync::Arc;

use crate::event::Payload;

/// Names of the payloads that are stored, as filters and the `event_type` column spell them.
/// `CustomEvent` stands for every `custom:<type>`.
pub const KNOWN_EVENT_TYPES: [&str; 8] = [
    "SeriesCollectedEvent",
    "CollectionFailedEvent",
    "ThresholdCrossedEvent",
    "RegimeTransitionEvent",
    "DefinitionChangedEvent",
    "AlertChangedEvent",
    "DeliveryChangedEvent",
    CUSTOM_EVENT,
];

/// Stands for every custom type in filters.
pub(crate) const CUSTOM_EVENT: &str = "CustomEvent";

/// Prefix of the names of types that the platform does not know.
pub(crate) const CUSTOM_PREFIX: &str = "custom:";

/// At most this many characters in the full name of a registered type.
const TYPE_NAME_CHARS_MAX: usize = 250;

/// Whether a text may be the full name of a registered type: identifiers with dots between, at least one,
/// which no name of ours has.
pub(crate) fn is_registered_name(name: &str) -> bool {
    let is_identifier = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && (part.chars()).all(|char| char.is_ascii_alphanumeric() || char == '_')
    };
    name.len() <= TYPE_NAME_CHARS_MAX && name.contains('.') && name.split('.').all(is_identifier)
}

/// The name under which an event is stored and filtered: a payload's message name, `custom:<type>`, or the
/// full name of a registered type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventType(Name);

/// A known name is recognized without an allocation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Name {
    Known(&'static str),
    Other(Arc<str>),
}

impl EventType {
    /// The type of a payload; `None` for what is never stored: markers, and the stand-in for an
    /// event that cannot be delivered.
    pub fn of(payload: &Payload) -> Option<Self> {
        let name = match payload {
            Payload::SeriesCollected(_) => KNOWN_EVENT_TYPES[0],
            Payload::CollectionFailed(_) => KNOWN_EVENT_TYPES[1],
            Payload::ThresholdCrossed(_) => KNOWN_EVENT_TYPES[2],
            Payload::RegimeTransition(_) => KNOWN_EVENT_TYPES[3],
            Payload::DefinitionChanged(_) => KNOWN_EVENT_TYPES[4],
            Payload::AlertChanged(_) => KNOWN_EVENT_TYPES[5],
            Payload::DeliveryChanged(_) => KNOWN_EVENT_TYPES[6],
            Payload::Custom(custom) => {
                return Some(Self::custom(&custom.r#type));
            }
            Payload::Typed(any) => return Some(Self(Name::Other(any.type_name().into()))),
            Payload::Heartbeat(_)
            | Payload::CaughtUp(_)
            | Payload::FellBehind(_)
            | Payload::Undeliverable(_) => return None,
        };
        Some(Self(Name::Known(name)))
    }

    /// The type of custom events of a name, such as "OrderPlaced".
    pub(crate) fn custom(name: &str) -> Self {
        Self(Name::Other(format!("{CUSTOM_PREFIX}{name}").into()))
    }

    /// A type by the name it was stored under.
    pub fn from_stored(name: &str) -> Self {
        let known = KNOWN_EVENT_TYPES.into_iter().find(|known| *known == name);
        Self(known.map_or_else(|| Name::Other(name.into()), Name::Known))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Known(name) => name,
            Name::Other(name) => name,
        }
    }

    /// Whether the platform does not know the type.
    pub fn is_custom(&self) -> bool {
        self.as_str().starts_with(CUSTOM_PREFIX)
    }
}
