//! A stored event that clients cannot decode is named in its place, and stops no reader.

use atlas_events::{Event, UndeliverableEvent, event::Payload};
use event_log::EventLog;
use pbjson_types::{Struct, Value, value::Kind};
use prost::Message;
use test_support::{custom_event, drafts};
use ulid::Ulid;

use crate::common::{TestLog, everything, next_events, place, read_range, read_up_to};

/// As an earlier version accepted it over REST.
fn too_deep(n: u64) -> Event {
    let mut event = custom_event(n);
    let mut value = Value {
        kind: Some(Kind::BoolValue(true)),
    };
    for _ in 0..40 {
        let fields = [("inner".to_owned(), value)].into_iter().collect();
        value = Value {
            kind: Some(Kind::StructValue(Struct { fields })),
        };
    }
    let Some(Payload::Custom(custom)) = &mut event.payload else {
        panic!("it is a custom event");
    };
    let fields = [("outer".to_owned(), value)].into_iter().collect();
    custom.data = Some(Struct { fields });
    event
}

fn stand_in(event: &Event) -> &UndeliverableEvent {
    match &event.payload {
        Some(Payload::Undeliverable(stand_in)) => stand_in,
        other => panic!("{other:?}"),
    }
}

async fn check(log: &EventLog, events: &[Event], id: &str, stored: &[u8]) {
    let positions: Vec<_> = events.iter().map(place).collect();
    assert_eq!(
        positions.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert_eq!(positions[1].1, id);
    let reported = stand_in(&events[1]);
    assert_eq!(reported.reason, "NESTED_TOO_DEEP");
    assert_eq!(reported.stored_bytes, stored.len() as u64);
    let found = log.find(Ulid::from_string(id).unwrap()).await.unwrap();
    assert_eq!(found.as_ref(), Some(&events[1]));
}

#[tokio::test]
async fn an_event_that_no_client_can_decode_stops_no_reader() {
    let test = TestLog::create().await;
    let writing = test.open().await;
    let receipts = writing.append(drafts(0..3)).await.unwrap();
    writing.close().await;
    let id = receipts[1].event_id.to_string();
    let mut event = too_deep(1);
    id.clone_into(&mut event.event_id);
    let stored = event.encode_to_vec();
    sqlx::query("update events set encoded = $1 where position = 2")
        .bind(&stored)
        .execute(&mut test.connection().await)
        .await
        .unwrap();

    let log = test.open().await;
    let mut behind = log.follow_after(0, everything()).await.unwrap();
    let events = read_up_to(&mut behind, 3).await;
    check(&log, &events, &id, &stored).await;
    let range = log.read_between(None, None, everything()).await.unwrap();
    check(&log, &read_range(range).await.unwrap(), &id, &stored).await;
    // What comes behind it is delivered.
    log.append(drafts(5..6)).await.unwrap();
    let events = next_events(&mut behind).await.unwrap();
    assert_eq!(events[0].position, 4);
}
