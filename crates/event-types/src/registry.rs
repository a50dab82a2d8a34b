//! The registered types, all in memory: a snapshot that is replaced as a whole.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use prost_reflect::MessageDescriptor;

use crate::{Break, DescriptorSet, File, Mode, SetError, compatibility::breaks};

/// At most this many characters in the name of a subject.
pub const SUBJECT_CHARS_MAX: usize = 100;
/// At most this many versions of one subject.
pub const VERSIONS_MAX: usize = 200;
/// At most this many bytes in the sets of all versions of all subjects: every process keeps them in
/// memory, linked, which takes some times as much.
pub const REGISTRY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What somebody asks to be registered.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The name under which versions follow each other: 1 to 100 of the characters `a-z`, `A-Z`,
    /// `0-9`, `.`, `_` and `-`.
    pub subject: String,
    /// The number that the version is to get: 1, or one more than the last. Absent: that one.
    pub version: Option<u32>,
    /// Absent: as the version before, or else backward.
    pub mode: Option<Mode>,
    /// The types.
    pub set: Arc<DescriptorSet>,
}

/// Why a proposal is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The set cannot be used.
    #[error(transparent)]
    Set(#[from] SetError),
    /// Not a name of a subject.
    #[error(
        "the name has 1 to {SUBJECT_CHARS_MAX} of the characters a-z, A-Z, 0-9, \".\", \"_\" and \"-\""
    )]
    Subject,
    /// The subject has too many versions.
    #[error("\"{subject}\" has {VERSIONS_MAX} versions, which is the maximum")]
    Versions {
        /// The subject.
        subject: String,
    },
    /// Nothing more can be registered.
    #[error("the sets of all subjects would take more than {REGISTRY_BYTES_MAX} bytes together")]
    Full,
    /// The version exists with other content, or is not the next one.
    #[error("version {asked} of \"{subject}\" cannot be registered; the next version is {next}")]
    Version {
        /// The subject.
        subject: String,
        /// The version that was asked for.
        asked: u32,
        /// The next one.
        next: u32,
    },
    /// Another subject has a file or a type of this name, with other content.
    #[error("{what} \"{name}\" belongs to \"{owner}\", where it is declared otherwise")]
    Taken {
        /// "the file" or "the type".
        what: &'static str,
        /// Its name.
        name: String,
        /// The subject.
        owner: String,
    },
    /// The set is not compatible with an earlier version.
    #[error("the set breaks {} rules of compatibility with version {version}", breaks.len())]
    Incompatible {
        /// The earliest version that it is not compatible with.
        version: u32,
        /// What breaks which rule.
        breaks: Vec<Break>,
    },
}

/// A version of a subject.
#[derive(Debug, Clone)]
pub struct Version {
    /// Its number: 1, 2, 3, …
    pub number: u32,
    /// How it was compared with those before.
    pub mode: Mode,
    /// Its types.
    pub set: Arc<DescriptorSet>,
}

/// The versions of a name.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    versions: Vec<Version>,
}

impl Subject {
    /// All versions, the oldest first.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The newest version.
    pub fn latest(&self) -> Option<&Version> {
        self.versions.last()
    }

    fn next(&self) -> u32 {
        self.latest().map_or(1, |version| version.number + 1)
    }
}

/// A message type that may be published.
#[derive(Debug, Clone)]
pub struct RegisteredType {
    /// The subject that declares it.
    pub subject: Arc<str>,
    /// The newest version of the subject that declares it.
    pub version: u32,
    /// Its descriptor in that version.
    pub descriptor: MessageDescriptor,
}

/// All registered types.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    subjects: BTreeMap<Arc<str>, Subject>,
    types: HashMap<String, RegisteredType>,
    /// Of all sets.
    bytes: usize,
}

impl Registry {
    /// With one more version, which was checked before. Versions of a subject come in their order.
    #[must_use]
    pub fn with(mut self, subject: &str, version: Version) -> Self {
        let subject: Arc<str> = subject.into();
        self.bytes += version.set.encoded().len();
        for descriptor in version.set.messages() {
            let registered = RegisteredType {
                subject: Arc::clone(&subject),
                version: version.number,
                descriptor,
            };
            self.types
                .insert(registered.descriptor.full_name().to_owned(), registered);
        }
        self.subjects
            .entry(subject)
            .or_default()
            .versions
            .push(version);
        self
    }

    /// The subjects by name.
    pub fn subjects(&self) -> &BTreeMap<Arc<str>, Subject> {
        &self.subjects
    }

