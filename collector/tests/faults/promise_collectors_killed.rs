use std::sync::Arc;

use test_support::TestDatabase;

use crate::{cluster::Cluster, scenario};

const PUBLISHERS: u64 = 8;
const EVENTS_EACH: u64 = 1_500;
const KILLS: u64 = 15;

/// Promises 1, 2, 3 and 4: three collectors on one database, eight publishers, three subscribers,
/// and a collector killed and restarted fifteen times meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_reordered_while_collectors_are_killed() {
    let database = TestDatabase::create().await;
    let cluster = Arc::new(Cluster::start(&database.url(), 3).await);
    scenario::run(
        cluster,
        PUBLISHERS,
        EVENTS_EACH,
        async |cluster, progress| {
            for kill in 1..=KILLS {
                progress
                    .reach(kill * PUBLISHERS * EVENTS_EACH / (KILLS + 1))
                    .await;
                // Not in turn: the same one may be hit twice in a row.
                cluster
                    .kill_and_restart((kill * kill) as usize % cluster.len())
                    .await;
            }
        },
    )
    .await;
}
