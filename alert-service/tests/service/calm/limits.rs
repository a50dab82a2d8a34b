use chrono::TimeDelta;
use serde_json::json;

use super::{becomes, entered_with, happens, outcomes, prefer};
use crate::{
    bed::{Bed, cleared, entered},
    receiver::Receiver,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_and_a_user_get_no_more_than_they_want_in_an_hour_and_a_day() {
    let settings = ["alerts.event_age_max_seconds=31536000"];
    let (bed, receiver) = (Bed::create(&settings).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let (first, second) = (
        service.webhook(&receiver.url("a")).await,
        service.webhook(&receiver.url("b")).await,
    );
    let only = |pattern: &str| json!({"condition": {"kind": "pattern", "labels": {"to": pattern}}});
    service.rule(&first, only("a")).await;
    service.rule(&second, only("b")).await;
    let limits = json!({
        "limits": {"daily_max": 4},
        "channel_limits": {&first: {"hourly_max": 2}},
    });
    prefer(&service, limits).await;
    let enters = async |pattern: &str, to: &str| {
        happens(&bed, entered_with(pattern, "warning", &[("to", to)])).await;
    };
    for pattern in ["a1", "a2", "a3"] {
        enters(pattern, "a").await;
    }
    becomes(&service, "a1", "firing", "sent").await;
    becomes(&service, "a2", "firing", "sent").await;
    becomes(&service, "a3", "firing", "channel_limit").await;
    // Ends are not limited, and what was not sent has none.
    for pattern in ["a1", "a2", "a3"] {
        happens(&bed, cleared(pattern)).await;
    }
    becomes(&service, "a1", "resolved", "sent").await;
    becomes(&service, "a3", "resolved", "not_notified").await;
    bed.move_clock(TimeDelta::minutes(61));
    enters("a4", "a").await;
    enters("b1", "b").await;
    enters("b2", "b").await;
    becomes(&service, "a4", "firing", "sent").await;
    becomes(&service, "b1", "firing", "sent").await;
    becomes(&service, "b2", "firing", "user_limit").await;
    // Critical alerts pass.
    happens(&bed, entered_with("b3", "critical", &[("to", "b")])).await;
    becomes(&service, "b3", "firing", "sent").await;
    bed.move_clock(TimeDelta::hours(24));
    enters("b4", "b").await;
    becomes(&service, "b4", "firing", "sent").await;
    service.end().await;
}

/// Two messages of one alert, of which the owner wants one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_messages_of_one_alert_count_each() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let mut channels = [
        service.webhook(&receiver.url("a")).await,
        service.webhook(&receiver.url("b")).await,
    ];
    channels.sort();
    service
        .rule(&channels[0], json!({"channels": channels}))
        .await;
    prefer(&service, json!({"limits": {"hourly_max": 1}})).await;
    happens(&bed, entered("p")).await;
    let deliveries = service.get("/v1/deliveries").await["deliveries"].clone();
    let mut reasons: Vec<_> = deliveries
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["suppressed_by"].as_str())
        .collect();
    reasons.sort_unstable();
    assert_eq!(reasons, [None, Some("user_limit")], "{deliveries}");
    assert_eq!(outcomes(&service).await.len(), 1);
    service.end().await;
}
