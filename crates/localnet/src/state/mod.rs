//! State folders: a network on disk.
//!
//! A folder holds the last checkpoint, which is an image of the network, and a journal of what the network was given
//! since. An input is in the journal before anybody hears of its effect, and a round once it was run; so a process
//! that is killed loses at most the round that it was running, and whoever opens the folder then finds the last
//! checkpoint, gives it the journal, and goes on.
//!
//! ```text
//! network.json      what the network was made from
//! lock              held by the process that uses the folder
//! checkpoint-N      SHA-256 of the rest, then an image
//! journal-N         what came after checkpoint N
//! pages-M           blobs that images name; each is written once
//! ```
//!
//! Invariants: `checkpoint-N` appears whole, after every blob that it names, and everything older is removed only
//! then; a journal is only ever appended to, and what was being written at its end when the process was killed is cut
//! off. The files are as the system keeps them: a machine that loses its power may lose what was written in its last
//! seconds, and begins again from before that.

mod blobs;
mod checkpoint;
mod journal;
mod plan;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use assay_localnet_core::{
    image::RestoreError,
    network::{Input, InputError, Network, NetworkConfig},
    types::Time,
};
use thiserror::Error;

pub(crate) use self::plan::Plan;
use self::{
    blobs::BlobFiles,
    journal::{Appended, Journal},
};

/// Held by the process that uses the folder.
const LOCK_FILE: &str = "lock";

/// How the names of files end that are being written.
const PARTIAL: &str = ".partial";

/// Where modules are kept compiled, unless they are kept elsewhere.
const MODULES_FOLDER: &str = "modules";

/// Work that may have to be done again after a crash: as long as the inputs since the last checkpoint took.
const REPLAY_MAX: Duration = Duration::from_secs(5);

/// Bytes of a journal after which there is a checkpoint.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;

/// A network spends about one part in so many of its time on checkpoints, however much it does, unless its journal is long.
const CHECKPOINT_SHARE: u32 = 20;

/// Why a state folder cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// Somebody else uses it.
    #[error(
        "the state folder {folder} is used by another process; stop it, or take another folder"
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// Reading or writing failed.
    #[error("cannot use {path} of the state folder")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It holds another network than was asked for.
    #[error(
        "the state folder {folder} holds a network with {found}, not with {wanted}; ask for the same, or take another \
         folder"
    )]
    OtherNetwork {
        /// The folder.
        folder: PathBuf,
        /// What is there.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// There is something else in it.
    #[error("{folder} is no state folder, and not empty; take another folder")]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// What it says of its network is not understood.
    #[error("{path} is not understood: {reason}; it may be of another version of this program")]
    Plan {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A checkpoint is not what was written.
    #[error("{path} is damaged; restore the state folder from a copy, or take another folder")]
    Checkpoint {
        /// The file.
        path: PathBuf,
    },
    /// A checkpoint cannot be used.
    #[error("{path} cannot be used")]
    Restore {
        /// The file.
        path: PathBuf,
        /// Why.
        source: RestoreError,
    },
    /// The journal does not lead where it led before.
    #[error(
        "{path} cannot be replayed; it was written by another version of this program: open the state folder with that \
         one, and end it properly, or take another folder"
    )]
    Journal {
        /// The file.
        path: PathBuf,
        /// Why.
        source: InputError,
    },
}

