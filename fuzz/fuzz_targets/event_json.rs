//! An event as REST clients send it.
#![no_main]

mod accepted;

use atlas_events::Event;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(event) = serde_json::from_str::<Event>(text) {
        accepted::check(event);
    }
});
