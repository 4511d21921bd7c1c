//! The `icp` command, unmodified, with the local network as its launcher: from an empty project to a canister that
//! answers, is paid, and goes down with its network.
//!
//! The command comes from npm: `npm ci` in `tests/clients/icp`, or `ICP_BIN` names it. Where it is not there the test
//! says so and does nothing, because tests must not need a network. `LOCALNET_BIN` names the launcher; otherwise it
//! is the one that was built beside this test.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The text that the canister in the project answers.
const GREETING: &str = "hello";

/// A project in a folder of its own, with identities of its own.
struct Project {
    folder: tempfile::TempDir,
    icp: PathBuf,
    launcher: PathBuf,
}

impl Project {
    /// A project with one canister; none where there is no `icp`.
    fn new() -> Option<Self> {
        let icp = match icp() {
            Ok(icp) => icp,
            Err(missing) => {
                eprintln!("icp: skipped, {missing}");
                return None;
            }
        };
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("hello.wasm"), module()).unwrap();
        fs::write(
            folder.path().join("icp.yaml"),
            "canisters:\n  - name: hello\n    build:\n      steps:\n        - type: pre-built\n          path: hello.wasm\n\
             networks:\n  - name: local\n    mode: managed\n    gateway:\n      port: 0\n",
        )
        .unwrap();
        Some(Self {
            folder,
            icp,
            launcher: launcher(),
        })
    }

    fn run(&self, line: &str) -> Output {
        let project = self.folder.path();
        Command::new(&self.icp)
            .args(line.split_whitespace())
            .current_dir(project)
            .env("ICP_HOME", project.join("home"))
            .env("ICP_CLI_NETWORK_LAUNCHER_PATH", &self.launcher)
            .env("DO_NOT_TRACK", "1")
            .env_remove("ICP_ENVIRONMENT")
            .env_remove("ICP_NETWORK")
            .output()
            .unwrap()
    }

    /// What `icp` prints where it succeeds, which it must.
    fn icp(&self, line: &str) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.run(line);
        let (stdout, stderr) = (
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr),
        );
        assert!(
            status.success(),
            "icp {line}: {status}\n{stdout}\n{stderr}\n{}",
            self.network_log()
        );
        eprintln!("icp: {line}");
        stdout.into_owned()
    }

    fn network_log(&self) -> String {
        let log = ".icp/cache/networks/local/network-launcher/stderr.log";
        fs::read_to_string(self.folder.path().join(log)).unwrap_or_default()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // A test that has failed must not leave its network behind.
        let _ = self.run("network stop");
    }
}

/// The command, or how to get it.
fn icp() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("ICP_BIN") {
        return Ok(path.into());
    }
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/icp");
    let installed = clients.join("node_modules/@icp-sdk/icp-cli-linux-x64/bin/icp");
    if installed.exists() {
        Ok(installed)
    } else {
        Err("there is no icp command; run `npm ci` in tests/clients/icp, or set ICP_BIN".to_owned())
    }
}

/// The launcher that was built with this test.
fn launcher() -> PathBuf {
    if let Some(path) = env::var_os("LOCALNET_BIN") {
        return path.into();
    }
    let beside = env::current_exe()
        .ok()
        .and_then(|test| Some(test.parent()?.parent()?.join("assay-localnet")))
        .filter(|path| path.exists());
    beside.expect("no launcher; run `cargo build -p assay-localnet`, or set LOCALNET_BIN")
}

/// A module that greets, and says so in its interface.
fn module() -> Vec<u8> {
    let reply = r"DIDL\00\01\71\05hello";
    let interface = "service : { greet : () -> (text) query; shout : () -> (text) }";
    wat::parse_str(format!(
        r#"(module
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (import "ic0" "msg_reply" (func $reply))
            (memory 1)
            (data (i32.const 0) "{reply}")
            (func $greet (call $append (i32.const 0) (i32.const 13)) (call $reply))
            (export "canister_query greet" (func $greet))
            (export "canister_update shout" (func $greet))
            (@custom "icp:public candid:service" "{interface}"))"#
    ))
    .unwrap()
}

#[test]
fn icp_starts_a_network_deploys_calls_pays_and_stops() {
    let Some(project) = Project::new() else {
        return;
    };
    project.icp("network start -d");
    project.icp("network ping");
    let deployed = project.icp("deploy");
    assert!(deployed.contains("hello"), "{deployed}");
    for call in ["greet", "shout"] {
        let answer = project.icp(&format!("canister call hello {call} ()"));
        assert_eq!(answer.trim(), format!("(\"{GREETING}\")"));
    }
    let status = project.icp("canister status hello");
    assert!(status.contains("Status: Running"), "{status}");
    assert!(status.contains("PUBLIC_CANISTER_ID:hello"), "{status}");

    pays(&project);

    let again = project.icp("deploy");
    assert!(again.contains("hello"), "an upgrade: {again}");
    project.icp("canister stop hello");
    let status = project.icp("canister status hello");
    assert!(status.contains("Status: Stopped"), "{status}");
    project.icp("canister delete hello");
    project.icp("network stop");
    let gone = project.run("network ping");
    assert!(!gone.status.success(), "a stopped network answers");
}

/// Cycles and ICP change hands on the ledgers, and a canister is topped up.
fn pays(project: &Project) {
    project.icp("identity new alice --storage plaintext");
    let alice = project.icp("identity principal --identity alice");
    let alice = alice.trim();
    project.icp(&format!("token transfer 2 {alice}"));
    let icp = project.icp("token balance --identity alice");
    assert!(icp.contains("2.00000000"), "{icp}");
    let minted = project.icp("cycles mint --icp 1 --identity alice");
    assert!(minted.contains("99_999_900_000_000"), "{minted}");
    project.icp(&format!("cycles transfer 1T {alice}"));
    let cycles = project.icp("cycles balance --identity alice");
    assert!(cycles.contains("100_999_900_000_000"), "{cycles}");
    project.icp("canister top-up --amount 1T hello");
    project.icp("canister create --detached --with-icp 0.5 --identity alice");
}
