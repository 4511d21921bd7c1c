//! A daemon without any network: what it waits for, and what it refuses.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use assay_worker::exit;

use crate::harness::needed;

/// A worker's folder without any network.
struct Lone {
    dir: tempfile::TempDir,
}

impl Lone {
    fn new(url: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pem = dir.path().join("worker.pem");
        assay_worker::identity::create(&pem).unwrap();
        let settings = format!(
            "state_dir = {state:?}\n[network]\nurl = {url:?}\nroot_key = \"fetch\"\n[canisters]\nregistry = \"rwlgt-iiaaa-aaaaa-aaaaa-cai\"\n\
             jobs = [\"rrkah-fqaaa-aaaaa-aaaaq-cai\"]\n[identity]\npem = {pem:?}\n[[models]]\nfile = {model:?}\nask_input = 1\nask_output = 1\n",
            state = dir.path().join("state"),
            model = needed("ASSAY_MODEL"),
        );
        std::fs::write(dir.path().join("worker.toml"), settings).unwrap();
        Self { dir }
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(needed("ASSAY_WORKER_BIN"));
        command
            .arg(verb)
            .arg("--config")
            .arg(self.dir.path().join("worker.toml"))
            .stdin(Stdio::null());
        command
    }
}

/// An address on this machine at which nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Reads a child's log until it says something.
fn read_until(child: &mut std::process::Child, wanted: &str) -> String {
    use std::io::BufRead as _;
    let mut text = String::new();
    for line in std::io::BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        text.push_str(&line);
        text.push('\n');
        if line.contains(wanted) {
            return text;
        }
    }
    panic!("the log ends without {wanted:?}:\n{text}");
}

#[test]
fn a_network_that_is_down_is_waited_for_and_sigterm_ends_the_wait() {
    let lone = Lone::new(&nobody());
    let mut child = lone.command("run").stderr(Stdio::piped()).spawn().unwrap();
    let log = read_until(&mut child, "waiting for the network");
    assert!(log.contains("cannot reach the network"), "{log}");
    assert!(
        Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(i32::from(exit::OK)));
}

#[test]
fn a_second_worker_on_the_same_state_folder_is_refused() {
    let lone = Lone::new(&nobody());
    let mut first = lone.command("run").stderr(Stdio::piped()).spawn().unwrap();
    read_until(&mut first, "waiting for the network");
    let second = lone.command("run").output().unwrap();
    let text = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(i32::from(exit::STATE)), "{text}");
    assert!(
        text.contains(&format!("process id {}", first.id())),
        "{text}"
    );
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn doctor_names_each_problem_and_its_json_says_the_same() {
    let lone = Lone::new(&nobody());
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (code, text) = run(&mut lone.command("doctor"));
    assert_eq!(code, Some(i32::from(exit::FAILED)), "{text}");
    let line = |what: &str| {
        text.lines()
            .find(|line| line.contains(&format!("  {what}")))
            .unwrap_or_else(|| panic!("no {what} in:\n{text}"))
    };
    for good in ["config", "identity", "state", "engine", "model"] {
        assert!(line(good).starts_with("ok"), "{text}");
    }
    assert!(
        line("network").starts_with("fail") && line("network").contains("cannot reach the network"),
        "{text}"
    );

    let (_, json) = run(lone.command("doctor").arg("--json"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(
        json["checks"].as_array().unwrap().len(),
        text.lines().count()
    );

    expose(&lone.dir.path().join("worker.pem"));
    let (code, text) = run(&mut lone.command("doctor"));
    assert_eq!(code, Some(i32::from(exit::CREDENTIALS)), "{text}");
    assert!(text.contains("chmod 600"), "{text}");
}

fn expose(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
}
