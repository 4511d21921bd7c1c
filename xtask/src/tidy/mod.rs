//! `tidy`: the rules of this repository that no compiler knows.
//!
//! - [`edges`]: which of our crates may depend on which, and who may name the canister kit;
//! - [`files`]: size, whitespace, unfinished work, paths of one machine;
//! - [`manifests`]: dfx.json and icp.yaml describe the canisters that `xtask wasm` builds.
//!
//! Every check is a function from text to problems, so that its tests need no repository.

mod edges;
mod files;
mod manifests;

use std::process::Command;

use anyhow::{Context, bail};

use crate::process;
use crate::workspace::Workspace;

/// Runs all rules, prints each problem, and fails when there is one.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let read = |path: &str| {
        std::fs::read_to_string(workspace.root.join(path))
            .with_context(|| format!("cannot read {path}"))
    };
    let mut problems = Vec::new();

    let metadata = process::capture(workspace.cargo().args([
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--locked",
        "--offline",
    ]))?;
    let metadata = edges::Metadata::parse(&metadata)?;
    problems.extend(edges::check(&metadata));
    problems.extend(edges::check_lock(&metadata, &read("Cargo.lock")?));
    for manifest in metadata.manifests() {
        problems.extend(edges::check_manifest(&manifest, &read(&manifest)?));
    }

    problems.extend(manifests::check(&read("dfx.json")?, &read("icp.yaml")?));

    // Files to be committed too, so that a problem shows before the commit.
    let mut git = Command::new("git");
    git.current_dir(&workspace.root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    for path in process::capture(&mut git)?.split_terminator('\0') {
        let full = workspace.root.join(path);
        // A file deleted but not yet committed, or a link.
        if !full
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_file())
        {
            continue;
        }
        problems.extend(files::check(
            path,
            &std::fs::read(&full).with_context(|| format!("cannot read {path}"))?,
        ));
    }

    if problems.is_empty() {
        return Ok(());
    }
    for problem in &problems {
        process::out(problem)?;
    }
    bail!(
        "tidy: each line above names a place and the rule that it breaks ({} in all)",
        problems.len()
    )
}
