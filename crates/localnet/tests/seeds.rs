//! The seeds of the fuzz targets, through the same functions that the fuzzer calls.

use std::{collections::BTreeMap, fs, path::Path};

use assay_localnet::fuzzing::{gateway, rest};

fn seeds(target: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(&path).unwrap())
        })
        .collect()
}

/// Seeds that ask for what is not there; all others are done.
const REFUSED: &[&str] = &[
    "add-too-many-cycles",
    "await",
    "key",
    "mock",
    "stable",
    "tick",
];

#[test]
fn seeds_of_requests_are_answered() {
    let seeds = seeds("rest");
    assert_eq!(seeds.len(), 23);
    let refused: Vec<&str> = seeds
        .iter()
        .filter(|(name, bytes)| !rest(bytes).unwrap_or_else(|| panic!("{name}: no address")))
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(refused, REFUSED);
    assert_eq!(rest(b"no/such/address\n{}"), None);
    assert_eq!(rest(b"read/query"), None);
}

#[test]
fn seeds_of_requests_that_are_cut_are_refused() {
    for (name, bytes) in seeds("rest") {
        let body = bytes.trim_ascii_end();
        let address = body.iter().position(|byte| *byte == b'\n').unwrap();
        for end in (address + 1..body.len()).step_by(3) {
            assert_eq!(rest(&body[..end]), Some(false), "{name} cut at {end}");
        }
    }
}

#[test]
fn seeds_of_the_gateway_are_understood() {
    let seeds = seeds("gateway");
    assert_eq!(seeds.len(), 6);
    for (name, bytes) in seeds {
        assert_eq!(gateway(&bytes), Some(true), "{name}");
        for end in 0..bytes.len() {
            gateway(&bytes[..end]);
        }
    }
    assert_eq!(gateway(b"host\nexample.net\n"), Some(false));
    assert_eq!(gateway(b"reply\nDIDL"), Some(false));
    assert_eq!(gateway(b"something else\n"), None);
}