    /// A message type by its full name. A type that newer versions do not have any more is found in
    /// the newest that has it: events of it may be stored.
    pub fn find(&self, full_name: &str) -> Option<&RegisteredType> {
        self.types.get(full_name)
    }

    /// The file that declares a symbol (a type, or a member of one), encoded, and behind it all that it
    /// imports.
    pub fn files_of_symbol(&self, symbol: &str) -> Option<Vec<Vec<u8>>> {
        self.sets()
            .find_map(|set| Some(set.with_imports(&set.file_of_symbol(symbol)?)))
    }

    /// A file by its name, encoded, and behind it all that it imports.
    pub fn files_of_name(&self, file: &str) -> Option<Vec<Vec<u8>>> {
        self.sets()
            .find_map(|set| (set.files().contains_key(file)).then(|| set.with_imports(file)))
    }

    /// The sets, of each subject the newest first.
    fn sets(&self) -> impl Iterator<Item = &Arc<DescriptorSet>> {
        let versions = (self.subjects.values()).flat_map(|subject| subject.versions.iter().rev());
        versions.map(|version| &version.set)
    }

    /// What registering would come to: a new version, or the newest one where the set declares the
    /// same as that.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was registered.
    pub fn check(&self, proposal: &Proposal) -> Result<Version, Refusal> {
        let name = &proposal.subject;
        if !is_subject(name) {
            return Err(Refusal::Subject);
        }
        let none = Subject::default();
        let subject = self.subjects.get(&**name).unwrap_or(&none);
        if let Some(same) = subject.latest().filter(|latest| {
            latest.set.declares_the_same(&proposal.set)
                && proposal.mode.is_none_or(|mode| mode == latest.mode)
                && proposal
                    .version
                    .is_none_or(|version| version == latest.number)
        }) {
            return Ok(same.clone());
        }
        if subject.versions.len() >= VERSIONS_MAX {
            let subject = name.clone();
            return Err(Refusal::Versions { subject });
        }
        if self.bytes + proposal.set.encoded().len() > REGISTRY_BYTES_MAX {
            return Err(Refusal::Full);
        }
        let next = subject.next();
        if let Some(asked) = proposal.version.filter(|asked| *asked != next) {
            let subject = name.clone();
            return Err(Refusal::Version {
                subject,
                asked,
                next,
            });
        }
        self.belongs_to_no_other(name, &proposal.set)?;
        let latest_mode = subject.latest().map(|latest| latest.mode);
        let mode = proposal.mode.or(latest_mode).unwrap_or_default();
        // With all of them: a log keeps events of every version.
        for version in &subject.versions {
            let breaks = breaks(&version.set, &proposal.set, mode);
            if !breaks.is_empty() {
                let version = version.number;
                return Err(Refusal::Incompatible { version, breaks });
            }
        }
        Ok(Version {
            number: next,
            mode,
            set: Arc::clone(&proposal.set),
        })
    }

    /// Files and types of a name are the same wherever they are declared.
    fn belongs_to_no_other(&self, name: &str, set: &DescriptorSet) -> Result<(), Refusal> {
        let others = (self.subjects.iter()).filter(|(other, _)| &***other != name);
        let versions = others.flat_map(|(owner, subject)| {
            (subject.versions.iter()).map(move |version| (owner, &version.set))
        });
        for (owner, other) in versions {
            let differs = |(file, content): &(&String, &File)| {
                (other.files().get(&**file)).is_some_and(|same| !same.declares_the_same(content))
            };
            if let Some((file, _)) = set.files().iter().find(differs) {
                return Err(taken("the file", file, owner));
            }
            let elsewhere = |(declared, file): &(String, String)| {
                other.file_of(declared).is_some_and(|other| other != *file)
            };
            if let Some((declared, _)) = set.declared().find(elsewhere) {
                return Err(taken("the type", &declared, owner));
            }
        }
        Ok(())
    }
}

fn taken(what: &'static str, name: &str, owner: &str) -> Refusal {
    Refusal::Taken {
        what,
        name: name.to_owned(),
        owner: owner.to_owned(),
    }
}

/// Whether a subject may have this name.
pub fn is_subject(name: &str) -> bool {
    (1..=SUBJECT_CHARS_MAX).contains(&name.len())
        && (name.chars()).all(|char| char.is_ascii_alphanumeric() || "._-".contains(char))
}

#[cfg(test)]
mod tests;
