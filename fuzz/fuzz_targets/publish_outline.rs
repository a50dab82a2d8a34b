//! What is found out about a batch before it is built: its events are counted as the decoder counts them,
//! and what is not said to be beyond a bound fits into memory.
#![no_main]

use atlas_events::{
    BATCH_EVENTS_MAX, PublishRequest,
    wire::{Excess, SMALL_BYTES_MAX, outline},
};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    let found = outline(bytes);
    // What is refused as it lies on the wire is not decoded, or this would build it.
    if let Ok(found) = &found
        && found.excess.is_some()
    {
        assert!(bytes.len() > SMALL_BYTES_MAX, "a small batch is within every bound");
        assert_eq!(found.excess == Some(Excess::Events), found.events > BATCH_EVENTS_MAX);
        return;
    }
    let Ok(decoded) = PublishRequest::decode(bytes) else {
        return;
    };
    let found = found.expect("what can be decoded has an outline");
    assert_eq!(found.events, decoded.events.len());
    assert_eq!(found.continue_after_refusal, decoded.continue_after_refusal);
});
