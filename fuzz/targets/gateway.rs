//! Any bytes as what browsers and canisters send to the gateway.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(
    init: assay_fuzz::begin("gateway"),
    |bytes: &[u8]| -> Corpus {
        match assay_localnet::fuzzing::gateway(bytes) {
            Some(_) => Corpus::Keep,
            None => Corpus::Reject,
        }
    }
);
