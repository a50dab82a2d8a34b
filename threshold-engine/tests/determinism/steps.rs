//! What one event is emitted as, where series come late, ahead of time, or are revised.

use std::path::Path;
use std::sync::Arc;

use chrono::{NaiveDate, NaiveTime};
use evaluation::series::{Cause, Point};
use threshold_engine::backtest::{AsKnown, Options, run};
use threshold_engine::library::Library;
use threshold_engine::pattern::Pattern;
use threshold_engine::regime::Regime;
use threshold_engine::{Emission, Engine};
use ulid::Ulid;

use crate::definitions::pattern;

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// One event of a series that became known at a date.
fn event(position: u64, series: &str, known: &str, values: &[(&str, &str)]) -> Vec<Point> {
    let known_from = date(known).and_time(NaiveTime::MIN).and_utc();
    let numbered = (0..).zip(values);
    let points = numbered.map(|(index, (day, value))| Point {
        cause: Cause {
            source: "log".into(),
            position,
            index,
            event_id: Ulid::from_parts(position, 7),
            occurred_at: known_from,
        },
        series: series.into(),
        date: date(day),
        known_from,
        value: (*value != ".").then(|| value.parse().unwrap()),
    });
    points.collect()
}

/// "date direction turn", with "fell" where it did; regimes as "date from to", with "revised".
fn apply(engine: &mut Engine, step: &[Point]) -> Vec<String> {
    let mut out = Vec::new();
    engine.apply(step, &mut out);
    let line = |emission: &Emission| match emission {
        Emission::Crossing(c) => {
            let fell = if c.stands { "" } else { " fell" };
            format!("{} {} {}{fell}", c.date, c.direction.name(), c.turn.name())
        }
        Emission::Transition(t) => {
            let revised = if t.revised { " revised" } else { "" };
            format!("{} {} {}{revised}", t.since, t.from, t.to)
        }
    };
    out.iter().map(line).collect()
}

fn read(text: &str) -> Arc<Pattern> {
    let head = "id = \"p\"\nname = \"p\"\ndescription = \"d\"\nseverity = \"info\"\n";
    let text = format!("{head}{text}");
    Arc::new(Pattern::read(Path::new("p.toml"), &text).unwrap())
}

fn claims_and_yields() -> Arc<Pattern> {
    read(
        "when = 'CLAIMS > 300 && YIELD > 1'\n[inputs]\n\
         CLAIMS = { frequency = \"weekly\", unit = \"thousands\" }\n\
         YIELD = { frequency = \"daily\", unit = \"percent\" }\n",
    )
}

#[test]
fn a_weekly_release_that_comes_late_is_news_beside_a_daily_series() {
    let mut engine = Engine::new([claims_and_yields()], []);
    apply(
        &mut engine,
        &event(1, "CLAIMS", "2024-01-04", &[("2023-12-30", "200")]),
    );
    for (position, day) in (2..).zip(["2024-01-05", "2024-01-08", "2024-01-09", "2024-01-10"]) {
        assert!(apply(&mut engine, &event(position, "YIELD", day, &[(day, "4")])).is_empty());
    }
    // The week to the 6th, on the 11th: the days since were decided with the week before.
    let release = event(6, "CLAIMS", "2024-01-11", &[("2024-01-06", "310")]);
    assert_eq!(apply(&mut engine, &release), ["2024-01-06 entered entered"]);
    // Together with a revision of the week before, which was over the threshold, too.
    let release = [("2023-12-30", "305"), ("2024-01-13", "290")];
    let emitted = apply(&mut engine, &event(7, "CLAIMS", "2024-01-18", &release));
    let expected = [
        "2024-01-05 revised entered",
        "2024-01-06 revised entered fell",
        "2024-01-13 cleared cleared",
    ];
    assert_eq!(emitted, expected);
}

