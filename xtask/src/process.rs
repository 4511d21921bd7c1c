//! Running other programs, with errors that name the command line.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};

/// A program that a task needs is not on this machine.
#[derive(Debug, thiserror::Error)]
#[error("{tool} not found; {remedy}")]
pub(crate) struct ToolMissing {
    pub(crate) tool: &'static str,
    pub(crate) remedy: &'static str,
}

/// With no line for so long it is asked whether a program has ended.
const QUIET: Duration = Duration::from_millis(500);

/// Runs `command` with its output on ours; an error when it cannot start or exits non-zero.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = Shown::of(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Like [`run`], with what the program says on stdout sent to our stderr, since it is talk and not data.
pub(crate) fn run_talking(command: &mut Command) -> anyhow::Result<()> {
    let stderr = io::stderr()
        .as_fd()
        .try_clone_to_owned()
        .context("cannot duplicate stderr")?;
    run(command.stdout(Stdio::from(stderr)))
}

/// Starts `command`, hands over each line of its standard output as it comes, and gives how it ended.
///
/// Servers that tests start outlive them by a minute and hold the pipe open. So a program that has ended, and said nothing after that,
/// is not waited for.
pub(crate) fn lines(
    command: &mut Command,
    mut each: impl FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<ExitStatus> {
    let shown = Shown::of(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let stdout = child.stdout.take().context("BUG: its output is piped")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        // Nobody listens any more: nothing to do.
        BufReader::new(stdout)
            .split(b'\n')
            .try_for_each(|line| sender.send(line))
    });
    let mut ended = false;
    loop {
        match lines.recv_timeout(QUIET) {
            Ok(line) => {
                let line = line.with_context(|| format!("cannot read what `{shown}` prints"))?;
                each(&String::from_utf8_lossy(&line))?;
            }
            Err(RecvTimeoutError::Timeout) if !ended => {
                ended = child.try_wait().is_ok_and(|status| status.is_some());
            }
            Err(_) => break,
        }
    }
    child
        .wait()
        .with_context(|| format!("cannot wait for `{shown}`"))
}

/// The trimmed standard output of `command`; an error with its standard error when it fails.
pub(crate) fn capture(command: &mut Command) -> anyhow::Result<String> {
    let shown = Shown::of(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!(
            "`{shown}` failed: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let text = String::from_utf8(output.stdout)
        .with_context(|| format!("`{shown}` printed bytes that are no text"))?;
    Ok(text.trim_end().to_owned())
}

/// Whether `command` starts and exits with zero; says nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The first file called `name` on `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// How a command ends whose cases all passed, or did not.
pub(crate) fn exit_code(passed: bool) -> ExitCode {
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints one line of data.
pub(crate) fn out(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("cannot write to stdout")
}

/// Writes `bytes` to `path` in one step, so that a reader never sees half a file.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut name = path.file_name().unwrap_or(OsStr::new("file")).to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    std::fs::write(&part, bytes).with_context(|| format!("cannot write {}", part.display()))?;
    std::fs::rename(&part, path).with_context(|| format!("cannot write {}", path.display()))
}

/// A command line as a person would type it.
struct Shown(String);

impl Shown {
    fn of(command: &Command) -> Self {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        Self(
            words
                .map(OsStr::to_string_lossy)
                .collect::<Vec<_>>()
                .join(" "),
        )
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
