//! Files of definitions: the shipped library, and what is refused with its place.

#![expect(
    clippy::expect_used,
    reason = "helpers of tests, whose input is their own"
)]

use std::fs;
use std::path::Path;

use threshold_engine::check::check;
use threshold_engine::library::Library;
use threshold_engine::pattern::Pattern;
use threshold_engine::regime::Regime;

fn shipped() -> Library {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("patterns");
    let (library, mistakes) = Library::load(&folder);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    library
}

/// What the example configuration of the collector collects feeds every shipped pattern, and nothing else.
#[test]
fn the_collectors_example_collects_what_the_shipped_patterns_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../collector/collector.example.toml");
    let text = fs::read_to_string(path).expect("it is there");
    let example: toml::Table = text.parse().expect("it is TOML");
    let series = example["fred"]["series"].as_array().expect("a list");
    let id = |one: &toml::Value| one.get("id").unwrap_or(one).as_str().map(str::to_owned);
    let collected: std::collections::BTreeSet<_> = series.iter().filter_map(id).collect();
    assert_eq!(collected, shipped().series());
}

#[test]
fn the_shipped_library_passes_its_own_tests() {
    let library = shipped();
    assert!(library.patterns.len() >= 25);
    assert_eq!(library.regimes.len(), 1);
    for pattern in &library.patterns {
        assert!(!pattern.tests.is_empty(), "{} has no tests", pattern.id);
        let theme = pattern.labels.get("theme").unwrap();
        assert!(pattern.file.starts_with(theme), "{}", pattern.id);
        let stem = pattern.file.file_stem().unwrap();
        assert_eq!(stem.to_str(), Some(pattern.id.as_str()));
    }
    for result in check(&library) {
        assert_eq!(
            result.failure, None,
            "{} {}",
            result.definition, result.case
        );
    }
}

/// The page of sources has a row for every input of every pattern, and no other, with its unit and frequency.
#[test]
fn the_sources_of_every_shipped_pattern_are_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/shipped-patterns.md");
    let page = fs::read_to_string(path).expect("it is there");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let mut documented: Vec<Vec<&str>> = rows
        .map(|row| {
            let cells: Vec<_> = row
                .split('|')
                .map(|cell| cell.trim().trim_matches('`'))
                .collect();
            assert!(
                cells.iter().skip(1).take(7).all(|cell| !cell.is_empty()),
                "{row}"
            );
            cells[1..5].to_vec()
        })
        .collect();
    documented.sort();
    let library = shipped();
    let mut expected = Vec::new();
    for pattern in &library.patterns {
        for input in pattern.program().inputs() {
            let frequency = format!("{:?}", input.frequency).to_lowercase();
            let row = [
                pattern.id.clone(),
                input.series.clone(),
                input.unit.clone(),
                frequency,
            ];
            expected.push(row.to_vec());
        }
    }
    expected.sort();
    assert_eq!(documented, expected);
}

#[test]
fn one_series_has_one_frequency_and_unit_throughout() {
    let library = shipped();
    let mut known = std::collections::BTreeMap::new();
    let inputs = library.patterns.iter().flat_map(|p| p.program().inputs());
    for input in inputs.chain(library.regimes[0].program.inputs()) {
        let said = (input.frequency, input.unit.clone());
        let first = known.entry(input.series.clone()).or_insert(said.clone());
        assert_eq!(*first, said, "{}", input.series);
    }
}

const GOOD: &str = r#"id = "good"
name = "Good"
description = "d"
severity = "info"
when = 'A > 1'
[inputs.A]
unit = "index"
frequency = "daily"
[[tests]]
name = "fires"
expect = ["2024-01-02 entered"]
series.A = { from = "2024-01-01", every = "1d", values = "1 2" }
"#;

#[track_caller]
fn refused(from: &str, to: &str, line: usize, reason: &str) {
    assert!(GOOD.contains(from));
    let text = GOOD.replace(from, to);
    let error = Pattern::read(Path::new("bad.toml"), &text).expect_err(to);
    assert!(error.reason.contains(reason), "{error}");
    assert_eq!(error.line, line, "{error}");
    assert!(error.to_string().starts_with(&format!("bad.toml:{line}: ")));
}

