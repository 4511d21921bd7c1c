//! Any bytes as a signed request of a user.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: assay_fuzz::begin("envelope"),
    |bytes: &[u8]| {
        assay_localnet_core::fuzzing::envelope(bytes);
    }
);
