//! `fuzz`: coverage-guided fuzzing of what strangers send to the embedded network, to the engine and to a referee.
//!
//! cargo-fuzz builds the targets in `fuzz/`, a workspace of its own, with libFuzzer and instrumentation into
//! `target/fuzz`; the stable toolchain is enough. Each run begins with the committed seeds and what earlier runs found. It
//! is no part of the whole check, which runs the seeds alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use anyhow::{Context, bail};

use crate::process;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

const CARGO_FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    version: "0.13.2",
    by_hand: "cargo install --locked --root target/tools cargo-fuzz --version 0.13.2",
};

/// Seconds after which one input has taken too long.
const TIMEOUT_SECONDS: u64 = 30;
/// Megabytes that a target may hold. Its memories are reserved, not held.
const MEMORY_MB_MAX: u64 = 4096;
/// Megabytes that a target may ask for at once: whatever an input says of itself, nothing as large is made before it is there.
const ASK_MB_MAX: u64 = 512;

/// What is fuzzed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Target {
    /// Envelopes: signed requests in CBOR, and the paths that they read.
    Envelope,
    /// Canister modules, byte by byte.
    Module,
    /// Valid canister modules that wasm-smith makes.
    MadeModule,
    /// Requests to PocketIC's interface.
    Rest,
    /// Proofs of single operators, which a referee reads.
    Proof,
    /// Hosts, certificates and canisters' answers at the gateway.
    Gateway,
    /// Checkpoints in GGUF, read and converted.
    Checkpoint,
    /// Checkpoints' tensors in safetensors.
    Safetensors,
    /// Model files, opened and run.
    Model,
    /// Texts and messages, put to a tokenizer.
    Tokenizer,
}

impl Target {
    const ALL: [Self; 10] = [
        Self::Envelope,
        Self::Module,
        Self::MadeModule,
        Self::Rest,
        Self::Proof,
        Self::Gateway,
        Self::Checkpoint,
        Self::Safetensors,
        Self::Model,
        Self::Tokenizer,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::Module => "module",
            Self::MadeModule => "made_module",
            Self::Rest => "rest",
            Self::Proof => "proof",
            Self::Gateway => "gateway",
            Self::Checkpoint => "checkpoint",
            Self::Safetensors => "safetensors",
            Self::Model => "model",
            Self::Tokenizer => "tokenizer",
        }
    }

    /// As the command line calls it.
    fn argument(self) -> String {
        self.name().replace('_', "-")
    }
}

/// Fuzzes one target, or all in turn, or runs one input again.
pub(crate) fn run(
    workspace: &Workspace,
    may_install: bool,
    target: Option<Target>,
    seconds: u64,
    replay: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let replay = replay
        .map(|input| std::path::absolute(input).context("cannot tell where the input is"))
        .transpose()?;
    let cargo_fuzz = tools::find_or_install(workspace, may_install, &CARGO_FUZZ)?;
    let programs = build(workspace, &cargo_fuzz)?;
    let targets = target.map_or(Target::ALL.to_vec(), |target| vec![target]);
    if let Some(input) = replay {
        let [target] = targets[..] else {
            bail!("name the target whose input this is");
        };
        process::run(Command::new(programs.join(target.name())).arg(input))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut crashed = Vec::new();
    for target in targets {
        let found = fuzz(workspace, &programs, target, seconds)?;
        process::out(&match &found {
            None => format!("ok    {}  {seconds} s", target.argument()),
            Some(_) => format!("fail  {}", target.argument()),
        })?;
        crashed.extend(found.map(|input| (target, input)));
    }
    for (target, input) in &crashed {
        process::out(&format!(
            "{} fails on {}",
            target.argument(),
            input.display()
        ))?;
        process::out(&format!(
            "again: cargo xtask fuzz {} --replay {}",
            target.argument(),
            input.display()
        ))?;
    }
    Ok(process::exit_code(crashed.is_empty()))
}

/// Builds all targets; gives the folder of the programs.
fn build(workspace: &Workspace, cargo_fuzz: &Path) -> anyhow::Result<PathBuf> {
    let host = host()?;
    let folder = workspace.target.join("fuzz");
    let mut command = Command::new(cargo_fuzz);
    command
        .current_dir(&workspace.root)
        .args(["build", "--fuzz-dir", "fuzz", "--target-dir"])
        .arg(&folder)
        .args(["--target", &host])
        // What is unsafe here are mappings of memory, of which an address sanitizer knows nothing; it would cost half of
        // the speed, and a compiler that is not the stable one.
        .args(["--sanitizer", "none"])
        .env_remove("CARGO_TARGET_DIR");
    process::run_talking(&mut command)?;
    Ok(folder.join(host).join("release"))
}

/// The platform that this toolchain builds for.
fn host() -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = process::capture(Command::new(rustc).args(["--version", "--verbose"]))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say its host")?.to_owned())
}

/// Fuzzes one target; gives the input on which it fails, if one is found.
fn fuzz(
    workspace: &Workspace,
    programs: &Path,
    target: Target,
    seconds: u64,
) -> anyhow::Result<Option<PathBuf>> {
    let folder = |kind: &str| -> anyhow::Result<PathBuf> {
        let folder = workspace.target.join("fuzz").join(kind).join(target.name());
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    };
    let (corpus, seeds, failures) = (folder("corpus")?, folder("seeds")?, folder("failures")?);
    eprintln!("fuzzing {} for {seconds} s", target.argument());
    let begun = SystemTime::now();
    // With a slash at its end it is the beginning of file names.
    let prefix = format!("{}/", failures.display());
    let mut command = Command::new(programs.join(target.name()));
    command
        .args([&corpus, &seeds])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={TIMEOUT_SECONDS}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB_MAX}"))
        .arg(format!("-malloc_limit_mb={ASK_MB_MAX}"))
        .arg(format!("-artifact_prefix={prefix}"))
        .arg("-print_final_stats=1")
        .env("ASSAY_FUZZ_SEEDS", &seeds);
    let status = command
        .status()
        .with_context(|| format!("cannot start the target {}", target.argument()))?;
    if status.success() {
        return Ok(None);
    }
    let newest = newest(&failures, begun)?;
    newest.map(Some).with_context(|| {
        format!(
            "the target {} ended with {status} and left no input; what it printed above says why",
            target.argument()
        )
    })
}

/// The file in a folder that was written last, but not before this time.
fn newest(folder: &Path, since: SystemTime) -> anyhow::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        let written = written.with_context(|| format!("cannot read {}", entry.path().display()))?;
        if written >= since && newest.as_ref().is_none_or(|(before, _)| *before <= written) {
            newest = Some((written, entry.path()));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_input_that_was_found_last_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let begun = SystemTime::now();
        let write = |name: &str, at: SystemTime| {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            file.set_modified(at).unwrap();
        };
        assert_eq!(newest(folder.path(), begun).unwrap(), None);
        write("crash-of-an-earlier-run", begun - Duration::from_secs(9));
        assert_eq!(newest(folder.path(), begun).unwrap(), None);
        write("slow-unit", begun + Duration::from_secs(1));
        write("crash", begun + Duration::from_secs(2));
        assert_eq!(
            newest(folder.path(), begun).unwrap(),
            Some(folder.path().join("crash"))
        );
    }

    #[test]
    fn every_target_is_declared_in_the_manifest_with_its_file() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
        for target in Target::ALL {
            let name = target.name();
            assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
            assert!(
                root.join(format!("fuzz/targets/{name}.rs")).is_file(),
                "{name}"
            );
        }
        assert_eq!(manifest.matches("[[bin]]").count(), Target::ALL.len());
    }
}
