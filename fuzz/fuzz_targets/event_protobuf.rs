//! An event as gRPC clients send it.
#![no_main]

mod accepted;

use atlas_events::Event;
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(event) = Event::decode(bytes) {
        accepted::check(event);
    }
});
