//! The checked-in programs are what their sources make: built again where `ASSAY_TENSIX_CARGO` names a cargo that can, and compared.
//!
//! That cargo needs the compiler of [`COMPILER`] with its library's source, and `ld.lld-19` on the path; Debian has them as `cargo-web`,
//! `rustc-web`, `rust-web-src` and `lld-19`. With `UPDATE_KERNELS=1` the words are written anew instead.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::cases::{Case, cases};

/// Names the cargo.
const VARIABLE: &str = "ASSAY_TENSIX_CARGO";
/// The compiler that made the words; another makes others.
const COMPILER: &str = "1.96.0";
const UPDATE: &str = "UPDATE_KERNELS";

pub(crate) const CASES: &[Case] = cases!(&[VARIABLE]; the_words_are_what_the_sources_make);

fn the_words_are_what_the_sources_make(cargo: &OsString) {
    let version = Command::new(cargo).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    assert_eq!(
        version.split(' ').nth(1),
        Some(COMPILER),
        "another compiler makes other words: {version:?}"
    );
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let target = tempfile::tempdir().unwrap();
    let output = Command::new(cargo)
        .args(["build", "--release", "--locked"])
        .current_dir(&kernels)
        .env("CARGO_TARGET_DIR", target.path())
        // Building `core` for a target that has no binaries of it is behind this.
        .env("RUSTC_BOOTSTRAP", "1")
        // Cargo tells its tests which toolchain runs them; this one is another.
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let built = target.path().join("riscv32im-unknown-none-elf/release");
    let words = kernels.join("words");
    let update = std::env::var_os(UPDATE).is_some_and(|value| value == "1");
    let mut sums = String::new();
    for program in ["matrix", "reader"] {
        let bytes = std::fs::read(built.join(program)).unwrap();
        let file = words.join(format!("{program}.bin"));
        if update {
            std::fs::write(&file, &bytes).unwrap();
        }
        assert!(
            bytes == std::fs::read(&file).unwrap(),
            "{program}.bin is not what its source makes; run this test with {UPDATE}=1"
        );
        sums += &format!("{}  {program}.bin\n", hex::encode(Sha256::digest(&bytes)));
    }
    if update {
        std::fs::write(words.join("SHA256SUMS"), &sums).unwrap();
    }
    assert_eq!(
        sums,
        std::fs::read_to_string(words.join("SHA256SUMS")).unwrap()
    );
}
