//! Filters that ask for what belongs to others, or for too much.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use atlas_events::{
    Event, SubscriptionRequest, TimeRangeRequest, Timestamp, event::Payload,
    event_stream_client::EventStreamClient,
};
use chrono::{TimeDelta, Utc};
use prost::Message;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming, transport::Channel};

use crate::{
    clients,
    target::Target,
    trial::Attack,
    wire::{Call, Connection, with_token},
};

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "filters-of-others",
            "a token for custom:A asks for everything, in every way, 1 to 1,001 times",
            |target| Box::pin(of_others(target)),
        )
        .quick()
        .memory_mib(128),
        Attack::new(
            "filters-large",
            "filters of 4 MB, of a million entries and of one entry",
            |target| Box::pin(large(target)),
        )
        .memory_mib(192),
    ]
}

/// What a tenant may ask for that is not its own.
fn asked() -> Vec<Vec<String>> {
    let repeated = |what: &str, count: usize| vec![what.to_owned(); count];
    let mut mixed = repeated("custom:A", 500);
    mixed.push("CustomEvent".to_owned());
    let mut all = vec!["custom:A".to_owned()];
    all.extend((0..500).map(|n| format!("custom:B{n}")));
    vec![
        Vec::new(),
        repeated("CustomEvent", 1),
        repeated("CustomEvent", 501),
        repeated("CustomEvent", 1_000),
        repeated("CustomEvent", 1_001),
        repeated("custom:A", 501),
        repeated("custom:B", 501),
        repeated("SeriesCollectedEvent", 501),
        mixed,
        all,
    ]
}

async fn of_others(target: &Target) -> Result<String> {
    let (full, tenant) = (target.tokens.full.expose(), target.tokens.tenant.expose());
    let channel = clients::channel(target.collector.grpc).await?;
    let types = ["A", "B", "A", "B0", "B"];
    let events = types.map(|name| clients::custom(name, None)).to_vec();
    clients::publish(&channel, full, events).await?;
    let stolen = clients::publish(&channel, tenant, vec![clients::custom("B", None)]).await;
    ensure!(stolen.is_err(), "it publishes custom:B");
    let (mut seen, mut refused) = (0, 0);
    for types in asked() {
        let what = format!("{:?} × {}", types.first(), types.len());
        for way in [Way::Since, Way::Between, Way::Subscribe, Way::Rest] {
            match ask(target, &channel, way, &types, tenant).await? {
                Answer::Types(answer) => {
                    let others = answer.iter().find(|name| *name != "A");
                    ensure!(others.is_none(), "{way:?}, {what}: got {others:?}");
                    seen += answer.len();
                }
                Answer::Refused => refused += 1,
            }
        }
    }
    ensure!(seen > 0, "it does not even get its own");
    Ok(format!(
        "{seen} events of its own, none of others; {refused} requests refused"
    ))
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Since,
    Between,
    Subscribe,
    Rest,
}

/// What came of a request.
enum Answer {
    /// The types of custom events, `other` for others.
    Types(Vec<String>),
    Refused,
}

async fn ask(
    target: &Target,
    channel: &Channel,
    way: Way,
    types: &[String],
    token: &str,
) -> Result<Answer> {
    let mut client = EventStreamClient::new(channel.clone());
    let (start, end) = (
        Utc::now() - TimeDelta::hours(1),
        Utc::now() + TimeDelta::hours(1),
    );
    let range = TimeRangeRequest {
        start_from: Some(Timestamp::from(start)),
        end_at: None,
        event_types: types.to_vec(),
        series_ids: Vec::new(),
    };
    let stream = match way {
        Way::Since => client.get_events_since(with_token(range, token)).await,
        Way::Between => {
            let range = TimeRangeRequest {
                end_at: Some(Timestamp::from(end)),
                ..range
            };
            client.get_events_between(with_token(range, token)).await
        }
        Way::Subscribe => {
            let request = SubscriptionRequest {
                after_position: Some(0),
                event_types: types.to_vec(),
                ..SubscriptionRequest::default()
            };
            client.subscribe_to_events(with_token(request, token)).await
        }
        Way::Rest => return ask_rest(target, types, token).await,
    };
    match stream {
        Ok(stream) => types_of(stream.into_inner()).await,
        Err(status) => refused(&status),
    }
}

