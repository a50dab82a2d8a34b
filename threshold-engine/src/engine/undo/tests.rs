use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::engine::samples::{emitted, engine, event};

#[test]
fn what_is_undone_leaves_no_trace() {
    let mut undone_emissions = 0;
    for seed in 0..40 {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut engine, mut twin) = (engine(), engine());
        let mut position = 0;
        for _ in 0..40 {
            engine.keep_undo();
            for ahead in 1..=random.random_range(1..5) {
                let event = event(&mut random, position + ahead);
                undone_emissions += emitted(&mut engine, &event).len();
            }
            assert!(engine.undo());
            assert_eq!(engine.facts(), twin.facts(), "seed {seed} at {position}");
            assert!(!engine.undo(), "there is nothing left to undo");
            position += 1;
            let event = event(&mut random, position);
            engine.keep_undo();
            assert_eq!(emitted(&mut engine, &event), emitted(&mut twin, &event));
        }
    }
    assert!(undone_emissions > 1_000, "{undone_emissions}");
}
