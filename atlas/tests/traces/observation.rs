use atlas_events::{
    Event, SubscriptionRequest, event::Payload, event_stream_client::EventStreamClient,
};
use fred_stand_in::StandIn;
use test_support::TestDatabase;
use tokio::{net::TcpListener, time::timeout};

use crate::{
    DEADLINE,
    receiver::{Facts, Receiver},
    up::Up,
};

const KEY: &str = "5ec2e70123456789abcdef0123456789";
const HEADER_SECRET: &str = "5ec2e7-of-the-receiver";

/// The first event of a log that fits.
async fn first(url: &str, consumer: &str, fits: impl Fn(&Event) -> bool) -> Event {
    let mut client = EventStreamClient::connect(url.to_owned()).await.unwrap();
    let request = SubscriptionRequest {
        after_position: Some(0),
        consumer: consumer.to_owned(),
        ..SubscriptionRequest::default()
    };
    let stream = client.subscribe_to_events(request).await;
    let mut stream = stream.unwrap().into_inner();
    let found = async {
        loop {
            let event = stream.message().await.unwrap().unwrap();
            if fits(&event) {
                return event;
            }
        }
    };
    timeout(DEADLINE, found).await.unwrap()
}

#[tokio::test]
async fn one_observation_is_followed_from_its_source_to_the_crossing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fred = StandIn::builder().series(["VIXCLS"]).rate_limit(None);
    let fred = fred.start(listener).unwrap();
    let receiver = Receiver::start().await;
    let database = TestDatabase::create().await;
    let mut up = Up::start(
        &database,
        &[
            ("FRED_API_KEY", KEY),
            ("FRED_API_BASE_URL", &format!("{}/fred", fred.base_url())),
            ("FRED__SERIES", "VIXCLS"),
            ("FRED__BACKFILL", "all"),
            ("FRED__REQUEST_INTERVAL_MILLISECONDS", "1"),
            ("TELEMETRY__FILTER", "debug"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint()),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                &format!("authorization={HEADER_SECRET}"),
            ),
            ("OTEL_SERVICE_NAME", "atlas-of-the-test"),
        ],
    );
    let crossed = first(&up.engine, "pager", |event| {
        matches!(&event.payload, Some(Payload::ThresholdCrossed(crossed))
            if crossed.pattern_id == "vix-above-30")
    });
    let crossed = crossed.await;
    let Some(Payload::ThresholdCrossed(crossing)) = &crossed.payload else {
        unreachable!("that was asked for");
    };
    let cause = |event: &Event| event.position == crossing.cause_position;
    let collected = first(&up.collector, "watcher", cause).await;

    let of = |name: &'static str| receiver.span(name, move |span| span.name == name);
    let collect = of("collect").await;
    assert_eq!(collected.traceparent, collect.traceparent());
    assert!(collect.parent_span_id.is_empty());
    assert_eq!(collect.text("atlas.series.id"), "VIXCLS");
    for name in ["fetch", "append", "commit"] {
        let child = receiver.span(name, |span| span.name == name && span.is_child_of(&collect));
        let child = child.await;
        if name == "fetch" {
            assert_eq!(child.text("http.response.status_code"), "200");
        }
    }

    // The engine links to what caused it, and does not go on in its trace.
    let process = receiver.span("process", |span| span.traceparent() == crossed.traceparent);
    let process = process.await;
    assert_eq!(process.name, "process");
    assert!(process.links_to(&collected.traceparent));
    assert!(process.parent_span_id.is_empty());
    assert_ne!(process.trace_id, collect.trace_id);
    assert_eq!(process.text("messaging.system"), "atlas");
    assert_eq!(process.text("messaging.operation.type"), "process");
    assert_eq!(
        process.text("messaging.consumer.group.name"),
        "ThresholdEngine"
    );
    for name in ["evaluate", "emit", "commit"] {
        let child = |span: &_| Facts::is_child_of(span, &process);
        receiver
            .span(name, |span| span.name == name && child(span))
            .await;
    }
    let emit = receiver.span("emit", |span| {
        span.name == "emit" && span.is_child_of(&process)
    });
    let emit = emit.await;
    receiver
        .span("append", |span| {
            span.name == "append" && span.is_child_of(&emit)
        })
        .await;

    let deliver = receiver.span("deliver", |span| {
        span.name == "deliver" && span.links_to(&collected.traceparent)
    });
    let deliver = deliver.await;
    assert_eq!(deliver.text("messaging.consumer.group.name"), "watcher");
    assert_eq!(
        deliver.text("messaging.destination.name"),
        process.text("messaging.destination.name"),
        "the log is the same for who sends and who processes"
    );
    assert_eq!(receiver.resource("service.name"), "atlas-of-the-test");

    // Log lines belong to their trace.
    let line = up
        .lines()
        .into_iter()
        .find(|line| line.contains("\"collected\""));
    let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
    assert_eq!(line["trace_id"], crate::receiver::hex(&collect.trace_id));
    assert_eq!(line["span_id"], crate::receiver::hex(&collect.span_id));
    up.end();
    let lines = up.lines();
    assert!(lines.len() > 10, "with everything on, there are many lines");
    // As the URL holds it: by itself it may be a common word.
    let url = database.url();
    let credentials = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('@'));
    let password = credentials.and_then(|(credentials, _)| credentials.split_once(':'));
    let password = password.map(|(_, password)| format!(":{password}@"));
    let secrets = [KEY, HEADER_SECRET].into_iter().chain(password.as_deref());
    for secret in secrets {
        let found = lines.iter().find(|line| line.contains(secret));
        assert!(found.is_none(), "a secret in {found:?}");
    }
    let reported: Vec<_> = receiver
        .spans()
        .iter()
        .map(|span| format!("{span:?}"))
        .collect();
    assert!(
        !reported.iter().any(|span| span.contains(KEY)),
        "a secret in a span"
    );
}