fn refused(status: &Status) -> Result<Answer> {
    match status.code() {
        Code::PermissionDenied | Code::InvalidArgument => Ok(Answer::Refused),
        _ => bail!("{status}"),
    }
}

/// What a stream holds: all of it, or of one without an end what comes before a silence.
async fn types_of(mut stream: Streaming<Event>) -> Result<Answer> {
    let mut types = Vec::new();
    while let Ok(next) = timeout(Duration::from_millis(500), stream.message()).await {
        match next {
            Ok(Some(event)) => types.push(match event.payload {
                Some(Payload::Custom(custom)) => custom.r#type,
                _ => "other".to_owned(),
            }),
            Ok(None) => break,
            Err(status) => return refused(&status),
        }
    }
    Ok(Answer::Types(types))
}

async fn ask_rest(target: &Target, types: &[String], token: &str) -> Result<Answer> {
    let query: String = types
        .iter()
        .map(|name| format!("&event_type={name}"))
        .collect();
    let path = format!("/v1/events?limit=1000{query}");
    let (status, answer) = clients::get(&target.collector, &path, token).await?;
    match status {
        200 => {
            let events = answer["events"].as_array().cloned().unwrap_or_default();
            let type_of = |event: &serde_json::Value| {
                let name = event["custom"]["type"].as_str();
                name.unwrap_or("other").to_owned()
            };
            Ok(Answer::Types(events.iter().map(type_of).collect()))
        }
        400 | 403 | 414 | 431 => Ok(Answer::Refused),
        _ => bail!("REST: {status} {}", clients::clipped(&answer.to_string())),
    }
}

async fn large(target: &Target) -> Result<String> {
    let token = target.tokens.full.expose();
    let connection = Connection::open(target.collector.grpc).await?;
    let lists = [
        ("one entry of 4 MB", vec!["x".repeat(4_000_000)]),
        ("a million empty entries", vec![String::new(); 1_000_000]),
        ("2,000 entries", vec!["custom:A".to_owned(); 2_000]),
        (
            "900 entries of 200 bytes",
            vec![format!("custom:{}", "A".repeat(200)); 900],
        ),
    ];
    for (what, list) in &lists {
        for in_types in [true, false] {
            let (types, series) = match in_types {
                true => (list.clone(), Vec::new()),
                false => (Vec::new(), list.clone()),
            };
            let range = TimeRangeRequest {
                end_at: Some(Timestamp::from(Utc::now())),
                event_types: types.clone(),
                series_ids: series.clone(),
                ..TimeRangeRequest::default()
            };
            let subscription = SubscriptionRequest {
                event_types: types,
                series_ids: series,
                ..SubscriptionRequest::default()
            };
            let calls = [
                ("EventStream/GetEventsSince", range.encode_to_vec()),
                ("EventStream/GetEventsBetween", range.encode_to_vec()),
                (
                    "EventStream/SubscribeToEvents",
                    subscription.encode_to_vec(),
                ),
            ];
            for (method, message) in calls {
                let answer = connection.call(Call::new(method, token), &message).await?;
                let allowed = [Code::ResourceExhausted, Code::InvalidArgument];
                ensure!(
                    allowed.contains(&answer.code),
                    "{method}, {what}: {answer:?}"
                );
            }
        }
    }
    for length in [20_000, 300_000, 4_000_000] {
        let path = format!("/v1/events?event_type={}", "x".repeat(length));
        // Closed is as good as answered.
        if let Ok((status, _)) = clients::get(&target.collector, &path, token).await {
            ensure!(
                [400, 414, 431].contains(&status),
                "a query of {length} bytes: {status}"
            );
        }
    }
    Ok("all are RESOURCE_EXHAUSTED or INVALID_ARGUMENT, or 400, 414, 431".to_owned())
}
