use std::{sync::Arc, time::Duration};

use test_support::TestDatabase;
use tokio::time::timeout;

use crate::{cluster::Cluster, scenario};

const PUBLISHERS: u64 = 8;
const EVENTS_EACH: u64 = 1_500;
const ROUNDS: u64 = 3;
/// Within this time the other collector acknowledges again.
const BOUND: Duration = Duration::from_secs(10);
const ACKNOWLEDGED_MIN: u64 = 100;

/// Of two collectors one is frozen while both publish (it closes nothing, and holds what it holds),
/// and thawed. The other goes on meanwhile, and nothing is lost, doubled or reordered.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_collector_stops_no_other_one() {
    let database = TestDatabase::create().await;
    let cluster = Arc::new(Cluster::start(&database.url(), 2).await);
    scenario::run(
        cluster,
        PUBLISHERS,
        EVENTS_EACH,
        async |cluster, progress| {
            for round in 0..ROUNDS {
                let share = PUBLISHERS * EVENTS_EACH / (4 * ROUNDS);
                progress.reach(progress.acknowledged() + share).await;
                let frozen = round as usize % 2;
                cluster.signal(frozen, "STOP");
                // What was under way when it froze is acknowledged soon after; this is more.
                let goal = progress.acknowledged() + ACKNOWLEDGED_MIN;
                let went_on = timeout(BOUND, progress.reach(goal)).await;
                cluster.signal(frozen, "CONT");
                assert!(went_on.is_ok(), "round {round}: nothing in {BOUND:?}");
            }
        },
    )
    .await;
}
