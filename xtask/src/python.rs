//! Packages of Python projects in this repository, as their requirements name them, in an environment of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::process::{self, ToolMissing};
use crate::workspace::Workspace;

const PYTHON: &str = "install Python 3.10 or newer with venv and pip";
const PACKAGES: &str = "let this command install them: leave --no-install out";

/// The Python that has the packages of a folder's `requirements.txt`, and nothing else; made below the build folder under
/// this name, unless it is there already.
pub(crate) fn environment(
    workspace: &Workspace,
    folder: &Path,
    name: &str,
    may_install: bool,
) -> anyhow::Result<PathBuf> {
    let requirements = folder.join("requirements.txt");
    let wanted = std::fs::read(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let home = workspace.target.join("tools").join(name);
    let python = home.join("bin/python");
    // Written last, so that an environment that is half made is made again.
    let made_of = home.join("requirements.txt");
    if python.is_file() && std::fs::read(&made_of).is_ok_and(|made| made == wanted) {
        return Ok(python);
    }
    if !may_install {
        return Err(ToolMissing {
            tool: "the packages of a requirements.txt",
            remedy: PACKAGES,
        })
        .with_context(|| format!("{} is not installed", requirements.display()));
    }
    let Some(system) = ["python3", "python"].into_iter().find(|python| {
        process::succeeds(Command::new(python).args(["-c", "import ensurepip, venv"]))
    }) else {
        return Err(ToolMissing {
            tool: "python3",
            remedy: PYTHON,
        }
        .into());
    };
    eprintln!(
        "installing the packages of {} with pip",
        requirements.display()
    );
    process::run_talking(
        Command::new(system)
            .args(["-m", "venv", "--clear"])
            .arg(&home),
    )?;
    process::run_talking(
        Command::new(&python)
            .args(["-m", "pip", "install", "--disable-pip-version-check"])
            .args(["--no-input", "--quiet", "--no-deps", "--requirement"])
            .arg(&requirements),
    )?;
    process::write_whole(&made_of, &wanted)?;
    Ok(python)
}
