use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use rust_decimal::Decimal;
use ulid::Ulid;

use crate::library::read_text;
use crate::series::{Cause, Point};

/// At most this many bytes in one file.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Why a file of observations cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// The folder or a file in it.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A line of a file.
    #[error("{path}:{line}: {reason}", path = .path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is the matter.
        reason: String,
    },
}

/// Reads every `*.csv` of a folder, one series each.
///
/// The first line names the columns: a date (`date` or `observation_date`), a value, and optionally
/// from when the value was known (`known_from` or `realtime_start`, a date or an RFC 3339 time; without
/// it a value is known from its date on). An empty value or "." is none. The series is the name of the
/// value's column unless that is `value`; then the file's name without its ending or, if `wanted` does
/// not have that but has what precedes the first "_", that.
///
/// Points are numbered in the order of files and lines.
pub fn read_folder(folder: &Path, wanted: &BTreeSet<String>) -> Result<Vec<Point>, CsvError> {
    let io = |path: &Path, source| CsvError::Io {
        path: path.to_owned(),
        source,
    };
    let entries = fs::read_dir(folder).map_err(|error| io(folder, error))?;
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "csv"))
        .collect();
    paths.sort_unstable();
    let mut points = Vec::new();
    for path in paths {
        let text = read_text(&path, FILE_BYTES_MAX).map_err(|error| io(&path, error))?;
        read_file(&path, &text, wanted, &mut points)?;
    }
    Ok(points)
}

struct Columns {
    series: Arc<str>,
    date: usize,
    value: usize,
    known_from: Option<usize>,
}

fn read_file(
    path: &Path,
    text: &str,
    wanted: &BTreeSet<String>,
    points: &mut Vec<Point>,
) -> Result<(), CsvError> {
    let refuse = |line: u64, reason: String| CsvError::Line {
        path: path.to_owned(),
        line,
        reason,
    };
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader
        .headers()
        .map_err(|error| refuse(1, error.to_string()))?;
    let columns = columns(path, headers, wanted).map_err(|reason| refuse(1, reason))?;
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            refuse(line, error.to_string())
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        let position = points.len() as u64 + 1;
        let point = point(&record, &columns, position).map_err(|reason| refuse(line, reason))?;
        points.extend(point);
    }
    Ok(())
}

fn columns(
    path: &Path,
    headers: &csv::StringRecord,
    wanted: &BTreeSet<String>,
) -> Result<Columns, String> {
    let find = |names: &[&str]| headers.iter().position(|name| names.contains(&name.trim()));
    let date = find(&["date", "observation_date"]).ok_or("no column date or observation_date")?;
    let known_from = find(&["known_from", "realtime_start"]);
    let value = match find(&["value"]) {
        Some(value) => value,
        None => (0..headers.len())
            .find(|index| *index != date && Some(*index) != known_from)
            .ok_or("no column value")?,
    };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let series = match headers.get(value).map(str::trim) {
        Some(name) if name != "value" => name.to_owned(),
        _ => {
            let short = stem.split('_').next().unwrap_or_default();
            let is_short = !wanted.contains(stem.as_ref()) && wanted.contains(short);
            if is_short { short.into() } else { stem.into() }
        }
    };
    Ok(Columns {
        series: series.into(),
        date,
        value,
        known_from,
    })
}

fn point(
    record: &csv::StringRecord,
    columns: &Columns,
    position: u64,
) -> Result<Option<Point>, String> {
    let field = |index: usize| record.get(index).unwrap_or_default().trim();
    let text = field(columns.date);
    let date: NaiveDate = text.parse().map_err(|_| format!("{text:?} is no date"))?;
    let value = match field(columns.value) {
        "" | "." => None,
        text => Some(parse(text).ok_or_else(|| format!("{text:?} is no decimal"))?),
    };
    let known_from = match columns.known_from.map(field) {
        None | Some("") => date.and_time(NaiveTime::MIN).and_utc(),
        Some(text) => instant(text).ok_or_else(|| format!("{text:?} is no date or time"))?,
    };
    // Without vintages an absent value withdraws nothing.
    if value.is_none() && columns.known_from.is_none() {
        return Ok(None);
    }
    Ok(Some(Point {
        cause: Cause {
            source: "csv".into(),
            position,
            index: 0,
            event_id: Ulid::from_parts(0, u128::from(position)),
            occurred_at: known_from,
        },
        series: columns.series.clone(),
        date,
        known_from,
        value,
    }))
}

fn parse(text: &str) -> Option<Decimal> {
    atlas_events::parse_decimal(text)
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    match text.parse::<NaiveDate>() {
        Ok(date) => Some(date.and_time(NaiveTime::MIN).and_utc()),
        Err(_) => Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc()),
    }
}
