//! llama.cpp's server as a child process, which ends with its handle.

use std::{
    ffi::OsStr,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use assay_worker::openai::{Settings, Topology};

use crate::harness::needed;

/// Tokens of the context that servers are started with.
pub(crate) const CONTEXT: u32 = 1_024;
/// What servers call the model.
const MODEL: &str = "smollm2";
/// A server that is not ready by then does not become so.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct LlamaServer {
    child: Child,
    port: u16,
}

impl LlamaServer {
    /// Starts a server with the default model, and waits until it answers.
    pub(crate) fn start(program: &OsStr) -> Self {
        // Free a moment ago; nobody else here takes ports by number.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let child = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .arg("--model")
            .arg(needed("ASSAY_GGUF"))
            .args(["--alias", MODEL, "--ctx-size", &CONTEXT.to_string()])
            // One answer at a time: the bits of this server depend on its company.
            .args(["--parallel", "1", "--threads", "2"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { child, port };
        let started = Instant::now();
        while !server.is_healthy() {
            let ended = server.child.try_wait().unwrap();
            assert!(
                ended.is_none() && started.elapsed() < PATIENCE,
                "the server does not become ready: {ended:?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        server
    }

    /// As a worker is told of it.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            url: format!("http://127.0.0.1:{}", self.port),
            model: MODEL.to_owned(),
            topology: Topology::new("cpu").unwrap(),
            image_digest: None,
            context_max: None,
            key: None,
        }
    }

    fn is_healthy(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| {
            answer
                .lines()
                .next()
                .is_some_and(|line| line.contains(" 200"))
        })
    }
}

impl Drop for LlamaServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
