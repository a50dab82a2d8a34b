use serde_json::json;

use super::{alert, becomes, delivery, entered_with, happens, prefer};
use crate::{
    bed::{Bed, cleared},
    receiver::Receiver,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_alert_keeps_back_what_it_explains_and_only_that() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    let inhibitions = json!({"inhibitions": [{
        "source": ["severity=critical", "part=~\"power|network\""], "target": ["severity=warning"],
        "equal": ["site"],
    }]});
    prefer(&service, inhibitions).await;
    let warns = async |pattern: &str, site: &str| {
        happens(&bed, entered_with(pattern, "warning", &[("site", site)])).await;
    };
    warns("early", "x").await;
    becomes(&service, "early", "firing", "sent").await;
    let power = [("site", "x"), ("part", "power")];
    happens(&bed, entered_with("outage", "critical", &power)).await;
    becomes(&service, "outage", "firing", "sent").await;
    warns("kept", "x").await;
    becomes(&service, "kept", "firing", "inhibited").await;
    let kept = delivery(&service, "kept", "firing").await;
    assert_eq!(
        kept["suppressor"],
        alert(&service, "outage").await["id"],
        "{kept}"
    );
    warns("elsewhere", "y").await;
    becomes(&service, "elsewhere", "firing", "sent").await;
    let other = [("site", "y"), ("part", "disk")];
    happens(&bed, entered_with("disk", "critical", &other)).await;
    warns("unrelated", "y").await;
    becomes(&service, "unrelated", "firing", "sent").await;
    happens(&bed, cleared("outage")).await;
    warns("after", "x").await;
    becomes(&service, "after", "firing", "sent").await;
    // What was sent before is notified of its end, what was kept back is not.
    happens(&bed, cleared("early")).await;
    happens(&bed, cleared("kept")).await;
    becomes(&service, "early", "resolved", "sent").await;
    becomes(&service, "kept", "resolved", "not_notified").await;
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_of_a_rule_without_channels_go_where_the_routes_say() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let (phone, mail) = (
        service.webhook(&receiver.url("phone")).await,
        service.webhook(&receiver.url("mail")).await,
    );
    service.rule(&phone, json!({"channels": []})).await;
    let routes = json!({"routes": [
        {"matchers": ["severity=critical"], "channels": [phone], "continue": true},
        {"matchers": ["team=\"\""], "channels": [mail]},
    ]});
    prefer(&service, routes).await;
    for (pattern, severity, labels) in [
        ("both", "critical", &[][..]),
        ("one", "warning", &[]),
        ("none", "warning", &[("team", "a")]),
    ] {
        happens(&bed, entered_with(pattern, severity, labels)).await;
    }
    becomes(&service, "one", "firing", "sent").await;
    becomes(&service, "both", "firing", "sent").await;
    let channels = async |pattern: &str| {
        let alert = alert(&service, pattern).await;
        let deliveries = alert["deliveries"].as_array().unwrap().clone();
        let mut channels: Vec<_> = deliveries
            .iter()
            .map(|one| one["channel_id"].as_str().unwrap().to_owned())
            .collect();
        channels.sort();
        channels
    };
    let mut all = vec![phone, mail.clone()];
    all.sort();
    assert_eq!(channels("both").await, all);
    assert_eq!(channels("one").await, [mail]);
    assert!(channels("none").await.is_empty());
    service.end().await;
}
