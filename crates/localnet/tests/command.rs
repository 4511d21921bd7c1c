//! The program `assay-localnet`.

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

fn run(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_assay-localnet"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The lines that it prints when it can be reached.
fn announced(child: &mut Child) -> Vec<String> {
    let out = BufReader::new(child.stdout.as_mut().unwrap());
    out.lines().take(4).map(Result::unwrap).collect()
}

fn terminate(child: &Child, signal: &str) {
    let status = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn it_runs_until_it_is_told_to_end() {
    for signal in ["-INT", "-TERM"] {
        let mut child = run(&["--port", "0"]);
        let lines = announced(&mut child);
        let url = lines[0]
            .strip_prefix("url       http://")
            .expect("the address comes first");
        assert!(TcpStream::connect(url).is_ok());
        let key = lines[1]
            .strip_prefix("root key  ")
            .expect("then the root key");
        assert_eq!(key.len(), 266);
        terminate(&child, signal);
        assert!(child.wait().unwrap().success());
        assert!(TcpStream::connect(url).is_err());
    }
}

#[test]
fn a_port_in_use_ends_it_with_a_message() {
    let mut first = run(&["--port", "0"]);
    let lines = announced(&mut first);
    let port = lines[0].rsplit(':').next().unwrap();
    let mut second = run(&["--port", port]);
    assert!(!second.wait().unwrap().success());
    let mut message = String::new();
    second
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut message)
        .unwrap();
    assert!(
        message.contains(&format!("error: port {port} on 127.0.0.1 is in use")),
        "{message}"
    );
    terminate(&first, "-TERM");
    assert!(first.wait().unwrap().success());
}
