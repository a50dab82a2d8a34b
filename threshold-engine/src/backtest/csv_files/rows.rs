use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;

use chrono::{DateTime, NaiveTime, Utc};
use rust_decimal::Decimal;
use service::counted;

use super::columns::{self, Columns, Values};
use super::text::{self, Form};
use super::{date, number};

/// Why a file cannot be read: the line, from 1, or 0 for the whole file, and the reason.
pub(super) type Refusal = (u64, String);

/// A value as a file states it.
pub(super) struct Stated {
    pub(super) line: u64,
    pub(super) series: Arc<str>,
    pub(super) date: chrono::NaiveDate,
    pub(super) known_from: DateTime<Utc>,
    pub(super) value: Option<Decimal>,
}

/// How the dates and numbers of a file are written.
struct Notation {
    date: date::Order,
    known_from: date::Order,
    number: number::Style,
}

/// Takes a record and its line.
pub(super) type Take<'a> = dyn FnMut(u64, &csv::StringRecord) -> Result<(), Refusal> + 'a;

/// Reads a file of text. True: it says from when its values were known.
pub(super) fn read_text(
    file: &mut File,
    stem: &str,
    wanted: &BTreeSet<String>,
    take: impl FnMut(Stated),
) -> Result<bool, Refusal> {
    let form = Form::of(file).map_err(|error| (0, error.to_string()))?;
    let records = |each: &mut Take<'_>| each_of_text(form, file, each);
    read(records, form.separator, |_| Ok(()), stem, wanted, take)
}

/// Reads a Parquet file. True: it says from when its values were known.
#[cfg(feature = "parquet")]
pub(super) fn read_parquet(
    file: &File,
    stem: &str,
    wanted: &BTreeSet<String>,
    take: impl FnMut(Stated),
) -> Result<bool, Refusal> {
    let table = super::parquet::Table::open(file)?;
    let records = |each: &mut Take<'_>| table.each(each);
    let check = |columns: &Columns| table.check(columns);
    read(records, b',', check, stem, wanted, take)
}

/// Reads records twice: what their dates and numbers mean may be decided by the last one.
fn read(
    mut records: impl FnMut(&mut Take<'_>) -> Result<(), Refusal>,
    separator: u8,
    check: impl Fn(&Columns) -> Result<(), String>,
    stem: &str,
    wanted: &BTreeSet<String>,
    mut take: impl FnMut(Stated),
) -> Result<bool, Refusal> {
    let (mut header, mut columns) = (None, None);
    let mut survey = Survey::default();
    records(&mut |line, record| {
        let Some((at, names)) = &header else {
            header = Some((line, record.clone()));
            return Ok(());
        };
        if columns.is_none() {
            let names = match text::is_numbered(names.len(), record) {
                true => std::iter::once("").chain(names).collect(),
                false => names.clone(),
            };
            let named = Columns::of(&names, stem, wanted).map_err(|reason| (*at, reason))?;
            check(&named).map_err(|reason| (*at, reason))?;
            columns = Some(named);
        }
        if let Some(columns) = &columns {
            check_shape(record, columns).map_err(|reason| (line, reason))?;
            survey.add(record, columns);
        }
        Ok(())
    })?;
    let Some((at, names)) = header else {
        let reason = "the file is empty; the first line must name the columns";
        return Err((1, reason.to_owned()));
    };
    let columns = match columns {
        Some(columns) => columns,
        None => Columns::of(&names, stem, wanted).map_err(|reason| (at, reason))?,
    };
    let notation = survey.decide(separator).map_err(|reason| (0, reason))?;
    let mut reader = Reader {
        columns: &columns,
        notation,
        wanted,
        names: HashMap::new(),
    };
    let mut is_header = true;
    records(&mut |line, record| {
        if std::mem::take(&mut is_header) {
            return Ok(());
        }
        // The file may have been written anew since.
        check_shape(record, &columns)
            .and_then(|()| reader.row(record, line, &mut take))
            .map_err(|reason| (line, reason))
    })?;
    Ok(columns.known_from.is_some() || matches!(columns.values, Values::Vintages(_)))
}

/// Every record but empty ones, which spreadsheets leave at the end.
fn each_of_text(form: Form, file: &mut File, take: &mut Take<'_>) -> Result<(), Refusal> {
    let read = Rc::default();
    let mut reader = form
        .records(file, &read)
        .map_err(|error| (0, error.to_string()))?;
    let mut record = csv::StringRecord::new();
    loop {
        read.set(0);
        let more = reader.read_record(&mut record).map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            let reason = match error.kind() {
                csv::ErrorKind::Utf8 { .. } => "is not UTF-8; save the file as CSV in UTF-8".into(),
                _ => error.to_string(),
            };
            (line, reason)
        })?;
        if !more {
            return Ok(());
        }
        let line = record.position().map_or(0, csv::Position::line) + form.lines_before();
        record.trim();
        if record.iter().any(|field| !field.is_empty()) {
            take(line, &record)?;
        }
    }
}

