//! Definitions in a tree of folders.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::definition::LoadError;
use crate::pattern::Pattern;
use crate::regime::Regime;
use evaluation::expression::Input;

/// At most this many bytes in one file.
pub(crate) const FILE_BYTES_MAX: u64 = 256 * 1024;
/// At most this many files in one tree.
const FILES_MAX: usize = 2_000;
/// At most this many entries of any kind in one tree.
const ENTRIES_MAX: usize = 20_000;
/// At most this many folders inside one another.
const DEPTH_MAX: usize = 8;

/// The definitions of a tree of folders: every `*.toml` but those in folders and under names that begin
/// with a dot. One with `[[states]]` is a model of regimes, any other one a pattern.
#[derive(Clone, Debug, Default)]
pub struct Library {
    /// By id, ascending.
    pub patterns: Vec<Arc<Pattern>>,
    /// By id, ascending.
    pub regimes: Vec<Arc<Regime>>,
}

impl Library {
    /// Reads a tree. What is in order is in the library, what is not among the mistakes, by file; of
    /// two definitions with one id the file that comes first by its path counts.
    pub fn load(folder: &Path) -> (Self, Vec<LoadError>) {
        let (files, mut mistakes) = definition_files(folder);
        let mut library = Self::default();
        for file in files {
            if let Err(error) = library.read(folder, &file) {
                mistakes.push(error);
            }
        }
        library.refuse_twins(&mut mistakes);
        library.check_patterns_of_regimes(&mut mistakes);
        mistakes.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        (library, mistakes)
    }

    fn read(&mut self, folder: &Path, file: &Path) -> Result<(), LoadError> {
        let shown = file.strip_prefix(folder).unwrap_or(file);
        let unreadable = |error: std::io::Error| mistake(shown, 0, error.to_string());
        let size = fs::metadata(file).map_err(unreadable)?.len();
        if size > FILE_BYTES_MAX {
            let reason = format!("{size} bytes, which is more than {FILE_BYTES_MAX}");
            return Err(mistake(shown, 0, reason));
        }
        let text = read_text(file, FILE_BYTES_MAX).map_err(unreadable)?;
        if text.lines().any(|line| line.trim() == "[[states]]") {
            self.regimes.push(Arc::new(Regime::read(shown, &text)?));
        } else {
            self.patterns.push(Arc::new(Pattern::read(shown, &text)?));
        }
        Ok(())
    }

    fn refuse_twins(&mut self, mistakes: &mut Vec<LoadError>) {
        let twin = |file: &Path, line: usize, id: &str, first: &Path| {
            let reason = format!("id {id} is taken by {}", first.display());
            mistake(file, line, reason)
        };
        let mut patterns: BTreeMap<String, Arc<Pattern>> = BTreeMap::new();
        for pattern in self.patterns.drain(..) {
            match patterns.get(&pattern.id) {
                Some(first) => {
                    let (line, id) = (pattern.lines[0], &pattern.id);
                    mistakes.push(twin(&pattern.file, line, id, &first.file));
                }
                None => drop(patterns.insert(pattern.id.clone(), pattern)),
            }
        }
        self.patterns = patterns.into_values().collect();
        let mut regimes: BTreeMap<String, Arc<Regime>> = BTreeMap::new();
        for regime in self.regimes.drain(..) {
            match regimes.get(&regime.id) {
                Some(first) => {
                    let (line, id) = (regime.lines[0], &regime.id);
                    mistakes.push(twin(&regime.file, line, id, &first.file));
                }
                None => drop(regimes.insert(regime.id.clone(), regime)),
            }
        }
        self.regimes = regimes.into_values().collect();
    }

    /// A model that asks for a pattern that is not there is no use.
    fn check_patterns_of_regimes(&mut self, mistakes: &mut Vec<LoadError>) {
        let patterns = &self.patterns;
        self.regimes.retain(|regime| {
            let unknown = regime
                .patterns
                .iter()
                .find(|id| !patterns.iter().any(|pattern| pattern.id == **id));
            if let Some(id) = unknown {
                let reason = format!("there is no pattern {id}");
                mistakes.push(mistake(&regime.file, regime.lines[0], reason));
            }
            unknown.is_none()
        });
    }

    /// Every series that a pattern or regime reads.
    pub fn series(&self) -> BTreeSet<String> {
        let patterns = self.patterns.iter().map(|pattern| pattern.program());
        let regimes = self.regimes.iter().map(|regime| regime.program.as_ref());
        let inputs = patterns.chain(regimes).flat_map(|program| program.inputs());
        inputs.map(|input| input.series.clone()).collect()
    }

