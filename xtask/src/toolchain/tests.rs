use super::*;

/// A machine made of answers; installing adds what the script says.
#[derive(Default)]
struct Scripted {
    own: bool,
    debian: bool,
    rustup: bool,
    apt: bool,
    /// Whether each command succeeds, by its first word that matters; missing ones fail.
    rustup_adds_target: bool,
    apt_needs_update: bool,
    apt_installs: bool,
    log: Vec<String>,
}

impl Host for Scripted {
    fn has(&mut self, toolchain: &WasmToolchain) -> bool {
        match toolchain {
            WasmToolchain::Own => self.own,
            WasmToolchain::Debian => self.debian,
        }
    }

    fn has_rustup(&mut self) -> bool {
        self.rustup
    }

    fn apt(&mut self) -> Option<Vec<OsString>> {
        self.apt.then(|| words(["apt-get"]))
    }

    fn say(&mut self, line: &str) {
        self.log
            .push(format!("say {}", line.split(':').next().unwrap_or(line)));
    }

    fn install(&mut self, words: &[OsString]) -> Result<(), String> {
        let line = words
            .iter()
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>();
        self.log.push(line[..2].join(" "));
        let done = match line[..2].join(" ").as_str() {
            "rustup target" => {
                self.own = self.rustup_adds_target;
                self.own
            }
            "apt-get update" => {
                self.apt_needs_update = false;
                true
            }
            "apt-get install" => {
                self.debian = self.apt_installs && !self.apt_needs_update;
                self.debian
            }
            other => panic!("unexpected command {other}"),
        };
        if done {
            Ok(())
        } else {
            Err(format!("{} failed", line[0]))
        }
    }
}

#[test]
fn what_is_installed_is_used_without_touching_the_machine() {
    for (own, debian, expected) in [
        (true, true, WasmToolchain::Own),
        (true, false, WasmToolchain::Own),
        (false, true, WasmToolchain::Debian),
    ] {
        let mut host = Scripted {
            own,
            debian,
            rustup: true,
            apt: true,
            ..Scripted::default()
        };
        assert_eq!(establish(&mut host, true).unwrap(), expected);
        assert!(host.log.is_empty(), "{:?}", host.log);
    }
}

#[test]
fn rustup_is_tried_first_and_announced() {
    let mut host = Scripted {
        rustup: true,
        rustup_adds_target: true,
        apt: true,
        ..Scripted::default()
    };
    assert_eq!(establish(&mut host, true).unwrap(), WasmToolchain::Own);
    assert_eq!(
        host.log,
        [
            "say installing the wasm32-unknown-unknown target of this Rust toolchain",
            "rustup target"
        ]
    );
}

#[test]
fn debian_packages_follow_when_rustup_cannot() {
    let mut host = Scripted {
        rustup: true,
        apt: true,
        apt_installs: true,
        ..Scripted::default()
    };
    assert_eq!(establish(&mut host, true).unwrap(), WasmToolchain::Debian);
    assert_eq!(
        host.log[1..],
        [
            "rustup target",
            "say installing Debian packages with apt-get",
            "apt-get install"
        ]
    );
}

#[test]
fn absent_package_lists_are_updated_once() {
    let mut host = Scripted {
        apt: true,
        apt_installs: true,
        apt_needs_update: true,
        ..Scripted::default()
    };
    assert_eq!(establish(&mut host, true).unwrap(), WasmToolchain::Debian);
    assert_eq!(
        host.log[1..],
        ["apt-get install", "apt-get update", "apt-get install"]
    );
}

#[test]
fn without_permission_nothing_is_tried_and_both_ways_are_told() {
    let mut host = Scripted {
        rustup: true,
        apt: true,
        ..Scripted::default()
    };
    let message = establish(&mut host, false).unwrap_err().to_string();
    assert!(host.log.is_empty());
    assert!(
        message.contains("rustup target add wasm32-unknown-unknown"),
        "{message}"
    );
    assert!(
        message.contains("rustc-web cargo-web rust-web-src lld-19"),
        "{message}"
    );
}

#[test]
fn failures_of_both_ways_are_named() {
    let mut host = Scripted {
        rustup: true,
        apt: true,
        ..Scripted::default()
    };
    let message = establish(&mut host, true).unwrap_err().to_string();
    assert!(
        message.contains("(rustup failed; apt-get failed)"),
        "{message}"
    );
    let mut host = Scripted::default();
    let message = establish(&mut host, true).unwrap_err().to_string();
    assert!(
        message.contains("no apt-get here that may run as root"),
        "{message}"
    );
}

#[test]
fn compiler_versions_are_compared_as_numbers() {
    assert!(new_enough("rustc 1.95.0 (59807616e 2026-04-14)", "1.95"));
    assert!(new_enough("rustc 1.100.1", "1.95"));
    assert!(new_enough("rustc 2.0.0", "1.95"));
    assert!(!new_enough("rustc 1.94.9", "1.95"));
    assert!(!new_enough("rustc 1.63.0", "1.95"));
    assert!(!new_enough("no version", "1.95"));
    assert!(!new_enough("", "1.95"));
}
