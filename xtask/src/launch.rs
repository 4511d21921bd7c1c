//! `demo` and `up`: set up everything, then become `assay`.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::wasm::Beside;
use crate::workspace::{Profile, Workspace};
use crate::{model, page, process, wasm};

/// Builds `assay` and the worker daemon that it starts, always together, so that both share one set of dependencies.
pub(crate) fn build_programs(workspace: &Workspace, profile: Profile) -> anyhow::Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--locked", "--bins"]).args([
        "--package",
        "assay-cli",
        "--package",
        "assay-worker",
    ]);
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    process::run(&mut cargo)
}

/// Sets up, then runs `assay <task>`; gives its exit code.
pub(crate) fn assay(
    workspace: &Workspace,
    may_install: bool,
    task: &str,
    forwarded: &[String],
) -> anyhow::Result<ExitCode> {
    let (wasm_dir, places) = wasm::build_beside(workspace, may_install, Beside::Product, || {
        // The download comes before the long build: a machine without network learns of it early.
        let places = model::fetch(workspace, None)?;
        build_programs(workspace, Profile::Release)?;
        Ok(places)
    })?;
    let model = model::convert(workspace, Profile::Release, &places)?;
    // What stays may be looked at.
    let page = match task {
        "up" => page::build_if_possible(workspace, may_install),
        _ => None,
    };

    let mut arguments: Vec<OsString> = vec![task.into(), "--wasm-dir".into(), wasm_dir.into()];
    arguments.extend(["--model".into(), model.into()]);
    if let Some(page) = page {
        arguments.extend(["--page".into(), page.into()]);
    }
    arguments.extend(forwarded.iter().map(OsString::from));
    become_program(Command::new(workspace.program(Profile::Release, "assay")).args(arguments))
}

/// Replaces this process, so that signals and the exit code are the program's own.
#[cfg(unix)]
fn become_program(command: &mut Command) -> anyhow::Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(anyhow::Error::new(error).context(format!(
        "cannot start {}",
        command.get_program().to_string_lossy()
    )))
}

#[cfg(not(unix))]
fn become_program(command: &mut Command) -> anyhow::Result<ExitCode> {
    let status = command.status()?;
    Ok(ExitCode::from(
        status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
    ))
}
