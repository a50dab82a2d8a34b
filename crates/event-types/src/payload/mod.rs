//! Payloads of registered types: whether bytes are one, and what they are in JSON.

mod walk;

use std::fmt;

use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage, SerializeOptions};

/// How deep messages in a payload may be nested; decoders of other languages stop at 100, which
/// includes what is around the payload.
pub const NESTING_MAX: usize = 50;
/// How deep a `google.protobuf.Any` may hold others. Each begins anew to count what is nested in it,
/// and who prints them goes down all of that.
pub const ANY_LEVELS_MAX: usize = 3;
/// At most this many values in a payload, those within messages and lists too: decoded, two bytes can take
/// more than a hundred.
pub const VALUES_MAX: usize = 100_000;
/// What precedes the full name of a type.
const TYPE_URL_PREFIX: &str = "type.googleapis.com/";

/// Why bytes or JSON are not a payload of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The path of the field, such as `lines.amount`; empty for the payload itself.
    pub field: String,
    /// What is wrong with it, for people.
    pub reason: String,
}

impl Misfit {
    fn new(reason: impl Into<String>) -> Self {
        Self {
            field: String::new(),
            reason: reason.into(),
        }
    }

    /// The same, within a field.
    fn within(mut self, field: &str) -> Self {
        self.field = match &*self.field {
            "" => field.to_owned(),
            inner => format!("{field}.{inner}"),
        };
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.field {
            "" => f.write_str(&self.reason),
            field => write!(f, "{field}: {}", self.reason),
        }
    }
}

impl std::error::Error for Misfit {}

/// A payload that is known to be one of its type.
#[derive(Debug, Clone)]
pub struct TypedPayload {
    message: DynamicMessage,
}

impl TypedPayload {
    /// Decodes bytes. Fields that the type does not have are kept.
    ///
    /// Strings are UTF-8 without NUL, required fields are there, messages are nested at most
    /// [`NESTING_MAX`] deep, there are at most [`VALUES_MAX`] values, every `google.protobuf.Any` has a type of the same set or a well-known
    /// one and holds others at most [`ANY_LEVELS_MAX`] deep, and everything has a form in JSON.
    ///
    /// # Errors
    /// [`Misfit`]: the bytes are not a message of this type.
    pub fn decode(of: &MessageDescriptor, bytes: &[u8]) -> Result<Self, Misfit> {
        walk::check(of, bytes)?;
        let message = DynamicMessage::decode(of.clone(), bytes)
            .map_err(|error| Misfit::new(error.to_string()))?;
        Ok(Self { message })
    }

    /// Reads the proto3 JSON mapping; a field that the type does not have is refused.
    ///
    /// # Errors
    /// [`Misfit`]: the text is not a message of this type. The reason names line and column.
    pub fn from_json(of: &MessageDescriptor, text: &str) -> Result<Self, Misfit> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let message = DynamicMessage::deserialize(of.clone(), &mut reader)
            .and_then(|message| reader.end().map(|()| message))
            .map_err(|error| Misfit::new(error.to_string()))?;
        walk::check(of, &message.encode_to_vec())?;
        Ok(Self { message })
    }

    /// In the proto3 JSON mapping of a `google.protobuf.Any` that holds it: the fields beside `@type`.
    ///
    /// # Errors
    /// [`Misfit`], as for [`TypedPayload::to_json`].
    pub fn to_any_json(&self) -> Result<String, Misfit> {
        let fields = self.to_json()?;
        let of = self.message.descriptor();
        let name = of.full_name();
        Ok(match fields.strip_prefix('{') {
            Some("}") => format!("{{\"@type\":\"{TYPE_URL_PREFIX}{name}\"}}"),
            Some(rest) => format!("{{\"@type\":\"{TYPE_URL_PREFIX}{name}\",{rest}"),
            // A type whose JSON is no object; none is registered.
            None => format!("{{\"@type\":\"{TYPE_URL_PREFIX}{name}\",\"value\":{fields}}}"),
        })
    }

    /// In the wire format. Not always the bytes that it was decoded from: their order is free.
    pub fn encode(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    /// In the proto3 JSON mapping: 64-bit integers as text, fields under their names in JSON, without
    /// those that have their default. Unknown fields are not in it.
    ///
    /// # Errors
    /// [`Misfit`]: something has no form in JSON, such as a time beyond the year 9999.
    pub fn to_json(&self) -> Result<String, Misfit> {
        let mut text = Vec::with_capacity(256);
        let mut writer = serde_json::Serializer::new(&mut text);
        (self
            .message
            .serialize_with_options(&mut writer, &SerializeOptions::new()))
        .map_err(|error| Misfit::new(error.to_string()))?;
        String::from_utf8(text).map_err(|error| Misfit::new(error.to_string()))
    }
}

#[cfg(test)]
mod tests;
