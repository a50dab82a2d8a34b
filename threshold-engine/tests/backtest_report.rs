//! What the report of a backtest shows besides values and spells.

#![expect(
    clippy::expect_used,
    reason = "helpers of tests, whose input is their own"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use chrono::NaiveDate;
use threshold_engine::backtest::{
    AsKnown, BacktestResult, Catalogue, Options, RECESSIONS, html, read_folder, run,
};
use threshold_engine::library::Library;
use threshold_engine::pattern::Pattern;
use threshold_engine::regime::Regime;

const HIGH: &str = r#"id = "high"
name = "High"
description = "A is above 5."
severity = "critical"
when = 'A > 5'
[inputs.A]
unit = "percent"
frequency = "monthly"
"#;

const MOOD: &str = r#"id = "mood"
name = "Mood"
description = "d"
initial = "calm"
[[states]]
id = "tense"
enter = 'pattern("high")'
[[states]]
id = "calm"
"#;

const A: &str = "date,A\n2020-01-01,1\n2020-02-01,6\n2020-03-01,7\n2020-04-01,2\n2020-05-01,3\n";
/// April is revised to be one, and the last month is one.
const RECESSION: &str = "date,known_from,value\n2020-01-01,2020-02-01,0\n2020-02-01,2020-03-01,1\n\
    2020-03-01,2020-04-01,1\n2020-04-01,2020-05-01,0\n2020-04-01,2020-06-01,1\n\
    2020-05-01,2020-06-01,0\n2020-06-01,2020-07-01,1\n";

