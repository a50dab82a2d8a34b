//! Any bytes that an earlier version may have stored: they are delivered, or something in their place
//! is.
#![no_main]

use atlas_events::Event;
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    let replacement = atlas_events::replacement(bytes);
    let delivered = replacement.as_deref().unwrap_or(bytes);
    Event::decode(delivered).expect("what is delivered can be decoded");
    assert!(atlas_events::replacement(delivered).is_none(), "a replacement can be delivered");
});
