//! Parquet files, as the records that a CSV file of the same table has.

use std::fs::File;

use chrono::{DateTime, NaiveDate, TimeDelta};
use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use parquet::data_type::Decimal;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use super::columns::Columns;
use super::rows::{Refusal, Take};

/// What pandas calls the column of an index without a name.
const PANDAS_INDEX: &str = "__index_level_0__";

/// A file, and how its columns are read.
pub(super) struct Table {
    reader: SerializedFileReader<File>,
    /// In the order of the records: an index comes first, as in a CSV file.
    columns: Vec<Column>,
}

struct Column {
    /// In the file.
    place: usize,
    name: String,
    kind: Kind,
}

/// What a column's type says of its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Date,
    /// A time; in UTC, or in no zone.
    Time {
        unit: Unit,
        is_utc: bool,
    },
    /// Nothing but absent values.
    Absent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Table {
    pub(super) fn open(file: &File) -> Result<Self, Refusal> {
        let file = file.try_clone().map_err(|error| (0, error.to_string()))?;
        let reader = SerializedFileReader::new(file).map_err(|error| (0, unreadable(&error)))?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let fields = schema.root_schema().get_fields();
        let columns = fields.iter().enumerate().map(|(place, field)| {
            let name = match field.name() {
                PANDAS_INDEX => "index".to_owned(),
                name => name.to_owned(),
            };
            let kind = kind(field).ok_or_else(|| {
                let reason = format!(
                    "column {name:?} is neither a number nor a text, date or timestamp; cast or remove it"
                );
                (0, reason)
            })?;
            Ok(Column { place, name, kind })
        });
        let mut columns = columns.collect::<Result<Vec<_>, Refusal>>()?;
        columns.sort_by_key(|column| column.name != "index");
        Ok(Self { reader, columns })
    }

    /// A number that is written as a text has a notation, of which the other columns say nothing.
    pub(super) fn check(&self, columns: &Columns) -> Result<(), String> {
        for column in columns.values().map(|index| &self.columns[index]) {
            if !matches!(column.kind, Kind::Number | Kind::Absent) {
                return Err(format!(
                    "column {:?} is to hold values, but its type is no number; cast it to DOUBLE or \
                     DECIMAL",
                    column.name
                ));
            }
        }
        Ok(())
    }

    /// The names of the columns, then each row, numbered from 1.
    pub(super) fn each(&self, take: &mut Take<'_>) -> Result<(), Refusal> {
        let mut record: csv::StringRecord = self.columns.iter().map(|c| &*c.name).collect();
        take(0, &record)?;
        let rows = self.reader.get_row_iter(None);
        let rows = rows.map_err(|error| (0, unreadable(&error)))?;
        for (number, row) in (1..).zip(rows) {
            let row = row.map_err(|error| (number, unreadable(&error)))?;
            record.clear();
            self.fill(&mut record, &row).map_err(|r| (number, r))?;
            take(number, &record)?;
        }
        Ok(())
    }

    fn fill(&self, record: &mut csv::StringRecord, row: &Row) -> Result<(), String> {
        let cells: Vec<_> = row.get_column_iter().map(|(_, field)| field).collect();
        for column in &self.columns {
            let cell = cells.get(column.place);
            let text = cell.and_then(|cell| text(cell, column.kind));
            let text = text.ok_or_else(|| {
                format!("column {:?} has a value that cannot be read", column.name)
            })?;
            record.push_field(text.trim());
        }
        Ok(())
    }
}

fn unreadable(error: &ParquetError) -> String {
    format!(
        "{error}; write it as Parquet without encryption, compressed with snappy, zstd or not at all"
    )
}

/// `None`: of such a type nothing can be read, as of lists and structures.
fn kind(field: &Type) -> Option<Kind> {
    if !field.is_primitive() {
        return None;
    }
    let physical = field.get_physical_type();
    let info = field.get_basic_info();
    if let Some(logical) = info.logical_type_ref() {
        return of_logical_type(logical);
    }
    match (info.converted_type(), physical) {
        (ConvertedType::UTF8 | ConvertedType::ENUM, _) => Some(Kind::Text),
        (ConvertedType::DATE, _) => Some(Kind::Date),
        // Files of before logical types: the format says that these are in UTC.
        (ConvertedType::TIMESTAMP_MILLIS, _) => Some(utc(Unit::Milliseconds)),
        (ConvertedType::TIMESTAMP_MICROS, _) => Some(utc(Unit::Microseconds)),
        (_, Physical::INT96) => Some(utc(Unit::Milliseconds)),
        (
            ConvertedType::NONE
            | ConvertedType::DECIMAL
            | ConvertedType::INT_8
            | ConvertedType::INT_16
            | ConvertedType::INT_32
            | ConvertedType::INT_64
            | ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64,
            Physical::INT32 | Physical::INT64 | Physical::FLOAT | Physical::DOUBLE,
        )
        | (ConvertedType::DECIMAL, _) => Some(Kind::Number),
        _ => None,
    }
}

