//! TypeScript bindings of the canisters, generated from candid/ and committed, so that the web app and its reviewers
//! see every change of the interface. Never edited by hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::workspace::{CANISTERS, Workspace};
use crate::{node, process};

/// Relative to the repository.
const BINDINGS: &str = "frontend/src/bindings";

/// Writes the bindings into the frontend.
pub(crate) fn generate(workspace: &Workspace, may_install: bool) -> anyhow::Result<()> {
    let fresh = fresh(workspace, may_install)?;
    let folder = workspace.root.join(BINDINGS);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot replace {BINDINGS}"))?;
    }
    for (name, bytes) in &fresh {
        let path = folder.join(name);
        let parent = path.parent().context("BUG: a binding has no folder")?;
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
        process::write_whole(&path, bytes)?;
    }
    eprintln!("{BINDINGS}: {} files", fresh.len());
    Ok(())
}

/// Fails when the committed bindings are not what candid/ gives now.
pub(crate) fn check(workspace: &Workspace, may_install: bool) -> anyhow::Result<()> {
    let fresh = fresh(workspace, may_install)?;
    let stale = difference(&files(&workspace.root.join(BINDINGS))?, &fresh);
    if !stale.is_empty() {
        bail!(
            "{BINDINGS} is stale ({}); run: cargo xtask bindings",
            stale.join(", ")
        );
    }
    Ok(())
}

/// Path below the bindings folder to content.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn fresh(workspace: &Workspace, may_install: bool) -> anyhow::Result<Files> {
    let frontend = workspace.root.join("frontend");
    node::packages(&frontend, may_install)?;
    let folder = workspace.target.join("bindings");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    for canister in CANISTERS {
        let mut bindgen = Command::new("node");
        bindgen
            .current_dir(&frontend)
            .args([
                "node_modules/.bin/icp-bindgen",
                "--declarations-typescript",
                "--did-file",
            ])
            .arg(workspace.root.join(canister.did()))
            .arg("--out-dir")
            .arg(&folder);
        process::capture(&mut bindgen)?;
    }
    let fresh = files(&folder)?;
    // The generator reports some failures only in words: without files it has failed.
    for canister in CANISTERS {
        let name = format!("{}.ts", canister.name);
        if !fresh.contains_key(Path::new(&name)) {
            bail!("the generator wrote no {name} from {}", canister.did());
        }
    }
    Ok(fresh)
}

/// All files under `folder`; none when it does not exist.
fn files(folder: &Path) -> anyhow::Result<Files> {
    let mut found = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        if !next.exists() {
            continue;
        }
        let entries =
            std::fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))?;
        for entry in entries {
            let path = entry
                .with_context(|| format!("cannot read {}", next.display()))?
                .path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                found.insert(
                    path.strip_prefix(folder)
                        .context("BUG: a file outside its folder")?
                        .to_owned(),
                    bytes,
                );
            }
        }
    }
    Ok(found)
}

/// The names of missing, superfluous and changed files.
fn difference(committed: &Files, fresh: &Files) -> Vec<String> {
    let names: std::collections::BTreeSet<_> = committed.keys().chain(fresh.keys()).collect();
    names
        .into_iter()
        .filter(|name| committed.get(*name) != fresh.get(*name))
        .map(|name| name.display().to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_missing_and_superfluous_files_are_stale() {
        let files = |list: &[(&str, &str)]| -> Files {
            list.iter()
                .map(|(name, text)| (PathBuf::from(name), text.as_bytes().to_vec()))
                .collect()
        };
        let fresh = files(&[("jobs.ts", "1"), ("purse.ts", "2"), ("registry.ts", "3")]);
        assert!(difference(&fresh, &fresh).is_empty());
        let committed = files(&[("jobs.ts", "1"), ("old.ts", "0"), ("registry.ts", "4")]);
        assert_eq!(
            difference(&committed, &fresh),
            ["old.ts", "purse.ts", "registry.ts"]
        );
    }
}
