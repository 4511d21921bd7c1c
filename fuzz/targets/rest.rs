//! Any bytes as a request to PocketIC's interface.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(
    init: assay_fuzz::begin("rest"),
    |bytes: &[u8]| -> Corpus {
        match assay_localnet::fuzzing::rest(bytes) {
            Some(_) => Corpus::Keep,
            None => Corpus::Reject,
        }
    }
);
