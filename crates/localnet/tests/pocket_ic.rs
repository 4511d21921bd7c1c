//! The program as a PocketIC server: how it starts, tells its port and ends.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay-localnet"));
    command
        .env_remove("ASSAY_POCKET_IC_VERSION")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

fn start(port_file: &Path, more: &[&str]) -> Child {
    program()
        .arg("--port-file")
        .arg(port_file)
        .args(more)
        .spawn()
        .unwrap()
}

/// Waits for the port as clients do.
fn port(file: &Path) -> u16 {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(30) {
        if let Ok(text) = std::fs::read_to_string(file)
            && let Some(port) = text.strip_suffix('\n')
        {
            return port.parse().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no port within 30 seconds");
}

/// The status line and the body of an answer.
fn ask(port: u16, method: &str, path: &str, body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    // Some answers are CBOR.
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.lines().next().unwrap().to_owned();
    (status, body.to_owned())
}

fn terminate(child: &Child, signal: &str) {
    let status = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn clients_see_a_version_that_they_accept() {
    let version = |command: &mut Command| {
        let output = command.arg("--version").stdout(Stdio::piped()).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let ours = format!("+localnet.{}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        version(&mut program()),
        format!("pocket-ic-server 16.1.0{ours}")
    );
    assert_eq!(
        version(program().env("ASSAY_POCKET_IC_VERSION", "13.0.0")),
        format!("pocket-ic-server 13.0.0{ours}")
    );
}

#[test]
fn the_second_server_of_a_port_file_leaves_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("port");
    for signal in ["-INT", "-TERM"] {
        let mut first = start(&file, &[]);
        let port = port(&file);
        assert!(start(&file, &[]).wait().unwrap().success());
        assert_eq!(
            ask(port, "GET", "/status", ""),
            ("HTTP/1.1 200 OK".to_owned(), "null".to_owned())
        );
        terminate(&first, signal);
        assert!(first.wait().unwrap().success());
        assert!(!file.exists(), "the port file goes with the server");
    }
}

#[test]
fn a_server_that_nobody_needs_ends() {
    let folder = tempfile::tempdir().unwrap();
    let idle = folder.path().join("idle");
    let mut child = start(&idle, &["--ttl", "1"]);
    let port_of_idle = port(&idle);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(600));
        ask(port_of_idle, "GET", "/status", "");
    }
    assert!(child.wait().unwrap().success());
    assert!(!idle.exists());

    let hard = folder.path().join("hard");
    let mut child = start(&hard, &["--hard-ttl", "1"]);
    port(&hard);
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_instance_is_made_asked_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("port");
    let mut child = start(&file, &[]);
    let port = port(&file);
    let ok = |answer: (String, String)| {
        assert!(answer.0.ends_with("200 OK"), "{answer:?}");
        answer.1
    };
    let config = r#"{"subnet_config_set": {"application": [{}]}}"#;
    let (status, body) = ask(port, "POST", "/instances", config);
    assert_eq!(status, "HTTP/1.1 201 Created");
    assert!(
        body.starts_with(r#"{"Created":{"instance_id":0,"topology":"#),
        "{body}"
    );
    assert_eq!(
        ok(ask(port, "GET", "/instances/0/read/get_time", "")),
        r#"{"nanos_since_epoch":1620328630000000000}"#
    );
    assert_eq!(
        ok(ask(port, "POST", "/instances/0/update/tick", "{}")),
        "null"
    );
    assert_eq!(
        ok(ask(port, "GET", "/instances/0/read/get_time", "")),
        r#"{"nanos_since_epoch":1620328630000000001}"#
    );
    assert_eq!(
        ok(ask(port, "GET", "/instances/0/auto_progress", "")),
        "false"
    );
    let topology = ok(ask(port, "GET", "/instances/0/_/topology", ""));
    assert!(topology.contains("canister_ranges"));
    assert!(
        ask(port, "GET", "/instances/0/api/v2/status", "")
            .0
            .ends_with("200 OK")
    );
    assert_eq!(ok(ask(port, "GET", "/instances", "")), r#"["Available"]"#);
    assert_eq!(ok(ask(port, "DELETE", "/instances/0", "")), "null");
    assert_eq!(ok(ask(port, "GET", "/instances", "")), r#"["Deleted"]"#);
    for (method, path, body) in [
        ("GET", "/instances/0/read/get_time", ""),
        ("GET", "/instances/0/api/v2/status", ""),
        ("GET", "/instances/x/read/topology", ""),
        ("GET", "/blobstore/00", ""),
        ("GET", "/read_graph/a/b", ""),
        ("GET", "/nothing", ""),
        ("POST", "/instances", "{}"),
        ("POST", "/http_gateway/7/stop", ""),
    ] {
        let (status, body) = ask(port, method, path, body);
        assert!(status.starts_with("HTTP/1.1 4"), "{path}: {status}");
        assert!(body.contains(r#""message":""#), "{path}: {body}");
    }
    terminate(&child, "-TERM");
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_server_describes_what_it_serves_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("port");
    let mut child = start(&file, &[]);
    let port = port(&file);
    let (status, body) = ask(port, "GET", "/api.json", "");
    assert_eq!(status, "HTTP/1.1 200 OK");
    let description: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(description["openapi"], "3.1.0");
    let paths = description["paths"].as_object().unwrap();
    for (path, verb) in [
        ("/api.json", "get"),
        ("/instances", "post"),
        ("/instances/{id}", "delete"),
        ("/instances/{id}/update/tick", "post"),
        ("/instances/{id}/update/canister_snapshot_upload", "post"),
        ("/instances/{id}/api/{rest}", "get"),
    ] {
        assert!(paths[path][verb]["summary"].is_string(), "{verb} {path}");
    }
    for (path, verbs) in paths {
        for verb in verbs.as_object().unwrap().keys() {
            let path = path.replace(['{', '}'], "");
            let (status, body) = ask(port, &verb.to_uppercase(), &path, "");
            assert!(
                !body.contains("there is no endpoint") && !status.contains(" 405 "),
                "{verb} {path}: {status} {body}"
            );
        }
    }
    terminate(&child, "-TERM");
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_instance_has_a_page_for_people() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("port");
    let mut child = start(&file, &[]);
    let port = port(&file);
    let config = r#"{"subnet_config_set": {"application": [{}]}}"#;
    ask(port, "POST", "/instances", config);
    let (status, body) = ask(port, "GET", "/instances/0/_/dashboard", "");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(body.contains("A local Internet Computer network"), "{body}");
    let (status, _) = ask(port, "GET", "/instances/1/_/dashboard", "");
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    terminate(&child, "-TERM");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_policy_for_outcalls_that_there_is_not_is_refused() {
    for arguments in [
        &["--port-file", "/nowhere/port"][..],
        &[
            "--interface-version",
            "1.0.0",
            "--status-dir",
            "/nowhere",
            "--gateway-port",
            "0",
        ],
        &["--port", "0"],
    ] {
        let output = program()
            .args(arguments)
            .env("ASSAY_LOCALNET_OUTCALLS", "some")
            .output()
            .unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            text.contains("`some` is no policy for outcalls (ASSAY_LOCALNET_OUTCALLS); there are any, loopback and none"),
            "{arguments:?}: {text}"
        );
    }
}
