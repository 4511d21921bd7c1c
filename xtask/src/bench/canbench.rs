//! `bench canbench`: how many instructions canister code takes here, beside figures that were published.
//!
//! DFINITY's canbench runs the benchmarks of `tests/canisters/benchmarks` on `assay-localnet`. They do what some of the
//! benchmarks of stable-structures do, by their description and with the same release of the library, built as those were:
//! optimised, without link-time optimisation. The compiler is not the same one (theirs was Rust 1.84), and neither are
//! cdk, canbench-rs and random numbers; where the work is that of the System API, none of that matters.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use crate::tools::{self, Tool};
use crate::workspace::{BENCHMARKS, Workspace};
use crate::{process, wasm};

const CANBENCH: Tool = Tool {
    name: "canbench",
    version: "0.7.0",
    by_hand: "cargo install --locked --root target/tools canbench --version 0.7.0",
};

/// The only version of PocketIC's server with which canbench 0.7.0 works.
const POCKET_IC_VERSION: &str = "13.0.0";

/// Where the figures are from.
const SOURCE: &str = "dfinity/stable-structures, tag v0.7.2, benchmarks/*/canbench_results.yml (canbench 0.2.0, Rust 1.84)";

/// A benchmark, and the instructions that were published for it.
struct Published {
    name: &'static str,
    instructions: u64,
}

const fn published(name: &'static str, instructions: u64) -> Published {
    Published { name, instructions }
}

/// Where nearly all instructions are those of the System API.
const SYSTEM: &[Published] = &[
    published("memory_manager_baseline", 1_176_577_076),
    published("memory_manager_overhead", 1_181_977_502),
    published("read_chunks_stable_1", 104_859_143),
    published("read_chunks_stable_1k", 104_985_739),
    published("write_chunks_stable_1", 130_471_968),
    published("write_chunks_stable_1k", 130_598_745),
];

/// Where it is the code that a compiler made.
const CODE: &[Published] = &[
    published("memory_manager_grow", 347_433_966),
    published("read_chunks_stable_1m", 230_002_739),
    published("write_chunks_stable_1m", 255_406_658),
    published("vec_insert_u64", 5_379_519),
    published("vec_get_u64", 4_790_305),
    published("vec_insert_blob_64", 3_695_804),
    published("vec_get_blob_64", 11_310_943),
    published("vec_get_blob_64_mem_manager", 13_651_091),
    published("btreemap_v2_insert_u64_u64", 414_580_548),
    published("btreemap_v2_get_u64_u64", 230_534_752),
    published("btreemap_v2_contains_u64_u64", 223_284_326),
    published("btreemap_v2_remove_u64_u64", 586_718_731),
    published("btreemap_v2_mem_manager_insert_u64_u64", 520_545_864),
    published("btreemap_v2_mem_manager_get_u64_u64", 291_718_588),
    published("btreemap_v2_mem_manager_remove_u64_u64", 736_785_650),
];

/// Builds, runs and compares; fails where a benchmark cannot be run.
pub(crate) fn run(workspace: &Workspace, may_install: bool) -> anyhow::Result<ExitCode> {
    let canbench = install(workspace, may_install)?;
    let module = wasm::build_measured(workspace, may_install, &BENCHMARKS, &[])?;
    let results = measure(workspace, &canbench, &module)?;
    let results = read(&results);
    process::out(&format!("published: {SOURCE}"))?;
    for (title, rows) in [
        ("the work of the System API", SYSTEM),
        ("the work of compiled code", CODE),
    ] {
        process::out("")?;
        process::out(&format!(
            "{title:<42}{:>15}{:>15}{:>9}",
            "here", "published", "ratio"
        ))?;
        for row in rows {
            process::out(&line(row, &results)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Finds or installs canbench, and builds the network that it runs on.
pub(super) fn install(workspace: &Workspace, may_install: bool) -> anyhow::Result<PathBuf> {
    let canbench = tools::find_or_install(workspace, may_install, &CANBENCH)?;
    let mut network = workspace.release("build", &["assay-localnet"]);
    process::run(network.arg("--bins"))?;
    Ok(canbench)
}

/// Has canbench measure everything in a module; gives the text of its results.
pub(super) fn measure(
    workspace: &Workspace,
    canbench: &Path,
    module: &Path,
) -> anyhow::Result<String> {
    let folder = workspace.target.join("canbench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let results = folder.join("results.yml");
    // What an earlier run found would be compared with, and talked about.
    if results.exists() {
        fs::remove_file(&results)
            .with_context(|| format!("cannot remove {}", results.display()))?;
    }
    // A text in JSON is one in YAML, too.
    let path = |path: &Path| serde_json::to_string(&path).context("a path is not UTF-8");
    let config = format!(
        "wasm_path: {}\nresults_path: {}\n",
        path(module)?,
        path(&results)?
    );
    let config_file = folder.join("canbench.yml");
    fs::write(&config_file, config)
        .with_context(|| format!("cannot write {}", config_file.display()))?;
    let mut command = Command::new(canbench);
    command
        .current_dir(&folder)
        .args(["--persist", "--less-verbose", "--hide-results"])
        .args(["--no-runtime-integrity-check", "--runtime-path"])
        .arg(workspace.program(crate::workspace::Profile::Release, "assay-localnet"))
        .env("ASSAY_POCKET_IC_VERSION", POCKET_IC_VERSION);
    process::run_talking(&mut command)?;
    fs::read_to_string(&results).with_context(|| format!("canbench left no {}", results.display()))
}

/// The instructions of each benchmark, out of canbench's YAML: names at two spaces, totals below them.
pub(super) fn read(yaml: &str) -> Vec<(&str, u64)> {
    let mut results: Vec<(&str, u64)> = Vec::new();
    let mut name = None;
    for line in yaml.lines() {
        let text = line.trim_start();
        match line.len() - text.len() {
            2 => name = text.strip_suffix(':'),
            // The totals come before any scope, whose numbers stand deeper.
            6 => {
                let instructions = text.strip_prefix("instructions: ");
                let instructions = instructions.and_then(|number| number.parse().ok());
                results.extend(name.zip(instructions));
            }
            _ => {}
        }
    }
    results
}

fn line(row: &Published, results: &[(&str, u64)]) -> anyhow::Result<String> {
    let Published { name, instructions } = row;
    let Some((_, here)) = results.iter().find(|(found, _)| found == name) else {
        bail!("canbench has no result for {name}");
    };
    let ratio = *here as f64 / *instructions as f64;
    Ok(format!(
        "{name:<42}{:>15}{:>15}{ratio:>9.4}",
        grouped(*here),
        grouped(*instructions)
    ))
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "\
benches:
  first:
    total:
      calls: 1
      instructions: 1176577076
      heap_increase: 0
      stable_memory_increase: 8000
    scopes:
      inner:
        instructions: 5
  second:
    total:
      calls: 1
      instructions: 9
    scopes: {}
version: 0.7.0
";

    #[test]
    fn results_are_read() {
        assert_eq!(read(YAML), [("first", 1_176_577_076), ("second", 9)]);
        assert_eq!(read(""), []);
    }

    #[test]
    fn a_result_stands_beside_the_published_one() {
        let results = read(YAML);
        assert_eq!(
            line(&published("first", 1_176_577_076), &results).unwrap(),
            "first                                       1_176_577_076  1_176_577_076   1.0000"
        );
        let error = line(&published("third", 1), &results).unwrap_err();
        assert_eq!(error.to_string(), "canbench has no result for third");
    }

    #[test]
    fn thousands_are_apart() {
        let numbers = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1_000", "1_234_567"]);
    }
}
