//! An engine that follows a collector which asks it who it is.

use std::time::Duration;

use atlas_events::{
    Event, ListCheckpointsRequest, PublishRequest, ResetCheckpointRequest, SubscriptionRequest,
    TimeRangeRequest, checkpoints_client::CheckpointsClient, event::Payload,
    event_publisher_client::EventPublisherClient, event_stream_client::EventStreamClient,
    reset_checkpoint_request::Target,
};
use serde_json::Value;
use test_support::{eventually, series_event};
use tokio::time::timeout;
use tonic::{Code, Streaming, transport::Channel};

use crate::harness::{DEADLINE, Place, Running, with_token};

const BOTH: [&str; 4] = ["--scope", "read", "--scope", "publish"];

fn vix(n: u64, date: &str, value: &str) -> Event {
    series_event(n, "VIXCLS", date, value)
}

async fn publish(channel: &Channel, token: &str, events: Vec<Event>) {
    let mut publisher = EventPublisherClient::new(channel.clone());
    let request = with_token(
        PublishRequest {
            events,
            ..PublishRequest::default()
        },
        token,
    );
    publisher.publish(request).await.unwrap();
}

/// The events of an engine, from the beginning.
async fn follow(channel: Channel, token: &str) -> Streaming<Event> {
    let mut client = EventStreamClient::new(channel);
    let request = SubscriptionRequest {
        after_position: Some(0),
        event_types: vec!["ThresholdCrossedEvent".to_owned()],
        ..SubscriptionRequest::default()
    };
    let stream = client.subscribe_to_events(with_token(request, token));
    stream.await.unwrap().into_inner()
}

/// Waits for the crossing of the pattern about the VIX at a date.
async fn crossed(stream: &mut Streaming<Event>, date: &str) {
    let waiting = async {
        loop {
            let event = stream.message().await.unwrap().unwrap();
            if let Some(Payload::ThresholdCrossed(crossed)) = event.payload
                && crossed.pattern_id == "vix-above-30"
                && crossed.observation_date == date
            {
                return;
            }
        }
    };
    timeout(DEADLINE, waiting).await.unwrap();
}

