//! Promise 5: a slow reader harms nobody. It costs bounded memory, delays no publisher and no other
//! reader, and loses nothing.

use std::{collections::HashMap, ops::Range, sync::OnceLock, time::Duration};

use atlas_events::{CustomEvent, Event, PublishRequest, SubscriptionRequest, event::Payload};
use event_log::LogConfig;
use event_stream::StreamConfig;
use futures::{StreamExt, stream};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use pbjson_types::{Struct, Value};
use prost::Message;
use test_support::{TestDatabase, custom_event, eventually};
use tokio::{task::JoinSet, time::timeout};

use crate::common::{Client, DEADLINE, Server, after, next, read, receipts_of};

const PUBLISHERS: u64 = 4;
const EVENTS: u64 = 24_000;
const BATCH_EVENTS: u64 = 20;
/// What a client of the library's own making takes of a stream without reading it, what the server
/// has on its way to the connection, and the batch that it offers next, with room for the sockets.
const IN_TRANSIT_BYTES_MAX: u64 = (2_048 + 400 + 256 + 512) * 1_024;

/// The library's client ends its connection when too many small frames lie unread on it (see
/// `small_frames`). Events that are published in quick succession travel many to a frame, so that
/// a stalled reader here finds its stream where it left it, as small as the events are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stalls_delays_nobody_holds_little_and_loses_nothing() {
    let metrics = metrics();
    let database = TestDatabase::create().await;
    let log_config = LogConfig {
        ring_bytes_max: 512 * 1_024,
        ..LogConfig::default()
    };
    let server = Server::start_with(&database, log_config, StreamConfig::default()).await;
    let request = SubscriptionRequest {
        consumer: "stalled".to_owned(),
        // Markers, but no heartbeat in the time of a test.
        heartbeat_interval: Some(Duration::from_secs(3_600).into()),
        ..after(0)
    };
    let mut stalled = server.client().await.subscribe(request).await;
    let mut quick = server.client().await.subscribe(after(0)).await;
    let quick = tokio::spawn(async move { read(&mut quick, EVENTS as usize).await });
    publish_from_all(&server).await;
    let delivered = timeout(DEADLINE, quick).await.unwrap().unwrap();
    assert!(positions(&delivered) == all());

    let bytes: usize = delivered.iter().map(|event| 5 + event.encoded_len()).sum();
    let lag_min = EVENTS - IN_TRANSIT_BYTES_MAX / (bytes as u64 / EVENTS);
    assert!(lag_min > EVENTS / 3, "too few events to measure a lag");
    eventually(DEADLINE, async || lag_of("stalled", metrics) >= lag_min).await;

    let mut found = Vec::new();
    let mut fell_behind = 0;
    while found.len() < all().len() {
        let event = next(&mut stalled).await.expect("the connection has lived");
        match event.payload {
            Some(Payload::FellBehind(marker)) => {
                assert_eq!(marker.position, found.len() as u64);
                assert!(marker.head_position > marker.position);
                fell_behind += 1;
            }
            Some(Payload::CaughtUp(_)) => {}
            _ => found.push(event.position),
        }
    }
    assert!(found == all());
    assert!(fell_behind > 0);
    eventually(DEADLINE, async || lag_of("stalled", metrics) == 0).await;
}

async fn publish_from_all(server: &Server) {
    let mut publishing = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let each = EVENTS / PUBLISHERS;
        let client = server.client().await;
        publishing.spawn(publish(client, publisher * each..(publisher + 1) * each));
    }
    let published = timeout(DEADLINE, publishing.join_all()).await;
    published.expect("publishers are not delayed by a reader");
}

/// Publishes events as quickly as it can, and waits for their acknowledgements.
async fn publish(mut client: Client, numbers: Range<u64>) {
    let batches = numbers.clone().step_by(BATCH_EVENTS as usize);
    let requests = batches.map(|first| PublishRequest {
        events: (first..first + BATCH_EVENTS)
            .map(event_of_any_size)
            .collect(),
        ..PublishRequest::default()
    });
    let requests: Vec<_> = requests.collect();
    let answers = client
        .publisher
        .publish_stream(stream::iter(requests))
        .await;
    let answers: Vec<_> = answers.unwrap().into_inner().collect().await;
    let receipts = answers
        .into_iter()
        .flat_map(|answer| receipts_of(answer.unwrap()));
    assert_eq!(receipts.count() as u64, numbers.end - numbers.start);
}

/// Every other event is small; those between make up for the volume.
fn event_of_any_size(n: u64) -> Event {
    let text_bytes = if n.is_multiple_of(2) { 0 } else { 500 };
    Event {
        payload: Some(Payload::Custom(CustomEvent {
            r#type: "T".to_owned(),
            data: Some(Struct::from(HashMap::from([(
                "text".to_owned(),
                Value::from("x".repeat(text_bytes)),
            )]))),
        })),
        ..small_event(n)
    }
}

/// As few bytes as an event can have, or nearly so.
pub(crate) fn small_event(n: u64) -> Event {
    Event {
        source_service: "s".to_owned(),
        payload: Some(Payload::Custom(CustomEvent {
            r#type: "T".to_owned(),
            data: None,
        })),
        ..custom_event(n)
    }
}

fn all() -> Vec<u64> {
    (1..=EVENTS).collect()
}

fn positions(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.position).collect()
}

/// The metrics of this process, which other tests may share.
pub(crate) fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).unwrap();
        handle
    })
}

/// How many events a consumer lags behind, according to the metrics.
fn lag_of(consumer: &str, metrics: &PrometheusHandle) -> u64 {
    let name = format!("atlas_consumer_lag_events{{consumer=\"{consumer}\"}} ");
    let rendered = metrics.render();
    let line = rendered.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |lag| lag.parse().unwrap())
}
