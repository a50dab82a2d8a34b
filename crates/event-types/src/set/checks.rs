//! What the library that links descriptors does not check.

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

use super::{FILES_MAX, SetError, TYPES_MAX, twice};

/// At most this many characters in a name of a file or in the full name of a type.
const NAME_CHARS_MAX: usize = 250;
/// Packages that nobody may add to, with all within them.
const RESERVED_PACKAGES: [&str; 3] = ["google.protobuf", "grpc", "atlas"];

/// Checks the files of a set, those of `google.protobuf` left out.
pub(super) fn check<'a>(
    files: impl Iterator<Item = &'a FileDescriptorProto> + Clone,
) -> Result<(), SetError> {
    let count = files.clone().count();
    if count == 0 {
        return Err(SetError::Empty);
    }
    if count > FILES_MAX {
        let (what, max) = ("files", FILES_MAX);
        return Err(SetError::TooMany { what, max });
    }
    if let Some(file) = twice(files.clone().map(FileDescriptorProto::name)) {
        let file = file.to_owned();
        return Err(SetError::Twice { file });
    }
    let mut types = 0;
    for file in files {
        Checks {
            file,
            types: &mut types,
        }
        .file()?;
    }
    Ok(())
}

struct Checks<'a> {
    file: &'a FileDescriptorProto,
    types: &'a mut usize,
}

impl Checks<'_> {
    fn file(mut self) -> Result<(), SetError> {
        let file = self.file;
        self.name("file name", file.name(), is_file_name)?;
        // proto2 where it is absent. The library panics at what it does not know.
        if !matches!(file.syntax(), "" | "proto2" | "proto3") {
            return Err(SetError::Syntax {
                file: file.name().to_owned(),
                syntax: file.syntax().chars().take(NAME_CHARS_MAX).collect(),
            });
        }
        let package = file.package();
        let has_types = !file.message_type.is_empty() || !file.enum_type.is_empty();
        // Names without a dot are those of the events that the platform knows.
        if has_types || !package.is_empty() {
            self.name("package", package, |name| {
                name.split('.').all(is_identifier)
            })?;
        }
        if is_reserved(package) {
            return Err(SetError::Reserved {
                file: file.name().to_owned(),
                package: package.to_owned(),
            });
        }
        for message in &file.message_type {
            self.message(package, message)?;
        }
        for declared in &file.enum_type {
            self.enumeration(package, declared)?;
        }
        for extension in &file.extension {
            self.name("extension name", extension.name(), is_identifier)?;
        }
        for service in &file.service {
            self.name("service name", service.name(), is_identifier)?;
            for method in &service.method {
                self.name("method name", method.name(), is_identifier)?;
            }
        }
        Ok(())
    }

    /// Decoding bounds how deep messages can be nested.
    fn message(&mut self, scope: &str, message: &DescriptorProto) -> Result<(), SetError> {
        let full = self.declared("message name", scope, message.name())?;
        for field in &message.field {
            self.field(field)?;
        }
        if let Some(name) = twice(
            message
                .field
                .iter()
                .map(FieldDescriptorProto::json_name)
                .filter(|name| !name.is_empty()),
        ) {
            return Err(self.invalid("name of one field only (json_name)", name));
        }
        for oneof in &message.oneof_decl {
            self.name("oneof name", oneof.name(), is_identifier)?;
        }
        for extension in &message.extension {
            self.name("extension name", extension.name(), is_identifier)?;
        }
        for nested in &message.nested_type {
            self.message(&full, nested)?;
        }
        for declared in &message.enum_type {
            self.enumeration(&full, declared)?;
        }
        Ok(())
    }

    fn field(&self, field: &FieldDescriptorProto) -> Result<(), SetError> {
        self.name("field name", field.name(), is_identifier)?;
        match field.json_name() {
            "" => Ok(()),
            name => self.name("json_name", name, is_json_name),
        }
    }

    fn enumeration(&mut self, scope: &str, declared: &EnumDescriptorProto) -> Result<(), SetError> {
        self.declared("enum name", scope, declared.name())?;
        for value in &declared.value {
            self.name("name of an enum value", value.name(), is_identifier)?;
        }
        Ok(())
    }

    /// The full name of a message or an enum, which is counted.
    fn declared(
        &mut self,
        what: &'static str,
        scope: &str,
        name: &str,
    ) -> Result<String, SetError> {
        *self.types += 1;
        if *self.types > TYPES_MAX {
            let (what, max) = ("messages and enums", TYPES_MAX);
            return Err(SetError::TooMany { what, max });
        }
        self.name(what, name, is_identifier)?;
        let full = match scope {
            "" => name.to_owned(),
            scope => format!("{scope}.{name}"),
        };
        match full.len() <= NAME_CHARS_MAX {
            true => Ok(full),
            false => Err(self.invalid(what, &full)),
        }
    }

    fn name(
        &self,
        what: &'static str,
        name: &str,
        is_valid: impl Fn(&str) -> bool,
    ) -> Result<(), SetError> {
        match name.len() <= NAME_CHARS_MAX && is_valid(name) {
            true => Ok(()),
            false => Err(self.invalid(what, name)),
        }
    }

    fn invalid(&self, what: &'static str, name: &str) -> SetError {
        SetError::Name {
            file: self.file.name().chars().take(NAME_CHARS_MAX).collect(),
            what,
            name: name.chars().take(NAME_CHARS_MAX).collect(),
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    (chars.next()).is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|char| char.is_ascii_alphanumeric() || char == '_')
}

/// Any text that can be printed.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|char| char.is_ascii_graphic())
}

/// Names that begin with "@" belong to the JSON mapping.
fn is_json_name(name: &str) -> bool {
    !name.starts_with('@') && !name.chars().any(char::is_control)
}

fn is_reserved(package: &str) -> bool {
    RESERVED_PACKAGES.iter().any(|reserved| {
        (package.strip_prefix(reserved))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}
