use std::sync::Arc;

use crate::{cluster::Cluster, database_server::DatabaseServer, scenario};

const PUBLISHERS: u64 = 8;
const EVENTS_EACH: u64 = 1_000;

/// Promises 1, 3, 4 and 9: the database is restarted, crashes and recovers under load; collectors,
/// publishers and subscribers go on.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_while_the_database_restarts() {
    let server = DatabaseServer::start().await;
    let cluster = Arc::new(Cluster::start(server.url(), 2).await);
    scenario::run(cluster, PUBLISHERS, EVENTS_EACH, async |_, progress| {
        let total = PUBLISHERS * EVENTS_EACH;
        progress.reach(total / 5).await;
        server.run(&["restart", "-m", "fast"]).await;
        progress.reach(2 * total / 5).await;
        server.run(&["restart", "-m", "immediate"]).await;
        progress.reach(3 * total / 5).await;
        server.run(&["kill"]).await;
        server.run(&["up"]).await;
    })
    .await;
}
