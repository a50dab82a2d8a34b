//! What is known of series besides their observations.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The file beside CSV files that has the catalogue of their series.
const FILE: &str = "catalogue.json";

/// Titles of series, and which of them are look-alikes: generated under the id of a series that may not
/// be copied.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    entries: HashMap<String, Entry>,
}

/// Why a catalogue cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The file.
    #[error("{path}: cannot be read", path = .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Its text.
    #[error("{path}: is no list of series with id and title", path = .path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// What is the matter.
        source: serde_json::Error,
    },
}

/// One series of a catalogue. What else the file says of it is passed over.
#[derive(Clone, Debug, Deserialize)]
struct Entry {
    id: String,
    title: String,
    #[serde(default)]
    origin: Origin,
}

/// Where the values come from.
#[derive(Clone, Debug, Default, Deserialize)]
struct Origin {
    /// By which rule they were generated.
    generated: Option<String>,
}

impl Catalogue {
    /// Reads a file: a JSON list of `{"id": …, "title": …, "origin": …}`, in which an origin with
    /// `generated` marks a look-alike.
    ///
    /// # Errors
    /// [`CatalogueError`].
    pub fn read(path: &Path) -> Result<Self, CatalogueError> {
        let text = fs::read(path).map_err(|source| CatalogueError::Io {
            path: path.to_owned(),
            source,
        })?;
        let entries: Vec<Entry> =
            serde_json::from_slice(&text).map_err(|source| CatalogueError::Json {
                path: path.to_owned(),
                source,
            })?;
        let entries = entries.into_iter().map(|entry| (entry.id.clone(), entry));
        Ok(Self {
            entries: entries.collect(),
        })
    }

    /// Reads the `catalogue.json` of a folder; without one nothing is known.
    ///
    /// # Errors
    /// [`CatalogueError`].
    pub fn of_folder(folder: &Path) -> Result<Self, CatalogueError> {
        match Self::read(&folder.join(FILE)) {
            Err(CatalogueError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Ok(Self::default())
            }
            read => read,
        }
    }

    /// The title of a series.
    pub fn title(&self, series: &str) -> Option<&str> {
        Some(&self.entries.get(series)?.title)
    }

    /// Whether its values are generated, and not those that are published under its id.
    pub fn is_look_alike(&self, series: &str) -> bool {
        let entry = self.entries.get(series);
        entry.is_some_and(|entry| entry.origin.generated.is_some())
    }
}
