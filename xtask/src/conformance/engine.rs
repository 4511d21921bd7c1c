//! `conformance engine`: the engine on every kind of machine that can be had here, against the recorded roots.
//!
//! One line for each way of running: kernels, threads, how tokens are fed; natively in both builds, on other processors
//! under qemu, and as WebAssembly in Node.js and in wasmtime. What this machine cannot run is skipped in so many words.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::Context;

use super::{Case, Outcome, install_debian};
use crate::workspace::{Profile, Workspace};
use crate::{model, process, python, tests_run, web};

/// The package that runs every variant, its program, and its WebAssembly module.
const PACKAGE: &str = "assay-engine-conformance";
const PROGRAM: &str = "engine-conformance";
const MODULE: &str = "engine_conformance.wasm";
const WASM_TARGET: &str = "wasm32-unknown-unknown";
/// Tokens of the default model where it runs at full speed, and elsewhere.
const MANY: &str = "700";
const FEW: &str = "16";
/// Tiny models of each variant but of the release build here, unless all are asked for.
const MODELS: &str = "1";

/// A processor that qemu plays.
struct Emulated {
    name: &'static str,
    target: &'static str,
    linker: &'static str,
    qemu: &'static str,
    /// What the emulator is told beside: the processor, where it has one that knows every instruction.
    options: &'static [&'static str],
    /// Where Debian's cross compiler keeps that system's libraries.
    libraries: &'static str,
    packages: &'static str,
}

const EMULATED: [Emulated; 2] = [
    Emulated {
        name: "aarch64 under qemu",
        target: "aarch64-unknown-linux-gnu",
        linker: "aarch64-linux-gnu-gcc",
        qemu: "qemu-aarch64",
        options: &["-cpu", "max"],
        libraries: "/usr/aarch64-linux-gnu",
        packages: "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user",
    },
    Emulated {
        name: "riscv64 under qemu",
        target: "riscv64gc-unknown-linux-gnu",
        linker: "riscv64-linux-gnu-gcc",
        qemu: "qemu-riscv64",
        options: &[],
        libraries: "/usr/riscv64-linux-gnu",
        packages: "gcc-riscv64-linux-gnu libc6-dev-riscv64-cross qemu-user",
    },
];

/// How many variants came out how.
#[derive(Clone, Copy, Default)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// One machine, and what it is to run.
struct Run {
    machine: String,
    words: Vec<OsString>,
    /// Tiny models of each variant, where not all.
    models: Option<&'static str>,
    /// Tokens of the default model.
    tokens: &'static str,
}

/// Machines that run at once: many of their variants have one thread.
const AT_ONCE: usize = 2;

pub(super) fn run(
    workspace: &Workspace,
    may_install: bool,
    whole: bool,
) -> anyhow::Result<ExitCode> {
    let mut count = Count::default();
    let models = (!whole).then_some(MODELS);
    let mut runs = Vec::new();
    let places = model::fetch(workspace, None)?;
    // The debug build is the one that the tests use.
    tests_run::build(workspace)?;
    let model = match places.converted() {
        Some(model) => model.to_owned(),
        None => model::convert(workspace, Profile::Dev, &places)?,
    };
    build(workspace, &["--bin", PROGRAM], None, &[])?;
    for (name, program, models, tokens) in [
        (
            "native, release",
            target(workspace).join("release").join(PROGRAM),
            None,
            MANY,
        ),
        (
            "native, debug",
            workspace.program(Profile::Dev, PROGRAM),
            models,
            FEW,
        ),
    ] {
        runs.push(Run {
            machine: name.to_owned(),
            words: vec![program.into()],
            models,
            tokens,
        });
    }
    for machine in &EMULATED {
        match machine.prepare(workspace, may_install)? {
            Err(why) => count.skip(machine.name, &why)?,
            Ok(program) => {
                let mut words: Vec<OsString> = vec![machine.qemu.into()];
                words.extend(machine.options.iter().map(OsString::from));
                words.extend(["-L".into(), machine.libraries.into(), program.into()]);
                runs.push(Run {
                    machine: machine.name.to_owned(),
                    words,
                    models,
                    tokens: FEW,
                });
            }
        }
    }
    wasm(workspace, may_install, models, &mut runs, &mut count)?;
    count.add(run_all(&runs, &model)?);
    browser(workspace, may_install, &model, &mut count)?;
    process::out(&format!("skipped {}", count.skipped))?;
    process::out(&format!("{} passed, {} failed", count.passed, count.failed))?;
    Ok(process::exit_code(count.failed == 0 && count.passed > 0))
}

