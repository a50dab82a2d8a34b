use std::sync::Arc;

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::PreparedPattern;
use crate::{
    engine::samples::{emitted, engine, event, pattern},
    pattern::Pattern,
};
use evaluation::series::{LoadedSeries, Point};

/// Those that are deployed: new ones, one over a series that nothing has read so far, and other
/// versions of one that is running.
fn definitions() -> [Arc<Pattern>; 4] {
    [
        pattern("fresh", "when = 'A + B > 6'\nfor = 2", &["A", "B"]),
        pattern(
            "unread",
            "when = 'C.mean(3) > A'\nkeep_for = 2",
            &["A", "C"],
        ),
        pattern("level", "when = 'A > 3'", &["A"]),
        pattern("slow", "when = 'C.highest(\"9d\") > 4'", &["C"]),
    ]
}

fn loaded(points: &[Point]) -> LoadedSeries {
    let mut series = LoadedSeries::default();
    for point in points {
        let occurred_at = point.cause.occurred_at;
        series.take(point.date, point.known_from, occurred_at, point.value);
    }
    series
}

#[test]
fn what_was_folded_before_is_as_if_it_had_been_folded_at_the_end() {
    let mut emissions_of_it = 0;
    for seed in 0..120 {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut engine, mut twin) = (engine(), engine());
        // A third of the events are of a series that nothing reads at first.
        let mut unread = Vec::new();
        let mut position = 0;
        let mut next = |random: &mut StdRng| {
            position += 1;
            let mut points = event(random, position);
            if random.random_ratio(1, 3) {
                points
                    .iter_mut()
                    .for_each(|point| point.series = "C".into());
                unread.extend(points.iter().cloned());
            }
            (points, unread.clone())
        };
        for _ in 0..random.random_range(0..60) {
            let (points, _) = next(&mut random);
            assert_eq!(emitted(&mut engine, &points), emitted(&mut twin, &points));
        }
        let pattern = definitions()[random.random_range(0..4)].clone();
        let (_, known) = next(&mut random);
        let series = || pattern.program().inputs().iter().map(|i| i.series.as_str());
        let missing = engine.series_to_load(series());
        let loads = !missing.is_empty();
        assert!(missing.iter().all(|id| *id == "C"));
        let copies = loads.then(|| ("C".into(), loaded(&known)));
        let store = engine.beside(series(), copies.into_iter().collect());
        let prepared = PreparedPattern::new(pattern.clone(), store).unwrap();
        let mut known = known;
        for _ in 0..random.random_range(0..12) {
            let (points, all) = next(&mut random);
            assert_eq!(emitted(&mut engine, &points), emitted(&mut twin, &points));
            known = all;
        }
        if loads {
            engine.load_series(vec![("C".into(), loaded(&known))]);
            twin.load_series(vec![("C".into(), loaded(&known))]);
        }
        engine.replace_by_prepared(prepared);
        twin.replace_pattern(pattern.clone());
        assert_eq!(engine.facts(), twin.facts(), "seed {seed}");
        for _ in 0..40 {
            let (points, _) = next(&mut random);
            let emissions = emitted(&mut engine, &points);
            assert_eq!(emissions, emitted(&mut twin, &points), "seed {seed}");
            let of_it = format!("id: \"{}\"", pattern.id);
            emissions_of_it += emissions.iter().filter(|e| e.contains(&of_it)).count();
        }
    }
    assert!(emissions_of_it > 500, "{emissions_of_it}");
}
