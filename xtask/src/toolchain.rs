//! The toolchain that compiles canisters to `wasm32-unknown-unknown`: found, or else installed.
//!
//! Two ways, in this order of trust:
//! 1. the Rust toolchain that runs this task, with the standard library of the target (`rustup target add`);
//! 2. Debian's second Rust toolchain, which compiles the standard library from its packaged source. It serves machines
//!    that reach a Debian mirror but no Rust download server.
//!
//! What is there already is used before anything is installed. Nothing is ever removed from the machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// The packages of the second way.
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-19";

#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolchainError {
    #[error(
        "no Wasm toolchain for the canisters{}; install one by hand, then run this again:\n  \
         rustup target add {TARGET}\n\
         or, on Debian, as root:\n  \
         apt-get install --no-install-recommends {}",
        tried(.0),
        DEBIAN_PACKAGES.join(" ")
    )]
    Missing(Vec<String>),
}

fn tried(attempts: &[String]) -> String {
    if attempts.is_empty() {
        String::new()
    } else {
        format!(" ({})", attempts.join("; "))
    }
}

/// A toolchain that is known to be complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WasmToolchain {
    /// The cargo that runs this task; the target's standard library is installed.
    Own,
    /// Debian's cargo and rustc, which build the standard library from source.
    Debian,
}

impl WasmToolchain {
    /// The folder of the compiler, whose standard library sources appear in panic messages.
    pub(crate) fn sysroot(&self) -> anyhow::Result<PathBuf> {
        let rustc = match self {
            Self::Own => own_rustc(),
            Self::Debian => DEBIAN_RUSTC.into(),
        };
        Ok(PathBuf::from(process::capture(
            Command::new(rustc).args(["--print", "sysroot"]),
        )?))
    }

    /// The one command line that builds a canister: `cargo rustc` for the target, less the package.
    pub(crate) fn cargo_rustc(&self, profile: &str) -> Command {
        let mut command = match self {
            Self::Own => Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
            Self::Debian => {
                let mut command = Command::new(DEBIAN_CARGO);
                command
                    .env("RUSTC", DEBIAN_RUSTC)
                    // Debian's compiler is a stable one: -Z flags need this.
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER);
                command
            }
        };
        command.args([
            "rustc",
            "--locked",
            "--lib",
            "--crate-type",
            "cdylib",
            "--profile",
            profile,
            "--target",
            TARGET,
        ]);
        if *self == Self::Debian {
            command.args(["-Z", "build-std=std,panic_abort"]);
        }
        command
    }

    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Own => "this Rust toolchain with its wasm32-unknown-unknown target",
            Self::Debian => "Debian's rustc-web, with the standard library built from rust-web-src",
        }
    }
}

/// Finds a complete toolchain, or installs one if it may.
pub(crate) fn find_or_install(may_install: bool) -> Result<WasmToolchain, ToolchainError> {
    establish(&mut Machine, may_install)
}

/// What this module asks of the machine; the tests answer in its place.
trait Host {
    fn has(&mut self, toolchain: &WasmToolchain) -> bool;
    fn has_rustup(&mut self) -> bool;
    /// How apt-get can be run without asking anyone: the words before its arguments.
    fn apt(&mut self) -> Option<Vec<OsString>>;
    fn say(&mut self, line: &str);
    /// Runs a command line; what went wrong, if it fails.
    fn install(&mut self, words: &[OsString]) -> Result<(), String>;
}

