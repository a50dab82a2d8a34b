//! Several processes serve one log.

use std::time::Duration;

use atlas_events::SubscriptionRequest;
use event_log::LogConfig;
use event_stream::StreamConfig;
use test_support::{TestDatabase, eventually};

use crate::common::{DEADLINE, Server, after, custom_events, read};

/// Longer than any test: who hears of nothing but by polling hears of nothing.
const NEVER: Duration = Duration::from_secs(24 * 3_600);

async fn start_polling(database: &TestDatabase, poll_interval: Duration) -> Server {
    let log_config = LogConfig {
        poll_interval,
        ..LogConfig::default()
    };
    Server::start_with(database, log_config, StreamConfig::default()).await
}

#[tokio::test]
async fn what_one_stores_another_delivers_at_once() {
    let database = TestDatabase::create().await;
    let storing = Server::start(&database).await;
    let delivering = start_polling(&database, NEVER).await;
    until_listening(&database, 2).await;
    let mut publisher = storing.client().await;
    let mut client = delivering.client().await;
    let mut stream = client.subscribe(SubscriptionRequest::default()).await;
    for n in 1..20 {
        let published = publisher.publish(custom_events(n..n + 1)).await;
        assert_eq!(read(&mut stream, 1).await, published);
    }
}

#[tokio::test]
async fn without_notifications_polling_finds_what_another_stored() {
    let database = TestDatabase::create().await;
    let storing = Server::start(&database).await;
    let delivering = start_polling(&database, Duration::from_millis(50)).await;
    until_listening(&database, 2).await;
    let mut publisher = storing.client().await;
    let mut client = delivering.client().await;
    let mut stream = client.subscribe(SubscriptionRequest::default()).await;
    for n in 1..8 {
        end_listening(&database).await;
        let published = publisher.publish(custom_events(n..n + 1)).await;
        assert_eq!(read(&mut stream, 1).await, published);
    }
}

#[tokio::test]
async fn all_give_the_same_order_to_what_all_store() {
    let database = TestDatabase::create().await;
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(Server::start(&database).await);
    }
    let mut publishing = tokio::task::JoinSet::new();
    for (server, seed) in servers.iter().zip(0_u64..) {
        let mut client = server.client().await;
        publishing.spawn(async move {
            for first in (0..200).step_by(5) {
                let first = seed * 1_000 + first;
                client.publish(custom_events(first..first + 5)).await;
            }
        });
    }
    let mut sequences = Vec::new();
    for server in &servers {
        let mut stream = server.client().await.subscribe(after(0)).await;
        sequences.push(read(&mut stream, 600).await);
    }
    publishing.join_all().await;
    let positions: Vec<_> = sequences[0].iter().map(|event| event.position).collect();
    assert_eq!(positions, (1..=600).collect::<Vec<_>>());
    assert!(sequences[0] == sequences[1] && sequences[1] == sequences[2]);
}

async fn until_listening(database: &TestDatabase, sessions: i64) {
    let mut connection = database.connection().await;
    eventually(DEADLINE, async || {
        let listening: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and state = 'idle' and query ilike 'listen %'",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        listening == sessions
    })
    .await;
}

async fn end_listening(database: &TestDatabase) {
    let _: Vec<bool> = sqlx::query_scalar(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity
         where datname = current_database() and query ilike 'listen %'",
    )
    .fetch_all(&mut database.connection().await)
    .await
    .unwrap();
}
