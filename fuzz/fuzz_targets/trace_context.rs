//! The `traceparent` that anybody may send.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trace_context::TraceContext;

fuzz_target!(|text: &str| {
    if let Some(context) = TraceContext::parse(text) {
        let written = context.to_string();
        assert_eq!(TraceContext::parse(&written).map(|c| c.to_string()), Some(written));
    }
});
