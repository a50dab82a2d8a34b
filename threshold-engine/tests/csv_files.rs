//! Files of observations as tools write them: each is read rightly, or refused with what to do.

#![expect(
    clippy::expect_used,
    reason = "helpers of tests, whose input is their own"
)]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{Datelike, Days, NaiveDate};
use proptest::prelude::*;
use rust_decimal::Decimal;
use threshold_engine::backtest::read_folder;

static FOLDERS: AtomicUsize = AtomicUsize::new(0);

/// "SERIES DATE KNOWN_FROM VALUE" of each point, or why the files are refused.
fn read(files: &[(&str, &[u8])]) -> Result<Vec<String>, String> {
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let name = format!("atlas-csv-{}-{number}", std::process::id());
    let folder: PathBuf = std::env::temp_dir().join(name);
    fs::create_dir(&folder).expect("it can be made");
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).expect("it can be written");
    }
    let wanted = ["A".to_owned(), "B".to_owned(), "GDP".to_owned()].into();
    let read = read_folder(&folder, &wanted);
    fs::remove_dir_all(&folder).expect("it can be removed");
    let points = read.map_err(|error| error.to_string())?;
    let shown = points.iter().map(|point| {
        let value = point
            .value
            .map_or("none".into(), |v| v.normalize().to_string());
        let known = point.known_from.format("%Y-%m-%dT%H");
        format!("{} {} {known} {value}", point.series, point.date)
    });
    Ok(shown.collect())
}

fn utf16(text: &str, little: bool, mark: bool) -> Vec<u8> {
    let mark = if mark { "\u{feff}" } else { "" };
    let units: Vec<u16> = format!("{mark}{text}").encode_utf16().collect();
    let bytes = |unit: &u16| {
        if little {
            unit.to_le_bytes()
        } else {
            unit.to_be_bytes()
        }
    };
    units.iter().flat_map(bytes).collect()
}

const JANUARY: &str = "A 2024-01-31 2024-01-31T00 1.5";

#[test]
fn one_observation_is_the_same_in_every_notation() {
    for text in [
        "date,value\n2024-01-31,1.5\n",
        "Date;Value\r\n31.01.2024;1,5\r\n",
        "sep=;\r\nDate;A\r\n31.01.2024;1,50\r\n",
        "\u{feff}date,A\n2024-01-31,1.5\n",
        "\"date\",\"A\"\n\"2024-01-31\",\"1.5\"\n",
        "date,A\n1/31/2024,1.5\n",
        "date,A\n31/1/2024,1.5\n",
        "date,A\n01-31-2024,1.5\n",
        "date,A\n01/31/2024 12:00:00 AM,1.5\n",
        "date\tA\n2024-01-31\t1.5\n",
        "date | value\n2024-01-31 | 1.5\n",
        "date,A,\n2024-01-31,1.5,\n,,\n",
        "date;A\n2024-01-31;\"1,5\"\n",
        "date,A\n2024-01-31,\"1,5\"\n",
        "date,A\n31-Jan-2024,1.5\n",
        "date,A\n\"Jan 31, 2024\",1.5\n",
        "date,A\n20240131,1.5\n",
        "date,A\n2024/01/31,1.5\n",
        ",A\n2024-01-31,1.5\n",
        "index,A\n2024-01-31 00:00:00,1.5\n",
        "index,A\n2024-01-31 00:00:00+00:00,1.5\n",
        ",date,A\n0,2024-01-31T00:00:00Z,1.5\n",
        "Unnamed: 0,index,A\n0,2024-01-31,1.5\n",
        "date,variable,value\n2024-01-31,A,1.5\n",
        "\"\",\"date\",\"A\"\n\"1\",2024-01-31,1.5\n\"2\",2024-02-01,NA\n",
        "\"row.names\",\"date\",\"A\"\n\"1\",2024-01-31,15e-1\n",
        "observation_date,A\n2024-01-31,1.5\n2024-02-01,.\n",
        "DATE,A\n2024-01-31,1.5\n",
        "realtime_start,realtime_end,date,value\n2024-01-31,9999-12-31,2024-01-31,1.5\n",
        "date,a\n2024-01-31,1.5\n2024-02-01,\\N\n",
        "id,series,date,value\n7,A,2024-01-31,1.5\n",
        "series_id,date,value\na,2024-01-31 00:00:00-05,1.5000\n",
        "date,A\n2024-01-31,1.5\n2024-01-31,1.50\n",
        "date,A\r2024-01-31,+1.5\r",
        "\"date\",\"A\"\n\"1\",2024-01-31,1.5\n\"2\",2024-02-01,NA\n",
        "date\tA\n1\t2024-01-31\t1.5\n",
    ] {
        let points = read(&[("A.csv", text.as_bytes())]);
        assert_eq!(points.as_deref(), Ok(&[JANUARY.to_owned()][..]), "{text:?}");
    }
    for (little, mark) in [(true, true), (false, true), (true, false), (false, false)] {
        let bytes = utf16("Date\tA\tB\r\n31.01.2024\t1,5\t\r\n", little, mark);
        let points = read(&[("x.csv", &bytes)]);
        assert_eq!(points, Ok(vec![JANUARY.into()]), "{little} {mark}");
    }
}

