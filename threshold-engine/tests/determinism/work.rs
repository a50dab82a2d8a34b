use std::path::Path;
use std::sync::Arc;

use evaluation::series::Point;
use evaluation::{Work, WorkSpent};
use rust_decimal::Decimal;
use threshold_engine::Engine;
use threshold_engine::regime::Regime;

use crate::definitions::*;

/// A value a day, in the order of the days or against it.
fn points(count: u64, backwards: bool) -> Vec<Point> {
    (0..count)
        .map(|number| {
            let date = if backwards { count - number } else { number };
            let value = Decimal::from(number % 7);
            point(number + 1, "A", date, &value.to_string())
        })
        .collect()
}

fn rebuild(condition: &str, points: &[Point], steps_max: u64) -> Result<Engine, WorkSpent> {
    let mut engine = single(&format!("when = '{condition}'"), &["A"]);
    engine.rebuild_within(points, &Work::bounded(steps_max, 100_000))?;
    Ok(engine)
}

#[test]
fn what_is_within_its_bound_is_as_without_one() {
    let points = points(500, false);
    let condition = "A.mean(30) > 3 && A.zscore(60) < 1";
    let bounded = rebuild(condition, &points, 10_000_000).unwrap();
    let mut unbounded = single(&format!("when = '{condition}'"), &["A"]);
    unbounded.rebuild(&points);
    let steps = |engine: &Engine| engine.patterns()[0].steps().to_vec();
    assert!(!steps(&bounded).is_empty());
    assert_eq!(steps(&bounded), steps(&unbounded));
}

#[test]
fn costly_windows_long_histories_and_backward_points_end_at_their_bound() {
    let forwards = points(3_000, false);
    // Each of the days is looked at for each of the days.
    rebuild("A.zscore(4000) > 1", &forwards, 1_000_000).unwrap_err();
    rebuild("A.percentile(4000) > 1", &forwards, 1_000_000).unwrap_err();
    rebuild("A.mean(4000) > 1", &forwards, 1_000_000).unwrap();
    let backwards = points(3_000, true);
    rebuild("A.mean(4000) > 1", &backwards, 1_000_000).unwrap_err();
    let terms = vec!["A"; 190].join(" + ");
    rebuild(&format!("{terms} > 1"), &forwards, 100_000).unwrap_err();
}

#[test]
fn what_is_kept_is_bounded_and_what_is_cancelled_ends() {
    let points = points(300, false);
    let mut engine = single("when = 'A.mean(30) + A.mean(31) > 1'", &["A"]);
    let work = Work::bounded(u64::MAX, 400);
    assert_eq!(engine.rebuild_within(&points, &work), Err(WorkSpent));

    let mut engine = single("when = 'A > 1'", &["A"]);
    let work = Work::bounded(u64::MAX, u64::MAX);
    work.cancel();
    assert_eq!(engine.rebuild_within(&points, &work), Err(WorkSpent));
    assert!(engine.patterns()[0].steps().len() < 2);
}

/// A value that comes before all others has a model fold every later date again, with each of its conditions.
#[test]
fn a_model_ends_at_its_bound_where_its_pattern_does_not() {
    let signals = "[[states.signals]]\nwhen = 'pattern(\"p\")'\nweight = \"1\"\n".repeat(20);
    let text = format!(
        "id = \"m\"\nname = \"m\"\ndescription = \"d\"\ninitial = \"calm\"\n[[states]]\nid = \"storm\"\n\
         enter_at = \"99\"\n{signals}[[states]]\nid = \"calm\"\n"
    );
    let model = Arc::new(Regime::read(Path::new("m.toml"), &text).unwrap());
    let backwards = points(1_000, true);
    let rebuild = |models: Vec<Arc<Regime>>| {
        let pattern = pattern("p", "when = 'A > 9'", &["A"]);
        let mut engine = Engine::new([pattern], models);
        engine.rebuild_within(&backwards, &Work::bounded(5_000_000, 100_000))
    };
    assert_eq!(rebuild(Vec::new()), Ok(()));
    assert_eq!(rebuild(vec![model]), Err(WorkSpent));
}
