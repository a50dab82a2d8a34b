//! A backtest of a stored log gives what the engine that consumed it emitted.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::{Command, Output};

use atlas_events::{CrossingDirection, Event, event::Payload};
use chrono::NaiveDate;
use consumer::Source;
use sqlx::Connection;
use threshold_engine::{
    backtest::{self, AsKnown, BacktestResult, Options, StoredPoints, read_folder, read_log, run},
    library::Library,
};

use crate::{
    bed::{Bed, COLLECTED, Form, SOURCE},
    process::life::Life,
    scenario::{Folder, Script},
};

const ENGINE: &str = "threshold_engine";

/// For each pattern and model, what was emitted about it, in order.
type Emissions = BTreeMap<String, Vec<String>>;

fn emitted_by_engine(events: &[Event]) -> Emissions {
    let mut emissions = Emissions::new();
    for event in events {
        let (id, line) = match event.payload.as_ref().unwrap() {
            Payload::ThresholdCrossed(crossed) => {
                let direction = match crossed.direction() {
                    CrossingDirection::Entered => "entered",
                    CrossingDirection::Cleared => "cleared",
                    CrossingDirection::Revised => "revised",
                    _ => "?",
                };
                let (date, value) = (&crossed.observation_date, &crossed.value);
                let (stands, message) = (!crossed.withdrawn, &crossed.message);
                let line = format!("{date} {direction} {stands} {value:?} {message}");
                (crossed.pattern_id.clone(), line)
            }
            Payload::RegimeTransition(transition) => {
                let (since, from, to) = (
                    &transition.since,
                    &transition.from_regime,
                    &transition.to_regime,
                );
                let stands = !transition.withdrawn;
                let line = format!("{since} {from} {to} {stands} {}", transition.revised);
                (transition.model_id.clone(), line)
            }
            other => panic!("{other:?}"),
        };
        emissions.entry(id).or_default().push(line);
    }
    emissions
}

fn emitted_by_backtest(result: &BacktestResult) -> Emissions {
    let mut emissions = Emissions::new();
    for crossing in result.patterns.iter().flat_map(|p| &p.crossings) {
        let (date, direction) = (crossing.date, crossing.direction.name());
        let (stands, message) = (crossing.stands, &crossing.message);
        let value = crossing.value.map(|value| value.normalize().to_string());
        let line = format!("{date} {direction} {stands} {value:?} {message}");
        emissions
            .entry(crossing.pattern.clone())
            .or_default()
            .push(line);
    }
    for transition in result.regimes.iter().flat_map(|r| &r.transitions) {
        let (since, from, to) = (transition.since, &transition.from, &transition.to);
        let (stands, revised) = (transition.stands, transition.revised);
        let line = format!("{since} {from} {to} {stands} {revised}");
        emissions
            .entry(transition.model.clone())
            .or_default()
            .push(line);
    }
    emissions
}

fn options(as_known: AsKnown) -> Options {
    Options {
        from: NaiveDate::MIN,
        to: NaiveDate::MAX,
        as_known,
    }
}

fn play(library: &Library, stored: &StoredPoints, as_known: AsKnown) -> BacktestResult {
    run(library, stored.points.clone(), options(as_known), |_, _| {})
}

