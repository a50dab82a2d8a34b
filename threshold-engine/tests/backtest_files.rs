//! The files that a backtest reads and writes.

#![expect(
    clippy::expect_used,
    reason = "helpers of tests, whose input is their own"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;
use evaluation::series::Point;
use threshold_engine::backtest::{
    AsKnown, BacktestResult, CsvError, Options, html, read_folder, run, write_all,
};
use threshold_engine::library::Library;
use threshold_engine::pattern::Pattern;

/// A folder of this process, gone when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("atlas-backtest-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("it can be made");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("it can be written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).expect("it is there")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const HIGH: &str = r#"id = "high"
name = "A <high> & \"dear\""
description = "A is above 5 <script>alert(1)</script>."
severity = "info"
when = 'A > 5'

[inputs.A]
unit = "percent & points"
frequency = "monthly"
"#;

fn library() -> Library {
    let pattern = Pattern::read(Path::new("high.toml"), HIGH).expect("it is good");
    Library {
        patterns: vec![Arc::new(pattern)],
        regimes: Vec::new(),
    }
}

fn read(name: &str, files: &[(&str, &str)]) -> Result<Vec<Point>, CsvError> {
    let folder = Scratch::new(name);
    for (file, text) in files {
        folder.write(file, text);
    }
    read_folder(&folder.0, &["A".to_owned()].into())
}

/// Series, date, day from which it was known, value.
fn shown(points: &[Point]) -> Vec<String> {
    let of = |point: &Point| {
        let value = point.value.map_or("none".to_owned(), |v| v.to_string());
        let known = point.known_from.format("%Y-%m-%dT%H");
        format!("{} {} {known} {value}", point.series, point.date)
    };
    points.iter().map(of).collect()
}