#[test]
fn every_series_and_vintage_of_a_file_is_read() {
    for (text, expected) in [
        (
            "observation_date,A,B\n2024-01-01,1,2\n2024-02-01,,3\n",
            &[
                "A 2024-01-01 2024-01-01T00 1",
                "B 2024-01-01 2024-01-01T00 2",
                "B 2024-02-01 2024-02-01T00 3",
            ][..],
        ),
        (
            "series,date,value\nA,2024-01-01,1\nB,2024-01-01,2\n",
            &[
                "A 2024-01-01 2024-01-01T00 1",
                "B 2024-01-01 2024-01-01T00 2",
            ],
        ),
        (
            "observation_date,GDP_20240125,GDP_20240228,GDP_20240328\n2023-07-01,5,5,5\n2023-10-01,.,6,6.5\n2024-01-01,7,.,.\n",
            &[
                "GDP 2023-07-01 2024-01-25T00 5",
                "GDP 2023-10-01 2024-02-28T00 6",
                "GDP 2023-10-01 2024-03-28T00 6.5",
                "GDP 2024-01-01 2024-01-25T00 7",
                "GDP 2024-01-01 2024-02-28T00 none",
            ],
        ),
        (
            "date,known_from,value\n2024-01-01,2024-02-01 08:30:00-05,1\n",
            &["A 2024-01-01 2024-02-01T13 1"],
        ),
        (
            "date;A\n01.01.2024;1.234.567,5\n01.02.2024;1.234\n",
            &[
                "A 2024-01-01 2024-01-01T00 1234567.5",
                "A 2024-02-01 2024-02-01T00 1234",
            ],
        ),
        (
            "date,A\n12/31/2024,\"1,234\"\n01/02/2025,999.5\n",
            &[
                "A 2024-12-31 2024-12-31T00 1234",
                "A 2025-01-02 2025-01-02T00 999.5",
            ],
        ),
        (
            "date,A\n2024Q3,-1.5e+03\n2024-10,1.25E-1\n",
            &[
                "A 2024-07-01 2024-07-01T00 -1500",
                "A 2024-10-01 2024-10-01T00 0.125",
            ],
        ),
    ] {
        let points = read(&[("A.csv", text.as_bytes())]).expect(text);
        assert_eq!(points, expected, "{text:?}");
    }
}

