//! The engine for browsers: its WebAssembly module and the JavaScript around it, side by side in one folder.

use std::path::PathBuf;

use anyhow::Context;

use crate::toolchain::{self, TARGET};
use crate::workspace::Workspace;
use crate::{process, wasm};

const PACKAGE: &str = "assay-engine-web";
const PROFILE: &str = "wasm-speed";
/// The module's name in the finished folder.
pub(crate) const MODULE: &str = "engine.wasm";
const SCRIPTS: &str = "crates/engine-web/js";

/// Builds everything into `target/web`; gives that folder.
pub(crate) fn build(workspace: &Workspace, may_install: bool) -> anyhow::Result<PathBuf> {
    let toolchain = toolchain::find_or_install(may_install)?;
    eprintln!(
        "building the engine for browsers with {}",
        toolchain.describe()
    );
    let folder = workspace.target.join("web-build");
    let mut flags = wasm::remapped_paths(workspace, &toolchain, &folder)?;
    // Every browser of the last years has vectors; without them it would be several times slower.
    flags.push("-Ctarget-feature=+simd128".to_owned());
    // The module brings its own, see there.
    flags.push("--cfg=getrandom_backend=\"custom\"".to_owned());
    let mut command = toolchain.cargo_rustc(PROFILE);
    command
        .current_dir(&workspace.root)
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .args(["--package", PACKAGE])
        .arg("--target-dir")
        .arg(&folder);
    process::run(&mut command)?;
    let web = workspace.target.join("web");
    std::fs::create_dir_all(&web).with_context(|| format!("cannot make {}", web.display()))?;
    let built = folder
        .join(TARGET)
        .join(PROFILE)
        .join(format!("{}.wasm", PACKAGE.replace('-', "_")));
    let mut files = vec![(built, MODULE.into())];
    let scripts = workspace.root.join(SCRIPTS);
    let entries = std::fs::read_dir(&scripts)
        .with_context(|| format!("cannot read {}", scripts.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", scripts.display()))?;
        files.push((entry.path(), entry.file_name()));
    }
    for (from, name) in files {
        let bytes =
            std::fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        process::write_whole(&web.join(name), &bytes)?;
    }
    Ok(web)
}
