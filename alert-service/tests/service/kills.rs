//! Services that are killed at random while crossings arrive and the receiver flaps.

use std::{collections::BTreeMap, time::Duration};

use atlas_events::CrossingDirection;
use chrono::TimeDelta;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use test_support::eventually;
use tokio::time::timeout;

use crate::{
    bed::{Bed, DEADLINE, crossing, entered},
    receiver::Receiver,
};

const KILLS: u64 = 25;

/// Waits until nothing is to be sent any more. Each crossing has one delivery, which arrived at the path of its team.
pub(crate) async fn every_delivery_arrived(bed: &Bed, receiver: &Receiver) {
    let pool = bed.pool().await;
    eventually(DEADLINE, async || {
        let open = "select count(*) from deliveries where state in ('pending', 'sending')";
        let open: i64 = sqlx::query_scalar(open).fetch_one(&pool).await.unwrap();
        open == 0
    })
    .await;
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "select d.id, d.state, a.labels->>'team' from deliveries d join alerts a on a.id = d.alert_id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let last = bed.log.head().await.unwrap().last_position;
    assert_eq!(rows.len() as u64, last, "one delivery for each crossing");
    let mut arrived: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for received in receiver.accepted() {
        arrived.entry(received.id).or_default().push(received.path);
    }
    for (id, state, team) in &rows {
        assert_eq!(state, "sent", "{id}");
        let paths = arrived.remove(id).unwrap_or_default();
        assert!(!paths.is_empty(), "{id} did not arrive");
        assert!(paths.iter().all(|path| path == team), "{id}: {paths:?}");
    }
    assert!(arrived.is_empty(), "{arrived:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_arrives_on_its_own_channel_with_one_id() {
    let settings = [
        "deliveries.retry_base_milliseconds=20",
        "deliveries.retry_max_seconds=1",
        "deliveries.pause_max_seconds=1",
    ];
    let bed = Bed::create(&settings).await;
    let receiver = Receiver::start(|number| if number % 3 == 0 { 503 } else { 200 }).await;
    let service = bed.start().await;
    for path in ["a", "b"] {
        let channel = service.webhook(&receiver.url(path)).await;
        let labels = json!({"condition": {"kind": "pattern", "labels": {"team": path}}});
        service.rule(&channel, labels).await;
    }
    service.end().await;
    let mut random = StdRng::seed_from_u64(16);
    let mut published = 0;
    for _ in 0..KILLS {
        let service = bed.start().await;
        let until = random.random_range(0..150);
        let publishing = async {
            loop {
                // Whether or not this is cut off: no two crossings are of one pattern.
                published += 1;
                for team in ["a", "b"] {
                    let mut payload =
                        crossing(&format!("{team}{published}"), CrossingDirection::Entered);
                    payload.labels = [("team".to_owned(), team.to_owned())].into();
                    bed.publish(atlas_events::event::Payload::ThresholdCrossed(payload))
                        .await;
                }
            }
        };
        let _ = timeout(Duration::from_millis(until), publishing).await;
        service.kill().await;
    }
    // What was under way is leased for half a minute.
    bed.move_clock(TimeDelta::seconds(30));
    let service = bed.start().await;
    bed.processed().await;
    every_delivery_arrived(&bed, &receiver).await;
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_instance_was_sending_is_sent_within_thirty_seconds() {
    let bed = Bed::create(&[]).await;
    let receiver = Receiver::start(|_| 200).await;
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    service.end().await;
    bed.publish(entered("p")).await;
    let service = bed.start().await;
    bed.processed().await;
    eventually(DEADLINE, async || receiver.accepted().len() == 1).await;
    service.end().await;
    // An instance that claims and ends leaves its claim, and nothing else.
    let pool = bed.pool().await;
    let claimed = "update deliveries set state = 'sending', claim = claim + 1, finished_at = null, receipt = null,
                       lease_until = now() + interval '26 seconds'";
    sqlx::query(claimed).execute(&pool).await.unwrap();
    bed.move_clock(TimeDelta::seconds(27));
    let service = bed.start().await;
    eventually(DEADLINE, async || receiver.accepted().len() == 2).await;
    let received = receiver.accepted();
    assert_eq!(received[0].id, received[1].id);
    service.end().await;
}