fn check_shape(record: &csv::StringRecord, columns: &Columns) -> Result<(), String> {
    let (fields, count) = (record.len(), columns.count);
    if fields != count {
        return Err(format!(
            "{}, the first line has {count}; quote fields that hold the separator, and \
             remove lines that are no data",
            counted(fields, "field")
        ));
    }
    for index in &columns.row_numbers {
        if record[*index].parse::<u64>().is_err() {
            let text = &record[*index];
            let place = index + 1;
            return Err(format!(
                "column {place} seems to number the rows, but {text:?} is no number of a row; \
                                remove or rename it"
            ));
        }
    }
    match columns
        .unnamed
        .iter()
        .find(|index| !record[**index].is_empty())
    {
        Some(index) => Err(format!(
            "column {} has no name; name it by its series",
            index + 1
        )),
        None => Ok(()),
    }
}

#[derive(Default)]
struct Survey {
    date: date::Evidence,
    known_from: date::Evidence,
    number: number::Evidence,
}

impl Survey {
    fn add(&mut self, record: &csv::StringRecord, columns: &Columns) {
        self.date.add(&record[columns.date]);
        if let Some(index) = columns.known_from {
            self.known_from.add(&record[index]);
        }
        for index in columns.values() {
            let text = &record[index];
            if !number::is_absent(text) {
                self.number.add(text);
            }
        }
    }

    fn decide(&self, separator: u8) -> Result<Notation, String> {
        Ok(Notation {
            date: self.date.decide()?,
            known_from: self.known_from.decide()?,
            number: self.number.decide(separator)?,
        })
    }
}

struct Reader<'a> {
    columns: &'a Columns,
    notation: Notation,
    wanted: &'a BTreeSet<String>,
    /// Series of the long form by how the file names them.
    names: HashMap<String, Arc<str>>,
}

impl Reader<'_> {
    fn row(
        &mut self,
        record: &csv::StringRecord,
        line: u64,
        take: &mut impl FnMut(Stated),
    ) -> Result<(), String> {
        let date = date::parse(&record[self.columns.date], self.notation.date)?;
        let known = self.columns.known_from.map(|index| &record[index]);
        let known_from = match known {
            None | Some("") => date.and_time(NaiveTime::MIN).and_utc(),
            Some(text) => date::instant(text, self.notation.known_from)?,
        };
        // Without vintages an absent value withdraws nothing.
        let may_withdraw = known.is_some();
        let mut state = |series: &Arc<str>, known_from, value| {
            let series = series.clone();
            take(Stated {
                line,
                series,
                date,
                known_from,
                value,
            });
        };
        match &self.columns.values {
            Values::Long { series, value } => {
                let name = &record[*series];
                if name.is_empty() {
                    return Err("the row names no series".into());
                }
                let wanted = self.wanted;
                let named = self.names.entry(name.to_owned());
                let series = named.or_insert_with(|| columns::series(name, wanted));
                let value = self.notation.value(&record[*value])?;
                if value.is_some() || may_withdraw {
                    state(series, known_from, value);
                }
            }
            Values::Wide(columns) => {
                for (index, series) in columns {
                    let value = self.notation.value(&record[*index])?;
                    if value.is_some() || may_withdraw {
                        state(series, known_from, value);
                    }
                }
            }
            Values::Vintages(by_series) => {
                for (series, vintages) in by_series {
                    let mut before = None;
                    for (known_from, index) in vintages {
                        let value = self.notation.value(&record[*index])?;
                        // A column repeats what the one before said.
                        if value != before {
                            state(series, *known_from, value);
                        }
                        before = value;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Notation {
    fn value(&self, text: &str) -> Result<Option<Decimal>, String> {
        if number::is_absent(text) {
            return Ok(None);
        }
        let value = number::parse(text, self.number);
        value.map(Some).ok_or_else(|| {
            format!("{text:?} is no decimal of at most 28 digits; an absent value is empty")
        })
    }
}
