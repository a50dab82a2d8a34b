use std::path::Path;

use chrono::Utc;

use super::*;
use crate::{
    definition::LoadError, library::Library, pattern::Pattern, service::collected::KnownSeries,
    store::Put,
};

const GRACE: Duration = Duration::from_secs(6);

fn text(limit: u32) -> String {
    format!(
        "id = \"high\"\nname = \"High\"\ndescription = \"It is.\"\nseverity = \"info\"\nwhen = 'A > {limit}'\n\
         [inputs.A]\nunit = \"points\"\nfrequency = \"daily\"\n"
    )
}

fn key() -> Key {
    (Kind::Pattern, "high".to_owned())
}

/// Files with the pattern of a limit, or without it.
fn files(limit: Option<u32>) -> Files {
    with_mistakes(limit, Vec::new())
}

fn with_mistakes(limit: Option<u32>, mistakes: Vec<LoadError>) -> Files {
    let pattern = limit.map(|limit| Pattern::read(Path::new("a/high.toml"), &text(limit)).unwrap());
    let library = Library {
        patterns: pattern.into_iter().map(Into::into).collect(),
        regimes: Vec::new(),
    };
    let (series, known) = (library.series(), KnownSeries::default());
    Files::of(Path::new("/patterns.d"), library, mistakes, series, &known)
}

fn mistake(file: &str) -> LoadError {
    LoadError {
        file: file.into(),
        line: 0,
        reason: "cannot be read".to_owned(),
        excerpt: None,
    }
}

fn version(limit: u32) -> String {
    let pattern = Pattern::read(Path::new("high.toml"), &text(limit));
    pattern.unwrap().version
}

/// A database in which the version of a limit is running, or which was informed that it no longer is.
fn known(limit: Option<u32>, is_suspended: bool) -> Known {
    Known {
        last: vec![Last {
            kind: Kind::Pattern,
            id: "high".to_owned(),
            put: limit.map(|limit| Put {
                version: version(limit),
                file: "a/high.toml".to_owned(),
                content: text(limit),
            }),
            is_suspended,
        }],
        switches: HashMap::new(),
        suspensions: Vec::new(),
    }
}

fn never() -> Known {
    Known {
        last: Vec::new(),
        ..known(None, false)
    }
}

/// What is deployed, what ends how, what another engine decides about, and whether to look again.
type Outcome = (Vec<String>, Vec<DefinitionChange>, usize, bool);

struct Bench {
    own: Own,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self {
            own: Own::default(),
            now: Instant::now(),
        }
    }

    fn look(&mut self, files: &Files, known: &Known) -> Outcome {
        let plan = self.own.plan(files, known, self.now, GRACE);
        let off: Vec<Key> = plan.off.iter().map(|key| (*key).clone()).collect();
        let put = plan
            .put
            .iter()
            .map(|(_, wanted)| wanted.put.version.clone());
        let outcome = (
            put.collect(),
            plan.ended.iter().map(|ended| ended.change).collect(),
            plan.conflicts.len(),
            plan.is_waiting,
        );
        self.own.done(files, &off);
        for ended in &plan.ended {
            if ended.change == DefinitionChange::Removed {
                self.own.forget(&ended.key);
            }
        }
        self.now += Duration::from_secs(2);
        outcome
    }
}

fn nothing() -> Outcome {
    (Vec::new(), Vec::new(), 0, false)
}

fn waiting() -> Outcome {
    (Vec::new(), Vec::new(), 0, true)
}

fn puts(limit: u32) -> Outcome {
    (vec![version(limit)], Vec::new(), 0, false)
}

fn ends(change: DefinitionChange) -> Outcome {
    (Vec::new(), vec![change], 0, false)
}

fn conflicts() -> Outcome {
    (Vec::new(), Vec::new(), 1, false)
}

#[test]
fn what_is_gone_for_a_moment_is_not_taken_away() {
    let mut bench = Bench::new();
    let running = known(Some(1), false);
    assert_eq!(bench.look(&files(Some(1)), &running), nothing());
    assert_eq!(bench.look(&files(None), &running), waiting());
    assert_eq!(bench.look(&files(None), &running), waiting());
    assert_eq!(bench.look(&files(Some(1)), &running), nothing());
    for _ in 0..3 {
        assert_eq!(bench.look(&files(None), &running), waiting());
    }
    let removed = ends(DefinitionChange::Removed);
    assert_eq!(bench.look(&files(None), &running), removed);
    assert_eq!(bench.look(&files(None), &known(None, false)), nothing());
    // It comes back.
    let back = bench.look(&files(Some(1)), &known(None, false));
    assert_eq!(back, puts(1));
}

