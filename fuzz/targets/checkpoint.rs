//! Any bytes as a checkpoint in GGUF.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: assay_fuzz::begin("checkpoint"),
    |bytes: &[u8]| {
        assay_fuzz::files::checkpoint(bytes);
    }
);
