//! Which of our crates may depend on which.
//!
//! The absences are the design: the engine has no network, the cores do not know that they run in a canister, and the
//! local network has never heard of jobs. Dependencies for tests count like all others; whole-system tests live in
//! `tests`, which may use anything and which nothing may use.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

/// Package, and the packages of ours that it may name.
const ALLOWED: &[(&str, &[&str])] = &[
    ("assay-protocol", &[]),
    ("assay-engine", &[]),
    ("assay-engine-conformance", &["assay-engine"]),
    ("assay-engine-web", &["assay-engine"]),
    ("assay-tensix", &["assay-engine"]),
    ("assay-localnet-core", &[]),
    ("xtask", &[]),
    ("assay-localnet", &["assay-localnet-core"]),
    ("assay-registry-core", &["assay-protocol"]),
    ("assay-jobs-core", &["assay-protocol"]),
    (
        "assay-simulator",
        &["assay-registry-core", "assay-jobs-core", "assay-protocol"],
    ),
    ("assay-canister-kit", &["assay-protocol"]),
    (
        "assay-registry",
        &[
            "assay-registry-core",
            "assay-canister-kit",
            "assay-protocol",
        ],
    ),
    (
        "assay-jobs",
        &["assay-jobs-core", "assay-canister-kit", "assay-protocol"],
    ),
    ("assay-assets", &[]),
    ("assay-benchmarks", &[]),
    ("assay-fault-ledger", &[]),
    ("assay-metering", &["assay-engine"]),
    ("assay-pages", &[]),
    ("assay-dapp", &[]),
    ("assay-probe", &[]),
    (
        "assay-native",
        &["assay-jobs", "assay-jobs-core", "assay-protocol"],
    ),
    ("assay-purse", &["assay-protocol"]),
    ("assay-frontend", &["assay-canister-kit", "assay-protocol"]),
    (
        "assay-worker",
        &["assay-engine", "assay-tensix", "assay-protocol"],
    ),
    (
        "assay-cli",
        &[
            "assay-localnet",
            "assay-engine",
            "assay-worker",
            "assay-simulator",
            "assay-jobs-core",
            "assay-protocol",
        ],
    ),
];

/// May use anything; nothing uses it.
const TESTS: &str = "assay-tests";

/// Folders whose packages are canisters; only these may name the canister kit.
const CANISTER_FOLDERS: [&str; 2] = ["canisters", "tests/canisters"];
const CANISTER_KIT: &str = "ic-cdk";

#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    /// The package's own name, also where a manifest renames it.
    name: String,
}

impl Metadata {
    /// Reads what `cargo metadata --no-deps` prints.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        serde_json::from_str(text).context("cannot read what cargo metadata printed")
    }

    /// The manifests of our packages, relative to the repository.
    pub(super) fn manifests(&self) -> Vec<String> {
        self.packages
            .iter()
            .map(|package| self.relative(package).display().to_string())
            .collect()
    }

    fn relative<'a>(&self, package: &'a Package) -> &'a Path {
        package
            .manifest_path
            .strip_prefix(&self.workspace_root)
            .unwrap_or(&package.manifest_path)
    }
}

/// One line for each edge that the table does not allow.
pub(super) fn check(metadata: &Metadata) -> Vec<String> {
    let ours: BTreeSet<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut problems = Vec::new();
    for package in &metadata.packages {
        let (name, manifest) = (package.name.as_str(), metadata.relative(package));
        let place = manifest.display();
        let allowed = ALLOWED
            .iter()
            .find(|(package, _)| *package == name)
            .map(|(_, allowed)| *allowed);
        if allowed.is_none() && name != TESTS {
            problems.push(format!(
                "{place}: {name} is missing in the table of allowed dependencies (xtask tidy)"
            ));
        }
        let canister = CANISTER_FOLDERS
            .iter()
            .any(|folder| manifest.starts_with(folder));
        let dependencies: BTreeSet<&str> = package
            .dependencies
            .iter()
            .map(|on| on.name.as_str())
            .collect();
        for on in dependencies {
            // A package names itself to switch on a feature of its own in its tests.
            if ours.contains(on)
                && on != name
                && name != TESTS
                && !allowed.is_some_and(|allowed| allowed.contains(&on))
            {
                problems.push(format!("{place}: {name} must not depend on {on}"));
            }
            if on.starts_with(CANISTER_KIT) && !canister {
                problems.push(format!(
                    "{place}: {name} must not depend on {on}: only canisters do"
                ));
            }
        }
    }
    problems
}