    /// Takes away what reads a series that nobody collects, or looks back further than
    /// observations are kept, and says so.
    pub fn check_inputs(
        &mut self,
        is_collected: impl Fn(&str) -> bool,
        kept_days: Option<u32>,
    ) -> Vec<LoadError> {
        let mut mistakes = Vec::new();
        let mut check = |file: &Path, lines: &[usize], inputs: &[Input], history_days: u32| {
            let before = mistakes.len();
            for (input, line) in inputs.iter().zip(&lines[1..]) {
                if !is_collected(&input.series) {
                    let reason = format!(
                        "series {} is not collected, and no event of it has been received",
                        input.series
                    );
                    mistakes.push(mistake(file, *line, reason));
                }
            }
            if let Some(kept_days) = kept_days.filter(|kept| history_days > *kept) {
                let reason =
                    format!("its windows look back {history_days} days, but {kept_days} are kept");
                mistakes.push(mistake(file, lines[0], reason));
            }
            before == mistakes.len()
        };
        self.patterns.retain(|p| {
            let program = p.program();
            check(&p.file, &p.lines, program.inputs(), program.history_days())
        });
        self.regimes.retain(|r| {
            let program = &r.program;
            check(&r.file, &r.lines, program.inputs(), program.history_days())
        });
        self.check_patterns_of_regimes(&mut mistakes);
        mistakes
    }
}

impl Library {
    /// The inputs of whose series no event has been received, with their places.
    pub fn inputs_without(&self, was_received: impl Fn(&str) -> bool) -> Vec<LoadError> {
        let patterns = self.patterns.iter();
        let patterns = patterns.map(|p| (&p.file, &p.lines, p.program().inputs()));
        let regimes = self.regimes.iter();
        let regimes = regimes.map(|r| (&r.file, &r.lines, r.program.inputs()));
        let inputs = patterns.chain(regimes).flat_map(|(file, lines, inputs)| {
            let places = inputs.iter().zip(&lines[1..]);
            places.map(move |(input, line)| (file, *line, &input.series))
        });
        inputs
            .filter(|(_, _, series)| !was_received(series))
            .map(|(file, line, series)| {
                mistake(
                    file,
                    line,
                    format!("no event of series {series} has been received yet"),
                )
            })
            .collect()
    }
}

fn mistake(file: &Path, line: usize, reason: impl Into<String>) -> LoadError {
    LoadError {
        file: file.to_owned(),
        line,
        reason: reason.into(),
        excerpt: None,
    }
}

/// The text of a plain file of at most so many bytes. Others, such as pipes, which would keep
/// whoever opens them waiting, are refused.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("is no file of text"));
    }
    let mut text = String::new();
    let read = fs::File::open(path)?
        .take(bytes_max + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= bytes_max) {
        return Ok(text);
    }
    Err(io::Error::other(format!("has more than {bytes_max} bytes")))
}

/// The files of a tree that are definitions, by path, and what of the tree cannot be read. Links to
/// folders are not followed, so that none leads back or out; what is no plain file is not opened.
pub(crate) fn definition_files(folder: &Path) -> (Vec<PathBuf>, Vec<LoadError>) {
    let mut tree = Tree::default();
    tree.read(folder, 0);
    tree.files.sort_unstable();
    if tree.files.len() > FILES_MAX || tree.entries > ENTRIES_MAX {
        let reason = format!("more than {FILES_MAX} files, or {ENTRIES_MAX} entries");
        tree.mistakes.push(mistake(folder, 0, reason));
        tree.files.truncate(FILES_MAX);
    }
    (tree.files, tree.mistakes)
}

#[derive(Default)]
struct Tree {
    files: Vec<PathBuf>,
    entries: usize,
    mistakes: Vec<LoadError>,
}

impl Tree {
    fn read(&mut self, folder: &Path, depth: usize) {
        if depth > DEPTH_MAX {
            let reason = format!("more than {DEPTH_MAX} folders inside one another");
            self.mistakes.push(mistake(folder, 0, reason));
            return;
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.mistakes.push(mistake(folder, 0, error.to_string()));
                return;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.mistakes.push(mistake(folder, 0, error.to_string()));
                    return;
                }
            };
            self.entries += 1;
            if self.entries > ENTRIES_MAX || self.files.len() > FILES_MAX {
                return;
            }
            if !entry.file_name().as_encoded_bytes().starts_with(b".") {
                self.take(&entry, depth);
            }
        }
    }

    fn take(&mut self, entry: &fs::DirEntry, depth: usize) {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder {
            self.read(&path, depth + 1);
            return;
        }
        // What a link leads to.
        let kind = fs::metadata(&path).map(|metadata| metadata.file_type());
        if kind.as_ref().is_ok_and(|kind| kind.is_dir()) {
            let reason = "is a link to a folder, which is not followed";
            self.mistakes.push(mistake(&path, 0, reason));
        } else if path.extension().is_some_and(|e| e == "toml") {
            match kind {
                Ok(kind) if !kind.is_file() => {
                    let reason = "is no file of text, but a pipe, socket or device";
                    self.mistakes.push(mistake(&path, 0, reason));
                }
                Ok(_) | Err(_) => self.files.push(path),
            }
        }
    }
}
