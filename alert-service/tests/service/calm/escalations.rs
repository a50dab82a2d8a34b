use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;
use test_support::eventually;

use super::{alert, becomes, happens, outcomes, prefer};
use crate::{
    bed::{Bed, DEADLINE, cleared, entered},
    receiver::Receiver,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_acknowledges_in_time_goes_on_to_others() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let (first, second) = (
        service.webhook(&receiver.url("first")).await,
        service.webhook(&receiver.url("second")).await,
    );
    service.rule(&first, json!({})).await;
    let escalations = json!({"escalations": [
        {"after_minutes": 15, "channels": [first, second]},
        {"matchers": ["pattern=never"], "after_minutes": 1, "channels": [second]},
    ]});
    prefer(&service, escalations).await;
    for pattern in ["seen", "ends", "goes"] {
        happens(&bed, entered(pattern)).await;
        becomes(&service, pattern, "firing", "sent").await;
    }
    bed.move_clock(TimeDelta::minutes(14));
    let id = alert(&service, "seen").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/v1/alerts/{id}/acknowledge");
    service.ask_as(None, Method::POST, &path, None).await;
    happens(&bed, cleared("ends")).await;
    becomes(&service, "ends", "resolved", "sent").await;
    assert_eq!(receiver.accepted().len(), 4);
    service.end().await;
    let service = bed.start().await;
    bed.move_clock(TimeDelta::minutes(2));
    let of = |pattern: &str, kind: &str, step: i64| (pattern.to_owned(), kind.to_owned(), step);
    eventually(DEADLINE, async || receiver.accepted().len() == 6).await;
    becomes(&service, "goes", "firing", "sent").await;
    let outcomes = outcomes(&service).await;
    assert_eq!(outcomes[&of("seen", "firing", 1)], "acknowledged");
    assert_eq!(outcomes[&of("ends", "firing", 1)], "superseded");
    let escalated: Vec<_> = receiver.accepted()[4..]
        .iter()
        .map(|one| (one.path.clone(), one.body["data"]["title"].clone()))
        .collect();
    let title = json!("Not acknowledged for 15 min: Name of goes");
    assert!(
        escalated.contains(&("first".to_owned(), title.clone()))
            && escalated.contains(&("second".to_owned(), title)),
        "{escalated:?}"
    );
    // Who got nothing but the escalation is notified of the end too, and each once.
    happens(&bed, cleared("goes")).await;
    happens(&bed, cleared("seen")).await;
    eventually(DEADLINE, async || receiver.accepted().len() == 9).await;
    let mut ends: Vec<_> = receiver.accepted()[6..]
        .iter()
        .map(|one| (one.body["data"]["title"].clone(), one.path.clone()))
        .collect();
    ends.sort_by_key(|(title, path)| (title.to_string(), path.clone()));
    let ended = |pattern: &str| json!(format!("Resolved: Name of {pattern}"));
    let expected = [
        (ended("goes"), "first".to_owned()),
        (ended("goes"), "second".to_owned()),
        (ended("seen"), "first".to_owned()),
    ];
    assert_eq!(ends, expected);
    service.end().await;
}
