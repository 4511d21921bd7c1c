//! Any text to a tokenizer, alone and as a message.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: assay_fuzz::begin("tokenizer"),
    |bytes: &[u8]| {
        assay_fuzz::files::text(bytes);
    }
);
