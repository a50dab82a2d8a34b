//! What must hold for every event that is accepted, whatever way it came in.

use atlas_events::{Acceptance, Draft, Event};
use chrono::{DateTime, TimeDelta};
use prost::Message;

/// A fixed present: a run is repeated exactly.
fn acceptance() -> Acceptance {
    let now = DateTime::from_timestamp(1_760_000_000, 0).unwrap_or_default();
    Acceptance {
        entropy: || 7,
        ..Acceptance::new(now, now - TimeDelta::days(365_000))
    }
}

/// What is accepted can be decoded by readers of protobuf and JSON, and is delivered as it is.
pub fn check(event: Event) {
    let Ok(draft) = Draft::new(event, &acceptance()) else {
        return;
    };
    let decoded = Event::decode(draft.encoded.as_ref()).expect("protobuf is readable");
    assert!(atlas_events::replacement(&draft.encoded).is_none(), "it can be delivered");
    let json = serde_json::to_string(&decoded).expect("JSON can express the event");
    let read: Event = serde_json::from_str(&json).expect("JSON is readable");
    // An event that was accepted once is accepted again: publishing twice is allowed.
    let again = Draft::new(read, &acceptance()).expect("it is accepted again");
    assert_eq!(again.event_id, draft.event_id);
}