#[test]
fn mistakes_are_reported_with_file_line_and_reason() {
    Pattern::read(Path::new("good.toml"), GOOD).unwrap();
    refused("'A > 1'", "'A >'", 5, "");
    refused("'A > 1'", "'B > 1'", 5, "B is not among the inputs");
    refused("'A > 1'", "'A.mean(\"3mo\")'", 5, "not a condition");
    refused("'A > 1'", "'A.maen(3) > 1'", 5, "did you mean mean?");
    refused(
        "'A > 1'",
        "'''\nA > 1\n  && X > 2\n'''",
        7,
        "X is not among",
    );
    refused("severity", "sevrity", 4, "unknown field");
    refused("\"info\"", "\"grave\"", 4, "unknown variant");
    refused("id = \"good\"", "id = \"no good\"", 1, "id");
    refused(
        "description = \"d\"",
        "description = \" \"",
        3,
        "needs a description",
    );
    refused(
        "description = \"d\"\n",
        "",
        1,
        "missing field `description`",
    );
    refused(
        "when = 'A > 1'",
        "when = 'A > 1'\nfor = \"soon\"",
        6,
        "a span such as",
    );
    refused(
        "when = 'A > 1'",
        "when = 'A > 1'\nfor = 0",
        6,
        "leave it out",
    );
    refused("when = 'A > 1'", "when = 'A > 1'\nkeep_for = -1", 6, "");
    refused(
        "when = 'A > 1'",
        "when = 'A > 1'\nn_of_m = [4, 3]",
        6,
        "n <= m",
    );
    refused("when = 'A > 1'", "when = 'A > 1'\ncooldown = 3", 6, "");
    refused(
        "when = 'A > 1'",
        "when = 'A > 1'\nmessage = \"{X}\"",
        6,
        "{X} is not known",
    );
    // What the contract would refuse once the pattern fires.
    let long = format!("when = 'A > 1'\nmessage = \"{}\"", "{name}".repeat(120));
    refused("when = 'A > 1'", &long, 6, "may become longer than 10000");
    refused(
        "when = 'A > 1'",
        "when = 'A > 1'\nmessage = \"a\\u0000b\"",
        6,
        "control character",
    );
    refused(
        "[inputs.A]",
        "[inputs.A]\nseries = \"A\\u0000\"",
        6,
        "on one line",
    );
    refused(
        "when = 'A > 1'",
        "when = 'A > 1'\nmessage = \"{A\"",
        6,
        "without",
    );
    refused(
        "when = 'A > 1'",
        "when = 'A > 1'\nclear_when = 'A'",
        6,
        "not a condition",
    );
    refused(
        "[inputs.A]",
        "[inputs.B]\nunit = \"x\"\nfrequency = \"daily\"\n[inputs.A]",
        6,
        "input B is not used",
    );
    refused("\"daily\"", "\"hourly\"", 8, "unknown variant");
    refused("\"daily\"", "\"irregular\"", 6, "needs max_age");
    refused("unit = \"index\"\n", "", 6, "missing field `unit`");
    refused("2024-01-02 entered", "entered", 11, "is not like");
    refused("\"1 2\"", "\"1 two\"", 12, "is no value");
    refused("\"1 2\"", "\"1*99999\"", 12, "at most");
    refused("\"1d\"", "\"0d\"", 12, "longer");
}

#[test]
fn hostile_expressions_are_refused_at_load() {
    for hostile in [
        format!("{}A > 1", "(".repeat(10_000)),
        format!("{}1 > A", "1 + ".repeat(10_000)),
        format!("{}A > 1", "-".repeat(1_900)),
        format!("A{} > 1", ".mean(2)".repeat(200)),
        format!("A{} > 1", ".mean(10000)".repeat(20)),
        "A.mean(4000000000) > 1".to_owned(),
    ] {
        let text = GOOD.replace("A > 1", &hostile);
        let error = Pattern::read(Path::new("bad.toml"), &text).unwrap_err();
        assert_eq!(error.line, 5, "{error}");
    }
}

#[test]
fn the_version_is_that_of_the_content() {
    let version = |text: &str| Pattern::read(Path::new("x.toml"), text).unwrap().version;
    let good = version(GOOD);
    assert_eq!(good.len(), 16);
    assert_eq!(
        version(&GOOD.replace("A > 1", "A  >\\t1").replace("\\t", "\t")),
        good
    );
    assert_eq!(version(&GOOD.replace("when", "# why\nwhen")), good);
    assert_eq!(version(&GOOD.replace("fires", "still fires")), good);
    assert_ne!(version(&GOOD.replace("A > 1", "A > 1.5")), good);
    assert_ne!(version(&GOOD.replace("info", "warning")), good);
    assert_ne!(version(&GOOD.replace("daily", "weekly")), good);
}

#[test]
fn a_tree_is_read_as_far_as_it_is_in_order() {
    let folder = std::env::temp_dir().join(format!("atlas-library-{}", std::process::id()));
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("a/good.toml", GOOD);
    write("b/twin.toml", GOOD);
    write("b/broken.toml", &GOOD.replace("A > 1", "A >> 1"));
    write(
        "b/other.toml",
        &GOOD
            .replace("good", "other")
            .replace("A > 1", "A.mean(\"2y\") > 1"),
    );
    write("b/readme.txt", "no definition");
    write(".hidden/broken.toml", "broken");
    let regime = "id = \"r\"\nname = \"R\"\ndescription = \"d\"\ninitial = \"x\"\n[[states]]\nid = \"x\"\nenter = 'pattern(\"none\")'\n";
    write("regimes/r.toml", regime);
    let (mut library, mistakes) = Library::load(&folder);
    let emitted: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    let kept = library.check_inputs(|series| series == "A", Some(400));
    let nobody = library.check_inputs(|_| false, None);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(emitted.len(), 3, "{emitted:?}");
    assert!(emitted[0].starts_with("b/broken.toml:5: "), "{emitted:?}");
    assert_eq!(emitted[1], "b/twin.toml:1: id good is taken by a/good.toml");
    assert_eq!(emitted[2], "regimes/r.toml:1: there is no pattern none");
    assert_eq!(kept.len(), 1);
    assert!(
        kept[0]
            .to_string()
            .starts_with("b/other.toml:1: its windows look back")
    );
    assert_eq!(
        nobody[0].to_string(),
        "a/good.toml:6: series A is not collected, and no event of it has been received"
    );
    assert!(library.patterns.is_empty());
}

