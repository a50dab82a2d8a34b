//! Two tenants, each with a channel and a rule for the crossings of its team.

use std::collections::BTreeMap;

use access::{Entry, Identity, Scope, Secret, render};
use atlas_events::{CrossingDirection, event::Payload};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use test_support::eventually;

use super::{
    bed::{Bed, DEADLINE, crossing},
    receiver::Receiver,
};

pub(crate) const TEAMS: [&str; 2] = ["a", "b"];
/// So many crossings of the second team are one group.
const LOT: usize = 7;

/// Makes them; each channel leads to the path of its team. The second tenant wants one message for each lot of
/// crossings. Gives the setting by which services know the two.
pub(crate) async fn make_teams(bed: &Bed, receiver: &Receiver) -> String {
    let scopes = vec![Scope::AlertsRead, Scope::AlertsWrite];
    let tokens = TEAMS.map(|name| {
        let secret = Secret::generate().unwrap();
        let entry = Entry::new(name, Identity::Token(secret.hash()), scopes.clone());
        (name, secret.expose().to_owned(), render(&entry))
    });
    let file: String = tokens.iter().map(|(_, _, entry)| entry.as_str()).collect();
    let setting = format!("auth.tokens_file={}", bed.file("tokens.toml", &file));
    let service = bed.start_with(std::slice::from_ref(&setting)).await;
    for (name, token, _) in &tokens {
        let ask = async |method, path: &str, body: Value| {
            let made = service.ask_as(Some(token), method, path, Some(body)).await;
            let expected = [StatusCode::OK, StatusCode::CREATED];
            assert!(expected.contains(&made.0), "{made:?}");
            made.1["id"].clone()
        };
        let configuration = json!({"kind": "webhook", "url": receiver.url(name)});
        let channel = json!({"name": "c", "configuration": configuration});
        let channel = ask(Method::POST, "/v1/channels", channel).await;
        let condition = json!({"kind": "pattern", "labels": {"team": name}});
        let rule = json!({"name": "r", "condition": condition, "channels": [channel]});
        ask(Method::POST, "/v1/rules", rule).await;
        if *name == "b" {
            let grouping = json!({"by": ["lot"], "wait_seconds": 1, "interval_seconds": 0});
            let preferences = json!({"version": 0, "preferences": {"grouping": grouping}});
            ask(Method::PUT, "/v1/preferences", preferences).await;
        }
    }
    service.end().await;
    setting
}

/// Publishes the crossing of each team of a number.
pub(crate) async fn publish(bed: &Bed, number: usize) {
    for team in TEAMS {
        let mut payload = crossing(&format!("{team}{number}"), CrossingDirection::Entered);
        payload.labels = [
            ("team".to_owned(), team.to_owned()),
            ("lot".to_owned(), (number / LOT).to_string()),
        ]
        .into();
        bed.publish(Payload::ThresholdCrossed(payload)).await;
    }
}

/// A delivery with what it is about.
#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    alert_id: String,
    state: String,
    suppressed_by: Option<String>,
    suppressor: Option<String>,
    team: String,
    is_of_one_tenant: bool,
}

/// Waits until nothing is to be sent any more. Then the message of each crossing was accepted at the path of its team,
/// or that of its group, which names it; each with one id, and the same content whenever it came.
pub(crate) async fn every_delivery_arrived(bed: &Bed, receiver: &Receiver) {
    let pool = bed.pool().await;
    eventually(DEADLINE, async || {
        let open = "select count(*) from deliveries where state in ('pending', 'sending')";
        let open: i64 = sqlx::query_scalar(open).fetch_one(&pool).await.unwrap();
        open == 0
    })
    .await;
    let rows: Vec<Row> = sqlx::query_as(
        "select d.id, d.alert_id, d.state, d.suppressed_by, d.suppressor, a.labels->>'team' as team,
             d.tenant = a.labels->>'team' and a.tenant = d.tenant and c.tenant = d.tenant as is_of_one_tenant
         from deliveries d join alerts a on a.id = d.alert_id join channels c on c.id = d.channel_id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let last = bed.log.head().await.unwrap().last_position;
    assert_eq!(rows.len() as u64, last, "one delivery for each crossing");
    let mut bodies: BTreeMap<String, (String, Value)> = BTreeMap::new();
    for received in receiver.all() {
        let now = (received.path, received.body);
        let first = bodies.entry(received.id).or_insert_with(|| now.clone());
        assert_eq!(*first, now, "one id stands for one message");
    }
    let mut arrived: BTreeMap<String, String> = BTreeMap::new();
    for received in receiver.accepted() {
        arrived.insert(received.id, received.path);
    }
    for row in &rows {
        let id = match (&*row.state, &row.suppressed_by) {
            ("sent", None) => &row.id,
            ("suppressed", Some(reason)) if reason == "grouped" => row.suppressor.as_ref().unwrap(),
            other => panic!("{}: {other:?}", row.id),
        };
        assert!(row.is_of_one_tenant, "{}", row.id);
        assert_eq!(arrived.get(id), Some(&row.team), "{id}");
        let alert = &bodies[id].1["data"]["alert"];
        let is_named = match alert["grouped_alert_ids"].as_array() {
            Some(ids) => ids.iter().any(|id| *id == *row.alert_id),
            None => alert["alert_id"] == *row.alert_id,
        };
        assert!(is_named, "{} is not named: {alert}", row.alert_id);
    }
    let known: std::collections::BTreeSet<_> = rows.iter().map(|row| &row.id).collect();
    assert!(bodies.keys().all(|id| known.contains(id)));
}
