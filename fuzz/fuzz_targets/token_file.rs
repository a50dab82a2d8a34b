//! The file of tokens: what is read is written and read again as the same entries.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(entries) = access::parse(text) else {
        return;
    };
    let written: String = entries.iter().map(access::render).collect();
    let again = access::parse(&written).expect("what is written can be read");
    assert_eq!(format!("{again:?}"), format!("{entries:?}"));
});