fn of_logical_type(logical: &LogicalType) -> Option<Kind> {
    match logical {
        LogicalType::String | LogicalType::Enum => Some(Kind::Text),
        LogicalType::Date => Some(Kind::Date),
        LogicalType::Integer(_) | LogicalType::Decimal(_) | LogicalType::Float16 => {
            Some(Kind::Number)
        }
        LogicalType::Timestamp(timestamp) => {
            let unit = match timestamp.unit {
                TimeUnit::MILLIS => Unit::Milliseconds,
                TimeUnit::MICROS => Unit::Microseconds,
                TimeUnit::NANOS => Unit::Nanoseconds,
            };
            let is_utc = timestamp.is_adjusted_to_u_t_c;
            Some(Kind::Time { unit, is_utc })
        }
        LogicalType::Unknown => Some(Kind::Absent),
        _ => None,
    }
}

fn utc(unit: Unit) -> Kind {
    Kind::Time { unit, is_utc: true }
}

/// A cell as a CSV file has it. `None`: it is none of what its column holds.
fn text(cell: &Field, kind: Kind) -> Option<String> {
    if matches!(cell, Field::Null) {
        return Some(String::new());
    }
    match kind {
        Kind::Number => number(cell),
        Kind::Text => match cell {
            Field::Str(text) => Some(text.clone()),
            _ => None,
        },
        Kind::Date => match cell {
            Field::Date(days) => date(*days),
            _ => None,
        },
        Kind::Time { unit, is_utc } => match cell {
            Field::TimestampMillis(number)
            | Field::TimestampMicros(number)
            | Field::Long(number) => time(*number, unit, is_utc),
            _ => None,
        },
        Kind::Absent => None,
    }
}

/// Floating point numbers as the shortest decimals that stand for them alone.
fn number(cell: &Field) -> Option<String> {
    Some(match cell {
        Field::Byte(number) => number.to_string(),
        Field::Short(number) => number.to_string(),
        Field::Int(number) => number.to_string(),
        Field::Long(number) => number.to_string(),
        Field::UByte(number) => number.to_string(),
        Field::UShort(number) => number.to_string(),
        Field::UInt(number) => number.to_string(),
        Field::ULong(number) => number.to_string(),
        Field::Float16(number) => number.to_f32().to_string(),
        Field::Float(number) => float(number.to_string(), format!("{number:e}")),
        Field::Double(number) => float(number.to_string(), format!("{number:e}")),
        Field::Decimal(number) => decimal(number)?,
        _ => return None,
    })
}

/// A number that is written out longer than a decimal may be stays in scientific notation, which is rounded when it is read.
fn float(plain: String, scientific: String) -> String {
    let is_long = plain.bytes().filter(u8::is_ascii_digit).count() > 28;
    if is_long { scientific } else { plain }
}

fn decimal(number: &Decimal) -> Option<String> {
    let mut bytes = number.data();
    let first = *bytes.first()?;
    // Two's complement, the highest byte first.
    let filler: u8 = if first < 0x80 { 0 } else { 0xff };
    while let [highest, next, ..] = bytes
        && *highest == filler
        && (*next < 0x80) == (first < 0x80)
    {
        bytes = &bytes[1..];
    }
    let mut padded = [filler; 16];
    padded
        .get_mut(16_usize.checked_sub(bytes.len())?..)?
        .copy_from_slice(bytes);
    let unscaled = i128::from_be_bytes(padded);
    let scale = usize::try_from(number.scale()).ok()?;
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    Some(match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    })
}

fn date(days: i32) -> Option<String> {
    let since = TimeDelta::try_days(days.into())?;
    let date = NaiveDate::default().checked_add_signed(since)?;
    Some(date.to_string())
}

fn time(number: i64, unit: Unit, is_utc: bool) -> Option<String> {
    let time = match unit {
        Unit::Milliseconds => DateTime::from_timestamp_millis(number)?,
        Unit::Microseconds => DateTime::from_timestamp_micros(number)?,
        Unit::Nanoseconds => DateTime::from_timestamp_nanos(number),
    };
    let zone = if is_utc { "Z" } else { "" };
    Some(format!("{}{zone}", time.format("%Y-%m-%dT%H:%M:%S%.f")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backtest::csv_files::number::{Style, parse};

    /// Typed from the shortest decimals of the numbers, rounded to 28 places by hand.
    #[test]
    fn what_is_left_of_differences_of_floating_point_numbers_is_read() {
        for (number, read) in [
            (5.551_115_123_125_783e-17, "0.0000000000000000555111512313"),
            (
                -5.551_115_123_125_783e-17,
                "-0.0000000000000000555111512313",
            ),
            (1e-300, "0"),
            (5e-29, "0"),
            (1.5e-28, "0.0000000000000000000000000002"),
            (0.1 + 0.2, "0.30000000000000004"),
            (157_700.0, "157700"),
            (1e20, "100000000000000000000"),
        ] {
            let cell = super::number(&Field::Double(number)).unwrap();
            let value = parse(&cell, Style::Point).map(|value| value.to_string());
            assert_eq!(value.as_deref(), Some(read), "{number:e} as {cell}");
        }
        for refused in [1e30, f64::INFINITY] {
            let cell = super::number(&Field::Double(refused)).unwrap();
            assert_eq!(parse(&cell, Style::Point), None, "{cell}");
        }
    }
}
