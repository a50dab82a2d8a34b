//! What keeps messages back, or keeps them for later, by a clock that is moved.

mod escalations;
mod groups;
mod inhibitions;
mod instances;
mod limits;
mod links;
mod quiet_hours;
mod silences;
mod telegram;
mod unsubscribe;

use std::collections::BTreeMap;

use atlas_events::{CrossingDirection, event::Payload};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use test_support::eventually;

use crate::bed::{Bed, DEADLINE, Running, crossing};

/// A pattern is entered, with a severity and labels.
fn entered_with(pattern: &str, severity: &str, labels: &[(&str, &str)]) -> Payload {
    let mut crossed = crossing(pattern, CrossingDirection::Entered);
    severity.clone_into(&mut crossed.severity);
    let labels = labels.iter();
    crossed.labels = labels
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Payload::ThresholdCrossed(crossed)
}

/// Replaces what the caller prefers.
pub(crate) async fn prefer(service: &Running, preferences: Value) {
    let version = service.get("/v1/preferences").await["version"].clone();
    let body = json!({"version": version, "preferences": preferences});
    let answer = service
        .ask_as(None, Method::PUT, "/v1/preferences", Some(body))
        .await;
    assert_eq!(answer.0, StatusCode::OK, "{answer:?}");
}

/// Publishes and waits until it is processed.
async fn happens(bed: &Bed, payload: Payload) {
    bed.publish(payload).await;
    bed.processed().await;
}

/// Every delivery, by pattern, kind and step: its state, or the reason of a suppressed one.
async fn outcomes(service: &Running) -> BTreeMap<(String, String, i64), String> {
    let mut outcomes = BTreeMap::new();
    for alert in service.get("/v1/alerts?limit=1000").await["alerts"]
        .as_array()
        .unwrap()
    {
        let path = format!("/v1/alerts/{}", alert["id"].as_str().unwrap());
        for delivery in service.get(&path).await["deliveries"].as_array().unwrap() {
            let text = |field: &str| delivery[field].as_str().unwrap_or_default().to_owned();
            let pattern = alert["labels"]["pattern"].as_str().unwrap().to_owned();
            let key = (pattern, text("kind"), delivery["step"].as_i64().unwrap());
            let outcome = match delivery["suppressed_by"].as_str() {
                Some(reason) => reason.to_owned(),
                None => text("state"),
            };
            // The newest alert comes first.
            outcomes.entry(key).or_insert(outcome);
        }
    }
    outcomes
}

/// Waits until a delivery of step 0 is in a state, or suppressed for a reason.
async fn becomes(service: &Running, pattern: &str, kind: &str, expected: &str) {
    let key = (pattern.to_owned(), kind.to_owned(), 0);
    eventually(DEADLINE, async || {
        outcomes(service).await.get(&key).map(String::as_str) == Some(expected)
    })
    .await;
}

/// The delivery of a pattern's alert of a kind, of step 0.
async fn delivery(service: &Running, pattern: &str, kind: &str) -> Value {
    let alert = alert(service, pattern).await;
    let deliveries = alert["deliveries"].as_array().unwrap().iter();
    let mut wanted = deliveries.filter(|one| one["kind"] == kind && one["step"] == 0);
    wanted.next().cloned().unwrap_or_default()
}

/// The newest alert of a pattern, with its deliveries.
async fn alert(service: &Running, pattern: &str) -> Value {
    let alerts = service.get("/v1/alerts?limit=1000").await;
    let mut alerts = alerts["alerts"].as_array().unwrap().iter();
    let found = alerts.find(|alert| alert["labels"]["pattern"] == pattern);
    let id = found.unwrap()["id"].as_str().unwrap();
    service.get(&format!("/v1/alerts/{id}")).await
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

/// From an hour before the present of the machine until an hour after it, to the minute.
fn quiet_now(choice: &str) -> Value {
    let at = |offset: i64| (Utc::now() + TimeDelta::minutes(offset)).format("%H:%M");
    json!({
        "zone": "UTC",
        "periods": [{"from": at(-60).to_string(), "to": at(60).to_string()}],
        "choice": choice,
    })
}
