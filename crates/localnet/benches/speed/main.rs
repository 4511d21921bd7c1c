//! How fast the embedded network is, over the interfaces that people use: `cargo xtask bench localnet`.
//!
//! Four parts: the official client of PocketIC one call after another; many senders at once over the IC HTTP interface of
//! a live network; what starting, installing and keeping canisters costs; and the core alone in this process, which shows
//! what HTTP and signatures add. Where `POCKET_IC_BIN` names another server, everything but the last part is measured on
//! it as well. A number is the median of several runs, after one that does not count. Nothing here is a test: every
//! answer is looked at, and a wrong one ends the program.

mod client;
mod core;
mod load;
mod modules;
mod report;
mod server;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Parser;

use crate::{
    report::{Machine, Report},
    server::Subject,
};

#[derive(Debug, Parser)]
#[command(about = "How fast the embedded network is")]
struct Args {
    /// Also write every number, with all its runs, to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Runs per number; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=99))]
    runs: u16,
    /// A canister module of usual size, whose installation is measured.
    #[arg(long, value_name = "WASM")]
    module: PathBuf,
    /// Cargo says it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let module = std::fs::read(&args.module).with_context(|| {
        format!(
            "cannot read {}; build it with cargo xtask wasm",
            args.module.display()
        )
    })?;
    let runs = usize::from(args.runs);
    let subjects = subjects()?;
    let mut report = Report::new(Machine::here(), runs, &args.module, module.len());
    for subject in &subjects {
        say(&format!("measuring {}", subject.name));
        server::starting(subject, &mut report)?;
        client::latency(subject, &mut report)?;
        client::installing(subject, &module, &mut report)?;
        client::memory(subject, &module, &mut report)?;
        load::throughput(subject, &mut report)?;
    }
    say("measuring the core alone");
    core::alone(&subjects[0].name, &mut report)?;
    report.print(&mut io::stdout().lock())?;
    if let Some(path) = args.json {
        std::fs::write(&path, report.json()?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// Ours, and the server in `POCKET_IC_BIN` where that is another, or another build of ours.
fn subjects() -> anyhow::Result<Vec<Subject>> {
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_assay-localnet"));
    let mut subjects = vec![Subject::new("assay-localnet", ours.clone())?];
    let named = std::env::var_os("POCKET_IC_BIN").filter(|path| !path.is_empty());
    if let Some(named) = named
        && !same_file(&named, &ours)
    {
        subjects.push(Subject::new("POCKET_IC_BIN", named.into())?);
    }
    Ok(subjects)
}

fn same_file(one: &OsString, other: &Path) -> bool {
    let canonical = |path: &Path| std::fs::canonicalize(path).ok();
    canonical(Path::new(one)) == canonical(other)
}

/// Talk, beside the data on stdout.
fn say(line: &str) {
    // Nobody may be there to read it.
    let _ = writeln!(io::stderr(), "{line}");
}
