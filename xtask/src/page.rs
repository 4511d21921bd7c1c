//! `page`: the web app, built into `frontend/dist` with the engine for browsers and the rules by which it is served.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::workspace::Workspace;
use crate::{node, process, web};

/// Where its sources are.
pub(crate) const FOLDER: &str = "frontend";
/// How its files are served, beside the sources.
const RULES: &str = "assets.json";

/// Builds it; gives the folder that `assay up --page` takes.
pub(crate) fn build(workspace: &Workspace, may_install: bool) -> anyhow::Result<PathBuf> {
    let folder = workspace.root.join(FOLDER);
    node::packages(&folder, may_install)?;
    let engine = web::build(workspace, may_install)?;
    eprintln!("building the web app");
    process::run_talking(script(workspace, "build").env("ASSAY_ENGINE_WEB", engine))?;
    let built = folder.join("dist");
    let rules = folder.join(RULES);
    let text = std::fs::read(&rules).with_context(|| format!("cannot read {}", rules.display()))?;
    process::write_whole(&built.join(RULES), &text)?;
    Ok(built)
}

/// A script of its package.
pub(crate) fn script(workspace: &Workspace, name: &str) -> Command {
    let mut npm = Command::new("npm");
    npm.current_dir(workspace.root.join(FOLDER))
        .args(["run", "--silent", name]);
    npm
}

/// The same where it can be built; else nothing, with a word about it.
pub(crate) fn build_if_possible(workspace: &Workspace, may_install: bool) -> Option<PathBuf> {
    if process::on_path("npm").is_none() {
        eprintln!("without Node.js 20 or newer and npm there is no web app");
        return None;
    }
    match build(workspace, may_install) {
        Ok(folder) => Some(folder),
        Err(error) => {
            eprintln!("without the web app, which could not be built: {error:#}");
            None
        }
    }
}