/// Reads REST of a service with the token of a file.
async fn get(place: &Place, server: &Running, token: &str, path: &str) -> (u16, Value) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = reqwest::Certificate::from_pem(place.authority.pem.as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([authority])
        .no_proxy()
        .timeout(DEADLINE)
        .build()
        .unwrap();
    let token = std::fs::read_to_string(token).unwrap();
    let request = client.get(format!("{}{path}", server.rest));
    let answer = request.bearer_auth(token.trim()).send().await.unwrap();
    let status = answer.status().as_u16();
    (
        status,
        serde_json::from_str(&answer.text().await.unwrap()).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_over_tls_with_a_token_and_goes_on_with_the_next_one() {
    let place = Place::create().await;
    let publisher = place.new_token("publisher", "collector.toml", &BOTH);
    let only_publisher = std::fs::read_to_string(place.folder.file("collector.toml")).unwrap();
    let token = place.new_token("engine", "collector.toml", &["--scope", "read"]);
    let reader = place.new_token("reader", "engine.toml", &["--scope", "read"]);
    let collector = place.collector("collector.toml", &[]).await;
    let credential = format!("consumer.token_file={token}");
    let engine = place
        .engine("engine.toml", &collector, &[&credential])
        .await;
    let to_collector = place.channel(&collector).await;
    let mut emitted = follow(place.channel(&engine).await, &reader).await;
    let first = vec![vix(1, "2024-08-02", "23.39"), vix(2, "2024-08-05", "38.57")];
    publish(&to_collector, &publisher, first).await;
    crossed(&mut emitted, "2024-08-05").await;

    // The engine's token is revoked; what happens meanwhile waits for it.
    place.folder.write("collector.toml", &only_publisher);
    let mut probe = EventStreamClient::new(to_collector.clone());
    eventually(DEADLINE, async || {
        let asked = probe.get_latest_event_time(with_token((), &token)).await;
        asked.is_err_and(|status| status.code() == Code::Unauthenticated)
    })
    .await;
    let next = vec![vix(3, "2024-08-06", "20.00"), vix(4, "2024-08-07", "40.00")];
    publish(&to_collector, &publisher, next).await;
    let silence = timeout(
        Duration::from_millis(500),
        crossed(&mut emitted, "2024-08-07"),
    );
    assert!(silence.await.is_err(), "it goes on without a token");

    // A new one in the same file, and it goes on where it was.
    let renewed = place.new_token("engine", "collector.toml", &["--scope", "read"]);
    assert_eq!(renewed, token);
    crossed(&mut emitted, "2024-08-07").await;
    engine.stop().await;
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_presents_its_certificate_where_that_is_asked_for() {
    let place = Place::create().await;
    let publisher = place.new_token("publisher", "collector.toml", &BOTH);
    let reader = place.new_token("reader", "engine.toml", &["--scope", "read"]);
    let known = "[[token]]\nname = \"engine\"\ncertificate = \"CN=engine\"\nscopes = [\"read\"]\n";
    let tokens = std::fs::read_to_string(place.folder.file("collector.toml")).unwrap();
    place
        .folder
        .write("collector.toml", &format!("{tokens}\n{known}"));
    let shown = place.authority.client("engine");
    let certificate = place.folder.write("engine.pem", &shown.certificate);
    let key = place.folder.write("engine.key", &shown.key);
    let ca = format!("grpc.tls_client_ca={}", place.folder.file("ca.pem"));
    let optional = "tls.client_auth=optional";
    let collector = place.collector("collector.toml", &[&ca, optional]).await;
    let certificate = format!("consumer.certificate={certificate}");
    let key = format!("consumer.key={key}");
    let engine = place
        .engine("engine.toml", &collector, &[&certificate, &key])
        .await;
    let mut emitted = follow(place.channel(&engine).await, &reader).await;
    let to_collector = place.channel(&collector).await;
    let events = vec![vix(1, "2024-08-02", "23.39"), vix(2, "2024-08-05", "38.57")];
    publish(&to_collector, &publisher, events).await;
    crossed(&mut emitted, "2024-08-05").await;
    engine.stop().await;
    collector.stop().await;
}

/// To a consumer that may see a part of a log, the positions of the rest are not missing.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_for_some_series_it_consumes_those() {
    let place = Place::create().await;
    let publisher = place.new_token("publisher", "collector.toml", &BOTH);
    let limited = ["--scope", "read", "--series", "VIXCLS"];
    let token = place.new_token("engine", "collector.toml", &limited);
    let reader = place.new_token("reader", "engine.toml", &["--scope", "read"]);
    let tenant = ["--scope", "read", "--series", "UNRATE"];
    let tenant = place.new_token("tenant", "engine.toml", &tenant);
    let collector = place.collector("collector.toml", &[]).await;
    let credential = format!("consumer.token_file={token}");
    let engine = place
        .engine("engine.toml", &collector, &[&credential])
        .await;
    let mut emitted = follow(place.channel(&engine).await, &reader).await;
    let to_collector = place.channel(&collector).await;
    let events = vec![
        series_event(1, "UNRATE", "2024-07-01", "4.3"),
        vix(2, "2024-08-02", "23.39"),
        series_event(3, "UNRATE", "2024-08-01", "4.2"),
        vix(4, "2024-08-05", "38.57"),
    ];
    publish(&to_collector, &publisher, events).await;
    crossed(&mut emitted, "2024-08-05").await;
    let (_, inputs) = get(&place, &engine, &reader, "/v1/inputs").await;
    let observed = |id: &str| {
        let inputs = inputs["inputs"].as_array().unwrap().iter();
        let input = inputs.into_iter().find(|input| input["series"] == id);
        input.is_some_and(|input| !input["value"].is_null())
    };
    assert!(observed("VIXCLS"), "{inputs}");
    assert!(!observed("UNRATE"), "{inputs}");

    // A tenant of the engine knows nothing of patterns over what is another's.
    let (status, _) = get(&place, &engine, &tenant, "/v1/patterns/vix-above-30").await;
    assert_eq!(status, 404);
    let (status, _) = get(&place, &engine, &reader, "/v1/patterns/vix-above-30").await;
    assert_eq!(status, 200);
    let (_, listed) = get(&place, &engine, &tenant, "/v1/patterns").await;
    assert!(!listed.to_string().contains("VIXCLS"), "{listed}");
    let (_, regimes) = get(&place, &engine, &tenant, "/v1/regimes").await;
    assert_eq!(regimes["regimes"], Value::Array(Vec::new()));
    let mut stream = EventStreamClient::new(place.channel(&engine).await);
    // Of the log it sees which patterns over its own series are deployed, and nothing else.
    let all = with_token(TimeRangeRequest::default(), &tenant);
    let mut seen = stream.get_events_since(all).await.unwrap().into_inner();
    let mut deployed = 0;
    while let Some(event) = seen.message().await.unwrap() {
        let Some(Payload::DefinitionChanged(changed)) = &event.payload else {
            panic!("{event:?}");
        };
        assert_eq!(changed.series_ids, ["UNRATE"], "{changed:?}");
        deployed += 1;
    }
    assert!(deployed > 0);
    engine.stop().await;
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moving_its_checkpoint_needs_an_administrator_and_is_recorded() {
    let place = Place::create().await;
    let token = place.new_token("engine", "collector.toml", &["--scope", "read"]);
    let publisher = place.new_token("publisher", "collector.toml", &BOTH);
    let reader = place.new_token("reader", "engine.toml", &["--scope", "read"]);
    let admin = place.new_token("operator", "engine.toml", &["--scope", "admin"]);
    let collector = place.collector("collector.toml", &[]).await;
    let credential = format!("consumer.token_file={token}");
    let engine = place
        .engine("engine.toml", &collector, &[&credential])
        .await;
    let to_collector = place.channel(&collector).await;
    publish(
        &to_collector,
        &publisher,
        vec![vix(1, "2024-08-02", "23.39")],
    )
    .await;
    let mut checkpoints = CheckpointsClient::new(place.channel(&engine).await);
    eventually(DEADLINE, async || {
        let request = with_token(ListCheckpointsRequest {}, &admin);
        let listed = checkpoints.list_checkpoints(request).await.unwrap();
        !listed.into_inner().checkpoints.is_empty()
    })
    .await;
    let listed = checkpoints.list_checkpoints(with_token(ListCheckpointsRequest {}, &reader));
    assert_eq!(listed.await.unwrap_err().code(), Code::PermissionDenied);
    let reset = || ResetCheckpointRequest {
        source: "collector".to_owned(),
        target: Some(Target::Beginning(true)),
    };
    let refused = checkpoints.reset_checkpoint(with_token(reset(), &reader));
    assert_eq!(refused.await.unwrap_err().code(), Code::PermissionDenied);
    let done = checkpoints.reset_checkpoint(with_token(reset(), &admin));
    done.await.unwrap();
    let (_, page) = get(&place, &engine, &admin, "/v1/audit").await;
    let actions = page["actions"].as_array().unwrap().iter();
    let recorded: Vec<_> = actions
        .map(|action| ["who", "action", "outcome"].map(|member| action[member].as_str().unwrap()))
        .collect();
    let rpc = "atlas.events.Checkpoints/ResetCheckpoint";
    let expected = [["operator", rpc, "ok"], ["reader", rpc, "PermissionDenied"]];
    assert_eq!(recorded, expected);
    let detail = page["actions"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("collector"), "{detail}");
    engine.stop().await;
    collector.stop().await;
}