/// WebAssembly with vectors and without, in two machines with compilers of their own.
fn wasm(
    workspace: &Workspace,
    may_install: bool,
    models: Option<&'static str>,
    runs: &mut Vec<Run>,
    count: &mut Count,
) -> anyhow::Result<()> {
    let here = workspace.root.join("xtask/src/conformance/engine");
    let node = match process::on_path("node") {
        None => Err("there is no node on this machine; install Node.js".to_owned()),
        Some(_) => Ok(vec!["node".into(), here.join("node.mjs").into()]),
    };
    let python = python::environment(workspace, &here, "wasmtime", may_install);
    let wasmtime = match python {
        Err(error) => Err(format!("{error:#}")),
        Ok(python) => Ok(vec![python.into(), here.join("run_wasmtime.py").into()]),
    };
    let many = if models.is_some() { FEW } else { MANY };
    for (name, features, file, tokens) in [
        ("wasm", "-C target-feature=+simd128", "simd.wasm", many),
        ("wasm without vectors", "", "scalar.wasm", FEW),
    ] {
        if !has_target(WASM_TARGET) {
            let why = format!("no standard library; install it: rustup target add {WASM_TARGET}");
            count.skip(name, &why)?;
            continue;
        }
        let flags = [("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", features)];
        build(workspace, &["--lib"], Some(WASM_TARGET), &flags)?;
        // The other one is built in the same place.
        let built = target(workspace).join(WASM_TARGET).join("release");
        let module = built.join(file);
        std::fs::copy(built.join(MODULE), &module)
            .with_context(|| format!("cannot make {}", module.display()))?;
        for (machine, words) in [("Node.js", &node), ("wasmtime", &wasmtime)] {
            let name = format!("{name} in {machine}");
            match words {
                Err(why) => count.skip(&name, why)?,
                Ok(words) => {
                    let words: Vec<OsString> = words
                        .iter()
                        .cloned()
                        .chain([module.clone().into()])
                        .collect();
                    runs.push(Run {
                        machine: name,
                        words,
                        models,
                        tokens,
                    });
                }
            }
        }
    }
    Ok(())
}

/// Runs everything on all machines, some of them at once.
fn run_all(runs: &[Run], model: &Path) -> anyhow::Result<Count> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut count = Count::default();
        while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            count.runs(run, model)?;
        }
        anyhow::Ok(count)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let mut count = Count::default();
        for worker in workers {
            count.add(worker.join().expect("BUG: a run panicked")?);
        }
        Ok(count)
    })
}

/// The engine as browsers get it, with its JavaScript, on the default model.
fn browser(
    workspace: &Workspace,
    may_install: bool,
    model: &Path,
    count: &mut Count,
) -> anyhow::Result<()> {
    const NAME: &str = "engine for browsers, in Node.js";
    if process::on_path("node").is_none() {
        return count.skip(NAME, "there is no node on this machine; install Node.js");
    }
    let module = web::build(workspace, may_install)?.join(web::MODULE);
    let mut node = Command::new("node");
    node.current_dir(workspace.root.join("crates/engine-web/tests"))
        .args(["--test", "--test-reporter=tap", "engine.test.mjs"])
        .env("ENGINE_WASM", module)
        .env("ASSAY_MODEL", model);
    count.lines(NAME, node, |line| {
        let Case { outcome, what } = Case::read(line)?;
        Some((outcome, what))
    })
}

/// Where all of it is built: not where the programs are, which need more of the engine.
fn target(workspace: &Workspace) -> PathBuf {
    workspace.target.join("conformance")
}

/// Builds a part of the package, in release.
fn build(
    workspace: &Workspace,
    part: &[&str],
    machine: Option<&str>,
    variables: &[(&str, &str)],
) -> anyhow::Result<()> {
    let mut cargo = workspace.release("build", &[PACKAGE]);
    cargo
        .args(part)
        .arg("--target-dir")
        .arg(target(workspace))
        .envs(variables.iter().copied());
    if let Some(machine) = machine {
        cargo.args(["--target", machine]);
    }
    process::run(&mut cargo)
}