fn establish(host: &mut impl Host, may_install: bool) -> Result<WasmToolchain, ToolchainError> {
    for toolchain in [WasmToolchain::Own, WasmToolchain::Debian] {
        if host.has(&toolchain) {
            return Ok(toolchain);
        }
    }
    if !may_install {
        return Err(ToolchainError::Missing(vec![
            "installing is switched off".to_owned(),
        ]));
    }

    let mut attempts = Vec::new();
    if host.has_rustup() {
        host.say(&format!(
            "installing the {TARGET} target of this Rust toolchain: rustup target add {TARGET}"
        ));
        match host.install(&words(["rustup", "target", "add", TARGET])) {
            Ok(()) if host.has(&WasmToolchain::Own) => return Ok(WasmToolchain::Own),
            Ok(()) => attempts
                .push("rustup target add succeeded for another toolchain than this".to_owned()),
            Err(why) => attempts.push(why),
        }
    }
    match host.apt() {
        None => attempts.push("no apt-get here that may run as root".to_owned()),
        Some(apt) => {
            // Removing would be apt's way out of a conflict with another Rust: refuse it.
            let options = ["install", "-y", "--no-install-recommends", "--no-remove"];
            let install = [apt.clone(), words(options), words(DEBIAN_PACKAGES)].concat();
            host.say(&format!(
                "installing Debian packages with apt-get: {}",
                DEBIAN_PACKAGES.join(" ")
            ));
            let update = [apt, words(["update"])].concat();
            // Package lists may be absent or old on a fresh machine: one update, one more try.
            let outcome = host
                .install(&install)
                .or_else(|_| host.install(&update).and_then(|()| host.install(&install)));
            match outcome {
                Ok(()) if host.has(&WasmToolchain::Debian) => return Ok(WasmToolchain::Debian),
                Ok(()) => attempts.push(format!(
                    "Debian's rustc-web here is older than {}",
                    minimum_rust()
                )),
                Err(why) => attempts.push(why),
            }
        }
    }
    Err(ToolchainError::Missing(attempts))
}

fn words<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.map(OsString::from).to_vec()
}

struct Machine;

impl Host for Machine {
    fn has(&mut self, toolchain: &WasmToolchain) -> bool {
        match toolchain {
            WasmToolchain::Own => own_target_installed(),
            WasmToolchain::Debian => debian_complete(),
        }
    }

    fn has_rustup(&mut self) -> bool {
        process::on_path("rustup").is_some()
    }

    fn apt(&mut self) -> Option<Vec<OsString>> {
        process::on_path("apt-get")?;
        let environment = words(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        let root = process::capture(Command::new("id").arg("-u")).is_ok_and(|id| id == "0");
        if root {
            return Some(environment);
        }
        let sudo = process::on_path("sudo").is_some()
            && process::succeeds(Command::new("sudo").args(["-n", "true"]));
        sudo.then(|| [words(["sudo", "-n"]), environment].concat())
    }

    fn say(&mut self, line: &str) {
        eprintln!("{line}");
    }

    fn install(&mut self, words: &[OsString]) -> Result<(), String> {
        let (program, arguments) = words.split_first().expect("BUG: an empty command line");
        process::run_talking(Command::new(program).args(arguments))
            .map_err(|error| format!("{error:#}"))
    }
}

fn own_rustc() -> OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// Asks the compiler itself, so that a toolchain that did not come from rustup counts too.
fn own_target_installed() -> bool {
    let mut rustc = Command::new(own_rustc());
    let Ok(folder) = process::capture(rustc.args(["--print", "target-libdir", "--target", TARGET]))
    else {
        return false;
    };
    std::fs::read_dir(folder).is_ok_and(|files| {
        files.flatten().any(|file| {
            let name = file.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
    })
}

fn debian_complete() -> bool {
    let Ok(version) = process::capture(Command::new(DEBIAN_RUSTC).arg("--version")) else {
        return false;
    };
    let Ok(sysroot) = WasmToolchain::Debian.sysroot() else {
        return false;
    };
    new_enough(&version, minimum_rust())
        && sysroot
            .join("lib/rustlib/src/rust/library/Cargo.lock")
            .is_file()
        && Path::new(DEBIAN_CARGO).is_file()
        && Path::new(DEBIAN_LINKER).is_file()
}

/// The `rust-version` of the workspace.
fn minimum_rust() -> &'static str {
    env!("CARGO_PKG_RUST_VERSION")
}

/// Whether `rustc --version` output names at least `minimum` ("major.minor").
fn new_enough(version: &str, minimum: &str) -> bool {
    let numbers = |text: &str| -> Option<(u32, u32)> {
        let mut parts = text.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    let found = version.split_whitespace().nth(1).and_then(numbers);
    matches!((found, numbers(minimum)), (Some(found), Some(minimum)) if found >= minimum)
}

#[cfg(test)]
mod tests;
