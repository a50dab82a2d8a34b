//! What the first version of the contract fixed: names, numbers and types that clients rely on.

use std::collections::BTreeSet;

use atlas_events::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_types::{
    DescriptorProto, FileDescriptorSet, ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

/// As the first version had them.
const SERVICE: &str = "
    rpc SubscribeToEvents(.atlas.events.SubscriptionRequest) returns (stream .atlas.events.Event)
    rpc GetEventsSince(.atlas.events.TimeRangeRequest) returns (stream .atlas.events.Event)
    rpc GetEventsBetween(.atlas.events.TimeRangeRequest) returns (stream .atlas.events.Event)
    rpc GetLatestEventTime(.google.protobuf.Empty) returns (.google.protobuf.Timestamp)
";

const EVENT: &str = "
    string event_id = 1
    .google.protobuf.Timestamp occurred_at = 2
    string source_service = 3
    oneof payload .atlas.events.SeriesCollectedEvent series_collected = 10
    oneof payload .atlas.events.CollectionFailedEvent collection_failed = 11
    oneof payload .atlas.events.ThresholdCrossedEvent threshold_crossed = 20
    oneof payload .atlas.events.RegimeTransitionEvent regime_transition = 21
";

const SERIES_COLLECTED_EVENT: &str = "
    string series_id = 1
    repeated .atlas.events.DataPoint data_points = 2
    .google.protobuf.Timestamp collected_at = 3
";

const SUBSCRIPTION_REQUEST: &str = "
    .google.protobuf.Timestamp start_from = 1
    repeated string event_types = 2
    repeated string series_ids = 3
";

#[test]
fn the_first_version_still_holds() {
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap().file;
    let file = files
        .iter()
        .find(|file| file.package() == "atlas.events")
        .unwrap();
    assert_eq!(file.syntax(), "proto3");
    let service = file
        .service
        .iter()
        .find(|service| service.name() == "EventStream")
        .unwrap();
    // A client that lists the service's methods sees these four and no more.
    assert_eq!(methods(service), lines(SERVICE));
    for (name, fields) in [
        ("Event", EVENT),
        ("SeriesCollectedEvent", SERIES_COLLECTED_EVENT),
        ("SubscriptionRequest", SUBSCRIPTION_REQUEST),
    ] {
        let message = file.message_type.iter().find(|m| m.name() == name).unwrap();
        let present = fields_of(message);
        let missing: Vec<_> = lines(fields).difference(&present).cloned().collect();
        assert!(
            missing.is_empty(),
            "{name} lacks {missing:?}; it has {present:?}"
        );
    }
}

fn lines(text: &str) -> BTreeSet<String> {
    text.trim()
        .lines()
        .map(|line| line.trim().to_owned())
        .collect()
}

fn methods(service: &ServiceDescriptorProto) -> BTreeSet<String> {
    let method = |m: &prost_types::MethodDescriptorProto| {
        assert!(!m.client_streaming());
        let stream = if m.server_streaming() { "stream " } else { "" };
        let (name, input, output) = (m.name(), m.input_type(), m.output_type());
        format!("rpc {name}({input}) returns ({stream}{output})")
    };
    service.method.iter().map(method).collect()
}

fn fields_of(message: &DescriptorProto) -> BTreeSet<String> {
    let field = |field: &prost_types::FieldDescriptorProto| {
        let kind = match field.r#type() {
            Type::Message | Type::Enum => field.type_name().to_owned(),
            scalar => scalar
                .as_str_name()
                .trim_start_matches("TYPE_")
                .to_lowercase(),
        };
        let repeated = if field.label() == Label::Repeated {
            "repeated "
        } else {
            ""
        };
        let oneof = match field
            .oneof_index
            .map(|index| &message.oneof_decl[index as usize])
        {
            Some(oneof) if !field.proto3_optional() => format!("oneof {} ", oneof.name()),
            _ => String::new(),
        };
        format!(
            "{oneof}{repeated}{kind} {} = {}",
            field.name(),
            field.number()
        )
    };
    message.field.iter().map(field).collect()
}
