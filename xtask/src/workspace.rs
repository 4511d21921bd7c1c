//! Where things are: the repository, its build folders, its canisters, and the cache outside of it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::process;

/// A canister that `xtask wasm` builds, and that dfx.json and icp.yaml describe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Canister {
    /// The name in candid/, target/wasm/, dfx.json and icp.yaml.
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

/// Every canister of the product, once.
pub(crate) const CANISTERS: &[Canister] = &[
    Canister {
        name: "registry",
        package: "assay-registry",
    },
    Canister {
        name: "jobs",
        package: "assay-jobs",
    },
    Canister {
        name: "purse",
        package: "assay-purse",
    },
    Canister {
        name: "frontend",
        package: "assay-frontend",
    },
];

/// Canisters that only tests install; their interface is no promise, so they carry none.
pub(crate) const TEST_CANISTERS: &[Canister] = &[
    Canister {
        name: "assets",
        package: "assay-assets",
    },
    Canister {
        name: "dapp",
        package: "assay-dapp",
    },
    Canister {
        name: "fault-ledger",
        package: "assay-fault-ledger",
    },
    Canister {
        name: "pages",
        package: "assay-pages",
    },
    Canister {
        name: "probe",
        package: "assay-probe",
    },
];

/// What `bench canbench` measures. Nothing else installs it, so nothing else builds it.
pub(crate) const BENCHMARKS: Canister = Canister {
    name: "benchmarks",
    package: "assay-benchmarks",
};

/// What `bench metering` measures.
pub(crate) const METERING: Canister = Canister {
    name: "metering",
    package: "assay-metering",
};

/// The folder of finished canister modules, relative to the repository: dfx.json and icp.yaml name it.
pub(crate) const WASM_DIR: &str = "target/wasm";

impl Canister {
    /// The Candid file, relative to the repository.
    pub(crate) fn did(&self) -> String {
        format!("candid/{}.did", self.name)
    }

    /// The finished module, relative to the repository.
    pub(crate) fn wasm(&self) -> String {
        format!("{WASM_DIR}/{}.wasm", self.name)
    }
}

/// Which build of our programs a task uses.
///
/// Tests use `Dev`, where dependencies and the engine are optimised, so that the test binaries and the programs they
/// start share every dependency. The demo uses `Release`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    Release,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Workspace {
    /// The repository.
    pub(crate) root: PathBuf,
    /// Where cargo builds for this machine; `CARGO_TARGET_DIR` and cargo's own configuration are respected.
    pub(crate) target: PathBuf,
    /// Downloads and converted models; outside the repository, so clones share it.
    pub(crate) cache: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Metadata {
            target_directory: PathBuf,
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("BUG: xtask lies at the root of the disk")?;
        let text = process::capture(cargo(root).args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--locked",
            "--offline",
        ]))?;
        let metadata: Metadata =
            serde_json::from_str(&text).context("cannot read what cargo metadata printed")?;
        Ok(Self {
            root: root.to_owned(),
            target: metadata.target_directory,
            cache: cache_dir()?,
        })
    }

    /// The cargo that runs this task, in the repository.
    pub(crate) fn cargo(&self) -> Command {
        cargo(&self.root)
    }

    /// The same for a task on these packages in the release build.
    pub(crate) fn release(&self, task: &str, packages: &[&str]) -> Command {
        let mut cargo = self.cargo();
        cargo.args([task, "--locked", "--release"]);
        for package in packages {
            cargo.args(["--package", package]);
        }
        cargo
    }

    pub(crate) fn wasm_dir(&self) -> PathBuf {
        self.root.join(WASM_DIR)
    }

    /// A program of ours, as built by [`crate::launch::build_programs`].
    pub(crate) fn program(&self, profile: Profile, name: &str) -> PathBuf {
        self.target.join(profile.folder()).join(name)
    }
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn cache_dir() -> anyhow::Result<PathBuf> {
    let set = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let dir = set("ASSAY_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("assay")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache/assay")));
    match dir {
        Some(dir) => std::path::absolute(&dir)
            .with_context(|| format!("cannot use {} as cache", dir.display())),
        None => bail!("no place for the cache: HOME is not set; set ASSAY_CACHE to a folder"),
    }
}