#[test]
fn an_unreadable_row_is_reported_with_file_line_and_reason() {
    for (number, (text, emitted)) in [
        (
            "date,value\n2020-01-01,1\n2020-13-01,2\n",
            "A.csv:3: \"2020-13-01\" is no date",
        ),
        (
            "date,value\n2020-01-01,1e5x\n",
            "A.csv:2: \"1e5x\" is no decimal",
        ),
        (
            "date,value\n2020-01-01,inf\n",
            "A.csv:2: \"inf\" is no decimal",
        ),
        ("date,value\n2020-01-01\n", "A.csv:2: "),
        ("day,value\n", "A.csv:1: no column date or observation_date"),
        ("date\n2020-01-01\n", "A.csv:1: no column value"),
        (
            "date,known_from,value\n2020-01-01,soon,1\n",
            "A.csv:2: \"soon\" is no date or time",
        ),
        ("", "A.csv:1: "),
    ]
    .into_iter()
    .enumerate()
    {
        let refused = read(&format!("bad-{number}"), &[("A.csv", text)]);
        let refused = refused.expect_err(text).to_string();
        assert!(refused.contains(emitted), "{text:?}: {refused}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let refused = read_folder(Path::new("/nowhere/at/all"), &["A".to_owned()].into());
    let refused = refused.expect_err("it is not there").to_string();
    assert!(refused.starts_with("/nowhere/at/all: "), "{refused}");
}

#[test]
fn series_are_named_by_column_or_file() {
    let value = "date,value\n2020-01-01,1\n";
    let points = read(
        "names",
        &[
            ("A_monthly.csv", value),
            ("B.csv", value),
            ("x.csv", "observation_date,UNRATE\n2020-01-01,4.0\n"),
            ("notes.txt", "no series"),
        ],
    );
    let points = points.expect("all are good");
    let expected = [
        "A 2020-01-01 2020-01-01T00 1",
        "B 2020-01-01 2020-01-01T00 1",
        "UNRATE 2020-01-01 2020-01-01T00 4.0",
    ];
    assert_eq!(shown(&points), expected);
}

#[test]
fn vintages_and_absent_values_are_read() {
    let text = "date,realtime_start,value\n\
                2020-01-01,2020-02-07,3.5\n\
                2020-01-01,2020-03-06T13:30:00Z,3.6\n\
                2020-02-01,,.\n\
                2020-03-01,2020-04-03,\n";
    let points = read("vintages", &[("A.csv", text)]).expect("it is good");
    let expected = [
        "A 2020-01-01 2020-02-07T00 3.5",
        "A 2020-01-01 2020-03-06T13 3.6",
        "A 2020-02-01 2020-02-01T00 none",
        "A 2020-03-01 2020-04-03T00 none",
    ];
    assert_eq!(shown(&points), expected);
    // Without vintages there is nothing that an absent value could withdraw.
    let points = read(
        "absent",
        &[("A.csv", "date,value\n2020-01-01,.\n2020-02-01,\n")],
    );
    assert_eq!(points.expect("it is good").len(), 0);
}

/// January was first emitted as 5.4, and a month later as 4.9; April was emitted as 4, then as 6.
const REVISED: &str = "date,realtime_start,value\n\
    2020-01-01,2020-02-07,5.4\n\
    2020-01-01,2020-03-06,4.9\n\
    2020-02-01,2020-03-06,4.8\n\
    2020-03-01,2020-04-03,5.1\n\
    2020-04-01,2020-05-08,4\n\
    2020-04-01,2020-06-05,6\n";

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

fn play(as_known: AsKnown, from: &str, to: &str) -> BacktestResult {
    let points = read(&format!("{as_known:?}-{from}-{to}"), &[("A.csv", REVISED)]);
    let options = Options {
        from: day(from),
        to: day(to),
        as_known,
    };
    run(&library(), points.expect("it is good"), options, |_, _| {})
}

/// "date known_from direction turn stands".
fn crossings(result: &BacktestResult) -> Vec<String> {
    let crossings = result.patterns[0].crossings.iter();
    crossings
        .map(|c| {
            let (direction, turn) = (c.direction.name(), c.turn.name());
            let known = c.emitted_at.date_naive();
            format!("{} {known} {direction} {turn} {}", c.date, c.stands)
        })
        .collect()
}

#[test]
fn what_was_known_then_and_what_is_known_now_differ_by_revisions() {
    let then = play(AsKnown::Then, "2000-01-01", "2030-01-01");
    let expected = [
        "2020-01-01 2020-02-07 entered entered true",
        "2020-01-01 2020-03-06 revised entered false",
        "2020-03-01 2020-04-03 entered entered true",
        "2020-04-01 2020-05-08 cleared cleared true",
        "2020-04-01 2020-06-05 revised cleared false",
    ];
    assert_eq!(crossings(&then), expected);
    let now = play(AsKnown::Now, "2000-01-01", "2030-01-01");
    let expected = ["2020-03-01 2020-04-03 entered entered true"];
    assert_eq!(crossings(&now), expected);
    assert_eq!(then.patterns[0].spells, now.patterns[0].spells);
    assert_eq!((now.from, now.to), (day("2020-01-01"), day("2020-04-01")));
}

#[test]
fn as_known_then_nothing_is_known_that_came_after_the_last_date() {
    let early = play(AsKnown::Then, "2000-01-01", "2020-03-01");
    let expected = ["2020-01-01 2020-02-07 entered entered true"];
    assert_eq!(crossings(&early), expected, "January was still 5.4");
    let early = play(AsKnown::Now, "2000-01-01", "2020-03-01");
    assert_eq!(
        crossings(&early),
        ["2020-03-01 2020-04-03 entered entered true"]
    );
    let late = play(AsKnown::Then, "2020-04-01", "2030-01-01");
    assert_eq!(
        crossings(&late).len(),
        2,
        "what lies before is played, not shown"
    );
}

#[test]
fn files_hold_exactly_what_was_emitted() {
    let folder = Scratch::new("written");
    let result = play(AsKnown::Then, "2000-01-01", "2030-01-01");
    write_all(&result, &folder.0).expect("it can be written");
    let expected = r#"pattern,date,known_from,direction,turn,stands,value,threshold,message
high,2020-01-01,2020-02-07T00:00:00+00:00,entered,entered,true,5.4,5,"A <high> & ""dear"" entered on 2020-01-01: 5.4 against 5"
high,2020-01-01,2020-03-06T00:00:00+00:00,revised,entered,false,4.9,5,"A <high> & ""dear"" after revision not entered on 2020-01-01: 4.9 against 5"
high,2020-03-01,2020-04-03T00:00:00+00:00,entered,entered,true,5.1,5,"A <high> & ""dear"" entered on 2020-03-01: 5.1 against 5"
high,2020-04-01,2020-05-08T00:00:00+00:00,cleared,cleared,true,4,5,"A <high> & ""dear"" cleared on 2020-04-01: 4 against 5"
high,2020-04-01,2020-06-05T00:00:00+00:00,revised,cleared,false,6,5,"A <high> & ""dear"" after revision not cleared on 2020-04-01: 6 against 5"
"#;
    assert_eq!(folder.read("crossings.csv"), expected);
    assert_eq!(
        folder.read("spells.csv"),
        "pattern,entered,cleared\nhigh,2020-03-01,\n"
    );
    let header = "model,since,known_from,from,to,stands,revised,score,patterns\n";
    assert_eq!(folder.read("transitions.csv"), header);
    let json: serde_json::Value =
        serde_json::from_str(&folder.read("result.json")).expect("it is JSON");
    assert_eq!(json["as_known"], "then");
    assert_eq!(json["points"], 6);
    let pattern = &json["patterns"][0];
    assert_eq!(pattern["inputs"][0]["count"], 4);
    assert_eq!(pattern["evaluated_dates"], 4);
    let crossing = serde_json::json!({
        "pattern": "high", "date": "2020-01-01", "emitted_at": "2020-03-06T00:00:00Z",
        "direction": "revised", "turn": "entered", "stands": false, "value": "4.9", "threshold": "5",
        "message": "A <high> & \"dear\" after revision not entered on 2020-01-01: 4.9 against 5",
    });
    assert_eq!(pattern["crossings"][1], crossing);
    assert!(folder.read("report.html").ends_with("</html>\n"));
}

#[test]
fn the_report_shows_value_threshold_input_and_spells_and_escapes_text() {
    let page = html(&play(AsKnown::Then, "2000-01-01", "2030-01-01"));
    assert!(page.contains("Backtest 2020-01-01 to 2020-04-01, as known then"));
    assert_eq!(
        page.matches("class=\"plot\"").count(),
        2,
        "the value and its input"
    );
    assert_eq!(page.matches("<figcaption>").count(), 2);
    for legend in ["value", "threshold", "A, percent &amp; points"] {
        assert!(page.contains(&format!("</i>{legend}</span>")), "{legend}");
    }
    let shaded = page.matches("<g class=\"spell info\">").count();
    assert_eq!(shaded, 2, "one spell, in both plots");
    assert!(
        page.contains("<path class=\"threshold\" d=\"M"),
        "the threshold is drawn"
    );
    assert!(page.contains(">2020-02-01: 4.8, threshold 5</text>"));
    assert!(page.contains(">2020-03-01: 5.1, threshold 5, active</text>"));
    assert!(page.contains("since 2020-03-01"));
    assert!(page.contains("5 crossings emitted"));
    assert!(page.contains("A &lt;high&gt; &amp; &quot;dear&quot;"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!page.contains("<script"), "text is no markup");
}

#[test]
fn a_pattern_without_observations_is_listed_as_such() {
    let options = Options {
        from: day("2000-01-01"),
        to: day("2030-01-01"),
        as_known: AsKnown::Now,
    };
    let page = html(&run(&library(), Vec::new(), options, |_, _| {}));
    assert!(page.contains("Without any observation"));
    assert!(!page.contains("<svg"));
}

#[test]
fn the_command_prints_by_date_and_names_series_without_observations() {
    let folder = Scratch::new("printed");
    for (id, series, level) in [("a", "A", 2), ("b", "A", 1), ("c", "B", 1)] {
        let text = HIGH.replace("\"high\"", &format!("{id:?}"));
        let text = text.replace("A > 5", &format!("{series} > {level}"));
        let text = text.replace("[inputs.A]", &format!("[inputs.{series}]"));
        folder.write(&format!("{id}.toml"), &text);
    }
    let text = "date,A\n2020-01-01,0\n2020-02-01,2\n2020-03-01,3\n";
    folder.write("A.csv", text);
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_threshold-engine"))
        .args(["backtest", "--patterns"])
        .arg(&folder.0)
        .arg("--csv")
        .arg(&folder.0)
        .output()
        .expect("it runs");
    assert!(ran.status.success(), "{ran:?}");
    let output = String::from_utf8(ran.stdout).expect("it is text");
    let starts = [
        "2020-02-01 b: ",
        "2020-03-01 a: ",
        "c: no observations of B",
        "3 points; 3 patterns, 1 of them silent",
    ];
    assert_eq!(output.lines().count(), starts.len(), "{output}");
    for (line, start) in output.lines().zip(starts) {
        assert!(line.starts_with(start), "{output}");
    }
}