#[test]
fn a_date_in_the_distant_future_decides_nothing_and_its_withdrawal_costs_nothing() {
    let mut engine = Engine::new([pattern("p", "when = 'A > 2'", &["A"])], []);
    let typo = [("2099-01-02", "9"), ("2024-01-02", "1")];
    assert!(apply(&mut engine, &event(1, "A", "2024-01-03", &typo)).is_empty());
    let status = engine.pattern_status("p", date("2100-01-01")).unwrap();
    assert_eq!(status.evaluated_to, Some(date("2024-01-02")));
    let next = event(2, "A", "2024-01-04", &[("2024-01-03", "3")]);
    assert_eq!(apply(&mut engine, &next), ["2024-01-03 entered entered"]);
    let withdrawn = event(3, "A", "2024-01-05", &[("2099-01-02", ".")]);
    assert!(apply(&mut engine, &withdrawn).is_empty());
    let next = event(4, "A", "2024-01-06", &[("2024-01-05", "1")]);
    assert_eq!(apply(&mut engine, &next), ["2024-01-05 cleared cleared"]);
    // A source that says a time as wrong is not believed more than the log's own.
    let mut wrong = event(5, "A", "2024-01-07", &[("2099-01-02", "9")]);
    wrong[0].known_from = date("9998-01-01").and_time(NaiveTime::MIN).and_utc();
    assert!(apply(&mut engine, &wrong).is_empty());
}

#[test]
fn a_projection_takes_part_when_its_date_has_come() {
    let gap = || {
        read(
            "when = 'GDP > POTENTIAL'\n[inputs]\n\
             GDP = { frequency = \"quarterly\", unit = \"dollars\" }\n\
             POTENTIAL = { frequency = \"quarterly\", unit = \"dollars\" }\n",
        )
    };
    let mut engine = Engine::new([gap()], []);
    let years: Vec<String> = (2023..2034)
        .flat_map(|year| [1, 4, 7, 10].map(|month| format!("{year}-{month:02}-01")))
        .collect();
    let ahead: Vec<_> = years.iter().map(|day| (day.as_str(), "100")).collect();
    let all = event(1, "POTENTIAL", "2024-02-01", &ahead);
    apply(&mut engine, &all);
    let releases = [
        (
            "2024-04-25",
            "2024-01-01",
            "101",
            vec!["2024-01-01 entered entered"],
        ),
        (
            "2024-07-25",
            "2024-04-01",
            "99",
            vec!["2024-04-01 cleared cleared"],
        ),
        ("2024-10-30", "2024-07-01", "99", vec![]),
        (
            "2025-01-30",
            "2024-10-01",
            "102",
            vec!["2024-10-01 entered entered"],
        ),
    ];
    let mut points = all.clone();
    for (position, (known, quarter, value, expected)) in (2..).zip(releases) {
        let release = event(position, "GDP", known, &[(quarter, value)]);
        points.extend(release.clone());
        assert_eq!(apply(&mut engine, &release), expected, "{known}");
        let status = engine.pattern_status("p", date("2033-01-01")).unwrap();
        assert!(status.evaluated_to <= Some(date(known)), "{status:?}");
    }
    // One that is deployed now sees the same dates and no more.
    let mut late = Engine::new([], []);
    late.load(&points);
    late.replace_pattern(gap());
    assert_eq!(late.patterns()[0].steps(), engine.patterns()[0].steps());
}

