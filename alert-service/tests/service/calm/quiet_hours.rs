use chrono::{TimeDelta, Timelike, Utc};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{becomes, delivery, entered_with, happens, prefer, quiet_now, time};
use crate::{
    bed::{Bed, cleared, entered},
    receiver::Receiver,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_wait_until_the_quiet_hours_end_also_over_a_restart_and_critical_ones_do_not() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    happens(&bed, entered("before")).await;
    becomes(&service, "before", "firing", "sent").await;
    prefer(&service, json!({"quiet_hours": quiet_now("wait")})).await;
    let ends_at = Utc::now() + TimeDelta::minutes(60);
    for pattern in ["stays", "ends"] {
        happens(&bed, entered(pattern)).await;
    }
    happens(&bed, entered_with("urgent", "critical", &[])).await;
    becomes(&service, "urgent", "firing", "sent").await;
    let waiting = delivery(&service, "stays", "firing").await;
    assert_eq!(waiting["state"], "pending", "{waiting}");
    assert_eq!(waiting["wait_reason"], "quiet hours", "{waiting}");
    let until = time(&waiting["not_before"]);
    assert_eq!(until.minute(), ends_at.minute(), "{waiting}");
    assert!((until - ends_at).num_seconds().abs() <= 60, "{waiting}");
    assert!(
        time(&waiting["deadline"]) > until + TimeDelta::hours(23),
        "{waiting}"
    );
    // The end of what was sent waits; of what was not sent yet the end alone is sent.
    happens(&bed, cleared("before")).await;
    happens(&bed, cleared("ends")).await;
    happens(&bed, cleared("urgent")).await;
    becomes(&service, "urgent", "resolved", "sent").await;
    becomes(&service, "ends", "firing", "superseded").await;
    assert_eq!(receiver.accepted().len(), 3);
    service.end().await;
    let service = bed.start().await;
    bed.move_clock(TimeDelta::minutes(61));
    becomes(&service, "stays", "firing", "sent").await;
    becomes(&service, "before", "resolved", "sent").await;
    becomes(&service, "ends", "resolved", "sent").await;
    assert_eq!(receiver.accepted().len(), 6);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beginnings_are_dropped_where_somebody_prefers_it_and_ends_of_what_was_sent_are_not() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    happens(&bed, entered("before")).await;
    becomes(&service, "before", "firing", "sent").await;
    prefer(&service, json!({"quiet_hours": quiet_now("drop")})).await;
    happens(&bed, entered("p")).await;
    becomes(&service, "p", "firing", "quiet_hours").await;
    happens(&bed, cleared("before")).await;
    happens(&bed, cleared("p")).await;
    becomes(&service, "p", "resolved", "not_notified").await;
    becomes(&service, "before", "resolved", "pending").await;
    bed.move_clock(TimeDelta::minutes(61));
    becomes(&service, "before", "resolved", "sent").await;
    happens(&bed, entered("q")).await;
    becomes(&service, "q", "firing", "sent").await;
    assert_eq!(receiver.accepted().len(), 3);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preferences_name_their_version_and_every_problem() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    let put = async |version: i64, preferences: serde_json::Value| {
        let body = json!({"version": version, "preferences": preferences});
        service
            .ask_as(None, Method::PUT, "/v1/preferences", Some(body))
            .await
    };
    assert_eq!(service.get("/v1/preferences").await["version"], 0);
    assert_eq!(put(1, json!({})).await.0, StatusCode::CONFLICT);
    let routes = json!({"routes": [{"channels": [channel]}]});
    let first = put(0, routes).await;
    assert_eq!((first.0, &first.1["version"]), (StatusCode::OK, &json!(1)));
    let again = put(0, json!({})).await;
    assert_eq!(
        (again.0, &again.1["version"]),
        (StatusCode::CONFLICT, &json!(1))
    );
    // A channel that they name stays.
    let path = format!("/v1/channels/{channel}");
    let (status, _) = service.ask_as(None, Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(put(1, json!({})).await.0, StatusCode::OK);
    let (status, _) = service.ask_as(None, Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let wrong = json!({
        "quiet_hours": {"zone": "Mars/Olympus", "periods": [{"from": "22:00", "to": "7"}]},
        "routes": [{"channels": [channel]}],
    });
    let refused = put(2, wrong).await;
    assert_eq!(refused.0, StatusCode::BAD_REQUEST);
    let errors = refused.1["errors"].as_array().unwrap();
    let fields: Vec<_> = errors.iter().map(|error| &error["field"]).collect();
    let expected = [
        "quiet_hours.zone",
        "quiet_hours.periods[0].to",
        "routes[0].channels[0]",
    ];
    assert_eq!(fields, expected, "{refused:?}");
    service.end().await;
}
