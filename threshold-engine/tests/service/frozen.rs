//! Of two engines one is frozen, as a machine without memory, a stopped container or a partition does
//! it: it closes nothing, and holds what it holds.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use test_support::until_waiting;
use tokio::time::timeout;

use crate::{
    bed::{Bed, DEADLINE},
    disturbances::{DISTURBED, check_same},
    life::Mortal,
    scenario::{Folder, Script},
};

/// Within this time the other one has taken over, and done what there was to do.
const BOUND: Duration = Duration::from_secs(10);
const ROUNDS: usize = 3;

/// Appends until one engine waits for the other: whichever is frozen then either holds the turn, or
/// gets it without knowing.
async fn until_both_work(bed: &Bed, script: &mut Script, connection: &mut PgConnection) {
    let appending = async {
        loop {
            bed.log.append(script.drafts(5)).await.unwrap();
        }
    };
    tokio::select! {
        () = appending => {}
        () = until_waiting(DEADLINE, connection, 1) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_to_stand_by_takes_over_from_a_frozen_engine_within_ten_seconds() {
    let bed = Bed::create(Folder::with_definitions()).await;
    let mut script = Script::new(61);
    let mut connection = bed.database.connection().await;
    let pool = bed.pool(DISTURBED).await;
    let engines = [(); 2].map(|()| Mortal::process(&bed, DISTURBED));
    for round in 0..ROUNDS {
        until_both_work(&bed, &mut script, &mut connection).await;
        let frozen = &engines[round % 2];
        frozen.signal("STOP");
        let began = Instant::now();
        bed.log.append(script.drafts(40)).await.unwrap();
        let taken_over = timeout(BOUND, bed.caught_up(&pool)).await;
        // Also where it fails, as it is to end below.
        frozen.signal("CONT");
        assert!(taken_over.is_ok(), "round {round}: not within {BOUND:?}");
        eprintln!("round {round}: taken over after {:?}", began.elapsed());
    }
    bed.log.append(script.drafts(100)).await.unwrap();
    bed.caught_up(&pool).await;
    for engine in engines {
        tokio::task::spawn_blocking(move || engine.kill())
            .await
            .unwrap();
    }
    check_same(&bed).await;
}
