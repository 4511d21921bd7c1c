//! Host names for canisters, as `icp` writes them into a file beside the status: a line `host:principal` for each.
//!
//! The file comes and changes while the network runs, so it is looked at again and again. What cannot be read in it is
//! passed over: `icp` may be in the middle of writing.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

use candid::Principal;

use crate::gateway::Domains;

/// The file in the status folder.
pub(super) const NAMES_FILE: &str = "custom-domains.txt";
/// Between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Bytes of the file that are looked at.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Keeps a gateway's names as the file says. Dropping it ends that.
#[derive(Debug)]
pub(super) struct Names {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Names {
    /// Begins to look at the file in a folder.
    pub(super) fn watch(folder: &Path, domains: Domains) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let path = folder.join(NAMES_FILE);
        let thread = thread::Builder::new()
            .name("localnet-names".to_owned())
            .spawn(move || look(&path, &domains, &stopped))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so on its own.
            let _ = thread.join();
        }
    }
}

fn look(path: &PathBuf, domains: &Domains, stopped: &mpsc::Receiver<()>) {
    let mut known = String::new();
    loop {
        let text = read(path);
        if text != known {
            if let Err(error) = domains.set_aliases(parse(&text)) {
                tracing::warn!(path = %path.display(), %error, "the names of canisters stay as they were");
            }
            known = text;
        }
        match stopped.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The file's text; nothing where there is none.
fn read(path: &PathBuf) -> String {
    use io::Read as _;
    let mut text = String::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => text,
        Err(_) => String::new(),
    }
}

fn parse(text: &str) -> impl Iterator<Item = (&str, Principal)> {
    text.lines().filter_map(|line| {
        let (host, canister) = line.trim().rsplit_once(':')?;
        Some((host.trim(), Principal::from_text(canister.trim()).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const ID: &str = "ryjl3-tyaaa-aaaaa-aaaba-cai";

    #[test]
    fn lines_that_name_no_canister_are_passed_over() {
        let id = Principal::from_text(ID).unwrap();
        let text = format!("\n a.localhost:{ID} \nnonsense\nb.localhost:x\nc.localhost : {ID}\nd:");
        let names: Vec<_> = parse(&text).collect();
        assert_eq!(names, [("a.localhost", id), ("c.localhost", id)]);
    }

    #[test]
    fn names_follow_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let domains = Domains::default();
        let names = Names::watch(folder.path(), domains.clone()).unwrap();
        let soon = |known: bool| {
            let begin = Instant::now();
            while domains.is_alias("app.local.localhost") != known {
                assert!(begin.elapsed() < Duration::from_secs(20), "not followed");
                thread::sleep(Duration::from_millis(10));
            }
        };
        let file = folder.path().join(NAMES_FILE);
        fs::write(&file, format!("app.local.localhost:{ID}\n")).unwrap();
        soon(true);
        fs::remove_file(&file).unwrap();
        soon(false);
        drop(names);
    }
}
