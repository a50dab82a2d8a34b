//! Data that nests deep: what is accepted can be read by everybody.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Result, ensure};
use atlas_events::{Event, Timestamp, event::Payload};
use chrono::{TimeDelta, Utc};
use pbjson_types::{ListValue, Struct, Value, value::Kind};
use tonic::Code;

use crate::{clients, target::Target, trial::Attack};

const TYPE: &str = "Nested";
const DEPTHS: std::ops::RangeInclusive<usize> = 20..=130;

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "nesting",
            "data of depths 20 to 130 over gRPC and REST, and all readers of what was accepted",
            |target| Box::pin(nesting(target)),
        )
        .memory_mib(128),
    ]
}

/// Which parts nest in one another.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Objects,
    Lists,
    Both,
}

fn nested(shape: Shape, depth: usize) -> Value {
    let mut value = Value::from(1.0);
    for level in 1..depth {
        let is_object = match shape {
            Shape::Objects => true,
            Shape::Lists => false,
            Shape::Both => level % 2 == 0,
        };
        let kind = if is_object {
            Kind::StructValue(Struct::from(HashMap::from([("a".to_owned(), value)])))
        } else {
            Kind::ListValue(ListValue {
                values: vec![value],
            })
        };
        value = Value { kind: Some(kind) };
    }
    value
}

fn nested_json(shape: Shape, depth: usize) -> String {
    let (mut before, mut after) = (String::new(), String::new());
    for level in (1..depth).rev() {
        let is_object = match shape {
            Shape::Objects => true,
            Shape::Lists => false,
            Shape::Both => level % 2 == 0,
        };
        before.push_str(if is_object { "{\"a\":" } else { "[" });
        after.insert(0, if is_object { '}' } else { ']' });
    }
    format!("{before}1{after}")
}

async fn nesting(target: &Target) -> Result<String> {
    let token = target.tokens.full.expose();
    let channel = clients::channel(target.collector.grpc).await?;
    let began = Utc::now() - TimeDelta::seconds(1);
    let mut accepted = BTreeSet::new();
    let (mut deepest, mut deepest_rest) = (0, 0);
    for depth in DEPTHS {
        for shape in [Shape::Objects, Shape::Lists, Shape::Both] {
            let fields = HashMap::from([("a".to_owned(), nested(shape, depth))]);
            let event = clients::custom(TYPE, Some(Struct::from(fields)));
            match clients::publish(&channel, token, vec![event]).await {
                Ok(positions) => {
                    accepted.extend(positions);
                    deepest = deepest.max(depth);
                }
                Err(error) => {
                    let status = error.downcast::<tonic::Status>()?;
                    ensure!(status.code() == Code::InvalidArgument, "{depth}: {status}");
                }
            }
            let data = format!("{{\"a\":{}}}", nested_json(shape, depth));
            let body = format!(
                "{{\"sourceService\":\"{}\",\"custom\":{{\"type\":\"{TYPE}\",\"data\":{data}}}}}",
                clients::SOURCE
            );
            let (status, answer) =
                clients::post(&target.collector, "/v1/events", token, body).await?;
            match status {
                201 => {
                    accepted.extend(answer["receipts"][0]["position"].as_u64());
                    deepest_rest = deepest_rest.max(depth);
                }
                400 | 422 => {}
                _ => anyhow::bail!("REST, depth {depth}: {status} {answer}"),
            }
        }
    }
    ensure!(deepest > 0 && deepest_rest > 0, "nothing was accepted");
    let range = (
        Timestamp::from(began),
        Timestamp::from(Utc::now() + TimeDelta::hours(1)),
    );
    let types = vec![format!("custom:{TYPE}")];
    let events = clients::between(&channel, token, range, types).await?;
    let read: BTreeSet<u64> = events.iter().map(|event| event.position).collect();
    ensure!(
        accepted.is_subset(&read),
        "GetEventsBetween lacks what was accepted"
    );
    ensure!(
        events
            .iter()
            .all(|event| matches!(event.payload, Some(Payload::Custom(_)))),
        "what was accepted cannot be delivered"
    );
    read_over_rest(target, &events).await?;
    let last = clients::last_position(&channel, token).await?;
    clients::engine_reaches(target, last).await?;
    let (_, parked) = clients::get(&target.engine, "/v1/parked", token).await?;
    let count = parked["events"].as_array().map(Vec::len);
    ensure!(count == Some(0), "the engine parked events: {parked}");
    Ok(format!(
        "{} accepted, the deepest of {deepest} (gRPC) and {deepest_rest} (REST), all read by gRPC, \
         REST and the engine",
        accepted.len()
    ))
}

async fn read_over_rest(target: &Target, events: &[Event]) -> Result<()> {
    let token = target.tokens.full.expose();
    for event in events {
        let path = format!("/v1/events/{}", event.event_id);
        let (status, answer) = clients::get(&target.collector, &path, token).await?;
        ensure!(status == 200, "{path}: {status}");
        ensure!(answer["custom"]["type"] == TYPE, "{path}: {answer}");
    }
    let path = format!("/v1/events?event_type=custom:{TYPE}&limit=1000");
    let (status, answer) = clients::get(&target.collector, &path, token).await?;
    let count = answer["events"].as_array().map_or(0, Vec::len);
    ensure!(
        status == 200 && count >= events.len(),
        "{path}: {status}, {count} events"
    );
    Ok(())
}
