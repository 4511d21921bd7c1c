//! Packages of Node.js projects in this repository, as their lock files name them.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::process::{self, ToolMissing};

const NODE: &str = "install Node.js 20 or newer with npm";
const PACKAGES: &str = "install them by hand: npm ci --ignore-scripts, in the folder of that file";

/// `npm ci` in a folder, unless the installed packages are those of its lock file already. No package's scripts run.
pub(crate) fn packages(folder: &Path, may_install: bool) -> anyhow::Result<()> {
    for tool in ["node", "npm"] {
        if process::on_path(tool).is_none() {
            return Err(ToolMissing { tool, remedy: NODE }.into());
        }
    }
    let lock = folder.join("package-lock.json");
    let changed = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified());
    let locked = changed(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let installed = folder.join("node_modules/.package-lock.json");
    if changed(&installed).is_ok_and(|installed| installed >= locked) {
        return Ok(());
    }
    if !may_install {
        return Err(ToolMissing {
            tool: "the packages of a package-lock.json",
            remedy: PACKAGES,
        })
        .with_context(|| format!("{} is not installed", lock.display()));
    }
    eprintln!("installing the packages of {}: npm ci", lock.display());
    let mut npm = Command::new("npm");
    npm.current_dir(folder)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    process::run_talking(&mut npm)
}