#[test]
fn what_is_gone_at_the_start_is_taken_away_a_little_later() {
    let mut bench = Bench::new();
    let running = known(Some(1), false);
    for _ in 0..3 {
        assert_eq!(bench.look(&files(None), &running), waiting());
    }
    let removed = ends(DefinitionChange::Removed);
    assert_eq!(bench.look(&files(None), &running), removed);
}

#[test]
fn a_mistake_hides_what_lies_where_it_is() {
    let running = known(Some(1), false);
    for (file, hides) in [
        ("a/high.toml", true),
        ("/patterns.d", true),
        ("/patterns.d/a", true),
        ("/patterns.d/b", false),
        ("a/higher.toml", false),
    ] {
        let files = with_mistakes(None, vec![mistake(file)]);
        let mut bench = Bench::new();
        let expected = if hides { nothing() } else { waiting() };
        assert_eq!(bench.look(&files, &running), expected, "{file}");
    }
}

#[test]
fn engines_with_different_files_do_not_undo_each_other() {
    let (mut one, mut two) = (Bench::new(), Bench::new());
    assert_eq!(one.look(&files(Some(1)), &never()), puts(1));
    // At a start the own files count.
    let running = known(Some(1), false);
    assert_eq!(two.look(&files(Some(2)), &running), puts(2));
    let running = known(Some(2), false);
    for _ in 0..5 {
        assert_eq!(one.look(&files(Some(1)), &running), conflicts());
        assert_eq!(two.look(&files(Some(2)), &running), nothing());
    }
    // Whose files change counts again.
    assert_eq!(one.look(&files(Some(3)), &running), puts(3));
    let running = known(Some(3), false);
    assert_eq!(two.look(&files(Some(2)), &running), conflicts());
    // So it is with what only one of them has.
    let mut three = Bench::new();
    three.look(&files(None), &known(None, false));
    for _ in 0..5 {
        assert_eq!(three.look(&files(None), &running), conflicts());
    }
    assert_eq!(one.look(&files(Some(3)), &known(None, false)), conflicts());
}

#[test]
fn a_version_that_failed_is_not_put_to_work_before_it_is_enabled_or_another() {
    let mut bench = Bench::new();
    bench.look(&files(Some(1)), &known(Some(1), false));
    let mut failed = known(None, true);
    failed.suspensions.push(Suspension {
        kind: Kind::Pattern,
        id: "high".to_owned(),
        version: version(1),
        reason: "it fails".to_owned(),
        at: None,
        suspended_at: Utc::now(),
    });
    assert_eq!(bench.look(&files(Some(1)), &failed), nothing());
    assert_eq!(bench.look(&files(Some(2)), &failed), puts(2));
    // Whoever enables it takes the suspension away.
    let mut bench = Bench::new();
    bench.look(&files(Some(1)), &failed);
    assert_eq!(bench.look(&files(Some(1)), &known(None, true)), puts(1));
}

#[test]
fn switches_are_stronger_than_files() {
    let mut bench = Bench::new();
    let switched = |enabled, mut known: Known| {
        let switch = Switch {
            enabled,
            reason: "why".to_owned(),
            switched_at: Utc::now(),
        };
        known.switches.insert("high".to_owned(), switch);
        known
    };
    let off = switched(false, known(Some(1), false));
    let plan = bench
        .own
        .plan(&files(Some(1)), &off, bench.now, GRACE)
        .ended;
    let suspended = Ended {
        key: key(),
        change: DefinitionChange::Suspended,
        reason: "why".to_owned(),
    };
    assert_eq!(plan, [suspended]);
    bench.look(&files(Some(1)), &off);
    let off = switched(false, known(None, true));
    assert_eq!(bench.look(&files(Some(1)), &off), nothing());
    let on = switched(true, known(None, true));
    assert_eq!(bench.look(&files(Some(1)), &on), puts(1));
    // Also of a version that was never running, or was taken away before actions were recorded.
    for known in [never(), known(None, false)] {
        let mut bench = Bench::new();
        let off = switched(false, known);
        assert_eq!(bench.look(&files(Some(1)), &off), nothing());
        let on = switched(true, off);
        assert_eq!(bench.look(&files(Some(1)), &on), puts(1));
    }
}

#[test]
fn what_was_suspended_and_is_gone_is_removed() {
    let mut bench = Bench::new();
    let suspended = known(None, true);
    for _ in 0..3 {
        assert_eq!(bench.look(&files(None), &suspended), waiting());
    }
    let removed = ends(DefinitionChange::Removed);
    assert_eq!(bench.look(&files(None), &suspended), removed);
}
