//! The seeds of the fuzz targets: where a run begins that has no corpus yet.
//!
//! `cargo xtask fuzz` names a folder in `ASSAY_FUZZ_SEEDS`, and a target writes its seeds there before libFuzzer reads it.
//! Texts in `seeds/<target>/` are seeds as they are, but for `.wat`, which is compiled; envelopes are made and signed by
//! the core itself, proofs are made by the engine, checkpoints by its tests' builder.

use std::{
    fs,
    path::{Path, PathBuf},
};

pub mod files;

const VARIABLE: &str = "ASSAY_FUZZ_SEEDS";

/// Random inputs for targets that make structures out of bytes.
const RANDOM: u64 = 16;
const RANDOM_BYTES: usize = 4096;

/// Writes a target's seeds where somebody has asked for them.
pub fn begin(target: &str) {
    let Some(folder) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        return;
    };
    for (name, bytes) in seeds(target) {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    match target {
        "envelope" => assay_localnet_core::fuzzing::seeds(),
        "proof" => assay_engine::proof::fuzzing::seeds(),
        "checkpoint" => files::checkpoints(),
        "model" => files::models(),
        "made_module" => (1..=RANDOM)
            .map(|number| (format!("random-{number}"), random(number)))
            .collect(),
        _ => texts(target),
    }
}

fn texts(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .map(|entry| {
            let path = entry.expect("a folder can be read").path();
            let text =
                fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let bytes = match path.extension() {
                Some(extension) if extension == "wat" => wat::parse_bytes(&text)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
                    .into_owned(),
                _ => text,
            };
            (name.into_owned(), bytes)
        })
        .collect()
}

/// Bytes that are the same every time (SplitMix64).
fn random(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ word >> 31
    });
    words
        .flat_map(u64::to_le_bytes)
        .take(RANDOM_BYTES)
        .collect()
}
