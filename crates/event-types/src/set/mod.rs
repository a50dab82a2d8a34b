//! A set of descriptors that somebody uploaded.

mod checks;
mod imports;

use std::{
    collections::{BTreeMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use prost::Message;
use prost_reflect::DescriptorPool;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

/// At most this many bytes in an uploaded set.
pub const SET_BYTES_MAX: usize = 1024 * 1024;
/// At most this many files in a set.
pub const FILES_MAX: usize = 500;
/// At most this many messages and enums in a set.
pub const TYPES_MAX: usize = 5_000;

/// Why a set of descriptors cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// More than [`SET_BYTES_MAX`].
    #[error("the set has {bytes} bytes; at most {SET_BYTES_MAX} are allowed")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// Not a `google.protobuf.FileDescriptorSet`.
    #[error(
        "this is not an encoded google.protobuf.FileDescriptorSet, as `buf build -o` and \
         `protoc --descriptor_set_out` write it"
    )]
    Malformed,
    /// No file of its own.
    #[error("the set has no files, except those of google.protobuf")]
    Empty,
    /// More files or types than [`FILES_MAX`] or [`TYPES_MAX`].
    #[error("the set has more than {max} {what}")]
    TooMany {
        /// "files" or "messages and enums".
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// A file of another syntax than proto2 or proto3.
    #[error("{file}: syntax \"{syntax}\" is not supported; use \"proto3\" or \"proto2\"")]
    Syntax {
        /// The name of the file.
        file: String,
        /// What it says.
        syntax: String,
    },
    /// A name that the language does not allow.
    #[error("{file}: {name:?} is not a valid {what}")]
    Name {
        /// The name of the file.
        file: String,
        /// What is named.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A package that belongs to protobuf, gRPC or ATLAS.
    #[error("{file}: the package \"{package}\" is reserved")]
    Reserved {
        /// The name of the file.
        file: String,
        /// Its package.
        package: String,
    },
    /// Two files of one name.
    #[error("{file} is in the set twice")]
    Twice {
        /// The name of the files.
        file: String,
    },
    /// A file imports one that is not in the set.
    #[error(
        "{file} imports \"{import}\", which is not in the set; include imports \
         (`protoc --include_imports`; `buf build` does so)"
    )]
    Import {
        /// The name of the file.
        file: String,
        /// What it imports.
        import: String,
    },
    /// Files import each other.
    #[error("{file} imports itself, directly or through other files")]
    Cycle {
        /// One of the files.
        file: String,
    },
    /// The files do not fit together.
    #[error("the files do not link: {0}")]
    Link(String),
}

/// A linked set of descriptors, without the files of `google.protobuf` that every pool has.
#[derive(Debug, Clone)]
pub struct DescriptorSet {
    encoded: Arc<[u8]>,
    pool: DescriptorPool,
    files: BTreeMap<String, File>,
}

/// A file of a set.
#[derive(Debug, Clone)]
pub struct File {
    encoded: Arc<[u8]>,
    /// Encoded without what says nothing about types: comments and places in the source.
    content: Vec<u8>,
}

impl File {
    /// As it was uploaded: a `google.protobuf.FileDescriptorProto` with options and comments.
    pub fn encoded(&self) -> &Arc<[u8]> {
        &self.encoded
    }

    /// Whether both declare the same; comments may differ.
    pub fn declares_the_same(&self, other: &Self) -> bool {
        self.content == other.content
    }
}

/// The set with the bytes of each file, which decoding would reduce by unknown options.
#[derive(Clone, PartialEq, prost::Message)]
struct EncodedFiles {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

impl DescriptorSet {
    /// Decodes, checks and links an uploaded set. This takes up to a second of a processor for a
    /// large set; do it on a thread that may block.
    ///
    /// # Errors
    /// [`SetError`].
    pub fn parse(encoded: &[u8]) -> Result<Self, SetError> {
        if encoded.len() > SET_BYTES_MAX {
            let bytes = encoded.len();
            return Err(SetError::TooLarge { bytes });
        }
        let raw = EncodedFiles::decode(encoded).map_err(|_| SetError::Malformed)?;
        let set = FileDescriptorSet::decode(encoded).map_err(|_| SetError::Malformed)?;
        let well_known = DescriptorPool::global();
        let is_own =
            |file: &FileDescriptorProto| well_known.get_file_by_name(file.name()).is_none();
        let own: Vec<_> = (set.file.into_iter().zip(raw.file))
            .filter(|(file, _)| is_own(file))
            .collect();
        checks::check(own.iter().map(|(file, _)| file))?;
        imports::check(own.iter().map(|(file, _)| file), &well_known)?;
        let mut pool = well_known;
        link(&mut pool, own.iter().map(|(file, _)| file.clone()))?;
        let files = own.into_iter().map(|(mut file, encoded)| {
            file.source_code_info = None;
            let content = file.encode_to_vec();
            let name = file.name.take().unwrap_or_default();
            let encoded = encoded.into();
            (name, File { encoded, content })
        });
        Ok(Self {
            encoded: encoded.into(),
            files: files.collect(),
            pool,
        })
    }

