//! Clients as anybody has them, for what attackers ask with them and to look at the result.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use atlas_events::{
    CustomEvent, Event, GetLogInfoRequest, PublishRequest, TimeRangeRequest, Timestamp,
    event::Payload, event_log_client::EventLogClient, event_publisher_client::EventPublisherClient,
    event_stream_client::EventStreamClient,
};
use pbjson_types::Struct;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::{Channel, Endpoint};

use crate::{
    target::Process,
    target::Target,
    wire::{ANSWER_TIMEOUT, with_token},
};

/// The source service of all that attackers publish.
pub(crate) const SOURCE: &str = "Attack";

/// A connection for generated clients.
pub(crate) async fn channel(address: SocketAddr) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    Ok(timeout(ANSWER_TIMEOUT, endpoint.connect()).await??)
}

/// A custom event.
pub(crate) fn custom(r#type: &str, data: Option<Struct>) -> Event {
    let custom = CustomEvent {
        r#type: r#type.to_owned(),
        data,
    };
    event(Payload::Custom(custom))
}

/// An event of the attacker.
pub(crate) fn event(payload: Payload) -> Event {
    Event {
        source_service: SOURCE.to_owned(),
        payload: Some(payload),
        ..Event::default()
    }
}

/// Publishes a batch; the positions.
pub(crate) async fn publish(
    channel: &Channel,
    token: &str,
    events: Vec<Event>,
) -> Result<Vec<u64>> {
    let request = PublishRequest {
        events,
        ..PublishRequest::default()
    };
    let mut client = EventPublisherClient::new(channel.clone());
    let stored = client.publish(with_token(request, token)).await?;
    let receipts = stored.into_inner().receipts;
    Ok(receipts.into_iter().map(|r| r.position).collect())
}

/// The last position of a log.
pub(crate) async fn last_position(channel: &Channel, token: &str) -> Result<u64> {
    let mut client = EventLogClient::new(channel.clone());
    let info = client.get_log_info(with_token(GetLogInfoRequest {}, token));
    Ok(info.await?.into_inner().last_position)
}

/// All events between two times that filters let through.
pub(crate) async fn between(
    channel: &Channel,
    token: &str,
    (start, end): (Timestamp, Timestamp),
    event_types: Vec<String>,
) -> Result<Vec<Event>, tonic::Status> {
    let request = TimeRangeRequest {
        start_from: Some(start),
        end_at: Some(end),
        event_types,
        ..TimeRangeRequest::default()
    };
    let mut client = EventStreamClient::new(channel.clone());
    let stream = client.get_events_between(with_token(request, token)).await;
    let mut stream = stream?.into_inner();
    let mut events = Vec::new();
    while let Some(event) = stream.message().await? {
        events.push(event);
    }
    Ok(events)
}

/// A client of REST.
pub(crate) fn rest() -> Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(ANSWER_TIMEOUT);
    Ok(client.build()?)
}

/// Sends JSON text; the status and what it says.
pub(crate) async fn post(
    process: &Process,
    path: &str,
    token: &str,
    body: String,
) -> Result<(u16, Value)> {
    let request = rest()?.post(format!("http://{}{path}", process.rest));
    let request = request.bearer_auth(token).body(body);
    let answer = request.header("content-type", "application/json").send();
    let answer = answer.await.with_context(|| format!("POST {path}"))?;
    let status = answer.status().as_u16();
    let text = answer.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
}

/// Reads JSON; the status and what it says.
pub(crate) async fn get(process: &Process, path: &str, token: &str) -> Result<(u16, Value)> {
    let request = rest()?.get(format!("http://{}{path}", process.rest));
    let answer = request.bearer_auth(token).send().await;
    let answer = answer.with_context(|| format!("GET {}", clipped(path)))?;
    let status = answer.status().as_u16();
    let text = answer.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
}

/// The beginning of a text.
pub(crate) fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(120)]
}

/// How many lines `/metrics` has.
pub(crate) async fn metrics_lines(process: &Process) -> Result<usize> {
    let url = format!("http://{}/metrics", process.rest);
    let answer = rest()?.get(url).send().await?.error_for_status()?;
    let text = answer.text().await?;
    Ok(text.lines().filter(|line| !line.starts_with('#')).count())
}

/// Waits until the engine has processed a position of the collector's log, and parked nothing more.
pub(crate) async fn engine_reaches(target: &Target, position: u64) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let token = target.tokens.full.expose();
    let began = Instant::now();
    loop {
        let (status, reply) = get(&target.engine, "/v1/checkpoints", token).await?;
        ensure!(status == 200, "/v1/checkpoints: {status} {reply}");
        let reached = reply["checkpoints"][0]["position"].as_u64();
        if reached.is_some_and(|reached| reached >= position) {
            return Ok(());
        }
        let since = began.elapsed();
        ensure!(
            since < PATIENCE,
            "the engine is not at {position} but: {reply}"
        );
        sleep(Duration::from_millis(50)).await;
    }
}
