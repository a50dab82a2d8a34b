//! What becomes of consumers when a database is restored, with the scripts that operators use.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in what its functions have in common"
)]

mod bench;
mod instance;

use consumer::{ConsumerError, Reset};
use event_log::EventLog;

use bench::{Bench, Effects};
use instance::Instance;

/// A base backup and archived WAL bring the server back to a time between two events. The log then
/// has another identity, so that a consumer with a database of its own, which knows of more than was
/// restored, does not resume at positions that are given to other events.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_restored_to_an_earlier_time_deceives_nobody() {
    let Some(instance) = Instance::start("restore").await else {
        return;
    };
    let elsewhere = Effects::elsewhere().await;
    instance.backup(&["archive"]).await;
    let bench = Bench::open(&instance.url, "atlas").await;
    let base = instance.backup(&["base"]).await;
    bench.append(0..40).await;
    bench.consume_up_to(&bench.effects, 40).await.unwrap();
    let time = bench.now().await;
    bench.append(40..60).await;
    bench.consume_up_to(&bench.effects, 60).await.unwrap();
    bench.consume_up_to(&elsewhere, 60).await.unwrap();
    bench.switch_wal().await;
    bench.close().await;

    instance.restore(&["base", &base, &time]).await;
    let bench = Bench::open(&instance.url, "atlas").await;
    let head = bench.log.head().await.unwrap();
    assert_eq!((head.first_position, head.last_position), (1, 40));
    // Beside the log is what belongs to it, as of the same moment.
    assert_eq!(bench.effects.numbers().await, (0..40).collect::<Vec<_>>());
    bench.consume_up_to(&bench.effects, 40).await.unwrap();
    // Its position does not exist, and is not taken for one that will.
    let refused = bench.consume_up_to(&elsewhere, 61).await.unwrap_err();
    assert!(
        matches!(refused, ConsumerError::OutOfRange { .. }),
        "{refused}"
    );
    bench.close().await;

    let pool = event_log::connect(&instance.url, "collector", 2)
        .await
        .unwrap();
    let renewed = EventLog::renew_identity(&pool).await.unwrap();
    assert_eq!(renewed.before, head.log_id);
    pool.close().await;

    let bench = Bench::open(&instance.url, "atlas").await;
    assert_eq!(bench.log.log_id(), renewed.now);
    // Events that were lost are published again with their ids, and others come: positions 41 to 60
    // are given once more.
    bench.append(100..110).await;
    bench.append(50..70).await;
    // The first notices that the log is another one; the other has stopped before, and says so still.
    let refused = bench.consume_up_to(&bench.effects, 70).await.unwrap_err();
    assert!(
        matches!(refused, ConsumerError::OtherLog { .. }),
        "{refused}"
    );
    let refused = bench.consume_up_to(&elsewhere, 70).await.unwrap_err();
    assert!(
        matches!(refused, ConsumerError::Stopped { .. }),
        "{refused}"
    );
    for effects in [&bench.effects, &elsewhere] {
        effects
            .reset(Reset::ContinueIn {
                log_id: renewed.now,
                common_position: 40,
            })
            .await;
        bench.consume_up_to(effects, 70).await.unwrap();
    }
    let restored: Vec<_> = (0..40).chain(100..110).chain(50..70).collect();
    assert_eq!(bench.effects.numbers().await, restored);
    let known: Vec<_> = (0..60).chain(100..110).chain(60..70).collect();
    assert_eq!(elsewhere.numbers().await, known);
    bench.close().await;
    elsewhere.pool.close().await;
}

/// A logical copy, taken while events are stored and consumed, is of one moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_goes_on_in_a_database_made_of_a_dump() {
    let Some(instance) = Instance::start("dump").await else {
        return;
    };
    let bench = Bench::open(&instance.url, "atlas").await;
    bench.append(0..500).await;
    let (consumed, dump) = tokio::join!(
        async {
            bench.append(500..900).await;
            bench.consume_up_to(&bench.effects, 900).await
        },
        instance.backup(&["dump"]),
    );
    consumed.unwrap();
    let log_id = bench.log.log_id();
    bench.close().await;

    instance.restore(&["dump", &dump, "again"]).await;
    let bench = Bench::open(&instance.url, "again").await;
    assert_eq!(bench.log.log_id(), log_id);
    let last = bench.log.head().await.unwrap().last_position;
    assert!((500..=900).contains(&last), "{last}");
    bench.append(1_000..1_100).await;
    bench
        .consume_up_to(&bench.effects, last + 100)
        .await
        .unwrap();
    let everything: Vec<_> = (0..i64::try_from(last).unwrap())
        .chain(1_000..1_100)
        .collect();
    assert_eq!(bench.effects.numbers().await, everything);
    bench.close().await;
}
