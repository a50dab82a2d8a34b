//! What the files of definitions hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::{
    definition::LoadError,
    library::Library,
    pattern::Pattern,
    service::{collected::KnownSeries, memory::Definition},
    store::{Kind, Put},
};

pub(super) type Key = (Kind, String);

/// A definition whose file is in order.
pub(super) struct Wanted {
    pub(super) definition: Definition,
    pub(super) put: Put,
    /// What the file says.
    pub(super) enabled: bool,
}

/// What the files hold.
pub(super) struct Files {
    folder: PathBuf,
    pub(super) wanted: BTreeMap<Key, Wanted>,
    pub(super) mistakes: Vec<LoadError>,
    pub(super) never_received: Vec<LoadError>,
    pub(super) series: BTreeSet<String>,
}

impl Files {
    pub(super) fn of(
        folder: &Path,
        mut library: Library,
        mut mistakes: Vec<LoadError>,
        series: BTreeSet<String>,
        known: &KnownSeries,
    ) -> Self {
        mistakes.extend(library.check_inputs(|series| known.may_come(series), None));
        let never_received = library.inputs_without(|series| known.was_received(series));
        let patterns = library.patterns.into_iter().map(|pattern| {
            let key = (Kind::Pattern, pattern.id.clone());
            let put = put(&pattern.version, &pattern.file, &pattern.text);
            let enabled = pattern.enabled;
            let definition = Definition::pattern(Pattern::clone(&pattern));
            (key, definition, put, enabled)
        });
        let regimes = library.regimes.into_iter().map(|regime| {
            let key = (Kind::Regime, regime.id.clone());
            let put = put(&regime.version, &regime.file, &regime.text);
            (key, Definition::Regime(regime), put, true)
        });
        let wanted = patterns
            .chain(regimes)
            .map(|(key, definition, put, enabled)| {
                let wanted = Wanted {
                    definition,
                    put,
                    enabled,
                };
                (key, wanted)
            });
        Self {
            folder: folder.to_owned(),
            wanted: wanted.collect(),
            mistakes,
            never_received,
            series,
        }
    }

    /// Whether a mistake may be why the definition of a file is not wanted: one in the file, or one that
    /// concerns a folder in which it lies.
    pub(super) fn may_hide(&self, file: &str) -> bool {
        let path = self.folder.join(file);
        self.mistakes
            .iter()
            .any(|mistake| mistake.file == Path::new(file) || path.starts_with(&mistake.file))
    }
}

/// The text is the one that was compiled: the file may be another by now.
fn put(version: &str, file: &Path, text: &str) -> Put {
    Put {
        version: version.to_owned(),
        file: file.display().to_string(),
        content: text.to_owned(),
    }
}

impl Definition {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Pattern(pattern) => &pattern.name,
            Self::Regime(regime) => &regime.name,
        }
    }

    /// The series that a pattern reads, each once; none of a model, whose events are about no series.
    pub(super) fn series_ids(&self) -> Vec<String> {
        match self {
            Self::Pattern(pattern) => pattern.series_ids(),
            Self::Regime(_) => Vec::new(),
        }
    }
}
