use chrono::{TimeDelta, Utc};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{alert, becomes, delivery, happens};
use crate::{
    bed::{Bed, cleared, entered},
    receiver::Receiver,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_holds_from_its_start_until_somebody_ends_it_and_stays_in_the_list() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    happens(&bed, entered("before")).await;
    becomes(&service, "before", "firing", "sent").await;
    let body = json!({
        "matchers": ["pattern=~\"p.*|before\"", "severity!=critical"], "reason": "maintenance",
        "starts_at": Utc::now() + TimeDelta::minutes(10), "ends_at": Utc::now() + TimeDelta::hours(2),
    });
    let silence = service.post("/v1/silences", body).await;
    let path = format!("/v1/silences/{}", silence["id"].as_str().unwrap());
    assert_eq!(silence["state"], "pending", "{silence}");
    happens(&bed, entered("p1")).await;
    becomes(&service, "p1", "firing", "sent").await;

    bed.move_clock(TimeDelta::minutes(11));
    assert_eq!(service.get(&path).await["state"], "active");
    happens(&bed, entered("p2")).await;
    happens(&bed, entered("q")).await;
    becomes(&service, "p2", "firing", "silenced").await;
    becomes(&service, "q", "firing", "sent").await;
    let silenced = delivery(&service, "p2", "firing").await;
    assert_eq!(silenced["suppressor"], silence["id"], "{silenced}");
    // Who was notified before is notified of the end; who was not is not.
    happens(&bed, cleared("before")).await;
    happens(&bed, cleared("p2")).await;
    becomes(&service, "before", "resolved", "sent").await;
    becomes(&service, "p2", "resolved", "not_notified").await;

    let ended = service
        .post(&format!("{path}/end"), json!({"note": "done"}))
        .await;
    assert_eq!(ended["state"], "expired", "{ended}");
    let changes: Vec<_> = ended["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (change["change"].clone(), change["note"].clone()))
        .collect();
    let expected = [
        (json!("created"), json!("maintenance")),
        (json!("ended"), json!("done")),
    ];
    assert_eq!(changes, expected);
    happens(&bed, entered("p3")).await;
    becomes(&service, "p3", "firing", "sent").await;
    let again = format!("{path}/end");
    let (status, _) = service.ask_as(None, Method::POST, &again, None).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let all = service.get("/v1/silences").await;
    assert_eq!(all["silences"][0]["created_by"], "anonymous", "{all}");
    let open = service.get("/v1/silences?open=true").await;
    assert_eq!(open["silences"], json!([]));
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snooze_acknowledges_and_silences_what_is_alike() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    happens(&bed, entered("p")).await;
    becomes(&service, "p", "firing", "sent").await;
    let id = alert(&service, "p").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let snooze = format!("/v1/alerts/{id}/snooze");
    let until = json!({"until": Utc::now() + TimeDelta::hours(1), "note": "later"});
    let snoozed = service.post(&snooze, until.clone()).await;
    assert_eq!(snoozed["state"], "acknowledged", "{snoozed}");
    happens(&bed, cleared("p")).await;
    happens(&bed, entered("p")).await;
    happens(&bed, entered("q")).await;
    becomes(&service, "q", "firing", "sent").await;
    let again = delivery(&service, "p", "firing").await;
    assert_eq!(again["suppressed_by"], "silenced", "{again}");
    bed.move_clock(TimeDelta::minutes(61));
    happens(&bed, cleared("p")).await;
    happens(&bed, entered("p")).await;
    becomes(&service, "p", "firing", "sent").await;
    // What has ended is not snoozed, nor is anything for ever.
    let answer = service
        .ask_as(None, Method::POST, &snooze, Some(until))
        .await;
    assert_eq!(answer.0, StatusCode::BAD_REQUEST, "{answer:?}");
    let ahead = json!({"until": Utc::now() + TimeDelta::hours(3)});
    let answer = service
        .ask_as(None, Method::POST, &snooze, Some(ahead))
        .await;
    assert_eq!(answer.0, StatusCode::CONFLICT, "{answer:?}");
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_silence_is_refused_with_its_field() {
    let bed = Bed::create(&[]).await;
    let service = bed.start().await;
    let later = Utc::now() + TimeDelta::hours(1);
    for (body, field) in [
        (
            json!({"matchers": [], "reason": "r", "ends_at": later}),
            "matchers",
        ),
        (
            json!({"matchers": ["a=b"], "reason": " ", "ends_at": later}),
            "reason",
        ),
        (
            json!({"matchers": ["a=b"], "reason": "r", "ends_at": Utc::now() - TimeDelta::hours(1)}),
            "ends_at",
        ),
        (
            json!({"matchers": ["a=b"], "reason": "r", "ends_at": Utc::now() + TimeDelta::days(400)}),
            "ends_at",
        ),
        (
            json!({"matchers": ["a=b"], "reason": "r", "starts_at": later, "ends_at": later}),
            "ends_at",
        ),
        (
            json!({"matchers": ["a=~\"(\""], "reason": "r", "ends_at": later}),
            "matchers[0]",
        ),
        (
            json!({"matchers": ["a"], "reason": "r", "ends_at": later}),
            "matchers[0]",
        ),
    ] {
        let answer = service
            .ask_as(None, Method::POST, "/v1/silences", Some(body))
            .await;
        assert_eq!(answer.0, StatusCode::BAD_REQUEST, "{answer:?}");
        assert_eq!(answer.1["errors"][0]["field"], field, "{answer:?}");
    }
    service.end().await;
}
