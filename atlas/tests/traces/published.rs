use atlas_events::{
    FindEventRequest, PublishRequest, PublishResponse, event_log_client::EventLogClient,
    event_publisher_client::EventPublisherClient,
};
use test_support::{TestDatabase, series_event};
use tonic::{Request, Status};

use crate::{
    receiver::{Facts, Receiver},
    up::Up,
};

const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OWN: &str = "00-1bf7651916cd43dd8448eb211c80319c-c8ad6b7169203331-01";

async fn publish(
    up: &Up,
    number: u64,
    own: &str,
    traceparent: Option<&str>,
) -> Result<PublishResponse, Status> {
    let mut publisher = EventPublisherClient::connect(up.collector.clone())
        .await
        .unwrap();
    let mut event = series_event(number, "VIXCLS", "2024-08-02", "15");
    own.clone_into(&mut event.traceparent);
    let mut request = Request::new(PublishRequest {
        events: vec![event],
        ..PublishRequest::default()
    });
    if let Some(traceparent) = traceparent {
        let value = traceparent.parse().unwrap();
        request.metadata_mut().insert("traceparent", value);
    }
    publisher
        .publish(request)
        .await
        .map(tonic::Response::into_inner)
}

/// The context that a published event is stored with.
async fn stored(up: &Up, number: u64, own: &str, traceparent: Option<&str>) -> String {
    let receipts = publish(up, number, own, traceparent)
        .await
        .unwrap()
        .receipts;
    let mut log = EventLogClient::connect(up.collector.clone()).await.unwrap();
    let event_id = receipts[0].event_id.clone();
    let found = log.find_event(FindEventRequest { event_id }).await.unwrap();
    found.into_inner().event.unwrap().traceparent
}

#[tokio::test]
async fn a_publish_is_part_of_the_trace_that_asks_for_it() {
    let receiver = Receiver::start().await;
    let database = TestDatabase::create().await;
    let up = Up::start(
        &database,
        &[
            ("TELEMETRY__TRACES_ENDPOINT", &receiver.endpoint()),
            // What nobody asks for is not recorded.
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0"),
        ],
    );
    assert_eq!(stored(&up, 1, "", None).await, "");
    let unsampled = GIVEN.replace("-01", "-00");
    assert_eq!(stored(&up, 2, "", Some(&unsampled)).await, unsampled);
    assert_eq!(stored(&up, 3, "", Some("not-a-context")).await, "");
    assert_eq!(stored(&up, 4, OWN, Some(GIVEN)).await, OWN);
    assert_eq!(stored(&up, 5, "", Some(GIVEN)).await, GIVEN);

    let process = receiver.span("process", |span| {
        span.name == "process" && span.links_to(GIVEN)
    });
    assert!(process.await.parent_span_id.is_empty());
    let publish = receiver
        .span("publish", |span| span.name == "publish")
        .await;
    assert_eq!(
        publish.traceparent()[..36],
        GIVEN[..36],
        "the trace is the publisher's"
    );
    assert_eq!(crate::receiver::hex(&publish.parent_span_id), GIVEN[36..52]);
    let append = receiver.span("append", |span| {
        span.name == "append" && span.is_child_of(&publish)
    });
    let append = append.await;
    assert_eq!(
        append.text("atlas.position.first"),
        append.text("atlas.position.last")
    );
    receiver
        .span("commit", |span| {
            span.name == "commit" && span.is_child_of(&append)
        })
        .await;
    let publishes = receiver
        .spans()
        .into_iter()
        .filter(|span| span.name == "publish");
    assert_eq!(
        publishes.count(),
        2,
        "of five, two came with a recorded trace"
    );
}

#[tokio::test]
async fn a_refused_publish_is_a_failed_span() {
    let receiver = Receiver::start().await;
    let database = TestDatabase::create().await;
    let up = Up::start(
        &database,
        &[("TELEMETRY__TRACES_ENDPOINT", &receiver.endpoint())],
    );
    let refused = publish(&up, 1, &"x".repeat(101), Some(GIVEN)).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::InvalidArgument);
    let span = receiver
        .span("publish", |span| span.name == "publish")
        .await;
    assert!(span.has_failed());
    // Without a context of the request, that of the server's own span is stored.
    let context = stored(&up, 2, "", None).await;
    let span = receiver.span("publish", |span| span.traceparent() == context);
    assert_eq!(span.await.name, "publish");
}
