//! Attempts over time, by a clock that is moved.

use chrono::TimeDelta;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use test_support::eventually;

use crate::{
    bed::{Bed, DEADLINE, Running, cleared, entered},
    receiver::Receiver,
};

async fn first_delivery(service: &Running) -> Value {
    let deliveries = service.get("/v1/deliveries").await;
    let all = deliveries["deliveries"].as_array().unwrap();
    all.last().cloned().unwrap_or_default()
}

async fn comes_to(service: &Running, state: &str) {
    eventually(DEADLINE, async || {
        first_delivery(service).await["state"] == state
    })
    .await;
}

/// Waits until the first attempt is recorded. The claim is stored before it: what is under way would be made again.
async fn failed_once(service: &Running) {
    eventually(DEADLINE, async || {
        let delivery = first_delivery(service).await;
        delivery["attempts"] == 1 && delivery["state"] == "pending"
    })
    .await;
}

/// A service with one channel, to a receiver, and a rule for every pattern; the channel's id.
async fn with_one_channel(bed: &Bed, receiver: &Receiver) -> (Running, String) {
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    (service, channel)
}

/// Pauses are an hour or so: nothing is attempted unless the clock is moved.
const SLOW: [&str; 4] = [
    "deliveries.retry_base_milliseconds=3600000",
    "deliveries.retry_max_seconds=3600",
    "deliveries.failures_max=100",
    "deliveries.deadline_seconds=36000",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_attempt_comes_after_its_pause_also_after_a_restart_with_the_same_id() {
    let (bed, receiver) = (Bed::create(&SLOW).await, Receiver::start(|_| 503).await);
    let (service, _) = with_one_channel(&bed, &receiver).await;
    // Of the draws some are near zero; this one is looked at before the clock is moved.
    bed.publish(entered("p")).await;
    failed_once(&service).await;
    let waiting = first_delivery(&service).await;
    assert!(
        waiting["wait_reason"].as_str().unwrap().contains("503"),
        "{waiting}"
    );
    service.end().await;
    receiver.answer(|_| 200);
    bed.move_clock(TimeDelta::hours(1));
    let service = bed.start().await;
    comes_to(&service, "sent").await;
    let sent = first_delivery(&service).await;
    assert_eq!(sent["attempts"], 2, "{sent}");
    let received = receiver.all();
    assert_eq!(received.len(), 2);
    assert!(
        received
            .iter()
            .all(|received| received.id == sent["id"].as_str().unwrap())
    );
    let late = received[1].body["data"]["text"].to_string();
    assert!(late.contains("minutes late"), "{late}");
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_deadline_it_is_a_dead_letter_that_can_be_retried() {
    let (bed, receiver) = (Bed::create(&SLOW).await, Receiver::start(|_| 500).await);
    let (service, _) = with_one_channel(&bed, &receiver).await;
    bed.publish(entered("p")).await;
    failed_once(&service).await;
    bed.move_clock(TimeDelta::hours(11));
    comes_to(&service, "given_up").await;
    assert_eq!(receiver.all().len(), 2);
    receiver.answer(|_| 200);
    let id = first_delivery(&service).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let retry = format!("/v1/deliveries/{id}/retry");
    let (status, _) = service.ask_as(None, Method::POST, &retry, None).await;
    assert_eq!(status, StatusCode::OK);
    comes_to(&service, "sent").await;
    let (status, _) = service.ask_as(None, Method::POST, &retry, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_sent_yet_is_superseded_by_the_end() {
    let (bed, receiver) = (Bed::create(&SLOW).await, Receiver::start(|_| 503).await);
    let (service, _) = with_one_channel(&bed, &receiver).await;
    bed.publish(entered("p")).await;
    failed_once(&service).await;
    receiver.answer(|_| 200);
    bed.publish(cleared("p")).await;
    eventually(DEADLINE, async || receiver.accepted().len() == 1).await;
    let superseded = first_delivery(&service).await;
    assert_eq!(superseded["suppressed_by"], "superseded", "{superseded}");
    let text = receiver.accepted()[0].body["data"]["text"].to_string();
    assert!(text.contains("could not be sent before"), "{text}");
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_is_gone_disables_its_channel() {
    let (bed, receiver) = (Bed::create(&SLOW).await, Receiver::start(|_| 410).await);
    let (service, channel) = with_one_channel(&bed, &receiver).await;
    bed.publish(entered("p")).await;
    comes_to(&service, "failed").await;
    let disabled = service.get(&format!("/v1/channels/{channel}")).await;
    assert_eq!(disabled["enabled"], false, "{disabled}");
    bed.publish(entered("q")).await;
    bed.processed().await;
    let suppressed = service.get("/v1/deliveries?state=suppressed").await;
    let reason = &suppressed["deliveries"][0]["suppressed_by"];
    assert_eq!(reason, "channel_disabled", "{suppressed}");
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_destination_is_paused_and_delays_no_other() {
    let settings = [
        "deliveries.retry_base_milliseconds=3600000",
        "deliveries.retry_max_seconds=3600",
        "deliveries.failures_max=3",
        "deliveries.pause_max_seconds=3600",
    ];
    let bed = Bed::create(&settings).await;
    let (away, works) = (
        Receiver::start(|_| 503).await,
        Receiver::start(|_| 200).await,
    );
    let service = bed.start().await;
    let first = service.webhook(&away.url("a")).await;
    let second = service.webhook(&works.url("b")).await;
    service
        .rule(&first, json!({"channels": [first, second]}))
        .await;
    for number in 0..40 {
        bed.publish(entered(&format!("p{number}"))).await;
    }
    eventually(DEADLINE, async || works.accepted().len() == 40).await;
    bed.processed().await;
    eventually(DEADLINE, async || {
        let sending = service.get("/v1/deliveries?state=sending").await;
        sending["deliveries"].as_array().unwrap().is_empty()
    })
    .await;
    // Those that were under way when it was found to fail, and no more.
    let attempts = away.all().len();
    assert!((3..=40).contains(&attempts), "{attempts}");
    let waiting = service
        .get(&format!("/v1/deliveries?state=pending&channel={first}"))
        .await;
    let waiting = waiting["deliveries"].as_array().unwrap().clone();
    assert_eq!(waiting.len(), 40);
    assert!(
        waiting.iter().all(
            |delivery| crate::bed::ago(&delivery["not_before"]) < TimeDelta::zero()
                || delivery["attempts"] == 0
        ),
        "{waiting:?}"
    );
    service.end().await;
}