#[test]
fn mistakes_of_regimes_are_reported_too() {
    let good = "id = \"r\"\nname = \"R\"\ndescription = \"d\"\ninitial = \"x\"\n[[states]]\nid = \"x\"\nenter = 'pattern(\"p\")'\n";
    Regime::read(Path::new("r.toml"), good).unwrap();
    for (from, to, line, reason) in [
        (
            "initial = \"x\"",
            "initial = \"y\"",
            4,
            "there is no state y",
        ),
        (
            "pattern(\"p\")",
            "patern(\"p\")",
            7,
            "did you mean pattern?",
        ),
        ("pattern(\"p\")", "pattern(p)", 7, "in quotes"),
        (
            "pattern(\"p\")",
            "pattern(\"p\").sustained(3)",
            7,
            "no series",
        ),
        ("enter =", "enter_at = \"1\"\nenter =", 6, "need each other"),
        ("enter =", "min_dwell = 3\nenter =", 7, ""),
    ] {
        let error = Regime::read(Path::new("r.toml"), &good.replace(from, to)).expect_err(to);
        assert!(error.reason.contains(reason), "{error}");
        assert_eq!(error.line, line, "{error}");
    }
}

/// Links that lead back or out, pipes and devices neither keep the reader waiting nor are read.
#[cfg(unix)]
#[test]
fn what_is_no_file_of_text_is_reported_and_left_alone() {
    use std::os::unix::fs::symlink;

    let folder = std::env::temp_dir().join(format!("atlas-links-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("patterns/stress/vix-above-30.toml");
    symlink(shipped, folder.join("linked.toml")).expect("links can be made");
    for (name, to) in [
        ("self", "."),
        ("self-again", "."),
        ("root", "/"),
        ("zero.toml", "/dev/zero"),
    ] {
        symlink(to, folder.join(name)).expect("links can be made");
    }
    let pipe = folder.join("pipe.toml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("pipes can be made").success());
    fs::rename(&pipe, folder.join("pipe.csv")).expect("it has a name");
    let wanted = std::collections::BTreeSet::new();
    let refused = threshold_engine::backtest::read_folder(&folder, &wanted);
    let refused = refused.expect_err("a pipe holds no observations");
    fs::rename(folder.join("pipe.csv"), &pipe).expect("it has a name");

    let (library, mistakes) = Library::load(&folder);
    fs::remove_dir_all(&folder).expect("the folder can be removed");
    let cause = std::error::Error::source(&refused).map(ToString::to_string);
    assert!(refused.to_string().ends_with("pipe.csv: cannot be read"));
    assert_eq!(cause.as_deref(), Some("is no file"));
    assert_eq!(library.patterns.len(), 1, "that behind a link to a file");
    let emitted = |reason: &str| {
        mistakes
            .iter()
            .filter(|m| m.reason.contains(reason))
            .count()
    };
    assert_eq!(emitted("link to a folder"), 3, "{mistakes:?}");
    assert_eq!(emitted("pipe, socket or device"), 2, "{mistakes:?}");
}

/// Literals of expressions and values of observations are read in two crates, by one rule.
#[test]
fn a_literal_is_a_decimal_of_the_contract() {
    // Without a point a literal has at most 64 bits.
    let longest = "123456789012345678901234567.8";
    let numbers = [
        "0",
        "0.5",
        "12.50",
        "0.0000000000000000000000000001",
        longest,
    ];
    let (longer, finer) = (format!("{longest}9"), format!("1{longest}"));
    let others = [".5", "5.", "1e5", "1_000", "0x1", &longer, &finer];
    for (texts, are_numbers) in [(&numbers[..], true), (&others[..], false)] {
        for text in texts {
            let definition = format!(
                "id = \"p\"\nname = \"P\"\ndescription = \"P.\"\nseverity = \"info\"\nwhen = 'A > {text}'\n\
                 [inputs.A]\nunit = \"percent\"\nfrequency = \"daily\"\n"
            );
            let pattern = Pattern::read(Path::new("p.toml"), &definition);
            assert_eq!(pattern.is_ok(), are_numbers, "{text}: {pattern:?}");
            let value = atlas_events::parse_decimal(text);
            assert_eq!(value.is_some(), are_numbers, "{text}");
        }
    }
}