/// What failed where, for what the system reports.
fn io_error(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> StateError {
    let path = path.into();
    move |source| StateError::Io { path, source }
}

/// A state folder that this process uses.
#[derive(Debug)]
pub(crate) struct StateFolder {
    folder: PathBuf,
    _lock: File,
    blobs: BlobFiles,
    journal: Journal,
    /// The number of the last checkpoint.
    number: u64,
    /// Where the network's clock stands after what the checkpoint and the journal say.
    clock: Time,
    /// How long the inputs since the last checkpoint took.
    work: Duration,
    /// When the last checkpoint was finished, and how long it took.
    last: (Instant, Duration),
}

impl StateFolder {
    /// What the network was made from that a folder holds, where it holds one.
    pub(crate) fn plan(folder: &Path) -> Result<Option<Plan>, StateError> {
        match Plan::read(folder)? {
            // A process that was killed at once leaves a plan without a network.
            Some(plan) if checkpoint::newest(folder)?.is_some() => Ok(Some(plan)),
            _ => Ok(None),
        }
    }

    /// Opens a folder, and makes it where there is none. Gives the network that it holds, or a new one.
    pub(crate) fn open(
        folder: &Path,
        plan: &Plan,
        mut config: NetworkConfig,
    ) -> Result<(Self, Network), StateError> {
        make_private(folder).map_err(io_error(folder))?;
        let lock = lock(folder)?;
        let known = Self::plan(folder)?;
        if config.module_cache.is_none() {
            config.module_cache = Some(folder.join(MODULES_FOLDER));
        }
        match known {
            Some(known) => {
                known.check(plan, folder)?;
            }
            None => {
                check_empty(folder)?;
                plan.write(folder)?;
            }
        }
        let mut blobs = BlobFiles::open(folder)?;
        let (number, mut network, journal) = match checkpoint::newest(folder)? {
            Some(number) => {
                let mut network = checkpoint::read(folder, number, config, &mut blobs)?;
                let path = journal::path(folder, number);
                let (journal, inputs) = Journal::open(&path).map_err(io_error(&path))?;
                for input in inputs {
                    network.apply(input).map_err(|source| StateError::Journal {
                        path: path.clone(),
                        source,
                    })?;
                }
                (number, network, journal)
            }
            None => {
                let network = Network::new(config);
                checkpoint::write(folder, 0, &network, &mut blobs)?;
                let path = journal::path(folder, 0);
                let journal = Journal::create(&path).map_err(io_error(&path))?;
                (0, network, journal)
            }
        };
        remove_older(folder, number);
        let mut folder = Self {
            folder: folder.to_owned(),
            _lock: lock,
            blobs,
            journal,
            number,
            clock: network.time(),
            work: Duration::ZERO,
            last: (Instant::now(), Duration::ZERO),
        };
        if folder.journal.bytes() > 0 {
            // So that each time that the folder is taken up has a number of its own, and nothing is run again twice.
            folder.checkpoint(&mut network)?;
        }
        Ok((folder, network))
    }

    /// The number of the last checkpoint; it grows every time that the folder is opened and used.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Writes down an input that the network has taken when its clock was at `before`, and which took it so long.
    pub(crate) fn record(
        &mut self,
        network: &mut Network,
        before: Time,
        input: &Input,
        took: Duration,
    ) -> Result<(), StateError> {
        self.work += took;
        if before != self.clock {
            self.append(&Input::Clock(before))?;
        }
        if let Some(queries) = network.queried() {
            self.append(&queries)?;
        }
        self.clock = network.time();
        match self.append(input)? {
            Appended::Whole => Ok(()),
            Appended::TooLong => self.checkpoint(network),
        }
    }

    fn append(&mut self, input: &Input) -> Result<Appended, StateError> {
        let path = self.journal.path().to_owned();
        self.journal.append(input).map_err(io_error(path))
    }

    /// Whether it is time for a checkpoint: the journal is long, or would take long to run again and the last checkpoint was
    /// long enough ago.
    pub(crate) fn is_due(&self) -> bool {
        let (finished, took) = self.last;
        self.journal.bytes() > JOURNAL_BYTES_MAX
            || (self.work > REPLAY_MAX && finished.elapsed() > took * CHECKPOINT_SHARE)
    }

    /// Takes an image, and begins a new journal.
    pub(crate) fn checkpoint(&mut self, network: &mut Network) -> Result<(), StateError> {
        let begun = Instant::now();
        let number = self.number + 1;
        checkpoint::write(&self.folder, number, network, &mut self.blobs)?;
        let path = journal::path(&self.folder, number);
        self.journal = Journal::create(&path).map_err(io_error(path))?;
        self.number = number;
        remove_older(&self.folder, number);
        // The image has them.
        network.queried();
        self.clock = network.time();
        self.work = Duration::ZERO;
        self.last = (Instant::now(), begun.elapsed());
        tracing::debug!(number, took = ?self.last.1, "checkpoint");
        Ok(())
    }

    /// Leaves the folder as somebody else should find it: with a checkpoint of everything.
    pub(crate) fn close(mut self, network: &mut Network) -> Result<(), StateError> {
        if self.journal.bytes() == 0 && self.clock == network.time() && network.queried().is_none()
        {
            return Ok(());
        }
        self.checkpoint(network)
    }
}

/// Makes the folder, for this user only: it holds what canisters keep to themselves.
fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn lock(folder: &Path) -> Result<File, StateError> {
    let path = folder.join(LOCK_FILE);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateError::Locked {
            folder: folder.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(io_error(path)(error)),
    }
}

/// A folder that holds no network may hold nothing but what this module puts there first.
fn check_empty(folder: &Path) -> Result<(), StateError> {
    let entries = fs::read_dir(folder).map_err(io_error(folder))?;
    for entry in entries {
        let name = entry.map_err(io_error(folder))?.file_name();
        let ours = name == LOCK_FILE
            || name == MODULES_FOLDER
            || plan::is_ours(&name)
            || name
                .to_str()
                .is_some_and(|name| name.ends_with(PARTIAL) || name.starts_with(blobs::PREFIX));
        if !ours {
            return Err(StateError::NotEmpty {
                folder: folder.to_owned(),
            });
        }
    }
    Ok(())
}

/// Removes checkpoints and journals before this one, and what was not finished. What cannot be removed does no harm.
fn remove_older(folder: &Path, number: u64) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let older = numbered(name, checkpoint::PREFIX)
            .or_else(|| numbered(name, journal::PREFIX))
            .is_some_and(|found| found < number);
        if older || name.ends_with(PARTIAL) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The number in a file's name, after its prefix.
fn numbered(name: &str, prefix: &str) -> Option<u64> {
    name.strip_prefix(prefix)?.parse().ok()
}

/// Writes a file that appears with all its bytes or not at all, and stays where the power fails afterwards.
fn write_whole(path: &Path, bytes: &[&[u8]]) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(PARTIAL);
    let partial = PathBuf::from(partial);
    let mut file = File::create(&partial)?;
    for bytes in bytes {
        file.write_all(bytes)?;
    }
    file.sync_all()?;
    fs::rename(&partial, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