fn folder(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
    let name = format!("atlas-report-{name}-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::create_dir(&path).expect("it can be made");
    for (file, text) in files {
        fs::write(path.join(file), text).expect("it can be written");
    }
    path
}

fn library() -> Library {
    let pattern = Pattern::read(Path::new("high.toml"), HIGH).expect("it is good");
    let regime = Regime::read(Path::new("mood.toml"), MOOD).expect("it is good");
    Library {
        patterns: vec![Arc::new(pattern)],
        regimes: vec![Arc::new(regime)],
    }
}

fn play(library: &Library, files: &Path, as_known: AsKnown) -> BacktestResult {
    let mut wanted: BTreeSet<_> = library.series();
    wanted.insert(RECESSIONS.to_owned());
    let points = read_folder(files, &wanted).expect("they are good");
    let options = Options {
        from: NaiveDate::MIN,
        to: NaiveDate::MAX,
        as_known,
    };
    run(library, points, options, |_, _| {})
}

#[test]
fn recessions_are_shaded_where_the_data_has_them_and_change_nothing_else() {
    let without = folder("without", &[("A.csv", A)]);
    let with = folder("with", &[("A.csv", A), ("USREC.csv", RECESSION)]);
    for as_known in [AsKnown::Now, AsKnown::Then, AsKnown::Stored] {
        let plain = play(&library(), &without, as_known);
        let mut shaded = play(&library(), &with, as_known);
        let runs = shaded.recessions.iter();
        let runs: Vec<_> = runs.map(|r| format!("{} {}", r.from, r.until)).collect();
        assert_eq!(
            runs,
            ["2020-02-01 2020-05-01", "2020-06-01 2020-07-01"],
            "the newest vintage counts"
        );
        assert_eq!(plain.recessions, []);
        let page = html(&shaded);
        let shades = page.matches("<g class=\"recession\">").count();
        assert_eq!(shades, 2, "one of them lies in the time of both charts");
        assert!(page.contains("</i>recession (USREC)</span>"));
        assert!(!html(&plain).contains("recession (USREC)"));
        shaded.recessions.clear();
        assert_eq!(
            html(&shaded),
            html(&plain),
            "their points are not evaluated"
        );
    }
    let _ = (fs::remove_dir_all(without), fs::remove_dir_all(with));
}

#[test]
fn regimes_are_bands_above_the_chart_of_a_value() {
    let files = folder("bands", &[("A.csv", A)]);
    let page = html(&play(&library(), &files, AsKnown::Now));
    for state in [
        "<title>Mood: calm from 2020-01-01 to 2020-02-01</title>",
        "<title>Mood: tense from 2020-02-01 to 2020-04-01</title>",
        "<title>Mood: calm from 2020-04-01 on</title>",
    ] {
        let shown = page.matches(state).count();
        assert_eq!(
            shown, 2,
            "{state}: alone, and above the value of the pattern"
        );
    }
    // 31 of 121 days.
    let band = "<rect x=\"0.00%\" y=\"20\" width=\"25.62%\" height=\"16\"/>";
    assert_eq!(page.matches(band).count(), 1, "{page}");
    let _ = fs::remove_dir_all(files);
}

#[test]
fn the_page_loads_nothing_and_runs_nothing() {
    let files = folder("closed", &[("A.csv", A), ("USREC.csv", RECESSION)]);
    let page = html(&play(&library(), &files, AsKnown::Now));
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
    assert!(page.contains("name=\"viewport\" content=\"width=device-width"));
    assert!(page.contains("prefers-color-scheme:dark"));
    for absent in [
        "<script",
        "http://",
        "https://",
        "url(",
        " style=\"",
        "onclick",
        "<img",
    ] {
        assert!(!page.contains(absent), "{absent}");
    }
    let _ = fs::remove_dir_all(files);
}

#[test]
fn look_alikes_are_named_wherever_their_pattern_is() {
    let catalogue = r#"[{"id": "A", "title": "Alpha", "origin": {"generated": "walk"}, "units": "x"},
        {"id": "B", "title": "Beta", "origin": {"package": "real"}}, {"id": "C", "title": "Gamma"}]"#;
    let files = folder(
        "alike",
        &[
            ("A.csv", A),
            ("catalogue.json", catalogue),
            ("high.toml", HIGH),
        ],
    );
    let known = Catalogue::of_folder(&files).expect("it is good");
    let of = ["A", "B", "C", "D"].map(|id| (known.title(id), known.is_look_alike(id)));
    let expected = [
        (Some("Alpha"), true),
        (Some("Beta"), false),
        (Some("Gamma"), false),
        (None, false),
    ];
    assert_eq!(of, expected);

    let ran = Command::new(env!("CARGO_BIN_EXE_threshold-engine"))
        .args(["backtest", "--patterns"])
        .arg(&files)
        .arg("--csv")
        .arg(&files)
        .arg("--out")
        .arg(files.join("out"))
        .output()
        .expect("it runs");
    let printed = String::from_utf8(ran.stdout).expect("it is text");
    for line in [
        "2020-02-01 high: High entered on 2020-02-01: 6 against 5 (look-alike data)\n",
        "A: look-alike data; its crossings never happened\n",
    ] {
        assert!(printed.contains(line), "{printed}");
    }
    let page = fs::read_to_string(files.join("out/report.html")).expect("it is there");
    let marks = page.matches("<span class=\"mark\">look-alike data</span>");
    assert_eq!(marks.count(), 2, "in the overview and at the pattern");
    assert!(page.contains("</i>A: Alpha, percent (look-alike data)</span>"));
    let _ = fs::remove_dir_all(files);
}

#[test]
fn a_catalogue_that_cannot_be_read_is_named() {
    let files = folder("broken", &[("catalogue.json", "{}")]);
    let refused = Catalogue::of_folder(&files).expect_err("it is no list");
    assert!(
        refused
            .to_string()
            .contains("catalogue.json: is no list of series with id and title"),
        "{refused}"
    );
    let absent = Catalogue::read(&files.join("nothing.json")).expect_err("there is none");
    assert!(absent.to_string().contains("nothing.json: "), "{absent}");
    let _ = fs::remove_dir_all(files);
}
