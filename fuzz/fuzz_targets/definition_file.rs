//! Definitions of patterns and regimes, with their expressions and test cases: refused or read, within a
//! bound of memory and time.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use threshold_engine::{pattern::Pattern, regime::Regime};

fuzz_target!(|text: &str| {
    let path = Path::new("fuzzed.toml");
    let _ = Pattern::read(path, text);
    let _ = Regime::read(path, text);
});
