//! Requests keep the pace that FRED allows, whoever makes them.

use std::time::Duration;

use collector::fred::FredConfig;
use fred_stand_in::{RateLimit, StandIn};
use futures::future::join_all;

use crate::bed::{Bed, TestClock, quick, stand_in};

#[tokio::test]
async fn collectors_on_one_database_and_their_successors_keep_the_pace_together() {
    let builder = StandIn::builder().series(["UNRATE"]);
    let fred = stand_in(builder.rate_limit(RateLimit::default())).await;
    let bed = Bed {
        database: test_support::TestDatabase::create().await,
        fred,
        clock: TestClock::default(),
    };
    let config = FredConfig {
        request_interval: Duration::from_millis(510),
        ..quick(&bed.fred)
    };
    for _generation in 0..2 {
        // The second generation knows of the first by the database alone.
        let processes = [
            bed.process_with(config.clone()).await,
            bed.process_with(config.clone()).await,
        ];
        let calls = processes.iter().flat_map(|process| {
            [
                process.client.series("UNRATE"),
                process.client.series("UNRATE"),
            ]
        });
        for answer in join_all(calls).await {
            answer.unwrap();
        }
    }
    let requests = bed.fred.requests();
    let statuses: Vec<_> = requests.iter().map(|request| request.status).collect();
    assert_eq!(statuses, [200; 8], "none was refused, none was repeated");
    for three in requests.windows(3) {
        let apart = three[2].since_start - three[0].since_start;
        assert!(apart > Duration::from_millis(950), "{apart:?}");
    }
}

#[tokio::test]
async fn the_key_is_not_kept() {
    let bed = Bed::new(StandIn::builder().series(["UNRATE"])).await;
    let process = bed.process().await;
    process.client.series("UNRATE").await.unwrap();
    let kept: Vec<Vec<u8>> = sqlx::query_scalar("select key_hash from source_pace")
        .fetch_all(&process.pool)
        .await
        .unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].len(), 32);
    assert!(!format!("{:?}", process.client).contains(crate::bed::KEY));
}
