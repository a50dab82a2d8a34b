//! Events of registered types, as they are published and read.

use atlas_events::{SubscriptionRequest, TimeRangeRequest};
use event_log::LogConfig;
use event_stream::StreamConfig;
use serde_json::{Value, json};
use test_support::TestDatabase;
use tonic::Code;

use super::*;
use crate::common::{after, error_of, expectation, next, read, read_all};

/// `order_id` "a-1", `cents` 2^60, a line "tea"; and field 9, which the type does not have.
fn value() -> Vec<u8> {
    let mut value = vec![0x0a, 3, b'a', b'-', b'1', 0x10];
    prost::encoding::encode_varint(1 << 60, &mut value);
    value.extend([0x1a, 5, 0x0a, 3, b't', b'e', b'a', 0x48, 7]);
    value
}

#[tokio::test]
async fn a_typed_event_is_delivered_as_it_was_published_and_stored_in_json() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    register(&server, order(FIELDS)).await.unwrap();
    let mut client = server.client().await;
    // Live, with a filter by the name of the type.
    let wanted = || SubscriptionRequest {
        event_types: vec!["shop.v1.OrderPlaced".to_owned()],
        ..SubscriptionRequest::default()
    };
    let mut live = client.subscribe(wanted()).await;
    let mut published = client
        .publish(vec![placed(1, value()), custom_event(2)])
        .await;
    published.truncate(1);
    assert_eq!(next(&mut live).await.unwrap(), published[0]);
    // From the database, and with a prefix of the name that is not the usual one.
    let mut bare = placed(3, value());
    if let Some(Payload::Typed(any)) = &mut bare.payload {
        any.type_url = "shop.v1.OrderPlaced".to_owned();
    }
    client.publish(vec![bare]).await;
    let mut stored = client
        .subscribe(SubscriptionRequest {
            after_position: Some(0),
            ..wanted()
        })
        .await;
    let found = read(&mut stored, 2).await;
    assert_eq!(found[0], published[0]);
    assert_eq!(found[1].payload, published[0].payload);
    let other = TimeRangeRequest {
        event_types: vec!["shop.v1.Line".to_owned()],
        ..TimeRangeRequest::default()
    };
    let none = client
        .events
        .get_events_since(other)
        .await
        .unwrap()
        .into_inner();
    assert!(read_all(none).await.unwrap().is_empty());

    let mut connection = database.connection().await;
    let payload: Value = sqlx::query_scalar("select payload from log.events where position = 1")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let expected = json!({
        "@type": "type.googleapis.com/shop.v1.OrderPlaced",
        "orderId": "a-1",
        "cents": "1152921504606846976",
        "lines": [{"name": "tea"}],
    });
    assert_eq!(payload, expected);
}

/// Who knows only the first version reads what is published with the second, and the reverse.
#[tokio::test]
async fn a_type_evolves_between_readers_of_two_versions() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    register(&server, order(FIELDS)).await.unwrap();
    let mut client = server.client().await;
    client.publish(vec![placed(1, vec![0x22, 1, b'x'])]).await;
    register(&server, order(&format!("{FIELDS} string note = 4;")))
        .await
        .unwrap();
    // Field 4 is text from now on; before, it was kept without a look at it.
    client.publish(vec![placed(2, vec![0x22, 1, b'x'])]).await;
    let refused = client
        .try_publish(vec![placed(3, vec![0x20, 1])])
        .await
        .unwrap_err();
    let field = "events[0].typed.value.note";
    assert_eq!(
        error_of(&refused),
        expectation(Code::InvalidArgument, "INVALID_ARGUMENT", field)
    );
    let mut stored = client.subscribe(after(0)).await;
    let found = read(&mut stored, 2).await;
    assert_eq!(found[0].payload, found[1].payload);
}

#[tokio::test]
async fn what_is_no_payload_of_its_type_is_refused_with_the_field() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    register(&server, order(FIELDS)).await.unwrap();
    let mut client = server.client().await;
    let mut refused = async |event: Event| {
        let (code, _, field) = error_of(&client.try_publish(vec![event]).await.unwrap_err());
        assert_eq!(code, Code::InvalidArgument);
        field
    };
    // Text as a number, a line with a name that is not UTF-8, and what is not in the wire format.
    assert_eq!(
        refused(placed(1, vec![0x08, 1])).await,
        "events[0].typed.value.order_id"
    );
    assert_eq!(
        refused(placed(1, vec![0x1a, 3, 0x0a, 1, 0xff])).await,
        "events[0].typed.value.lines.name"
    );
    assert_eq!(
        refused(placed(1, vec![0xff])).await,
        "events[0].typed.value"
    );
    for name in [
        "shop.v1.Missing",
        "shop",
        "",
        "CustomEvent",
        "shop..v1",
        "google.protobuf.Timestamp",
    ] {
        let payload = Some(Payload::Typed(Any::new(name, Vec::new())));
        let event = Event {
            payload,
            ..custom_event(1)
        };
        assert_eq!(refused(event).await, "events[0].typed.type_url", "{name}");
    }
    assert_eq!(client.info().await.last_position, 0);
}

#[tokio::test]
async fn an_operator_may_keep_what_is_not_registered() {
    let database = TestDatabase::create().await;
    let config = LogConfig {
        keep_unregistered_types: true,
        ..LogConfig::default()
    };
    let server = Server::start_with(&database, config, StreamConfig::default()).await;
    let mut client = server.client().await;
    let published = client.publish(vec![placed(1, vec![0xff])]).await;
    let mut stored = client.subscribe(after(0)).await;
    assert_eq!(read(&mut stored, 1).await, published);
    let mut connection = database.connection().await;
    let payload: Value = sqlx::query_scalar("select payload from log.events where position = 1")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let expected = json!({"@type": "type.googleapis.com/shop.v1.OrderPlaced", "value": "/w=="});
    assert_eq!(payload, expected);
}
