//! The seeds of the fuzz targets, through the same functions that the fuzzer calls.

use std::{fs, path::Path};

use assay_localnet_core::fuzzing::{Ran, envelope, module, seeds};

/// Every module in text, by name.
fn modules() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/module");
    let mut modules: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, wat::parse_file(&path).unwrap())
        })
        .collect();
    modules.sort();
    modules
}

#[test]
fn seeds_of_modules_are_installed_and_reply() {
    let replies: Vec<(String, Ran)> = modules()
        .into_iter()
        .map(|(name, bytes)| (name, module(&bytes)))
        .collect();
    // Each method is called twice.
    let expected = [
        ("calls", 6),
        ("counter", 4),
        ("loop", 2),
        ("stable", 2),
        ("start", 2),
        ("wide", 2),
    ]
    .map(|(name, replies)| (name.to_owned(), Ran::Installed { replies }));
    assert_eq!(replies, expected);
}

#[test]
fn no_seed_of_a_module_does_harm_when_it_is_cut_or_changed() {
    for (name, bytes) in modules() {
        for end in (0..bytes.len()).step_by(7) {
            let cut = module(&bytes[..end]);
            let refused = matches!(cut, Ran::Refused(_));
            // The header alone is a module without anything.
            assert!(refused || end >= 8, "{name} cut at {end}: {cut:?}");
        }
        for at in (8..bytes.len()).step_by(11) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            module(&changed);
        }
    }
}

#[test]
fn seeds_of_envelopes_open() {
    let seeds = seeds();
    assert_eq!(seeds.len(), 9);
    for (name, bytes) in seeds {
        assert!(envelope(&bytes), "{name} does not open");
        for end in 0..bytes.len() {
            assert!(!envelope(&bytes[..end]), "{name} opens when cut at {end}");
        }
        for at in (0..bytes.len()).step_by(5) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            envelope(&changed);
        }
    }
}
