//! Any bytes as a proof of one operator, against an honest run.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: assay_fuzz::begin("proof"),
    |bytes: &[u8]| {
        assay_engine::proof::fuzzing::proof(bytes);
    }
);
