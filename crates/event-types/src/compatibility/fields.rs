//! Fields of the same number in two versions of a message.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::{Found, Rule};

pub(super) fn compare(before: &FieldDescriptor, now: &FieldDescriptor, found: &mut Found) {
    let shapes = (Shape::of(before), Shape::of(now));
    if shapes.0 == shapes.1 {
        kinds(before, now, found);
    } else {
        add(
            Rule::FieldWireJsonCompatibleCardinality,
            now,
            format!("was {} and is {}", shapes.0.name(), shapes.1.name()),
            found,
        );
    }
    if before.json_name() != now.json_name() {
        let (before, after) = (before.json_name(), now.json_name());
        let message = format!("the name in JSON was \"{before}\" and is \"{after}\"");
        add(Rule::FieldSameJsonName, now, message, found);
    }
    let oneofs = (oneof(before), oneof(now));
    if oneofs.0 != oneofs.1 {
        let named = |oneof: &Option<String>| match oneof {
            Some(name) => format!("in the oneof \"{name}\""),
            None => "in no oneof".to_owned(),
        };
        let message = format!("was {} and is {}", named(&oneofs.0), named(&oneofs.1));
        add(Rule::FieldSameOneof, now, message, found);
    }
    match (before.is_required(), now.is_required()) {
        (false, true) if found.mode.is_backward() => required(now, "became required", found),
        (true, false) if found.mode.is_forward() => required(now, "was required", found),
        _ => {}
    }
}

/// A field that `now` does not have.
pub(super) fn deleted(field: &FieldDescriptor, now: &MessageDescriptor, found: &mut Found) {
    let (name, number) = (field.name(), field.number());
    let element = format!("{}.{name}", now.full_name());
    if now.reserved_ranges().all(|range| !range.contains(&number)) {
        found.add(
            Rule::FieldNoDeleteUnlessNumberReserved,
            &now.parent_file(),
            element.clone(),
            format!("is missing; reserve its number: `reserved {number};`"),
        );
    }
    if now.reserved_names().all(|reserved| reserved != name) {
        found.add(
            Rule::FieldNoDeleteUnlessNameReserved,
            &now.parent_file(),
            element,
            format!("is missing; reserve its name: `reserved \"{name}\";`"),
        );
    }
    if field.is_required() && found.mode.is_forward() {
        found.add(
            Rule::MessageSameRequiredFields,
            &now.parent_file(),
            field.full_name().to_owned(),
            "is missing and was required".to_owned(),
        );
    }
}

pub(super) fn required(field: &FieldDescriptor, what: &str, found: &mut Found) {
    add(
        Rule::MessageSameRequiredFields,
        field,
        what.to_owned(),
        found,
    );
}

fn add(rule: Rule, field: &FieldDescriptor, message: String, found: &mut Found) {
    let file = field.parent_message().parent_file();
    let message = format!("field {}: {message}", field.number());
    found.add(rule, &file, field.full_name().to_owned(), message);
}

/// How many values a field has, as far as its encoding depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    One,
    List,
    Map,
}

impl Shape {
    fn of(field: &FieldDescriptor) -> Self {
        match (field.is_map(), field.is_list()) {
            (true, _) => Self::Map,
            (false, true) => Self::List,
            (false, false) => Self::One,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::One => "a single value",
            Self::List => "repeated",
            Self::Map => "a map",
        }
    }
}

/// Compares types of fields of the same shape. The entries of a map are a message that is named
/// after the field, so keys and values are compared in its place.
fn kinds(before: &FieldDescriptor, now: &FieldDescriptor, found: &mut Found) {
    let (Kind::Message(a), Kind::Message(b), true) = (before.kind(), now.kind(), now.is_map())
    else {
        return kind(before, now, now, found);
    };
    kind(
        &a.map_entry_key_field(),
        &b.map_entry_key_field(),
        now,
        found,
    );
    kind(
        &a.map_entry_value_field(),
        &b.map_entry_value_field(),
        now,
        found,
    );
}

fn kind(before: &FieldDescriptor, now: &FieldDescriptor, of: &FieldDescriptor, found: &mut Found) {
    let is_compatible =
        before.is_group() == now.is_group() && encoding(&before.kind()) == encoding(&now.kind());
    if !is_compatible {
        let (before, now) = (name(&before.kind()), name(&now.kind()));
        let message = format!("the type was {before} and is {now}");
        add(Rule::FieldWireJsonCompatibleType, of, message, found);
    }
}

/// Types of the same encoding may take each other's place, as `buf breaking` has them.
#[derive(PartialEq, Eq)]
enum Encoding {
    Varint32,
    Varint64,
    Zigzag32,
    Zigzag64,
    Fixed32,
    Fixed64,
    Float,
    Double,
    Bool,
    String,
    Bytes,
    Named(String),
}

fn encoding(kind: &Kind) -> Encoding {
    match kind {
        Kind::Int32 | Kind::Uint32 => Encoding::Varint32,
        Kind::Int64 | Kind::Uint64 => Encoding::Varint64,
        Kind::Sint32 => Encoding::Zigzag32,
        Kind::Sint64 => Encoding::Zigzag64,
        Kind::Fixed32 | Kind::Sfixed32 => Encoding::Fixed32,
        Kind::Fixed64 | Kind::Sfixed64 => Encoding::Fixed64,
        Kind::Float => Encoding::Float,
        Kind::Double => Encoding::Double,
        Kind::Bool => Encoding::Bool,
        Kind::String => Encoding::String,
        Kind::Bytes => Encoding::Bytes,
        Kind::Message(message) => Encoding::Named(message.full_name().to_owned()),
        Kind::Enum(declared) => Encoding::Named(declared.full_name().to_owned()),
    }
}

fn name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(declared) => declared.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}

/// The name of the oneof that somebody wrote.
fn oneof(field: &FieldDescriptor) -> Option<String> {
    (field.containing_oneof())
        .filter(|oneof| !oneof.is_synthetic())
        .map(|oneof| oneof.name().to_owned())
}
