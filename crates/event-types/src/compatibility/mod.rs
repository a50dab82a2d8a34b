//! Whether who knows one version of a set of types can read what was written with another.
//!
//! Types are compared by full name, fields and enum values by number, wherever they are declared.
//! The rules have the names that `buf breaking` gives them ("Rules and categories", category
//! WIRE_JSON: payloads are stored in the wire format and in the JSON mapping), and those of the
//! category PACKAGE that keep stored events readable: no type is deleted.

mod enums;
mod fields;
mod messages;

use prost_reflect::FileDescriptor;

use crate::DescriptorSet;

/// Between which versions of a type events stay readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Who knows the new version reads what was written with any earlier one.
    #[default]
    Backward,
    /// Who knows any earlier version reads what is written with the new one.
    Forward,
    /// Both.
    Full,
    /// Nothing is checked.
    None,
}

impl Mode {
    /// The name, as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backward => "backward",
            Self::Forward => "forward",
            Self::Full => "full",
            Self::None => "none",
        }
    }

    /// The mode of a stored name.
    pub fn from_stored(name: &str) -> Option<Self> {
        [Self::Backward, Self::Forward, Self::Full, Self::None]
            .into_iter()
            .find(|mode| mode.as_str() == name)
    }

    fn is_backward(self) -> bool {
        matches!(self, Self::Backward | Self::Full)
    }

    fn is_forward(self) -> bool {
        matches!(self, Self::Forward | Self::Full)
    }
}

/// What a new version must not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A file has another package, so that its types have other names.
    FileSamePackage,
    /// A message is missing. Backward only.
    MessageNoDelete,
    /// An enum is missing. Backward only.
    EnumNoDelete,
    /// A field is missing, and its number is not reserved.
    FieldNoDeleteUnlessNumberReserved,
    /// A field is missing, and its name is not reserved.
    FieldNoDeleteUnlessNameReserved,
    /// A field has a type of another encoding.
    FieldWireJsonCompatibleType,
    /// A field became repeated or a map, or is no longer.
    FieldWireJsonCompatibleCardinality,
    /// A field has another name in JSON.
    FieldSameJsonName,
    /// A field moved into, out of or between oneofs.
    FieldSameOneof,
    /// A field became required (backward), or is no longer (forward).
    MessageSameRequiredFields,
    /// A number or name of a message is no longer reserved.
    ReservedMessageNoDelete,
    /// An enum value is missing, and its number is not reserved.
    EnumValueNoDeleteUnlessNumberReserved,
    /// An enum value is missing, and its name is not reserved.
    EnumValueNoDeleteUnlessNameReserved,
    /// A number of an enum has another name.
    EnumValueSameName,
    /// An enum became open or closed.
    EnumSameType,
    /// A value was added to a closed enum (proto2). Forward only.
    EnumValueNoAddToClosed,
    /// A number or name of an enum is no longer reserved.
    ReservedEnumNoDelete,
}

impl Rule {
    /// The name, as `buf breaking` gives it where it has the rule.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FileSamePackage => "FILE_SAME_PACKAGE",
            Self::MessageNoDelete => "MESSAGE_NO_DELETE",
            Self::EnumNoDelete => "ENUM_NO_DELETE",
            Self::FieldNoDeleteUnlessNumberReserved => "FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED",
            Self::FieldNoDeleteUnlessNameReserved => "FIELD_NO_DELETE_UNLESS_NAME_RESERVED",
            Self::FieldWireJsonCompatibleType => "FIELD_WIRE_JSON_COMPATIBLE_TYPE",
            Self::FieldWireJsonCompatibleCardinality => "FIELD_WIRE_JSON_COMPATIBLE_CARDINALITY",
            Self::FieldSameJsonName => "FIELD_SAME_JSON_NAME",
            Self::FieldSameOneof => "FIELD_SAME_ONEOF",
            Self::MessageSameRequiredFields => "MESSAGE_SAME_REQUIRED_FIELDS",
            Self::ReservedMessageNoDelete => "RESERVED_MESSAGE_NO_DELETE",
            Self::EnumValueNoDeleteUnlessNumberReserved => {
                "ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED"
            }
            Self::EnumValueNoDeleteUnlessNameReserved => {
                "ENUM_VALUE_NO_DELETE_UNLESS_NAME_RESERVED"
            }
            Self::EnumValueSameName => "ENUM_VALUE_SAME_NAME",
            Self::EnumSameType => "ENUM_SAME_TYPE",
            Self::EnumValueNoAddToClosed => "ENUM_VALUE_NO_ADD_TO_CLOSED",
            Self::ReservedEnumNoDelete => "RESERVED_ENUM_NO_DELETE",
        }
    }
}

/// A rule that a new version breaks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Break {
    /// The rule.
    pub rule: Rule,
    /// The file of the element: in the new version, or in the earlier one where it is missing.
    pub file: String,
    /// The full name of the message, field, enum or enum value.
    pub element: String,
    /// What changed, for people.
    pub message: String,
}

/// What of `new` breaks the rules of a mode, compared with an earlier version. Sorted.
pub(crate) fn breaks(old: &DescriptorSet, new: &DescriptorSet, mode: Mode) -> Vec<Break> {
    if mode == Mode::None {
        return Vec::new();
    }
    let mut found = Found {
        mode,
        breaks: Vec::new(),
    };
    messages::compare(old, new, &mut found);
    enums::compare(old, new, &mut found);
    found.breaks.sort();
    found.breaks.dedup();
    found.breaks
}

/// What was found so far.
struct Found {
    mode: Mode,
    breaks: Vec<Break>,
}

impl Found {
    fn add(&mut self, rule: Rule, file: &FileDescriptor, element: String, message: String) {
        let file = file.name().to_owned();
        self.breaks.push(Break {
            rule,
            file,
            element,
            message,
        });
    }

    /// A type that `new` lacks. Where its file has another package now, that is the reason.
    fn deleted(&mut self, rule: Rule, file: &FileDescriptor, element: &str, new: &DescriptorSet) {
        if !self.mode.is_backward() {
            return;
        }
        match new.pool().get_file_by_name(file.name()) {
            Some(now) if now.package_name() != file.package_name() => {
                let (before, now) = (file.package_name(), now.package_name());
                self.add(
                    Rule::FileSamePackage,
                    file,
                    file.name().to_owned(),
                    format!("the package was \"{before}\" and is \"{now}\""),
                );
            }
            _ => self.add(rule, file, element.to_owned(), "is missing".to_owned()),
        }
    }
}

/// Whether a range, its end excluded, lies within others together.
fn is_covered(range: (i64, i64), others: impl Iterator<Item = (i64, i64)>) -> bool {
    let mut others: Vec<_> = others.collect();
    others.sort_unstable();
    let (mut start, end) = range;
    for (from, to) in others {
        if from <= start {
            start = start.max(to);
        }
    }
    start >= end
}

#[cfg(test)]
mod tests;
