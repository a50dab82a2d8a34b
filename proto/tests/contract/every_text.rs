//! What no text of an event may have, whichever field it is in: PostgreSQL stores no NUL, in texts or in
//! JSON.

use std::collections::BTreeSet;

use atlas_events::{Draft, Event, FILE_DESCRIPTOR_SET, event::Payload};
use prost::Message;
use prost_types::{FileDescriptorSet, field_descriptor_proto::Type};
use serde_json::{Value, json};

use crate::samples::{
    acceptance, alert, collected, crossed, custom, definition, delivery, event, failed, transition,
};

/// The same value with a NUL in one of its texts or names, for each of them, and where that is.
fn spoilt(value: &Value, at: &str) -> Vec<(String, Value)> {
    match value {
        Value::String(text) => vec![(at.to_owned(), format!("{text}\0").into())],
        Value::Array(entries) => {
            let within = entries.iter().enumerate().flat_map(|(index, entry)| {
                let within = spoilt(entry, &format!("{at}[{index}]")).into_iter();
                within.map(move |(at, spoilt)| {
                    let mut entries = entries.clone();
                    entries[index] = spoilt;
                    (at, entries.into())
                })
            });
            within.collect()
        }
        Value::Object(fields) => {
            let mut all = Vec::new();
            for (name, field) in fields {
                for (at, spoilt) in spoilt(field, &format!("{at}.{name}")) {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), spoilt);
                    all.push((at, fields.into()));
                }
                let mut fields = fields.clone();
                fields.remove(name);
                fields.insert(format!("{name}\0"), field.clone());
                all.push((format!("the name of {at}.{name}"), fields.into()));
            }
            all
        }
        _ => Vec::new(),
    }
}

/// The texts of a message of the contract, by their names in JSON.
fn texts_of(message: &str) -> BTreeSet<String> {
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap().file;
    let mut messages = files.iter().flat_map(|file| &file.message_type);
    let message = messages.find(|found| found.name() == message).unwrap();
    let texts = message.field.iter().filter(|field| {
        field.r#type() == Type::String
            && field.label() != prost_types::field_descriptor_proto::Label::Repeated
    });
    texts.map(|field| field.json_name().to_owned()).collect()
}

#[test]
fn no_text_has_a_nul() {
    let mut tried = 0;
    let mut crossed = crossed();
    crossed.labels = [("theme".to_owned(), "stress".to_owned())].into();
    let mut custom = custom();
    let data = json!({"a": "text", "list": ["text", {"b": "text"}]});
    custom.data = Some(serde_json::from_value(data).unwrap());
    for payload in [
        Payload::SeriesCollected(collected()),
        Payload::CollectionFailed(failed()),
        Payload::ThresholdCrossed(crossed),
        Payload::RegimeTransition(transition()),
        Payload::DefinitionChanged(definition()),
        Payload::AlertChanged(alert()),
        Payload::DeliveryChanged(delivery()),
        Payload::Custom(custom),
    ] {
        let event = event(payload);
        let draft = Draft::new(event.clone(), &acceptance()).unwrap();
        let json = serde_json::to_value(&event).unwrap();
        let mut all = spoilt(&json, "event");
        let message = match draft.event_type.as_str() {
            name if name.starts_with("custom:") => "CustomEvent",
            name => name,
        };
        let fields = json.as_object().unwrap();
        let (name, payload) = fields.iter().find(|(_, field)| field.is_object()).unwrap();
        // Those that are not given, too.
        for text in texts_of(message) {
            let mut payload = payload.clone();
            payload[&text] = "x\0".into();
            let mut event = json.clone();
            event[name] = payload;
            all.push((format!("event.{name}.{text}"), event));
        }
        for text in texts_of("Event") {
            let mut event = json.clone();
            event[&text] = "x\0".into();
            all.push((format!("event.{text}"), event));
        }
        for (at, spoilt) in all {
            tried += 1;
            // A field of that name, a number or a time is none in JSON already.
            let Ok(event) = serde_json::from_value::<Event>(spoilt) else {
                continue;
            };
            assert!(Draft::new(event, &acceptance()).is_err(), "{at}");
        }
    }
    assert!(tried > 100, "{tried}");
}
