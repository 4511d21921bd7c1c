//! Transport to wolfpine, a simulator written in Python: a child process that serves frames over its standard input and output.
//!
//! The child runs `wolfpine/driver.py`, which corrects what is wrong in the one version that it knows, and refuses any other. The
//! interpreter that has the packages of `wolfpine/requirements.txt` is named by the environment variable [`VARIABLE`]. The
//! simulated integer multiply is thus partly our own; unpackers, packer, counters, NoC and both baby cores are an independent check.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::noc::{Noc, NocError, Tile};

/// Names the Python interpreter.
pub const VARIABLE: &str = "ASSAY_WOLFPINE_PYTHON";

const DRIVER: &str = include_str!("../wolfpine/driver.py");
const NAME: &str = "wolfpine";
/// Cycles of one [`Noc::idle`].
const CYCLES: u64 = 500;
/// How long one answer may take: the child is then taken for hung.
const ANSWER: Duration = Duration::from_secs(120);
/// No answer is longer: L1 has less.
const REPLY_BYTES_MAX: u32 = 16 << 20;

const HELLO: u8 = 0;
const READ: u8 = 1;
const WRITE: u8 = 2;
const RUN: u8 = 3;

/// A simulated chip in a child process, which ends with it.
#[derive(Debug)]
pub struct Wolfpine {
    child: Child,
    /// None only while it is dropped.
    requests: Option<Sender<Vec<u8>>>,
    replies: Receiver<io::Result<Reply>>,
    threads: Vec<JoinHandle<()>>,
    workers: Vec<Tile>,
}

#[derive(Debug)]
struct Reply {
    failed: bool,
    bytes: Vec<u8>,
}

impl Wolfpine {
    /// Starts a chip with `workers` Tensix tiles, at most 80.
    pub fn start(python: &OsStr, workers: usize) -> Result<Self, NocError> {
        let name = python.to_string_lossy();
        let mut child = Command::new(python)
            .args(["-I", "-B", "-c", DRIVER])
            .arg(workers.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => NocError::Missing {
                    name: name.clone().into_owned(),
                    remedy: "let ASSAY_WOLFPINE_PYTHON name a Python with the packages of wolfpine/requirements.txt",
                },
                _ => NocError::io(&name, "start it", source),
            })?;
        let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both were asked to be pipes")
        };
        // Both pipes have threads, so that a child that hangs can stop neither the host's writes nor its reads.
        let (requests, frames) = mpsc::channel::<Vec<u8>>();
        let writer = thread::spawn(move || {
            while let Ok(frame) = frames.recv() {
                if stdin.write_all(&frame).is_err() {
                    break;
                }
            }
        });
        let (sender, replies) = mpsc::channel();
        let reader = thread::spawn(move || {
            loop {
                let reply = read_reply(&mut stdout);
                let last = reply.is_err();
                if sender.send(reply).is_err() || last {
                    break;
                }
            }
        });
        let mut wolfpine = Self {
            child,
            requests: Some(requests),
            replies,
            threads: vec![writer, reader],
            workers: Vec::new(),
        };
        let tiles = wolfpine.ask(HELLO, Tile::new(0, 0), 0, 0, &[])?;
        wolfpine.workers = tiles
            .chunks_exact(2)
            .map(|tile| Tile::new(tile[0], tile[1]))
            .collect();
        Ok(wolfpine)
    }

    fn ask(
        &mut self,
        operation: u8,
        tile: Tile,
        address: u64,
        length: usize,
        data: &[u8],
    ) -> Result<Vec<u8>, NocError> {
        let length = u32::try_from(length).map_err(|_| NocError::Simulator {
            name: NAME.to_owned(),
            what: format!("an access of {length} bytes"),
        })?;
        let mut frame = vec![operation, tile.x, tile.y, 0];
        frame.extend(length.to_le_bytes());
        frame.extend(address.to_le_bytes());
        frame.extend(data);
        if let Some(requests) = &self.requests {
            // Where nobody takes it any more, the answer's end says why.
            let _ = requests.send(frame);
        }
        match self.replies.recv_timeout(ANSWER) {
            Ok(Ok(Reply {
                failed: false,
                bytes,
            })) => Ok(bytes),
            Ok(Ok(Reply { bytes, .. })) => Err(NocError::Simulator {
                name: NAME.to_owned(),
                what: String::from_utf8_lossy(&bytes).into_owned(),
            }),
            Ok(Err(source)) => Err(NocError::io(NAME, "read the child's answer", source)),
            Err(RecvTimeoutError::Timeout) => Err(NocError::io(
                NAME,
                "wait for the child's answer",
                io::ErrorKind::TimedOut.into(),
            )),
            Err(RecvTimeoutError::Disconnected) => Err(NocError::io(
                NAME,
                "read the child's answer",
                io::ErrorKind::BrokenPipe.into(),
            )),
        }
    }
}

fn read_reply(stdout: &mut ChildStdout) -> io::Result<Reply> {
    let mut header = [0; 8];
    stdout.read_exact(&mut header)?;
    let [status, _, _, _, length @ ..] = header;
    let length = u32::from_le_bytes(length);
    if status > 1 || length > REPLY_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "no frame of the driver",
        ));
    }
    let mut bytes = vec![0; length as usize];
    stdout.read_exact(&mut bytes)?;
    Ok(Reply {
        failed: status == 1,
        bytes,
    })
}

impl Noc for Wolfpine {
    fn name(&self) -> &str {
        NAME
    }

    fn read(&mut self, tile: Tile, address: u64, bytes: &mut [u8]) -> Result<(), NocError> {
        let answer = self.ask(READ, tile, address, bytes.len(), &[])?;
        if answer.len() != bytes.len() {
            return Err(NocError::Simulator {
                name: NAME.to_owned(),
                what: format!(
                    "{} bytes where {} were asked for",
                    answer.len(),
                    bytes.len()
                ),
            });
        }
        bytes.copy_from_slice(&answer);
        Ok(())
    }

    fn write(&mut self, tile: Tile, address: u64, bytes: &[u8]) -> Result<(), NocError> {
        self.ask(WRITE, tile, address, bytes.len(), bytes).map(drop)
    }

    fn idle(&mut self) -> Result<(), NocError> {
        self.ask(RUN, Tile::new(0, 0), CYCLES, 0, &[]).map(drop)
    }

    fn workers(&mut self) -> Result<Vec<Tile>, NocError> {
        Ok(self.workers.clone())
    }

    fn write_on_close(&mut self, _: Tile, _: u64, _: u32) -> Result<(), NocError> {
        // Nothing of a simulated chip outlives its process.
        Ok(())
    }
}

impl Drop for Wolfpine {
    fn drop(&mut self) {
        // It keeps nothing; waiting for it leaves no zombie. Its end and that of the requests end both threads.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.requests = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
