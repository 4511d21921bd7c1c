//! Programs of others that a task needs and that cargo can install: kept in `target/tools`, and nowhere else.

use std::path::PathBuf;
use std::process::Command;

use crate::process::{self, ToolMissing};
use crate::workspace::Workspace;

/// A program from the crate registry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    /// The package, and the program in it.
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// How to install it by hand, from the root of the repository.
    pub(crate) by_hand: &'static str,
}

/// Finds the program, or installs it if it may.
pub(crate) fn find_or_install(
    workspace: &Workspace,
    may_install: bool,
    tool: &Tool,
) -> anyhow::Result<PathBuf> {
    let folder = workspace.target.join("tools");
    let program = folder.join("bin").join(tool.name);
    if is_installed(&program, tool) {
        return Ok(program);
    }
    if !may_install {
        return Err(ToolMissing {
            tool: tool.name,
            remedy: tool.by_hand,
        }
        .into());
    }
    eprintln!(
        "installing {} {} into {}: {}",
        tool.name,
        tool.version,
        folder.display(),
        tool.by_hand
    );
    let mut cargo = workspace.cargo();
    cargo
        .args(["install", "--locked", "--root"])
        .arg(&folder)
        .args([tool.name, "--version", tool.version]);
    process::run_talking(&mut cargo)?;
    Ok(program)
}

/// Whether it is there, in the version that is wanted.
fn is_installed(program: &PathBuf, tool: &Tool) -> bool {
    program.is_file()
        && process::capture(Command::new(program).arg("--version"))
            .is_ok_and(|said| said.split_whitespace().any(|word| word == tool.version))
}
