//! Any bytes as a model file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: assay_fuzz::begin("model"),
    |bytes: &[u8]| {
        assay_fuzz::files::model(bytes);
    }
);
