//! The canisters as Wasm modules: built, described and packed.
//!
//! Out of `target/wasm-build` (cargo's, its own folder, so that two toolchains never undo each other's work) come
//! `target/wasm/<name>.wasm`, with the Candid text of `candid/<name>.did` as public metadata, and `<name>.wasm.gz`.
//! Names of functions stay in, for readable traces. The bytes do not depend on where the repository lies.
//! Cargo decides what is stale; finished files are touched only when their bytes change.

mod module;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::process;
use crate::toolchain::{self, TARGET, WasmToolchain};
use crate::workspace::{CANISTERS, Canister, TEST_CANISTERS, Workspace};

/// Cargo's profile for canisters that are deployed: small.
const PROFILE: &str = "wasm";
/// Cargo's profile for canisters that are measured.
const SPEED_PROFILE: &str = "wasm-speed";

/// Builds the named canisters, or all of the product; gives the folder of the finished modules.
pub(crate) fn build(
    workspace: &Workspace,
    may_install: bool,
    names: &[String],
) -> anyhow::Result<PathBuf> {
    // A wrong name is told before anything is installed.
    let canisters = select(names)?;
    let toolchain = toolchain::find_or_install(may_install)?;
    build_these(workspace, &toolchain, &canisters, PROFILE, &[], true)
}

/// Which canisters are built beside something else.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Beside {
    /// All of the product.
    Product,
    /// Those, and the ones that only tests install.
    Tests,
}

