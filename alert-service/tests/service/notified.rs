//! From an event to a webhook.

use atlas_events::{
    AlertState, CrossingDirection, DeliveryKind, DeliveryState, ThresholdCrossedEvent,
    event::Payload,
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use test_support::eventually;

use crate::{
    bed::{Bed, DEADLINE, cleared, crossing, entered, transition},
    receiver::Receiver,
};

fn titles(receiver: &Receiver) -> Vec<String> {
    let received = receiver.accepted().into_iter();
    let title = |body: &serde_json::Value| body["data"]["title"].as_str().unwrap().to_owned();
    received.map(|received| title(&received.body)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_got_firing_gets_resolved_also_after_a_restart() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    let rule = service.rule(&channel, json!({})).await;
    let event_id = bed.publish(entered("p")).await;
    eventually(DEADLINE, async || receiver.accepted().len() == 1).await;
    service.end().await;
    bed.publish(cleared("p")).await;
    let service = bed.start().await;
    eventually(DEADLINE, async || receiver.accepted().len() == 2).await;
    let received = receiver.all();
    assert_eq!(received.len(), 2, "{received:?}");
    assert_ne!(received[0].id, received[1].id);

    let alerts = service.get(&format!("/v1/alerts?rule={rule}")).await;
    let alert = &alerts["alerts"][0];
    assert_eq!(alert["state"], "resolved", "{alerts}");
    assert_eq!(alert["cause"]["event_id"], event_id);
    assert_eq!(alert["cause"]["log_id"], bed.log.log_id().to_string());
    let detail = format!("/v1/alerts/{}", alert["id"].as_str().unwrap());
    eventually(DEADLINE, async || {
        let deliveries = service.get(&detail).await["deliveries"].clone();
        let states = deliveries.as_array().unwrap().iter();
        states
            .filter(|delivery| delivery["state"] == "sent")
            .count()
            == 2
    })
    .await;
    let deliveries = service.get(&detail).await["deliveries"].clone();
    assert_eq!(deliveries[0]["id"], received[0].id);
    assert_eq!(deliveries[1]["kind"], "resolved");
    service.end().await;

    let (mut alerts, mut deliveries) = (Vec::new(), Vec::new());
    for event in bed.emitted().await {
        match event.payload.unwrap() {
            Payload::AlertChanged(changed) => alerts.push(changed.after()),
            Payload::DeliveryChanged(changed) => deliveries.push((changed.kind(), changed.state())),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(alerts, [AlertState::Firing, AlertState::Resolved]);
    assert_eq!(
        deliveries,
        [
            (DeliveryKind::Firing, DeliveryState::Pending),
            (DeliveryKind::Firing, DeliveryState::Sent),
            (DeliveryKind::Resolved, DeliveryState::Pending),
            (DeliveryKind::Resolved, DeliveryState::Sent),
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_crossing_is_corrected_with_what_was_sent() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    let event_id = bed.publish(entered("p")).await;
    eventually(DEADLINE, async || receiver.accepted().len() == 1).await;
    let withdrawn = ThresholdCrossedEvent {
        revises_event_id: event_id,
        revised_direction: CrossingDirection::Entered.into(),
        withdrawn: true,
        active: Some(false),
        ..crossing("p", CrossingDirection::Revised)
    };
    bed.publish(Payload::ThresholdCrossed(withdrawn)).await;
    eventually(DEADLINE, async || receiver.accepted().len() == 2).await;
    bed.processed().await;
    assert_eq!(titles(&receiver), ["Name of p", "Correction: Name of p"]);
    let text = receiver.all()[1].body["data"]["text"].to_string();
    assert!(text.contains("> Message of p."), "{text}");
    let alerts = service.get("/v1/alerts").await;
    assert_eq!(alerts["alerts"][0]["state"], "withdrawn", "{alerts}");
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_regime_ends_the_one_before() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    let condition =
        json!({"condition": {"kind": "regime", "to": "recession"}, "severity": "critical"});
    service.rule(&channel, condition).await;
    for (from, to) in [
        ("a", "growth"),
        ("growth", "recession"),
        ("recession", "growth"),
    ] {
        bed.publish(transition(from, to)).await;
        bed.processed().await;
        eventually(DEADLINE, async || {
            let pending = service
                .get("/v1/deliveries?state=pending&state=sending")
                .await;
            pending["deliveries"].as_array().unwrap().is_empty()
        })
        .await;
    }
    let expected = ["economy: recession", "Resolved: economy: recession"];
    assert_eq!(titles(&receiver), expected);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_acknowledge_and_resolve_once() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    bed.publish(entered("p")).await;
    eventually(DEADLINE, async || receiver.accepted().len() == 1).await;
    let alerts = service.get("/v1/alerts?state=firing").await;
    let path = format!("/v1/alerts/{}", alerts["alerts"][0]["id"].as_str().unwrap());
    let acknowledge = format!("{path}/acknowledge");
    let acknowledged = service.post(&acknowledge, json!({"note": "seen"})).await;
    assert_eq!(acknowledged["state"], "acknowledged");
    assert_eq!(acknowledged["history"][1]["note"], "seen");
    let again = service.ask_as(None, Method::POST, &acknowledge, None).await;
    assert_eq!(again.0, StatusCode::CONFLICT, "{again:?}");
    let resolved = service
        .ask_as(None, Method::POST, &format!("{path}/resolve"), None)
        .await;
    assert_eq!(resolved.1["state"], "resolved", "{resolved:?}");
    eventually(DEADLINE, async || receiver.accepted().len() == 2).await;
    // The cause ends later: nothing more to end.
    bed.publish(cleared("p")).await;
    bed.processed().await;
    assert_eq!(receiver.all().len(), 2);
    service.end().await;
}