impl Emulated {
    /// The program for this machine, or why there is none.
    fn prepare(
        &self,
        workspace: &Workspace,
        may_install: bool,
    ) -> anyhow::Result<Result<PathBuf, String>> {
        let complete =
            || process::on_path(self.linker).is_some() && process::on_path(self.qemu).is_some();
        if may_install && !has_target(self.target) && process::on_path("rustup").is_some() {
            eprintln!(
                "installing the target {}: rustup target add {0}",
                self.target
            );
            // Where it cannot be had the line below says so.
            let _ =
                process::run_talking(Command::new("rustup").args(["target", "add", self.target]));
        }
        if may_install && !complete() {
            install_debian(self.packages);
        }
        if !has_target(self.target) {
            return Ok(Err(format!(
                "no standard library; install it: rustup target add {}",
                self.target
            )));
        }
        if !complete() {
            return Ok(Err(format!(
                "no cross linker or emulator; install: apt-get install {}",
                self.packages
            )));
        }
        let variable = self.target.to_uppercase().replace('-', "_");
        let linker = format!("CARGO_TARGET_{variable}_LINKER");
        let variables = [(&linker[..], self.linker)];
        build(
            workspace,
            &["--bin", PROGRAM],
            Some(self.target),
            &variables,
        )?;
        let built = target(workspace).join(self.target).join("release");
        Ok(Ok(built.join(PROGRAM)))
    }
}

impl Count {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Runs all variants on tiny models, and the default model, on one machine.
    fn runs(&mut self, run: &Run, model: &Path) -> anyhow::Result<()> {
        let Run {
            machine,
            words,
            models,
            tokens,
        } = run;
        let mut tiny = command(words)?;
        tiny.args(models);
        self.lines(machine, tiny, variant)?;
        let mut with_model = command(words)?;
        with_model.arg(model).arg(tokens);
        self.lines(machine, with_model, variant)
    }

    /// Tells the lines of one run as they come; what is no line of a case is not told.
    fn lines(
        &mut self,
        machine: &str,
        mut command: Command,
        read: impl Fn(&str) -> Option<(Outcome, String)>,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut running = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let said = running.stdout.take().context("BUG: its output is piped")?;
        let before = self.passed + self.failed;
        let mut failed = false;
        for line in BufReader::new(said).lines() {
            let line = line.with_context(|| format!("{machine} does not speak in lines"))?;
            let Some((outcome, what)) = read(&line) else {
                if failed {
                    eprintln!("{line}");
                }
                continue;
            };
            let word = match outcome {
                Outcome::Pass => "ok",
                Outcome::Fail => "fail",
                Outcome::Skip => "skip",
            };
            match outcome {
                Outcome::Pass => self.passed += 1,
                Outcome::Fail => self.failed += 1,
                Outcome::Skip => self.skipped += 1,
            }
            failed |= outcome == Outcome::Fail;
            process::out(&format!("{word:<6}{machine}: {what}"))?;
        }
        let status = running.wait().context("cannot wait for it")?;
        if self.passed + self.failed == before || (!status.success() && !failed) {
            self.failed += 1;
            process::out(&format!("fail  {machine}: ended with {status}"))?;
        }
        eprintln!("{machine}: {} s", started.elapsed().as_secs());
        Ok(())
    }

    fn skip(&mut self, machine: &str, why: &str) -> anyhow::Result<()> {
        self.skipped += 1;
        process::out(&format!("skip  {machine}: {why}"))
    }
}

/// Reads a line like `ok    Avx2, 1 thread, whole prefill`; anything else is a failure that says itself.
fn variant(line: &str) -> Option<(Outcome, String)> {
    let (word, what) = line.split_once(' ').unwrap_or((line, ""));
    Some(match word {
        "ok" => (Outcome::Pass, what.trim_start().to_owned()),
        "skip" => (Outcome::Skip, what.trim_start().to_owned()),
        "fail" => (Outcome::Fail, what.trim_start().to_owned()),
        _ => (Outcome::Fail, line.to_owned()),
    })
}

fn command(words: &[OsString]) -> anyhow::Result<Command> {
    let (program, arguments) = words.split_first().context("BUG: an empty command line")?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// Whether this toolchain has the standard library of a target.
fn has_target(target: &str) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let folder = process::capture(Command::new(rustc).args([
        "--print",
        "target-libdir",
        "--target",
        target,
    ]));
    folder.is_ok_and(|folder| {
        std::fs::read_dir(folder).is_ok_and(|files| {
            let mut names = files.flatten().map(|file| file.file_name());
            names.any(|name| name.to_string_lossy().starts_with("libstd-"))
        })
    })
}
