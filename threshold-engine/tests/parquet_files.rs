//! Parquet files are read as the CSV files of the same tables, or refused.

#![cfg(feature = "parquet")]
#![expect(
    clippy::expect_used,
    reason = "helpers of tests, whose input is their own"
)]

use std::fs;
use std::path::{Path, PathBuf};

use evaluation::series::Point;
use threshold_engine::backtest::{CsvError, read_folder};

/// A folder of copies of files that `tests/parquet/make-files` made.
struct Folder(PathBuf);

impl Folder {
    fn of(name: &str, files: &[&str]) -> Self {
        let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet");
        let name = format!("atlas-parquet-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("it can be made");
        for file in files {
            fs::copy(made.join(file), path.join(file)).expect("it is there");
        }
        Self(path)
    }

    fn read(&self) -> Result<Vec<Point>, CsvError> {
        let wanted = ["UNRATE", "PAYEMS", "A", "B", "C"].map(str::to_owned);
        read_folder(&self.0, &wanted.into())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Series, date, from when it was known, value.
fn shown(points: &[Point]) -> Vec<String> {
    let of = |point: &Point| {
        let value = point.value.map_or("none".to_owned(), |v| v.to_string());
        let known = point.known_from.format("%Y-%m-%dT%H:%M");
        format!("{} {} {known} {value}", point.series, point.date)
    };
    points.iter().map(of).collect()
}

#[test]
fn files_of_pandas_duckdb_and_arrow_are_read() {
    for (file, expected) in [
        (
            "pandas-index.parquet",
            &[
                "UNRATE 2024-01-01 2024-01-01T00:00 3.7",
                "PAYEMS 2024-01-01 2024-01-01T00:00 157700",
                "PAYEMS 2024-02-01 2024-02-01T00:00 157976",
                "UNRATE 2024-03-01 2024-03-01T00:00 3.8",
                "PAYEMS 2024-03-01 2024-03-01T00:00 158286",
            ][..],
        ),
        (
            "pandas-long.parquet",
            &[
                "UNRATE 2024-01-01 2024-01-01T00:00 3.7",
                "PAYEMS 2024-01-01 2024-01-01T00:00 157700",
            ],
        ),
        (
            "pandas-utc.parquet",
            &[
                "UNRATE 2024-01-01 2024-01-01T00:00 1",
                "UNRATE 2024-02-01 2024-02-01T00:00 2",
                "UNRATE 2024-03-01 2024-03-01T00:00 3",
            ],
        ),
        (
            "duckdb-vintages.parquet",
            &[
                "UNRATE 2024-01-01 2024-02-02T08:30 3.7",
                "UNRATE 2024-01-01 2024-03-08T08:30 3.75",
                "UNRATE 2024-02-01 2024-03-08T08:30 none",
            ],
        ),
        (
            "duckdb-types.parquet",
            &[
                "A 2024-01-01 2024-01-01T00:00 -1.05",
                "B 2024-01-01 2024-01-01T00:00 2.1",
                "C 2024-01-01 2024-01-01T00:00 7",
            ],
        ),
        (
            "arrow-deprecated.parquet",
            &["A 2024-01-01 2024-01-01T00:00 -1.5"],
        ),
    ] {
        let points = Folder::of(file, &[file]).read().expect(file);
        assert_eq!(shown(&points), expected, "{file}");
    }
}

#[test]
fn what_a_file_leaves_open_is_refused() {
    for (file, reason) in [
        (
            "pandas-zone.parquet",
            "pandas-zone.parquet:1: \"2024-01-01T05:00:00Z\" is a moment, of which the date depends on \
             the zone; write the date alone",
        ),
        (
            "pandas-text.parquet",
            "pandas-text.parquet: column \"UNRATE\" is to hold values, but its type is no number; cast it \
             to DOUBLE or DECIMAL",
        ),
        (
            "duckdb-list.parquet",
            "duckdb-list.parquet: column \"A\" is neither a number nor a text, date or timestamp; cast or \
             remove it",
        ),
        (
            "duckdb-brotli.parquet",
            "compressed with snappy, zstd or not at all",
        ),
    ] {
        let refused = Folder::of(file, &[file]).read().expect_err(file);
        assert!(refused.to_string().contains(reason), "{refused}");
    }
}

#[test]
fn a_file_that_is_no_parquet_is_named() {
    let folder = Folder::of("no-parquet", &[]);
    for text in ["", "date,value\n2024-01-01,1\n", "PAR1PAR1PAR1PAR1"] {
        fs::write(folder.0.join("A.parquet"), text).expect("it can be written");
        let refused = folder.read().expect_err(text).to_string();
        assert!(refused.contains("A.parquet: "), "{refused}");
        assert!(refused.contains("write it as Parquet"), "{refused}");
    }
}

/// Whatever byte is wrong: a refusal, or a table, and never the end of the program.
#[test]
fn a_damaged_file_ends_nothing() {
    let folder = Folder::of("damaged", &["duckdb-types.parquet"]);
    let path = folder.0.join("duckdb-types.parquet");
    let whole = fs::read(&path).expect("it is there");
    for index in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[index] ^= 0xa5;
        fs::write(&path, &damaged).expect("it can be written");
        if let Ok(points) = folder.read() {
            assert!(points.len() <= 3, "{index}: {points:?}");
        }
        fs::write(&path, &whole[..index]).expect("it can be written");
        folder.read().expect_err("it is cut off");
    }
}

#[test]
fn values_of_one_date_are_compared_with_those_of_csv_files() {
    let folder = Folder::of("both", &["pandas-utc.parquet"]);
    let csv = "date,UNRATE\n2024-02-01,2.0\n2024-04-01,4\n";
    fs::write(folder.0.join("more.csv"), csv).expect("it can be written");
    let points = folder.read().expect("equal ones are one");
    assert_eq!(points.len(), 4, "{points:?}");
    let csv = "date,UNRATE\n2024-02-01,2.1\n";
    fs::write(folder.0.join("more.csv"), csv).expect("it can be written");
    let refused = folder.read().expect_err("it is another").to_string();
    assert!(refused.contains("UNRATE at 2024-02-01 is 2"), "{refused}");
}
