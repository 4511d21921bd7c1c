//! A server process: started, watched and ended.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use pocket_ic::{PocketIc, PocketIcBuilder};
use tempfile::TempDir;

use crate::report::{Report, Unit};

/// Time in which a server must listen.
const START_MAX: Duration = Duration::from_secs(60);
/// Seconds for which a forgotten server lives.
const TTL_SECONDS: u64 = 300;

/// What is measured.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Its name in the report.
    pub(crate) name: String,
    /// What it says of itself.
    pub(crate) version: String,
    program: PathBuf,
}

impl Subject {
    pub(crate) fn new(name: &str, program: PathBuf) -> anyhow::Result<Self> {
        let asked = Command::new(&program).arg("--version").output();
        let asked = asked.with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self {
            name: name.to_owned(),
            version: String::from_utf8_lossy(&asked.stdout).trim().to_owned(),
            program,
        })
    }

    /// Starts it with an empty cache of modules.
    pub(crate) fn start(&self) -> anyhow::Result<Server> {
        let folder = TempDir::new().context("cannot make a temporary folder")?;
        let file = folder.path().join("port");
        let child = Command::new(&self.program)
            .arg("--port-file")
            .arg(&file)
            .args(["--ttl", &TTL_SECONDS.to_string()])
            // Ours keeps compiled modules below it; every server here begins without any.
            .env("ASSAY_CACHE", folder.path().join("cache"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let mut server = Server {
            child,
            port: 0,
            _folder: folder,
        };
        let begun = Instant::now();
        loop {
            if let Ok(text) = fs::read_to_string(&file)
                && let Some(port) = text.strip_suffix('\n')
            {
                server.port = port.parse().context("the port file holds no port")?;
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                bail!("{} ended before it listened: {status}", self.name);
            }
            ensure!(
                begun.elapsed() < START_MAX,
                "{} does not listen after {} s",
                self.name,
                START_MAX.as_secs()
            );
            sleep(Duration::from_millis(1));
        }
    }
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// A new instance with a root subnet, so that it can go live, and an application subnet.
    pub(crate) fn instance(&self) -> anyhow::Result<PocketIc> {
        let url = format!("http://127.0.0.1:{}/", self.port);
        Ok(PocketIcBuilder::new()
            .with_server_url(url.parse().context("BUG: not a URL")?)
            .with_nns_subnet()
            .with_application_subnet()
            .build())
    }

    /// Asks whether it is there, over a connection of its own.
    fn ask(&self) -> anyhow::Result<()> {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        connection
            .write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        ensure!(
            answer.starts_with("HTTP/1.1 200"),
            "/status answers {answer}"
        );
        Ok(())
    }

    /// Bytes of memory that it and the processes that it started hold, where the system tells.
    pub(crate) fn resident(&self) -> Option<u64> {
        let mut bytes = 0;
        let mut open = vec![self.child.id()];
        let parents = parents()?;
        while let Some(process) = open.pop() {
            bytes += resident(process).unwrap_or(0);
            open.extend(
                parents
                    .iter()
                    .filter(|(_, parent)| *parent == process)
                    .map(|(child, _)| *child),
            );
        }
        (bytes > 0).then_some(bytes)
    }
}

/// Every process with the one that started it.
fn parents() -> Option<Vec<(u32, u32)>> {
    let numbers = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let with_parent = numbers.filter_map(|process: u32| {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // After the name, which is in brackets and may hold anything: the state, then the parent.
        let parent = text.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        Some((process, parent))
    });
    Some(with_parent.collect())
}

fn resident(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

/// How long until a server answers, and until it has an instance.
pub(crate) fn starting(subject: &Subject, report: &mut Report) -> anyhow::Result<()> {
    let mut rows = report.rows(subject, "starting");
    let mut answers = Vec::new();
    let mut instances = Vec::new();
    for _ in rows.runs() {
        let begun = Instant::now();
        let server = subject.start()?;
        server.ask()?;
        answers.push(begun.elapsed().as_secs_f64() * 1e3);
        // The first instance of a server pays for what later ones find ready; people make many.
        drop(server.instance()?);
        let begun = Instant::now();
        let instance = server.instance()?;
        instances.push(begun.elapsed().as_secs_f64() * 1e3);
        drop(instance);
    }
    rows.put(
        "from the start of the program to its first answer",
        Unit::Milliseconds,
        answers,
    );
    rows.put(
        "a new instance of two subnets",
        Unit::Milliseconds,
        instances,
    );
    Ok(())
}
