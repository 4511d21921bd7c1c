//! Any bytes as a canister module, installed and run where it is accepted.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: assay_fuzz::begin("module"),
    |bytes: &[u8]| {
        assay_localnet_core::fuzzing::module(bytes);
    }
);
