//! Events of a type that is registered first.

use atlas_events::{
    Any, Event, RegisterTypesRequest, event::Payload, event_types_client::EventTypesClient,
};
use event_types::{DescriptorSet, TypedPayload};
use prost::Message;
use serde_json::Value;
use test_support::Folder;

use crate::up::Up;

const NAME: &str = "read_back.v1.Sample";
const SOURCE: &str = r#"
syntax = "proto3";
package read_back.v1;
import "google/protobuf/timestamp.proto";
message Sample {
  string text = 1;
  int64 number = 2;
  double measure = 3;
  repeated Sample inner = 4;
  map<string, Sample> named = 5;
  google.protobuf.Timestamp at = 6;
}
"#;

/// The type, as readers know it.
pub(crate) struct Typed {
    /// Its `google.protobuf.FileDescriptorSet`.
    pub(crate) descriptors: Vec<u8>,
    set: DescriptorSet,
}

impl Typed {
    pub(crate) async fn register(up: &Up) -> Self {
        let folder = Folder::create();
        folder.write("read_back.proto", SOURCE);
        let compiled = protox::compile(["read_back.proto"], [folder.path()]).unwrap();
        let descriptors = compiled.encode_to_vec();
        let request = RegisterTypesRequest {
            subject: "read-back".to_owned(),
            file_descriptor_set: descriptors.clone(),
            ..RegisterTypesRequest::default()
        };
        let mut types = EventTypesClient::new(up.channel.clone());
        types.register_types(request).await.unwrap();
        let set = DescriptorSet::parse(&descriptors).unwrap();
        Self { descriptors, set }
    }

    /// An event in JSON with the bytes of a typed payload in the place of its fields, as a client of gRPC sends it;
    /// `None` where the fields are not those of the type.
    pub(crate) fn encoded(&self, event: &str) -> Option<String> {
        if !event.contains("\"typed\"") {
            return Some(event.to_owned());
        }
        let mut event: Value = serde_json::from_str(event).ok()?;
        let fields = event["typed"].as_object_mut()?;
        let url = fields.get("@type")?.as_str()?;
        if url.rsplit('/').next() == Some(NAME) {
            fields.remove("@type");
            let text = Value::Object(fields.clone()).to_string();
            let of = self.set.pool().get_message_by_name(NAME).unwrap();
            let payload = TypedPayload::from_json(&of, &text).ok()?;
            event["typed"] = serde_json::to_value(Any::new(NAME, payload.encode())).unwrap();
        }
        Some(event.to_string())
    }

    /// An event in JSON, with the fields of a typed payload.
    pub(crate) fn shown(&self, event: &Event) -> Value {
        let mut shown = serde_json::to_value(event).unwrap();
        if let Some(Payload::Typed(any)) = &event.payload {
            let of = self.set.pool().get_message_by_name(NAME).unwrap();
            let payload = TypedPayload::decode(&of, &any.value).unwrap();
            shown["typed"] = serde_json::from_str(&payload.to_any_json().unwrap()).unwrap();
        }
        shown
    }
}

/// Events of the type and of none, whether or not they keep the rules; some with each of these texts.
pub(crate) fn candidates(texts: Vec<String>) -> Vec<String> {
    let of = |name: &str, fields: &str| {
        format!(
            r#"{{"sourceService":"s","typed":{{"@type":"type.googleapis.com/{name}"{fields}}}}}"#
        )
    };
    let with = |fields: String| of(NAME, &format!(",{fields}"));
    let mut all = vec![of(NAME, ""), of("read_back.v1.Nope", ""), of("Sample", "")];
    for text in texts {
        let text = Value::String(text).to_string();
        all.push(with(format!(r#""text":{text}"#)));
        all.push(with(format!(r#""named":{{{text}:{{"number":"1"}}}}"#)));
    }
    for number in [
        "\"9223372036854775807\"",
        "\"-9223372036854775808\"",
        "\"9223372036854775808\"",
        "5",
        "1.5",
        "\"x\"",
    ] {
        all.push(with(format!(r#""number":{number}"#)));
    }
    for measure in [
        "1.5",
        "\"NaN\"",
        "\"-Infinity\"",
        "1e300",
        "5e-324",
        "\"x\"",
    ] {
        all.push(with(format!(r#""measure":{measure}"#)));
    }
    for at in [
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
        "10000-01-01T00:00:00Z",
        "2024-01-02T03:04:05.000006Z",
        "soon",
    ] {
        all.push(with(format!(r#""at":"{at}""#)));
    }
    for levels in [1, 49, 50, 51, 70] {
        let inner = (0..levels).fold(r#""number":"7""#.to_owned(), |inner, _| {
            format!(r#""inner":[{{{inner}}}]"#)
        });
        all.push(with(inner));
    }
    all.push(with(r#""unknown":1"#.to_owned()));
    all
}
