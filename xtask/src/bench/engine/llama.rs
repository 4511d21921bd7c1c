//! llama.cpp as PyPI has it, built from source for this very processor.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::{Load, Numbers, has_amx, numbers};
use crate::workspace::Workspace;
use crate::{process, python};

/// The binding's version; the llama.cpp inside it is the one of its source archive.
const VERSION: &str = "0.3.36";
/// Where the loading of the tile configuration is, in the source archive.
const TILES: &str = "vendor/llama.cpp/ggml/src/ggml-cpu/amx/mmq.cpp";
const TILE_LOAD: &str = "_tile_loadconfig(&tc);";
/// GCC 12 believes that loading a tile configuration reads only its first bytes, drops the stores to the rest, and the
/// program dies at its first tile. A barrier for the compiler keeps them; it makes no instruction.
const TILE_BARRIER: &str = "asm volatile(\"\" ::: \"memory\"); _tile_loadconfig(&tc);";

/// A built llama.cpp and the model in its formats.
pub(super) struct Llama {
    python: PathBuf,
    measure: PathBuf,
    features: String,
    files: Vec<(&'static str, PathBuf)>,
}

impl Llama {
    pub(super) fn build(
        workspace: &Workspace,
        may_install: bool,
        published: &Path,
        no_amx: bool,
    ) -> anyhow::Result<Self> {
        let folder = workspace.root.join("xtask/src/bench/engine");
        let without = no_amx && has_amx();
        let name = if without { "llama-no-amx" } else { "llama" };
        let python = python::environment(workspace, &folder, name, may_install)?;
        let home = workspace.target.join("tools").join(name);
        let made = home.join(format!("llama-cpp-python-{VERSION}"));
        if !made.is_file() {
            install(&python, &home, without)?;
            process::write_whole(&made, b"")?;
        }
        let measure = folder.join("measure.py");
        let eight = home.join("q8_0.gguf");
        if !eight.is_file() {
            let part = home.join("q8_0.part");
            let mut quantize = Command::new(&python);
            quantize
                .arg(&measure)
                .arg("--quantize")
                .arg(published)
                .arg(&part);
            process::run_talking(&mut quantize)?;
            std::fs::rename(&part, &eight)
                .with_context(|| format!("cannot write {}", eight.display()))?;
        }
        let features = process::capture(Command::new(&python).arg(&measure).arg("--features"))?;
        Ok(Self {
            python,
            measure,
            features: format!("llama-cpp-python {VERSION}: {}", features.trim()),
            files: vec![
                ("llama.cpp Q8_0", eight),
                ("llama.cpp Q4_1", published.to_owned()),
            ],
        })
    }

    /// Its version and what it found in the processor.
    pub(super) fn features(&self) -> String {
        self.features.clone()
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.files
            .iter()
            .map(|(name, file)| (*name, file.as_path()))
    }

    pub(super) fn speed(&self, file: &Path, load: Load, threads: usize) -> anyhow::Result<Numbers> {
        let mut command = Command::new(&self.python);
        command.arg(&self.measure).arg(file).args(
            [
                threads,
                load.prompt,
                load.output,
                load.prompt + load.output,
                load.sequences,
            ]
            .map(|number| number.to_string()),
        );
        numbers(&mut command)
    }
}

/// Builds the binding from its source archive.
fn install(python: &Path, home: &Path, no_amx: bool) -> anyhow::Result<()> {
    let scratch = home.join("source");
    eprintln!("building llama-cpp-python {VERSION} for this processor (once, some minutes)");
    let mut pip = pip(python);
    pip.args([
        "download",
        "--no-deps",
        "--no-binary",
        ":all:",
        "--no-build-isolation",
    ])
    .args(["--dest"])
    .arg(&scratch);
    // Downloading runs the package's own set-up, which needs no compiler yet.
    pip.arg(format!("llama-cpp-python=={VERSION}"));
    process::run_talking(self::pip(python).args([
        "install",
        "--quiet",
        "scikit-build-core[pyproject]",
        "cmake",
        "ninja",
    ]))?;
    process::run_talking(&mut pip)?;
    let archive = scratch.join(format!("llama_cpp_python-{VERSION}.tar.gz"));
    process::run_talking(
        Command::new(python)
            .args(["-m", "tarfile", "--extract"])
            .arg(&archive)
            .arg(&scratch),
    )?;
    let source = scratch.join(format!("llama_cpp_python-{VERSION}"));
    keep_tile_configuration(&source.join(TILES))?;
    let mut flags = vec!["-DGGML_NATIVE=ON", "-DGGML_OPENMP=ON", "-DLLAVA_BUILD=OFF"];
    if no_amx {
        flags.extend([
            "-DCMAKE_C_FLAGS=-mno-amx-tile -mno-amx-int8 -mno-amx-bf16",
            "-DCMAKE_CXX_FLAGS=-mno-amx-tile -mno-amx-int8 -mno-amx-bf16",
        ]);
    }
    let mut build = self::pip(python);
    build
        .args(["install", "--no-deps"])
        .arg(&source)
        // Separated by semicolons, as scikit-build-core reads them: a flag may hold spaces.
        .env("SKBUILD_CMAKE_ARGS", flags.join(";"));
    process::run_talking(&mut build)?;
    std::fs::remove_dir_all(&scratch).with_context(|| format!("cannot empty {}", scratch.display()))
}

fn pip(python: &Path) -> Command {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]);
    pip
}

fn keep_tile_configuration(file: &Path) -> anyhow::Result<()> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    anyhow::ensure!(
        text.contains(TILE_LOAD),
        "{} does not load its tiles as this version is known to; check whether it still needs the barrier",
        file.display()
    );
    process::write_whole(file, text.replace(TILE_LOAD, TILE_BARRIER).as_bytes())
}
