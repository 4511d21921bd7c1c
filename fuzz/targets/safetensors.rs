//! Any bytes as a file of tensors.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: assay_fuzz::begin("safetensors"),
    |bytes: &[u8]| {
        assay_fuzz::files::tensors(bytes);
    }
);
