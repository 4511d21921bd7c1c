//! `lint` and `ci`: the checks beside the tests, each run whatever the others say.

use std::process::ExitCode;

use crate::workspace::Workspace;
use crate::{bindings, process, tests_run, tidy};

/// Runs every check and sums up; fails when one of them does.
pub(crate) fn lint(workspace: &Workspace, may_install: bool) -> anyhow::Result<ExitCode> {
    type Check<'a> = &'a dyn Fn(&Workspace) -> anyhow::Result<()>;
    let bindings = |workspace: &Workspace| bindings::check(workspace, may_install);
    let checks: [(&str, Check<'_>); 5] = [
        ("fmt", &fmt),
        ("tidy", &tidy::run),
        ("bindings", &bindings),
        ("clippy", &clippy),
        ("docs", &docs),
    ];
    let (mut passed, mut failed) = (0, 0);
    let mut lines = Vec::new();
    for (name, check) in checks {
        eprintln!("checking {name}");
        match check(workspace) {
            Ok(()) => {
                passed += 1;
                lines.push(format!("ok    {name}"));
            }
            // A person may work without Node; the machine that decides may not.
            Err(error)
                if error.is::<process::ToolMissing>() && std::env::var_os("CI").is_none() =>
            {
                lines.push(format!("skip  {name}  {error:#}"));
            }
            Err(error) => {
                failed += 1;
                eprintln!("{error:#}");
                lines.push(format!("fail  {name}"));
            }
        }
    }
    for line in lines {
        process::out(&line)?;
    }
    process::out(&format!("{passed} passed, {failed} failed"))?;
    Ok(process::exit_code(failed == 0))
}

/// The whole check.
pub(crate) fn ci(workspace: &Workspace, may_install: bool) -> anyhow::Result<ExitCode> {
    let tests = tests_run::run(workspace, may_install, &[], None, &[])?;
    let lint = lint(workspace, may_install)?;
    Ok(if tests == ExitCode::SUCCESS {
        lint
    } else {
        tests
    })
}

fn fmt(workspace: &Workspace) -> anyhow::Result<()> {
    process::run_talking(workspace.cargo().args(["fmt", "--all", "--check"]))?;
    // A workspace of its own.
    let kernels = "crates/tensix/kernels/Cargo.toml";
    process::run_talking(
        workspace
            .cargo()
            .args(["fmt", "--check", "--manifest-path", kernels]),
    )
}

fn clippy(workspace: &Workspace) -> anyhow::Result<()> {
    let arguments = [
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ];
    process::run(workspace.cargo().args(arguments))
}

fn docs(workspace: &Workspace) -> anyhow::Result<()> {
    let mut cargo = workspace.cargo();
    cargo
        .args(["doc", "--locked", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "--deny warnings");
    process::run(&mut cargo)
}
