use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};

const DATE: [&str; 8] = [
    "date",
    "observation_date",
    "ds",
    "time",
    "timestamp",
    "datetime",
    "time_period",
    "period",
];
const KNOWN_FROM: [&str; 3] = ["known_from", "realtime_start", "vintage_date"];
const SERIES: [&str; 5] = ["series", "series_id", "variable", "symbol", "ticker"];
/// What precedes the columns of a table that R, pandas or a database numbered.
const INDEX: [&str; 6] = ["", "index", "unnamed: 0", "x", "row.names", "rownames"];

/// What the columns of a file hold, by its header.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) count: usize,
    pub(super) date: usize,
    pub(super) known_from: Option<usize>,
    /// Columns that may hold nothing but the numbers of rows.
    pub(super) row_numbers: Vec<usize>,
    /// Columns without a name, which may hold nothing.
    pub(super) unnamed: Vec<usize>,
    pub(super) values: Values,
}

/// Where the values are.
#[derive(Debug)]
pub(super) enum Values {
    /// One in each row, with the name of its series.
    Long { series: usize, value: usize },
    /// A column for each series.
    Wide(Vec<(usize, Arc<str>)>),
    /// Columns for each series, by the time from which they were known (ALFRED's `GDP_20240125`).
    Vintages(BTreeMap<Arc<str>, Vec<(DateTime<Utc>, usize)>>),
}

impl Columns {
    /// Reads a header. `stem` is the file's name without its ending.
    pub(super) fn of(
        header: &csv::StringRecord,
        stem: &str,
        wanted: &BTreeSet<String>,
    ) -> Result<Self, String> {
        let names: Vec<_> = header.iter().map(str::trim).collect();
        let lower: Vec<_> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        let mut free: Vec<_> = (0..names.len()).collect();
        let mut take = |wanted: &[&str]| -> Result<Option<usize>, String> {
            let is_meant = |index: &usize| wanted.contains(&lower[*index].as_str());
            let found: Vec<_> = free.iter().copied().filter(is_meant).collect();
            if let [first, second, ..] = found[..] {
                let (first, second) = (names[first], names[second]);
                return Err(format!(
                    "columns {first:?} and {second:?} have one meaning; keep one"
                ));
            }
            free.retain(|index| !found.contains(index));
            Ok(found.first().copied())
        };
        let date = take(&DATE)?;
        let known_from = take(&KNOWN_FROM)?;
        take(&["realtime_end"])?;
        let value = take(&["value"])?;
        let series = match value {
            Some(_) => take(&SERIES)?,
            None => None,
        };
        let mut row_numbers: Vec<_> = value
            .map_or(Ok(None), |_| take(&["id"]))?
            .into_iter()
            .collect();
        let is_index = free.first() == Some(&0) && INDEX.contains(&lower[0].as_str());
        if is_index {
            free.remove(0);
        }
        let date = match date {
            Some(date) => {
                row_numbers.extend(is_index.then_some(0));
                date
            }
            // pandas numbers what had an index already.
            None if is_index && lower.get(1).is_some_and(|name| name == "index") => {
                free.retain(|index| *index != 1);
                row_numbers.push(0);
                1
            }
            None if is_index => 0,
            None => return Err(no_date(&names)),
        };
        let (unnamed, free): (Vec<_>, Vec<_>) =
            free.into_iter().partition(|index| names[*index].is_empty());
        let values = match (value, series) {
            (Some(value), _) if !free.is_empty() => {
                let (value, other) = (names[value], names[free[0]]);
                return Err(format!(
                    "beside {value:?} there is a column {other:?}: remove it, or give each column of \
                     values the name of its series"
                ));
            }
            (Some(value), Some(series)) => Values::Long { series, value },
            (Some(value), None) => Values::Wide(vec![(value, of_file(stem, wanted).into())]),
            (None, _) => wide(&names, &free, known_from, wanted)?,
        };
        Ok(Self {
            count: names.len(),
            date,
            known_from,
            row_numbers,
            unnamed,
            values,
        })
    }

