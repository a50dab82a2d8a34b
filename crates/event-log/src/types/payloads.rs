//! Payloads of registered types, as they are published.

use atlas_events::{Any, RegisteredTypes, Violation};
use event_types::TypedPayload;

use super::Snapshot;

/// At most this many characters of a name that is not known are repeated.
const NAME_CHARS_MAX: usize = 100;

/// The types that are known, and what becomes of payloads of others.
#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) known: std::sync::Arc<Snapshot>,
    /// Whether payloads of types that are not registered are stored as they are.
    pub(crate) keeps_unregistered: bool,
}

impl RegisteredTypes for Judge {
    fn payload_json(&self, payload: &Any) -> Result<String, Violation> {
        let name = payload.type_name();
        match self.known.registry().find(name) {
            Some(registered) => TypedPayload::decode(&registered.descriptor, &payload.value)
                .and_then(|decoded| decoded.to_any_json())
                .map_err(|misfit| {
                    let field = match &*misfit.field {
                        "" => "value".to_owned(),
                        field => format!("value.{field}"),
                    };
                    Violation::new(field, misfit.reason)
                }),
            None if self.keeps_unregistered => {
                serde_json::to_string(payload).map_err(|error| Violation::new("value", error))
            }
            None => {
                let name = atlas_events::clip(name, NAME_CHARS_MAX);
                let problem =
                    format!("the type \"{name}\" is not registered; register it with EventTypes");
                Err(Violation::new("type_url", problem))
            }
        }
    }
}