    /// As it was uploaded.
    pub fn encoded(&self) -> &Arc<[u8]> {
        &self.encoded
    }

    /// The files by name.
    pub fn files(&self) -> &BTreeMap<String, File> {
        &self.files
    }

    /// The types, linked, with those of `google.protobuf`.
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// The messages that it declares, nested ones too.
    pub fn messages(&self) -> impl Iterator<Item = prost_reflect::MessageDescriptor> + '_ {
        self.pool.all_messages().filter(|message| {
            !message.is_map_entry() && self.files.contains_key(message.parent_file().name())
        })
    }

    /// The enums that it declares, nested ones too.
    pub(crate) fn enums(&self) -> impl Iterator<Item = prost_reflect::EnumDescriptor> + '_ {
        (self.pool.all_enums())
            .filter(|declared| self.files.contains_key(declared.parent_file().name()))
    }

    /// The full names of the messages and enums that it declares, each with its file.
    pub(crate) fn declared(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let messages = self.messages().map(|message| {
            let file = message.parent_file().name().to_owned();
            (message.full_name().to_owned(), file)
        });
        let enums = self.enums().map(|declared| {
            let file = declared.parent_file().name().to_owned();
            (declared.full_name().to_owned(), file)
        });
        messages.chain(enums)
    }

    /// The file that declares a message or an enum.
    pub(crate) fn file_of(&self, full_name: &str) -> Option<String> {
        let message = self.pool.get_message_by_name(full_name);
        let declared = self.pool.get_enum_by_name(full_name);
        let file = match message {
            Some(message) => message.parent_file(),
            None => declared?.parent_file(),
        };
        (self.files.contains_key(file.name())).then(|| file.name().to_owned())
    }

    /// The name of the file that declares a message, an enum, a service, an extension, or a member of
    /// one of these.
    pub(crate) fn file_of_symbol(&self, symbol: &str) -> Option<String> {
        let declares = |name: &str| {
            let service = || {
                let mut services = self.pool.services();
                services.find(|service| service.full_name() == name)
            };
            let file = self.file_of(name).or_else(|| {
                let extension = self.pool.get_extension_by_name(name);
                let file = extension.map(|extension| extension.parent_file());
                let file = file.or_else(|| service().map(|service| service.parent_file()))?;
                Some(file.name().to_owned())
            })?;
            self.files.contains_key(&file).then_some(file)
        };
        declares(symbol).or_else(|| declares(symbol.rsplit_once('.')?.0))
    }

    /// A file and all that it imports, directly or not, each encoded; the file comes first.
    pub(crate) fn with_imports(&self, file: &str) -> Vec<Vec<u8>> {
        let mut names = vec![file.to_owned()];
        let mut encoded = Vec::new();
        let mut next = 0;
        while let Some(name) = names.get(next).cloned() {
            next += 1;
            let Some(file) = self.pool.get_file_by_name(&name) else {
                continue;
            };
            encoded.push(match self.files.get(&name) {
                Some(own) => own.encoded.to_vec(),
                None => file.encode_to_vec(),
            });
            for import in file.dependencies() {
                if names.iter().all(|name| name != import.name()) {
                    names.push(import.name().to_owned());
                }
            }
        }
        encoded
    }

    /// Whether both declare the same files with the same content; comments may differ.
    pub fn declares_the_same(&self, other: &Self) -> bool {
        self.files.len() == other.files.len()
            && (self.files.iter().zip(&other.files))
                .all(|((a, file), (b, other))| a == b && file.declares_the_same(other))
    }
}

/// The library takes most mistakes as errors, and fails on some by a panic.
fn link(
    pool: &mut DescriptorPool,
    files: impl Iterator<Item = FileDescriptorProto>,
) -> Result<(), SetError> {
    let linked = catch_unwind(AssertUnwindSafe(|| pool.add_file_descriptor_protos(files)));
    match linked {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(SetError::Link(error.to_string())),
        Err(_) => Err(SetError::Link("a descriptor is not valid".to_owned())),
    }
}

/// The names that occur more than once.
fn twice<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    names.find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests;
