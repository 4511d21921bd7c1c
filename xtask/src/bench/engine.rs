//! `bench engine`: the engine beside llama.cpp on the same model, the same prompt and the same processor.
//!
//! Runs alternate, one process each, so that what the machine does meanwhile meets both. llama.cpp is the best build for
//! this processor, in two formats: Q4_1 as the model was published, its fastest, and Q8_0, which has as many bits as ours.
//! Numbers are medians. A ratio above one says that the engine is faster.

mod llama;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context;
use serde::Deserialize;

use self::llama::Llama;
use self::table::Report;
use crate::workspace::{Profile, Workspace};
use crate::{launch, model, process};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs of each number; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: u16,
    /// Also write every number, with all its runs, to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also draw the speeds into this file as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// The engine alone, without llama.cpp.
    #[arg(long)]
    alone: bool,
    /// Leave AMX unused on both sides, where the processor has it.
    #[arg(long)]
    no_amx: bool,
}

/// Threads of each measurement.
const THREADS: [usize; 2] = [1, 2];

/// A prompt and the tokens after it, of one sequence or of several at once.
#[derive(Debug, Clone, Copy)]
struct Load {
    name: &'static str,
    prompt: usize,
    output: usize,
    sequences: usize,
}

const LOADS: [Load; 3] = [
    Load {
        name: "prompt of 512",
        prompt: 512,
        output: 128,
        sequences: 1,
    },
    Load {
        name: "prompt of 2,048",
        prompt: 2_048,
        output: 64,
        sequences: 1,
    },
    Load {
        name: "batch of 8",
        prompt: 1,
        output: 64,
        sequences: 8,
    },
];
/// Tokens of the answer whose check is measured.
const CHECKED: usize = 256;

/// One process's numbers by name.
type Numbers = BTreeMap<String, f64>;

pub(crate) fn run(
    workspace: &Workspace,
    may_install: bool,
    args: &Args,
) -> anyhow::Result<ExitCode> {
    let source = model::source(workspace)?;
    let ours = Ours::build(workspace, args.no_amx)?;
    let theirs = match args.alone {
        true => None,
        false => Some(Llama::build(workspace, may_install, &source, args.no_amx)?),
    };
    let mut report = Report::new(theirs.as_ref().map(Llama::features));
    for load in LOADS {
        for threads in THREADS {
            measure(
                &mut report,
                &ours,
                theirs.as_ref(),
                load,
                threads,
                args.rounds,
            )?;
        }
    }
    for threads in THREADS {
        let mut runs = Vec::new();
        for _ in 0..args.rounds {
            runs.push(ours.check(threads)?);
        }
        report.check(threads, &runs);
    }
    report.print()?;
    if let Some(file) = &args.json {
        process::write_whole(file, report.json()?.as_bytes())?;
    }
    if let Some(file) = &args.plot {
        process::write_whole(file, report.plot().as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Alternating runs of everything that is compared.
fn measure(
    report: &mut Report,
    ours: &Ours,
    theirs: Option<&Llama>,
    load: Load,
    threads: usize,
    rounds: u16,
) -> anyhow::Result<()> {
    let mut runs: BTreeMap<&'static str, Vec<Numbers>> = BTreeMap::new();
    for round in 1..=rounds {
        eprintln!(
            "{}, {threads} {}: round {round} of {rounds}",
            load.name,
            if threads == 1 { "thread" } else { "threads" }
        );
        runs.entry(table::OURS)
            .or_default()
            .push(ours.speed(load, threads)?);
        for (name, file) in theirs.iter().flat_map(|llama| llama.files()) {
            let numbers = theirs
                .context("BUG: files of nobody")?
                .speed(file, load, threads)?;
            runs.entry(name).or_default().push(numbers);
        }
    }
    for (subject, runs) in runs {
        report.speed(load, threads, subject, &runs);
    }
    Ok(())
}

/// Our side: the engine's example `bench` and the converted model.
struct Ours {
    program: PathBuf,
    model: PathBuf,
    kernels: Option<&'static str>,
}

impl Ours {
    fn build(workspace: &Workspace, no_amx: bool) -> anyhow::Result<Self> {
        let places = model::fetch(workspace, None)?;
        let model = match places.converted() {
            Some(model) => model.to_owned(),
            None => {
                launch::build_programs(workspace, Profile::Dev)?;
                model::convert(workspace, Profile::Dev, &places)?
            }
        };
        let mut cargo = workspace.release("build", &["assay-engine"]);
        process::run(cargo.args(["--example", "bench"]))?;
        Ok(Self {
            program: workspace.target.join("release/examples/bench"),
            model,
            kernels: (no_amx && has_amx()).then_some("avx512"),
        })
    }

    fn speed(&self, load: Load, threads: usize) -> anyhow::Result<Numbers> {
        let mut command = Command::new(&self.program);
        let prompt = match load.sequences {
            1 => load.prompt.to_string(),
            several => format!("together={several}"),
        };
        command
            .arg(&self.model)
            .args([threads.to_string(), prompt, load.output.to_string()]);
        numbers(command.args(self.kernels))
    }

    fn check(&self, threads: usize) -> anyhow::Result<Numbers> {
        let mut command = Command::new(&self.program);
        command
            .arg(&self.model)
            .args([&threads.to_string(), "check", &CHECKED.to_string()]);
        numbers(command.args(self.kernels))
    }
}

/// Runs a measurement and reads its line.
fn numbers(command: &mut Command) -> anyhow::Result<Numbers> {
    let said = process::capture(command)?;
    let line = said.lines().last().unwrap_or_default();
    Numbers::deserialize(&mut serde_json::Deserializer::from_str(line))
        .with_context(|| format!("the measurement printed {line:?} instead of numbers"))
}

/// The values of one number in several runs.
fn values(runs: &[Numbers], name: &str) -> Vec<f64> {
    runs.iter()
        .filter_map(|run| run.get(name).copied())
        .collect()
}

/// Whether this processor multiplies int8 tiles.
fn has_amx() -> bool {
    std::fs::read_to_string(Path::new("/proc/cpuinfo")).is_ok_and(|text| text.contains("amx_int8"))
}