    /// The columns that hold values.
    pub(super) fn values(&self) -> impl Iterator<Item = usize> {
        let (wide, vintages, value) = match &self.values {
            Values::Long { value, .. } => (None, None, Some(*value)),
            Values::Wide(columns) => (Some(columns), None, None),
            Values::Vintages(series) => (None, Some(series.values().flatten()), None),
        };
        let wide = wide.into_iter().flatten().map(|(index, _)| *index);
        let vintages = vintages.into_iter().flatten().map(|(_, index)| *index);
        wide.chain(vintages).chain(value)
    }
}

fn no_date(names: &[&str]) -> String {
    let mut reason = "no column date or observation_date".to_owned();
    let is_data = |name: &&str| super::date::parse(name, super::date::Order::DayFirst).is_ok();
    if names.iter().any(is_data) {
        reason += "; the first line must name the columns";
    } else if names.len() == 1 {
        reason += "; fields are separated by commas, semicolons, tabs or |";
    } else {
        reason += "; rename the column of dates to date";
    }
    reason
}

/// The series of a file with a column `value`.
fn of_file(stem: &str, wanted: &BTreeSet<String>) -> String {
    let short = stem.split('_').next().unwrap_or_default();
    match (known(stem, wanted), known(short, wanted)) {
        (Some(name), _) | (None, Some(name)) => name.clone(),
        (None, None) => stem.to_owned(),
    }
}

/// The series that is meant: databases fold names to lower case.
pub(super) fn series(name: &str, wanted: &BTreeSet<String>) -> Arc<str> {
    known(name, wanted).map_or(name, String::as_str).into()
}

fn known<'a>(name: &str, wanted: &'a BTreeSet<String>) -> Option<&'a String> {
    if let Some(known) = wanted.get(name) {
        return Some(known);
    }
    let mut alike = wanted
        .iter()
        .filter(|known| known.eq_ignore_ascii_case(name));
    alike.next().filter(|_| alike.next().is_none())
}

fn wide(
    names: &[&str],
    columns: &[usize],
    known_from: Option<usize>,
    wanted: &BTreeSet<String>,
) -> Result<Values, String> {
    if columns.is_empty() {
        return Err("no column value, and none with the name of a series".into());
    }
    let vintages: Vec<_> = columns
        .iter()
        .filter_map(|index| vintage(names[*index]))
        .collect();
    if vintages.is_empty() {
        let mut seen = BTreeMap::new();
        let mut wide = Vec::new();
        for index in columns {
            let series = series(names[*index], wanted);
            if let Some(before) = seen.insert(series.clone(), *index) {
                let (first, second) = (names[before], names[*index]);
                return Err(format!(
                    "columns {first:?} and {second:?} are one series; keep one"
                ));
            }
            wide.push((*index, series));
        }
        return Ok(Values::Wide(wide));
    }
    if vintages.len() < columns.len() || known_from.is_some() {
        return Err(
            "some columns are vintages (SERIES_YYYYMMDD), some are not; use two files".into(),
        );
    }
    let mut by_series: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for ((name, from), index) in vintages.into_iter().zip(columns) {
        let columns = by_series.entry(series(name, wanted)).or_default();
        columns.push((from, *index));
    }
    for (series, columns) in &mut by_series {
        columns.sort_unstable();
        if columns.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("two columns are one vintage of {series}; keep one"));
        }
    }
    Ok(Values::Vintages(by_series))
}

/// The series and the day of a name such as `GDP_20240125`.
fn vintage(name: &str) -> Option<(&str, DateTime<Utc>)> {
    let (series, day) = name.rsplit_once('_')?;
    let digits = day.len() == 8 && day.bytes().all(|b| b.is_ascii_digit());
    let day = NaiveDate::parse_from_str(day, "%Y%m%d").ok()?;
    let good = digits && !series.is_empty() && (1900..2200).contains(&day.year());
    good.then(|| (series, day.and_time(NaiveTime::MIN).and_utc()))
}
