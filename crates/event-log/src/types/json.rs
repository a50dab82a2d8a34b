//! Events in the proto3 JSON mapping, in which payloads of registered types have their fields. Who does
//! not know the types has the bytes in their place.

use atlas_events::{Any, Event, Violation, event::Payload};
use event_types::TypedPayload;
use serde_json::Value;

use super::Snapshot;

/// The field of an event that holds a typed payload.
const FIELD: &str = "typed";

impl Snapshot {
    /// Writes an event as JSON.
    ///
    /// # Errors
    /// It has no form in JSON, such as a time beyond the year 9999.
    pub fn write_json(&self, event: &Event, text: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let Some(Payload::Typed(any)) = &event.payload else {
            return serde_json::to_writer(text, event);
        };
        let Some(fields) = self.fields_json(any) else {
            return serde_json::to_writer(text, event);
        };
        let whole = serde_json::to_string(event)?;
        // Within a text of the event the quotes would be escaped.
        let opaque = format!("\"{FIELD}\":{}", serde_json::to_string(any)?);
        let written = whole.replacen(&opaque, &format!("\"{FIELD}\":{fields}"), 1);
        text.extend_from_slice(written.as_bytes());
        Ok(())
    }

    /// A payload with its fields; `None` if its type is not registered, or it was not one of it when it
    /// was stored.
    fn fields_json(&self, any: &Any) -> Option<String> {
        let registered = self.registry().find(any.type_name())?;
        let decoded = TypedPayload::decode(&registered.descriptor, &any.value).ok()?;
        decoded.to_any_json().ok()
    }

    /// Puts the bytes of a typed payload in the place of its fields, in an event that was read as JSON
    /// and is to be read as an [`Event`]. Leaves payloads of other types as they are.
    ///
    /// # Errors
    /// The fields are not those of the type.
    pub fn encode_typed(&self, event: &mut Value) -> Result<(), Violation> {
        let Some(typed) = event.get_mut(FIELD) else {
            return Ok(());
        };
        let Some(url) = typed.get("@type").and_then(Value::as_str) else {
            return Ok(());
        };
        let name = url.rsplit('/').next().unwrap_or_default();
        let Some(registered) = self.registry().find(name) else {
            return Ok(());
        };
        let mut fields = typed.clone();
        if let Some(fields) = fields.as_object_mut() {
            fields.remove("@type");
        }
        let payload = TypedPayload::from_json(&registered.descriptor, &fields.to_string())
            .map_err(|misfit| Violation::new(FIELD, misfit))?;
        let any = Any::new(name, payload.encode());
        *typed = serde_json::to_value(any).map_err(|error| Violation::new(FIELD, error))?;
        Ok(())
    }
}