#[test]
fn what_a_file_leaves_open_is_refused_with_what_to_do() {
    for (text, reason) in [
        ("date,A\n03/04/2024,1\n", "write dates as YYYY-MM-DD"),
        (
            "date,A\n13/04/2024,1\n04/13/2024,1\n",
            "begins with the day",
        ),
        ("date,A\n03/04/24,1\n", "is no date"),
        ("date,A\n2024,1\n", "first day of the period"),
        ("date,A\n2024-01-30 23:00:00+00,1\n", "write the date alone"),
        (
            "date,A\n2024-01-01,1\n2024-01-01,2\n",
            "A.csv:3: A at 2024-01-01 is 2, but 1 in",
        ),
        (
            "date,A\n2024-01-01,\"1,234\"\n",
            "without thousands separators",
        ),
        ("date;A\n2024-01-01;1.234\n", "without thousands separators"),
        (
            "date;A\n2024-01-01;1,5\n2024-02-01;1.5\n",
            "write all alike",
        ),
        ("date,A\n2024-01-01,1,5\n", "3 fields, the first line has 2"),
        ("date,A\n2024-01-01,5%\n", "is no decimal"),
        ("date,A\n2024-01-01,\"12,34,5\"\n", "is no decimal"),
        ("\"\",\"A\"\n\"1\",3.5\n", "\"1\" is no date"),
        ("X,date,A\n1.5,2024-01-01,2\n", "remove or rename it"),
        ("date,value,note\n2024-01-01,1,good\n", "beside \"value\""),
        ("date,A,a\n2024-01-01,1,1\n", "are one series"),
        ("date,time,A\n2024-01-01,1,1\n", "have one meaning"),
        ("date,A,\n2024-01-01,1,2\n", "has no name"),
        ("date,A,GDP_20240125\n2024-01-01,1,2\n", "use two files"),
        ("series,date,value\n,2024-01-01,2\n", "names no series"),
        (
            "2024-01-01\t1.5\n2024-02-01\t2\n",
            "the first line must name the columns",
        ),
        ("date value\n2024-01-01 1.5\n", "fields are separated by"),
        (
            "date,value\n2024-01-01,1\n(1 row)\n",
            "remove lines that are no data",
        ),
        ("", "the first line must name the columns"),
    ] {
        let refused = read(&[("A.csv", text.as_bytes())]).expect_err(text);
        assert!(refused.contains(reason), "{text:?}: {refused}");
    }
    let refused = read(&[("A.csv", b"date,A\n2024-01-01,1\xff\n")]).expect_err("Latin 1");
    assert!(refused.contains("in UTF-8"), "{refused}");
    let unclosed = format!(
        "date,A\n2024-01-01,\"1\n{}",
        "2024-01-02,2\n".repeat(200_000)
    );
    let refused = read(&[("A.csv", unclosed.as_bytes())]).expect_err("one field");
    assert!(refused.contains("may not be closed"), "{refused}");
    let refused = read(&[("A.xlsx", b"PK")]).expect_err("no text");
    assert!(refused.contains("save it as CSV"), "{refused}");
    let vintages = "date,known_from,A\n2024-01-01,2024-02-01,1\n";
    let plain = "date,A\n2024-01-01,2\n";
    let refused = read(&[("a.csv", vintages.as_bytes()), ("b.csv", plain.as_bytes())]);
    assert!(refused.expect_err("two kinds").contains("only one of them"));
}

type Written = fn(&[(NaiveDate, Decimal)]) -> Vec<u8>;

fn lines(
    header: &str,
    observations: &[(NaiveDate, Decimal)],
    line: impl Fn(NaiveDate, String) -> String,
) -> String {
    let lines = observations
        .iter()
        .map(|(date, value)| line(*date, value.to_string()));
    format!("{header}\n{}\n", lines.collect::<Vec<_>>().join("\n"))
}

/// The formats of the property, each of which names day and month, and decimals, beyond doubt.
const FORMATS: [Written; 6] = [
    |of| lines("observation_date,A", of, |d, v| format!("{d},{v}")).into(),
    |of| {
        lines("Datum;A", of, |d, v| {
            format!("{};{}", d.format("%d.%m.%Y"), v.replace('.', ","))
        })
        .replace("Datum", "Date")
        .into()
    },
    |of| lines(",A", of, |d, v| format!("{d} 00:00:00+00:00,{v}")).into(),
    |of| lines("series\tdate\tvalue", of, |d, v| format!("a\t{d}\t{v}")).into(),
    |of| lines("\"\",\"date\",\"A\"", of, |d, v| format!("\"7\",{d},{v}")).into(),
    |of| {
        let text = lines("date\tA", of, |d, v| {
            format!("{}\t{v}", d.format("%d-%b-%Y"))
        });
        utf16(&text, true, true)
    },
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Decimals have four digits behind the point, so that no value may be a thousand.
    #[test]
    fn a_series_is_the_same_in_all_formats(
        values in prop::collection::btree_map(0u64..40_000, -9_999_999i64..9_999_999, 1..60)
    ) {
        let first = NaiveDate::from_ymd_opt(1920, 1, 1).expect("a date");
        let of: Vec<_> = values
            .iter()
            .map(|(day, value)| (first + Days::new(*day), Decimal::new(*value, 4)))
            .collect();
        let expected: Vec<_> = of
            .iter()
            .map(|(d, v)| format!("A {d} {d}T00 {}", v.normalize()))
            .collect();
        prop_assert!(of.iter().all(|(date, _)| date.year() < 2040));
        for written in FORMATS {
            let bytes = written(&of);
            prop_assert_eq!(read(&[("A.csv", &bytes)]), Ok(expected.clone()));
        }
    }
}