/// Builds canisters while `work` is done; gives the folder of the finished modules, and what `work` gives. Linking a module keeps
/// one core busy and leaves the others to `work`.
pub(crate) fn build_beside<T>(
    workspace: &Workspace,
    may_install: bool,
    which: Beside,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(PathBuf, T)> {
    let canisters: Vec<&Canister> = match which {
        Beside::Product => CANISTERS.iter().collect(),
        Beside::Tests => CANISTERS.iter().chain(TEST_CANISTERS).collect(),
    };
    // What is missing is told, or installed, before anything else begins.
    let toolchain = toolchain::find_or_install(may_install)?;
    thread::scope(|scope| {
        let modules =
            scope.spawn(|| build_these(workspace, &toolchain, &canisters, PROFILE, &[], false));
        let done = work();
        if let Err(error) = &done {
            eprintln!("{error:#}; this ends when the canisters are built");
        }
        let folder = modules
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let done = done?;
        Ok((folder?, done))
    })
}

/// Builds a canister that canbench measures, in the way in which canisters with published figures were built, with more
/// features of the target where they are named; gives the finished module.
pub(crate) fn build_measured(
    workspace: &Workspace,
    may_install: bool,
    canister: &Canister,
    features: &[&str],
) -> anyhow::Result<PathBuf> {
    let toolchain = toolchain::find_or_install(may_install)?;
    build_these(
        workspace,
        &toolchain,
        &[canister],
        SPEED_PROFILE,
        features,
        true,
    )?;
    Ok(workspace.root.join(canister.wasm()))
}

fn build_these(
    workspace: &Workspace,
    toolchain: &WasmToolchain,
    canisters: &[&Canister],
    profile: &str,
    features: &[&str],
    bar: bool,
) -> anyhow::Result<PathBuf> {
    eprintln!("building canisters with {}", toolchain.describe());
    let build_dir = workspace.target.join("wasm-build");
    let mut flags = remapped_paths(workspace, toolchain, &build_dir)?;
    flags.extend(
        features
            .iter()
            .map(|feature| format!("-Ctarget-feature=+{feature}")),
    );
    for &canister in canisters {
        // One package at a time and only as cdylib: link-time optimisation is off when a package is also a library.
        let mut command = toolchain.cargo_rustc(profile);
        command
            .current_dir(&workspace.root)
            .env_remove("RUSTFLAGS")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .args(["--package", canister.package])
            .arg("--target-dir")
            .arg(&build_dir);
        if !bar {
            // Two progress bars would overwrite each other.
            command.env("CARGO_TERM_PROGRESS_WHEN", "never");
        }
        process::run(&mut command)?;
        let built = build_dir
            .join(TARGET)
            .join(profile)
            .join(format!("{}.wasm", canister.package.replace('-', "_")));
        finish(workspace, canister, &built)?;
    }
    Ok(workspace.wasm_dir())
}

fn select(names: &[String]) -> anyhow::Result<Vec<&'static Canister>> {
    if names.is_empty() {
        return Ok(CANISTERS.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            let known = || {
                CANISTERS
                    .iter()
                    .chain(TEST_CANISTERS)
                    .map(|canister| canister.name)
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            CANISTERS
                .iter()
                .chain(TEST_CANISTERS)
                .find(|canister| canister.name == *name)
                .with_context(|| format!("no canister is called {name}; there are: {}", known()))
        })
        .collect()
}

/// Compiler flags that keep this machine's folders out of the modules, so that every clone builds the same bytes.
pub(crate) fn remapped_paths(
    workspace: &Workspace,
    toolchain: &WasmToolchain,
    build_dir: &Path,
) -> anyhow::Result<Vec<String>> {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
        .context("cannot tell where cargo keeps its sources: neither CARGO_HOME nor HOME is set")?;
    // The last prefix that fits wins: more specific ones come later.
    [
        (
            toolchain.sysroot()?.join("lib/rustlib/src/rust").as_path(),
            "/rust",
        ),
        (cargo_home.as_path(), "/cargo"),
        (workspace.root.as_path(), "/assay"),
        (build_dir, "/build"),
    ]
    .into_iter()
    .map(|(from, to)| {
        let from = from
            .to_str()
            .with_context(|| format!("{}: the path is not UTF-8", from.display()))?;
        Ok(format!("--remap-path-prefix={from}={to}"))
    })
    .collect()
}

/// Adds the metadata, and writes the finished module and its packed twin where they differ from what is there.
fn finish(workspace: &Workspace, canister: &Canister, built: &Path) -> anyhow::Result<()> {
    let code = std::fs::read(built).with_context(|| format!("cannot read {}", built.display()))?;
    let module = if !CANISTERS.contains(canister) {
        code
    } else {
        described(workspace, canister, &code)
            .with_context(|| format!("{}: cannot add the interface", built.display()))?
    };

    let path = workspace.root.join(canister.wasm());
    let packed = path.with_extension("wasm.gz");
    if packed.is_file() && std::fs::read(&path).is_ok_and(|old| old == module) {
        return Ok(());
    }
    std::fs::create_dir_all(workspace.wasm_dir())
        .context("cannot create the folder of finished modules")?;
    let gzip = gzip(&module)?;
    eprintln!(
        "{}: {} KiB, {} KiB packed",
        canister.wasm(),
        module.len() / 1024,
        gzip.len() / 1024
    );
    // The packed twin goes first: a missing or older module makes the next run write both again.
    process::write_whole(&packed, &gzip)?;
    process::write_whole(&path, &module)
}

/// The module with its interface as metadata.
fn described(workspace: &Workspace, canister: &Canister, code: &[u8]) -> anyhow::Result<Vec<u8>> {
    let did = canister.did();
    let candid = std::fs::read(workspace.root.join(&did)).with_context(|| {
        format!(
            "cannot read {did}, the interface of canister {}",
            canister.name
        )
    })?;
    module::with_custom_section(code, "icp:public candid:service", &candid)
        .context("not a module that can carry metadata")
}

/// Gzip without name or time, so that equal modules are equal files.
fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder
        .write_all(bytes)
        .context("cannot compress a module")?;
    encoder.finish().context("cannot compress a module")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_is_reproducible_and_lossless() {
        use std::io::Read;
        let bytes: Vec<u8> = (0..10_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let packed = gzip(&bytes).unwrap();
        assert_eq!(packed, gzip(&bytes).unwrap());
        assert_eq!(packed[4..8], [0; 4], "no time in the header");
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice())
            .read_to_end(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, bytes);
    }

    #[test]
    fn unknown_canisters_are_refused_with_the_list() {
        let error = select(&["nothing".to_owned()]).unwrap_err().to_string();
        assert_eq!(
            error,
            "no canister is called nothing; there are: registry, jobs, purse, frontend, assets, dapp, fault-ledger, pages, probe"
        );
        assert_eq!(select(&[]).unwrap().len(), CANISTERS.len());
    }
}