fn library(bed: &Bed) -> Library {
    let (library, mistakes) = Library::load(bed.folder.path());
    assert!(mistakes.is_empty(), "{mistakes:?}");
    library
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backtest_of_the_log_emits_what_the_engine_emitted() {
    let bed = Bed::create(Folder::with_definitions()).await;
    let mut script = Script::new(11);
    bed.log.append(script.drafts(400)).await.unwrap();
    bed.log.append(vec![script.unreadable()]).await.unwrap();
    bed.log.append(script.drafts(800)).await.unwrap();
    let life = Life::start(bed.config(ENGINE), bed.source(Form::Grpc)).await;
    let pool = bed.pool(ENGINE).await;
    bed.caught_up(&pool).await;
    let emissions = emitted_by_engine(&bed.emissions(ENGINE).await);
    assert!(emissions.values().flatten().count() > 300, "{emissions:?}");
    life.stop().await;

    let library = library(&bed);
    for form in [Form::Grpc, Form::InProcess] {
        let mut shown = Vec::new();
        let stored = read_log(bed.source(form), &library.series(), |position, last| {
            shown.push((position, last));
        })
        .await
        .unwrap();
        assert_eq!(stored.last_position, 1_201);
        assert_eq!(
            shown.last(),
            Some(&(1_201, 1_201)),
            "the bar comes to its end"
        );
        let left_out: Vec<_> = stored.unreadable.iter().map(|u| u.position).collect();
        assert_eq!(left_out, [401], "{form:?}");
        // The script's vintages became known in the order in which they were stored.
        for as_known in [AsKnown::Stored, AsKnown::Then] {
            let result = play(&library, &stored, as_known);
            assert_eq!(
                emitted_by_backtest(&result),
                emissions,
                "{form:?} {as_known:?}"
            );
        }
        let now = play(&library, &stored, AsKnown::Now);
        let withdrawn = now
            .patterns
            .iter()
            .flat_map(|p| &p.crossings)
            .find(|c| !c.stands);
        assert!(
            withdrawn.is_none(),
            "what is known now takes nothing back: {withdrawn:?}"
        );
        assert_ne!(
            emitted_by_backtest(&now),
            emissions,
            "revisions change what comes out"
        );
    }
}

/// The newest value of each date, one file for each series.
fn write_csv(stored: &StoredPoints, folder: &Folder) {
    let mut newest = BTreeMap::new();
    for point in &stored.points {
        newest.insert((point.series.to_string(), point.date), point.value);
    }
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for ((series, date), value) in newest {
        let text = value.map_or_else(|| ".".to_owned(), |value| value.to_string());
        let file = files.entry(series).or_insert_with(|| "date,value\n".into());
        writeln!(file, "{date},{text}").unwrap();
    }
    for (series, text) in files {
        folder.write(&format!("{series}.csv"), &text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backtest_of_the_log_as_known_now_is_that_of_its_newest_values_in_files() {
    let bed = Bed::create(Folder::with_definitions()).await;
    bed.log.append(Script::new(12).drafts(600)).await.unwrap();
    let library = library(&bed);
    let source = bed.source(Form::InProcess);
    let stored = read_log(source, &library.series(), |_, _| {})
        .await
        .unwrap();
    let files = Folder::empty();
    write_csv(&stored, &files);
    let points = read_folder(files.path(), &library.series()).unwrap();
    let of_files = run(&library, points, options(AsKnown::Now), |_, _| {});
    let of_log = play(&library, &stored, AsKnown::Now);
    let emissions = emitted_by_backtest(&of_log);
    assert!(emissions.values().flatten().count() > 100, "{emissions:?}");
    assert_eq!(emissions, emitted_by_backtest(&of_files));
    for (log, files) in of_log.patterns.iter().zip(&of_files.patterns) {
        assert_eq!(log.spells, files.spells, "{}", log.id);
    }
}

/// The program on the log of `bed`, through the shell's door.
async fn backtest(bed: &Bed, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_threshold-engine"));
    command
        .args(["backtest", "--as-known", "stored", "--patterns"])
        .arg(bed.folder.path())
        .args(arguments)
        .env("DATABASE_URL", bed.database.url());
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_plays_a_log_that_is_served_and_one_that_is_not() {
    let bed = Bed::create(Folder::with_definitions()).await;
    bed.log.append(Script::new(13).drafts(300)).await.unwrap();
    let out = Folder::empty();
    let folder = out.path().to_str().unwrap();
    let served = backtest(&bed, &["--source", &bed.url]).await;
    assert!(served.status.success(), "{}", text(&served.stderr));
    let printed = text(&served.stdout);
    assert!(
        printed.contains(" alpha-high: Alpha is high entered"),
        "{printed}"
    );
    assert!(
        printed.contains("4 patterns") || printed.contains("3 patterns"),
        "{printed}"
    );

    let read = backtest(&bed, &["--schema", COLLECTED, "--out", folder]).await;
    let output = text(&read.stdout);
    let (again, report) = output
        .split_once("report: ")
        .unwrap_or_else(|| panic!("{output}"));
    assert_eq!(again, printed);
    assert!(
        std::fs::read_to_string(report.trim())
            .unwrap()
            .contains("as stored")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_makes_no_log_and_waits_for_none() {
    let bed = Bed::create(Folder::with_definitions()).await;
    for (arguments, reason) in [
        (
            &["--schema", "nothing_here"][..],
            "schema nothing_here holds no log",
        ),
        (
            &["--source", "http://127.0.0.1:1"],
            "\"collector\" cannot be reached",
        ),
        (&["--source", "nowhere"], "\"nowhere\" is no address"),
        (&[], "required"),
        (
            &["--source", &bed.url, "--schema", COLLECTED],
            "cannot be used with",
        ),
    ] {
        let refused = backtest(&bed, arguments).await;
        let message = text(&refused.stderr);
        assert!(!refused.status.success(), "{arguments:?}");
        assert!(message.contains(reason), "{arguments:?}: {message}");
    }
    let mut connection = bed.database.connection().await;
    let made: bool = sqlx::query_scalar(
        "select exists (select from pg_namespace where nspname = 'nothing_here')",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert!(!made, "a backtest makes no schema");
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_log_and_a_log_without_what_is_wanted_come_to_an_end() {
    let bed = Bed::create(Folder::with_definitions()).await;
    let wanted = ["NOBODY".to_owned()].into();
    for count in [0, 50] {
        bed.log.append(Script::new(14).drafts(count)).await.unwrap();
        for form in [Form::Grpc, Form::InProcess] {
            let source: Source = bed.source(form);
            assert_eq!(source.name(), SOURCE);
            let stored = backtest::read_log(source, &wanted, |_, _| {})
                .await
                .unwrap();
            assert_eq!(stored.points.len(), 0);
            assert_eq!(stored.last_position, count as u64, "{form:?}");
        }
    }
}