/// One line for each package of ours that the lock file holds more than once, or that it takes from elsewhere.
pub(super) fn check_lock(metadata: &Metadata, lock: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for package in &metadata.packages {
        let entry = format!("name = \"{}\"", package.name);
        let count = lock.lines().filter(|line| *line == entry).count();
        if count != 1 {
            problems.push(format!(
                "Cargo.lock: {} is there {count} times instead of once",
                package.name
            ));
        }
    }
    problems
}

/// Every package takes the lints of the workspace.
pub(super) fn check_manifest(path: &str, text: &str) -> Option<String> {
    let mut lines = text
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[lints]")
        .skip(1);
    (lines.next() != Some("workspace = true"))
        .then(|| format!("{path}: [lints] with workspace = true is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packages as "folder name: dependency dependency".
    fn metadata(packages: &[&str]) -> Metadata {
        let package = |line: &&str| {
            let (folder, rest) = line.split_once(' ').unwrap();
            let (name, dependencies) = rest.split_once(':').unwrap();
            Package {
                name: name.to_owned(),
                manifest_path: Path::new("/repo").join(folder).join("Cargo.toml"),
                dependencies: dependencies
                    .split_whitespace()
                    .map(|name| Dependency {
                        name: name.to_owned(),
                    })
                    .collect(),
            }
        };
        Metadata {
            packages: packages.iter().map(package).collect(),
            workspace_root: "/repo".into(),
        }
    }

    const GOOD: [&str; 5] = [
        "crates/protocol assay-protocol: serde",
        "crates/engine assay-engine: serde",
        "canisters/purse assay-purse: assay-protocol ic-cdk candid",
        "worker assay-worker: assay-engine assay-protocol ic-agent",
        "tests assay-tests: assay-engine assay-worker assay-purse",
    ];

    fn problems_with(line: &str) -> Vec<String> {
        check(&metadata(&[&GOOD[..], &[line]].concat()))
    }

    #[test]
    fn allowed_edges_pass() {
        assert_eq!(check(&metadata(&GOOD)), Vec::<String>::new());
    }

    #[test]
    fn every_other_edge_is_named() {
        for (line, expected) in [
            (
                "crates/jobs-core assay-jobs-core: assay-engine",
                "crates/jobs-core/Cargo.toml: assay-jobs-core must not depend on assay-engine",
            ),
            (
                "cli assay-cli: assay-tests",
                "cli/Cargo.toml: assay-cli must not depend on assay-tests",
            ),
            (
                "xtask xtask: assay-protocol",
                "xtask/Cargo.toml: xtask must not depend on assay-protocol",
            ),
            (
                "crates/jobs-core assay-jobs-core: ic-cdk-timers",
                "crates/jobs-core/Cargo.toml: assay-jobs-core must not depend on ic-cdk-timers: only canisters do",
            ),
            (
                "crates/new assay-new: serde",
                "crates/new/Cargo.toml: assay-new is missing in the table of allowed dependencies (xtask tidy)",
            ),
        ] {
            assert_eq!(problems_with(line), [expected]);
        }
    }

    #[test]
    fn a_package_may_name_itself() {
        let line = "crates/jobs-core assay-jobs-core: assay-protocol assay-jobs-core";
        assert_eq!(problems_with(line), Vec::<String>::new());
    }

    #[test]
    fn test_canisters_may_name_the_canister_kit() {
        let problems = problems_with("tests/canisters/new assay-new: ic-cdk");
        assert_eq!(problems.len(), 1, "only the table: {problems:?}");
        assert!(problems[0].contains("missing in the table"));
    }

    #[test]
    fn our_packages_are_locked_once() {
        let metadata = metadata(&GOOD[..1]);
        let once = "[[package]]\nname = \"assay-protocol\"\nversion = \"0.0.0\"\n";
        assert!(check_lock(&metadata, once).is_empty());
        for lock in ["", &once.repeat(2)] {
            assert_eq!(check_lock(&metadata, lock).len(), 1);
        }
    }

    #[test]
    fn manifests_take_the_workspace_lints() {
        assert_eq!(
            check_manifest("a", "[package]\n\n[lints]\nworkspace = true\n"),
            None
        );
        assert!(check_manifest("a", "[package]\n").is_some());
        assert!(check_manifest("a", "[lints]\n\n[features]\n").is_some());
    }

    #[test]
    fn the_output_of_cargo_is_read() {
        let text = r#"{"packages":[{"name":"a","manifest_path":"/r/a/Cargo.toml","dependencies":[{"name":"b","req":"*"}]}],
            "workspace_root":"/r","version":1}"#;
        let metadata = Metadata::parse(text).unwrap();
        assert_eq!(metadata.manifests(), ["a/Cargo.toml"]);
        assert!(Metadata::parse("{}").is_err());
    }
}
