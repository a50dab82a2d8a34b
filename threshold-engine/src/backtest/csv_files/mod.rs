//! Observations in files as people have them: CSV of spreadsheets, pandas, R, FRED, ALFRED, databases; and
//! Parquet.

mod columns;
mod date;
mod number;
#[cfg(feature = "parquet")]
mod parquet;
mod rows;
mod text;

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ulid::Ulid;

use self::rows::Stated;
use evaluation::series::{Cause, Point};

/// Endings of files that people take for tables, which are not read.
const OTHER_TABLES: [&str; 9] = [
    "xlsx", "xls", "ods", "parquet", "pq", "feather", "gz", "zip", "zst",
];
/// Those of Parquet files.
const PARQUET: [&str; 2] = ["parquet", "pq"];

/// Why a file of observations cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// The folder or a file in it.
    #[error("{path}: cannot be read", path = .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file as a whole.
    #[error("{path}: {reason}", path = .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is the matter, and what to do.
        reason: String,
    },
    /// A line of a file.
    #[error("{path}:{line}: {reason}", path = .path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is the matter, and what to do.
        reason: String,
    },
}

/// Reads every `*.csv` and `*.tsv` of a folder, and with the feature `parquet` every `*.parquet` and `*.pq`.
///
/// The first line names the columns. One holds the date (`date`, `observation_date`, or the unnamed or
/// `index` column that comes first), one may hold from when a value was known (`known_from`,
/// `realtime_start`; without it a value is known from its date on). The values are in
///
/// - one column for each series, named by it;
/// - one column `value`, beside a column `series`, or alone: then the file's name without its ending is
///   the series or, if `wanted` does not have that but has what precedes the first "_", that;
/// - one column for each vintage, named as `GDP_20240125`.
///
/// What a file leaves open (03/04/2024, "1,234", two values of one date) is refused. Every file is read
/// as a stream, and twice. Points are numbered in the order of files and lines. The lines of a Parquet file
/// are its rows, from 1.
pub fn read_folder(folder: &Path, wanted: &BTreeSet<String>) -> Result<Vec<Point>, CsvError> {
    let io = |path: &Path, source| CsvError::Io {
        path: path.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| io(folder, error))? {
        let path = entry.map_err(|error| io(folder, error))?.path();
        let ending = ending(&path);
        if is_parquet(&path) {
            paths.push(path);
            continue;
        }
        if OTHER_TABLES.contains(&ending.as_str()) {
            let reason = format!("is not read: save it as CSV, or remove it (.{ending})");
            return Err(CsvError::File { path, reason });
        }
        if matches!(ending.as_str(), "csv" | "tsv") {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    let mut read = Read::default();
    for (number, path) in paths.iter().enumerate() {
        let metadata = fs::metadata(path).map_err(|error| io(path, error))?;
        if !metadata.is_file() {
            return Err(io(path, std::io::Error::other("is no file")));
        }
        let mut file = File::open(path).map_err(|error| io(path, error))?;
        read.file(&mut file, &paths, number, wanted)?;
    }
    read.without_duplicates(&paths)
}

/// Whether it is to be read as Parquet.
fn is_parquet(path: &Path) -> bool {
    cfg!(feature = "parquet") && PARQUET.contains(&ending(path).as_str())
}

fn ending(path: &Path) -> String {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.unwrap_or_default().to_ascii_lowercase()
}

/// Where a point was read: number of the file, line.
type Place = (usize, u64);

#[derive(Default)]
struct Read {
    points: Vec<Point>,
    /// Of each point.
    places: Vec<Place>,
    /// Of each series the first file that has it, and whether that has vintages.
    files: HashMap<Arc<str>, (usize, bool)>,
}

impl Read {
    fn file(
        &mut self,
        file: &mut File,
        paths: &[PathBuf],
        number: usize,
        wanted: &BTreeSet<String>,
    ) -> Result<(), CsvError> {
        let path = &paths[number];
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let first = self.points.len();
        let take = |stated: Stated| {
            self.places.push((number, stated.line));
            let position = self.points.len() as u64 + 1;
            self.points.push(point(stated, position));
        };
        let taken = match is_parquet(path) {
            #[cfg(feature = "parquet")]
            true => rows::read_parquet(file, &stem, wanted, take),
            _ => rows::read_text(file, &stem, wanted, take),
        };
        let has_vintages = taken.map_err(|(line, reason)| refusal(path, line, reason))?;
        for point in &self.points[first..] {
            let seen = self.files.get(&point.series).copied();
            let (before, had_vintages) = seen.unwrap_or((number, has_vintages));
            if seen.is_none() {
                self.files
                    .insert(point.series.clone(), (number, has_vintages));
            }
            if had_vintages != has_vintages {
                let (series, other) = (&point.series, paths[before].display());
                let reason = format!(
                    "holds {series} as {other} does, but only one of them says from when values were \
                     known; remove one"
                );
                return Err(refusal(path, 0, reason));
            }
        }
        Ok(())
    }

    /// Of two values for one date that were known from the same time neither is right.
    fn without_duplicates(mut self, paths: &[PathBuf]) -> Result<Vec<Point>, CsvError> {
        let points = &self.points;
        let key = |index: &usize| {
            let point = &points[*index];
            (&point.series, point.date, point.known_from)
        };
        let mut order: Vec<_> = (0..points.len()).collect();
        order.sort_by_key(key);
        let mut twice = BTreeSet::new();
        for pair in order
            .windows(2)
            .filter(|pair| key(&pair[0]) == key(&pair[1]))
        {
            let (first, second) = (pair[0], pair[1]);
            if points[first].value != points[second].value {
                let ((other, line_before), (file, line)) =
                    (self.places[first], self.places[second]);
                let (series, date) = (&points[second].series, points[second].date);
                let shown =
                    |index: usize| points[index].value.map_or("none".into(), |v| v.to_string());
                let reason = format!(
                    "{series} at {date} is {}, but {} in {}:{line_before}; keep one, or add a column \
                     known_from",
                    shown(second),
                    shown(first),
                    paths[other].display(),
                );
                return Err(refusal(&paths[file], line, reason));
            }
            twice.insert(second);
        }
        let mut index = 0;
        self.points.retain(|_| {
            index += 1;
            !twice.contains(&(index - 1))
        });
        Ok(self.points)
    }
}

fn refusal(path: &Path, line: u64, reason: String) -> CsvError {
    let path = path.to_owned();
    match line {
        0 => CsvError::File { path, reason },
        line => CsvError::Line { path, line, reason },
    }
}

fn point(stated: Stated, position: u64) -> Point {
    Point {
        cause: Cause {
            source: "csv".into(),
            position,
            index: 0,
            event_id: Ulid::from_parts(0, u128::from(position)),
            occurred_at: stated.known_from,
        },
        series: stated.series,
        date: stated.date,
        known_from: stated.known_from,
        value: stated.value,
    }
}
