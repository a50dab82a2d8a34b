//! What the contract's descriptor says of events, and what of it the accepted ones hold: a field or a
//! variant that no candidate has is not tested.

use std::collections::{BTreeMap, BTreeSet};

use atlas_events::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet, field_descriptor_proto::Type,
};
use serde_json::Value;

const EVENT: &str = ".atlas.events.Event";
/// Never stored.
const MARKERS: [&str; 4] = ["heartbeat", "caughtUp", "fellBehind", "undeliverable"];

/// Fields and variants of events that none of them has. A field is there where the JSON mapping writes it,
/// which is where it is not the default.
pub(crate) fn missing(events: &[Value]) -> BTreeSet<String> {
    let contract = Contract::read();
    let mut wanted = BTreeSet::new();
    contract.want(EVENT, &mut wanted);
    for event in events {
        contract.find(EVENT, event, &mut wanted);
    }
    wanted
}

/// The messages and the variants of enumerations, by name.
struct Contract {
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, Vec<String>>,
}

impl Contract {
    fn read() -> Self {
        let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
        let (mut messages, mut enums) = (BTreeMap::new(), BTreeMap::new());
        for file in set.file {
            let package = file.package().to_owned();
            if package != "atlas.events" {
                continue;
            }
            for message in file.message_type {
                messages.insert(format!(".{package}.{}", message.name()), message);
            }
            for kind in file.enum_type {
                let variants = kind.value.iter().filter(|value| value.number() != 0);
                let variants = variants.map(|value| value.name().to_owned()).collect();
                enums.insert(format!(".{package}.{}", kind.name()), variants);
            }
        }
        Self { messages, enums }
    }

    fn fields(&self, message: &str) -> impl Iterator<Item = &FieldDescriptorProto> {
        let fields = self.messages.get(message).map(|message| &message.field);
        let fields = fields.into_iter().flatten();
        fields.filter(|field| !MARKERS.contains(&field.json_name()))
    }

    /// All that a message of this type can hold.
    fn want(&self, message: &str, wanted: &mut BTreeSet<String>) {
        for field in self.fields(message) {
            let of_field = format!("{message}.{}", field.json_name());
            for variant in self.enums.get(field.type_name()).into_iter().flatten() {
                wanted.insert(format!("{of_field} = {variant}"));
            }
            if wanted.insert(of_field) && field.r#type() == Type::Message {
                self.want(field.type_name(), wanted);
            }
        }
    }

    /// Takes away what a message holds.
    fn find(&self, message: &str, value: &Value, wanted: &mut BTreeSet<String>) {
        for field in self.fields(message) {
            let Some(held) = value.get(field.json_name()) else {
                continue;
            };
            let of_field = format!("{message}.{}", field.json_name());
            let entries = match held {
                Value::Array(entries) => entries.iter().collect(),
                single => vec![single],
            };
            for entry in entries {
                if let Some(variant) = entry.as_str() {
                    wanted.remove(&format!("{of_field} = {variant}"));
                }
                self.find(field.type_name(), entry, wanted);
            }
            wanted.remove(&of_field);
        }
    }
}

#[test]
fn what_no_event_holds_is_missing() {
    let all = missing(&[]);
    for wanted in [
        ".atlas.events.Event.definitionChanged",
        ".atlas.events.ReleasePart.count",
        ".atlas.events.DefinitionChangedEvent.change = DEFINITION_CHANGE_STATED",
        ".atlas.events.ThresholdInput.knownFrom",
    ] {
        assert!(all.contains(wanted), "{wanted}");
    }
    assert!(all.iter().all(|name| !name.contains("caughtUp")));
    // One part of a release takes away its own fields, and nothing of other events.
    let part = r#"{"seriesCollected":{"releasePart":{"number":1,"count":2}}}"#;
    let left = missing(&[serde_json::from_str(part).unwrap()]);
    assert!(!left.contains(".atlas.events.ReleasePart.count"));
    assert_eq!(all.len() - left.len(), 4);
}
