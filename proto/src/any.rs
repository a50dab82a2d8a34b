use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess},
    ser::SerializeMap,
};

/// What precedes the full name of a type.
const TYPE_URL_PREFIX: &str = "type.googleapis.com/";
/// The members of the JSON form.
const MEMBERS: [&str; 2] = ["@type", "value"];

/// `google.protobuf.Any`: an encoded message and the name of its type.
///
/// Who knows the type writes it as JSON with the fields of the message beside `@type`. Here nobody does:
/// the JSON form is `{"@type": "…", "value": "<base64 of the encoded message>"}`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Any {
    /// Ends with "/" and the full name of the type.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The encoded message.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

impl Any {
    /// A message of a type, by its full name.
    pub fn new(type_name: &str, value: Vec<u8>) -> Self {
        Self {
            type_url: format!("{TYPE_URL_PREFIX}{type_name}"),
            value,
        }
    }

    /// The full name of the type: what is behind the last "/".
    pub fn type_name(&self) -> &str {
        let name = self.type_url.rsplit_once('/');
        name.map_or(&*self.type_url, |(_, name)| name)
    }

    /// With the prefix that everybody uses.
    pub(crate) fn complete_type_url(&mut self) {
        if self.type_url.strip_prefix(TYPE_URL_PREFIX) != Some(self.type_name()) {
            self.type_url = format!("{TYPE_URL_PREFIX}{}", self.type_name());
        }
    }
}

impl Serialize for Any {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(MEMBERS.len()))?;
        map.serialize_entry(MEMBERS[0], &self.type_url)?;
        map.serialize_entry(MEMBERS[1], &STANDARD.encode(&self.value))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Any;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with \"@type\"")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Any, A::Error> {
                let mut any = Any::default();
                while let Some(name) = map.next_key::<String>()? {
                    match &*name {
                        "@type" => any.type_url = map.next_value()?,
                        "value" => {
                            let text: String = map.next_value()?;
                            let value = STANDARD.decode(text);
                            any.value = value.map_err(|_| {
                                de::Error::custom(
                                    "value: is not base64 (of a type that is not registered)",
                                )
                            })?;
                        }
                        other => return Err(de::Error::unknown_field(other, &MEMBERS)),
                    }
                }
                Ok(any)
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}
