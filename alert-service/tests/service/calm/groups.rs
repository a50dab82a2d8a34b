use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{becomes, delivery, entered_with, happens, prefer};
use crate::{
    bed::{Bed, Running, cleared},
    receiver::Receiver,
};

async fn grouped(receiver: &Receiver, service: &Running, settings: Value) {
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    prefer(service, json!({"grouping": settings})).await;
}

fn titles(receiver: &Receiver) -> Vec<String> {
    let received = receiver.accepted().into_iter();
    let title = |body: &Value| body["data"]["title"].as_str().unwrap().to_owned();
    received.map(|received| title(&received.body)).collect()
}

async fn enters(bed: &Bed, pattern: &str, team: &str) {
    happens(bed, entered_with(pattern, "warning", &[("team", team)])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_stands_for_a_group_and_the_next_keeps_its_distance_also_over_a_restart() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let settings = json!({"by": ["team"], "wait_seconds": 60, "interval_seconds": 600});
    grouped(&receiver, &service, settings).await;
    for (pattern, team) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a")] {
        enters(&bed, pattern, team).await;
    }
    happens(&bed, entered_with("urgent", "critical", &[("team", "a")])).await;
    becomes(&service, "urgent", "firing", "sent").await;
    let first = delivery(&service, "a1", "firing").await;
    assert_eq!(first["state"], "pending", "{first}");
    for pattern in ["a2", "a3"] {
        let other = delivery(&service, pattern, "firing").await;
        assert_eq!(other["suppressed_by"], "grouped", "{other}");
        assert_eq!(other["suppressor"], first["id"], "{other}");
    }
    service.end().await;
    let service = bed.start().await;
    bed.move_clock(TimeDelta::seconds(61));
    becomes(&service, "a1", "firing", "sent").await;
    becomes(&service, "b1", "firing", "sent").await;
    let mut sent = titles(&receiver);
    sent.sort();
    let expected = ["3 alerts: Name of a1", "Name of b1", "Name of urgent"];
    assert_eq!(sent, expected);
    let group = receiver.accepted().into_iter();
    let mut group = group.filter(|one| one.id == first["id"].as_str().unwrap());
    let text = group.next().unwrap().body["data"]["text"].to_string();
    for pattern in ["a1", "a2", "a3"] {
        assert!(text.contains(&format!("- Name of {pattern}")), "{text}");
    }
    // The next message of the group comes 600 seconds after the one before.
    enters(&bed, "a4", "a").await;
    bed.move_clock(TimeDelta::seconds(300));
    enters(&bed, "a5", "a").await;
    becomes(&service, "a5", "firing", "grouped").await;
    assert_eq!(receiver.accepted().len(), 3);
    bed.move_clock(TimeDelta::seconds(301));
    becomes(&service, "a4", "firing", "sent").await;
    // So do the ends.
    for pattern in ["a1", "a2", "a4"] {
        happens(&bed, cleared(pattern)).await;
    }
    becomes(&service, "a2", "resolved", "grouped").await;
    becomes(&service, "a4", "resolved", "grouped").await;
    bed.move_clock(TimeDelta::seconds(61));
    becomes(&service, "a1", "resolved", "sent").await;
    let last = titles(&receiver).pop().unwrap();
    assert_eq!(last, "3 ended: Resolved: Name of a1");
    assert_eq!(receiver.accepted().len(), 5);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_before_its_group_is_sent_is_left_out_and_another_takes_its_place() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let settings = json!({"by": [], "wait_seconds": 60, "interval_seconds": 0});
    grouped(&receiver, &service, settings).await;
    for pattern in ["p", "q", "r", "s"] {
        enters(&bed, pattern, "a").await;
    }
    let due = delivery(&service, "p", "firing").await["not_before"].clone();
    // The one that stands for the others, and one of these.
    happens(&bed, cleared("p")).await;
    happens(&bed, cleared("r")).await;
    becomes(&service, "p", "firing", "superseded").await;
    becomes(&service, "q", "firing", "pending").await;
    becomes(&service, "r", "firing", "superseded").await;
    let next = delivery(&service, "q", "firing").await;
    assert_eq!(next["not_before"], due, "{next}");
    let other = delivery(&service, "s", "firing").await;
    assert_eq!(other["suppressor"], next["id"], "{other}");
    bed.move_clock(TimeDelta::seconds(61));
    becomes(&service, "q", "firing", "sent").await;
    becomes(&service, "p", "resolved", "sent").await;
    becomes(&service, "r", "resolved", "grouped").await;
    let mut sent = titles(&receiver);
    sent.sort();
    let expected = ["2 alerts: Name of q", "2 ended: Resolved: Name of p"];
    assert_eq!(sent, expected);
    // Whoever read of it in a message of its group is notified of its end.
    happens(&bed, cleared("s")).await;
    bed.move_clock(TimeDelta::seconds(61));
    becomes(&service, "s", "resolved", "sent").await;
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_with_digests_gets_one_message_of_beginnings_and_one_of_ends() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    let digest = json!({"every": "hour", "zone": "Asia/Kolkata"});
    prefer(&service, json!({"digests": {channel: digest}})).await;
    for (pattern, team) in [("p", "a"), ("q", "b"), ("r", "c")] {
        enters(&bed, pattern, team).await;
    }
    let first = delivery(&service, "p", "firing").await;
    // Half past the hour of UTC.
    assert!(
        first["not_before"].as_str().unwrap().contains(":30:00"),
        "{first}"
    );
    becomes(&service, "q", "firing", "grouped").await;
    bed.move_clock(TimeDelta::minutes(60));
    becomes(&service, "p", "firing", "sent").await;
    for pattern in ["p", "q"] {
        happens(&bed, cleared(pattern)).await;
    }
    becomes(&service, "q", "resolved", "grouped").await;
    bed.move_clock(TimeDelta::minutes(60));
    becomes(&service, "p", "resolved", "sent").await;
    let expected = ["3 alerts: Name of p", "2 ended: Resolved: Name of p"];
    assert_eq!(titles(&receiver), expected);
    service.end().await;
}
