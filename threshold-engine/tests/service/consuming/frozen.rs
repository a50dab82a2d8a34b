//! Of two engines one is frozen, as a machine without memory, a stopped container or a partition does
//! it: it closes nothing, and holds what it holds.

use std::time::{Duration, Instant};

use sqlx::{PgConnection, PgPool};
use test_support::eventually;
use tokio::time::timeout;

use crate::{
    bed::{Bed, DEADLINE, position},
    consuming::disturbances::{DISTURBED, check_same},
    process::life::Mortal,
    scenario::{Folder, Script},
};

/// Within this time the other one has taken over, and done what there was to do.
const BOUND: Duration = Duration::from_secs(10);
const ROUNDS: usize = 3;

/// A process that ends with the test, also if that fails.
struct Ended(Option<Mortal>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(engine) = self.0.take() {
            engine.kill();
        }
    }
}

/// Whether an engine waits until another one has ended its turn.
async fn waits_for_turn(connection: &mut PgConnection) -> bool {
    let waiting = sqlx::query_scalar(
        "select exists (
             select from pg_stat_activity
             where wait_event_type = 'Lock' and datname = current_database()
                 and query like '%insert into handler_turn%' and query not like '%pg_stat_activity%'
         )",
    );
    waiting.fetch_one(connection).await.unwrap()
}

/// Appends until one engine waits for the other: whichever is frozen then either holds the turn, or
/// gets it without knowing. Little is left to do then.
async fn until_both_work(
    bed: &Bed,
    pool: &PgPool,
    script: &mut Script,
    connection: &mut PgConnection,
) {
    let appending = async {
        loop {
            let last = bed.log.append(script.drafts(5)).await.unwrap()[4].position;
            let near = async || {
                position(pool)
                    .await
                    .is_some_and(|at| at + 100 > last.cast_signed())
            };
            eventually(DEADLINE, near).await;
        }
    };
    tokio::select! {
        () = appending => {}
        () = eventually(DEADLINE, async || waits_for_turn(connection).await) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_to_stand_by_takes_over_from_a_frozen_engine_within_ten_seconds() {
    let bed = Bed::create(Folder::with_definitions()).await;
    let mut script = Script::new(61);
    let mut connection = bed.database.connection().await;
    let pool = bed.pool(DISTURBED).await;
    let engines = [(); 2].map(|()| Ended(Some(Mortal::process(&bed, DISTURBED))));
    for round in 0..ROUNDS {
        until_both_work(&bed, &pool, &mut script, &mut connection).await;
        let frozen = &engines[round % 2].0.as_ref().unwrap();
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
    tokio::task::spawn_blocking(|| drop(engines)).await.unwrap();
    check_same(&bed).await;
}