#[test]
fn a_revised_year_emits_nothing_that_it_takes_back() {
    let pattern = || {
        read(
            "when = 'GDP.yoy() > 3'\n[inputs]\nGDP = { frequency = \"quarterly\", unit = \"dollars\" }\n",
        )
    };
    let quarters = [
        "2020-01-01",
        "2020-04-01",
        "2020-07-01",
        "2020-10-01",
        "2021-01-01",
        "2021-04-01",
    ];
    let first: Vec<_> = quarters[..5].iter().map(|q| (*q, "100")).collect();
    // A new base: every level is 10 percent higher, and there is a new quarter.
    let rebased: Vec<_> = quarters.iter().map(|q| (*q, "110")).collect();
    let mut engine = Engine::new([pattern()], []);
    assert!(apply(&mut engine, &event(1, "GDP", "2021-04-29", &first)).is_empty());
    let step = event(2, "GDP", "2021-07-29", &rebased);
    assert!(apply(&mut engine, &step).is_empty());
    // Point by point it would have: the years after are compared with the base of before.
    let mut one_by_one = Engine::new([pattern()], []);
    apply(&mut one_by_one, &event(1, "GDP", "2021-04-29", &first));
    let backwards = step.iter().rev();
    let emitted: Vec<_> = backwards
        .flat_map(|point| apply(&mut one_by_one, std::slice::from_ref(point)))
        .collect();
    assert!(!emitted.is_empty());
}

#[test]
fn a_regime_is_news_whether_or_not_its_other_conditions_have_data() {
    let model = r#"
id = "model"
name = "Model"
description = "d"
initial = "calm"
[inputs]
NEVER = { frequency = "daily", unit = "index" }
[[states]]
id = "storm"
enter = 'pattern("p")'
[[states]]
id = "wind"
enter = 'NEVER > 1'
[[states]]
id = "calm"
"#;
    let model = Regime::read(Path::new("model.toml"), model).unwrap();
    let pattern = pattern("p", "when = 'A > 2'", &["A"]);
    let mut engine = Engine::new([pattern], [Arc::new(model)]);
    apply(
        &mut engine,
        &event(1, "A", "2024-01-02", &[("2024-01-01", "1")]),
    );
    let emitted = apply(
        &mut engine,
        &event(2, "A", "2024-01-03", &[("2024-01-02", "3")]),
    );
    assert_eq!(
        emitted,
        ["2024-01-02 entered entered", "2024-01-02 calm storm"]
    );
    apply(
        &mut engine,
        &event(3, "A", "2024-01-04", &[("2024-01-03", "3")]),
    );
    let emitted = apply(
        &mut engine,
        &event(4, "A", "2024-01-05", &[("2024-01-01", "3")]),
    );
    let expected = [
        "2024-01-01 revised entered",
        "2024-01-02 revised entered fell",
        "2024-01-01 calm storm revised",
        "2024-01-02 calm storm revised",
    ];
    assert_eq!(emitted, expected);
}

/// The interest on reserves of the 29th came before the rate of the 29th: their difference to the 28th
/// was never there.
#[test]
fn a_backtest_never_mixes_two_days() {
    let patterns = vec![read(
        "when = 'SOFR - IORB > 0.10'\n[inputs]\n\
         SOFR = { frequency = \"daily\", unit = \"percent\" }\n\
         IORB = { frequency = \"daily\", unit = \"percent\" }\n",
    )];
    let library = Library {
        patterns,
        regimes: Vec::new(),
    };
    let days = [
        ("2024-05-28", "5.45", "5.40"),
        ("2024-05-29", "5.41", "5.29"),
        ("2024-05-30", "5.36", "5.29"),
    ];
    let points = (1..).zip(days).flat_map(|(position, (day, sofr, iorb))| {
        let sofr = event(2 * position, "SOFR", day, &[(day, sofr)]);
        let iorb = event(2 * position + 1, "IORB", day, &[(day, iorb)]);
        [sofr, iorb].concat()
    });
    let points: Vec<_> = points.collect();
    for as_known in [AsKnown::Then, AsKnown::Now] {
        let options = Options {
            from: date("2024-01-01"),
            to: date("2024-12-31"),
            as_known,
        };
        let result = run(&library, points.clone(), options, |_, _| {});
        let emitted: Vec<_> = result.patterns[0]
            .crossings
            .iter()
            .map(|c| format!("{} {} {}", c.date, c.direction.name(), c.value.unwrap()))
            .collect();
        let expected = ["2024-05-29 entered 0.12", "2024-05-30 cleared 0.07"];
        assert_eq!(emitted, expected, "{as_known:?}");
    }
}
