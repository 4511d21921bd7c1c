//! What must survive a crash: for each lease, the commitment and what opens it.
//!
//! A record is written in full to a temporary file, synced, renamed into place, and the folder synced, before the
//! commitment is sent. So after a kill at any moment the worker finds either a whole record, with which it can commit
//! and reveal, or none, and then no commitment was ever sent. One lease never gets two different commitments, because
//! a record that is there is used as it is.
//!
//! Layout of a record: `ASSAYLEASE` and a version byte, SHA-256 of the rest, then the record in Candid.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use assay_protocol::{
    Hash32, JobId, LeaseId,
    lease::{CommitArgs, RevealArgs, Role},
    limits,
};
use candid::{CandidType, Principal};
use serde::Deserialize;

const MAGIC: &[u8; 10] = b"ASSAYLEASE";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = MAGIC.len() + 1 + 32;
/// Bytes of the longest record that is read: the longest answer and its tokens fit several times.
pub const RECORD_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What is kept of a lease between its commitment and its reveal.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub struct Record {
    /// The jobs canister.
    pub canister: Principal,
    /// The worker that the commitment names.
    pub worker: Principal,
    /// The job.
    pub job: JobId,
    /// What the lease does.
    pub role: Role,
    /// What was, or is about to be, sent.
    pub commit: CommitArgs,
    /// What opens it.
    pub reveal: RevealArgs,
}

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Reading or writing failed.
    #[error("{path}: {doing}: {error}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        error: io::Error,
    },
    /// Another daemon uses it.
    #[error(
        "{path}: in use by the worker with process id {pid}; stop it, or give this one a state_dir of its own"
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Who holds it, as it wrote down.
        pid: String,
    },
    /// A record cannot be read.
    #[error(
        "{path}: {problem}; it was kept as it is. Move it away to go on: its lease, if still open, ends unpaid"
    )]
    Damaged {
        /// Which record.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// The state folder, held by this process alone.
#[derive(Debug)]
pub struct Journal {
    leases: PathBuf,
    // Holds the lock until dropped.
    _lock: File,
}

impl Journal {
    /// Opens the folder, makes it if need be, and takes its lock.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let leases = dir.join("leases");
        create_private(&leases)?;
        let path = dir.join("lock");
        let mut lock = open_private(&path, false).map_err(at(&path, "open"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = (&lock).take(20).read_to_string(&mut pid);
                let pid = if pid.is_empty() {
                    "unknown".to_owned()
                } else {
                    pid
                };
                return Err(JournalError::Locked {
                    path: dir.to_owned(),
                    pid,
                });
            }
            Err(TryLockError::Error(error)) => return Err(at(&path, "lock")(error)),
        }
        lock.set_len(0)
            .and_then(|()| lock.write_all(std::process::id().to_string().as_bytes()))
            .map_err(at(&path, "write"))?;
        Ok(Self {
            leases,
            _lock: lock,
        })
    }

    /// Makes a record durable. When this returns, it survives a power cut.
    pub fn save(&self, record: &Record) -> Result<(), JournalError> {
        let path = self.path(record.canister, record.reveal.lease);
        let temporary = path.with_extension("new");
        let mut file = open_private(&temporary, true).map_err(at(&temporary, "open"))?;
        file.write_all(&encode(record))
            .map_err(at(&temporary, "write"))?;
        file.sync_all().map_err(at(&temporary, "sync"))?;
        fs::rename(&temporary, &path).map_err(at(&path, "rename"))?;
        self.sync_folder()
    }

    /// Notes that a lease's run begins, and gives how often it had begun before. When this returns, that survives
    /// the end of this process.
    pub fn begin(&self, canister: Principal, lease: LeaseId) -> Result<u32, JournalError> {
        let path = self.begun_path(canister, lease);
        let mut options = fs::OpenOptions::new();
        let mut file = private(options.append(true).create(true))
            .open(&path)
            .map_err(at(&path, "open"))?;
        let before = file.metadata().map_err(at(&path, "read"))?.len();
        file.write_all(b".")
            .and_then(|()| file.sync_all())
            .map_err(at(&path, "write"))?;
        self.sync_folder()?;
        Ok(u32::try_from(before).unwrap_or(u32::MAX))
    }

    /// Forgets how often a lease that has ended had begun.
    pub fn forget(&self, canister: Principal, lease: LeaseId) {
        // One that stays is thrown away at the next start.
        let _ = fs::remove_file(self.begun_path(canister, lease));
    }

    /// Forgets a record whose lease has ended.
    pub fn remove(&self, canister: Principal, lease: LeaseId) -> Result<(), JournalError> {
        self.forget(canister, lease);
        let path = self.path(canister, lease);
        match fs::remove_file(&path) {
            Ok(()) => self.sync_folder(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(at(&path, "remove")(error)),
        }
    }

    /// Every record, in the order of canisters and leases. Half-written ones are thrown away: their commitments were never sent.
    pub fn records(&self) -> Result<Vec<Record>, JournalError> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.leases).map_err(at(&self.leases, "list"))? {
            let path = entry.map_err(at(&self.leases, "list"))?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("new") => fs::remove_file(&path).map_err(at(&path, "remove"))?,
                Some("begun") if is_old(&path) => {
                    fs::remove_file(&path).map_err(at(&path, "remove"))?;
                }
                Some("lease") => records.push(self.read(&path)?),
                // Not ours; left alone.
                _ => {}
            }
        }
        records.sort_by_key(|record: &Record| (record.canister, record.reveal.lease));
        Ok(records)
    }

    fn read(&self, path: &Path) -> Result<Record, JournalError> {
        let file = File::open(path).map_err(at(path, "open"))?;
        let mut bytes = Vec::new();
        file.take(RECORD_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(at(path, "read"))?;
        let damaged = |problem: String| JournalError::Damaged {
            path: path.to_owned(),
            problem,
        };
        let record = decode(&bytes).map_err(damaged)?;
        let (canister, lease) = (record.canister, record.reveal.lease);
        let own = self.path(canister, lease);
        // The first daemons served one canister, and named records by their leases alone.
        let first = self.leases.join(format!("{lease}.lease"));
        if (path != own && path != first) || record.commit.lease != lease {
            return Err(damaged(format!(
                "belongs to lease {lease} of canister {canister}"
            )));
        }
        if path == first {
            fs::rename(path, &own).map_err(at(path, "rename"))?;
            self.sync_folder()?;
        }
        Ok(record)
    }

    // Each canister counts its leases from 1.
    fn path(&self, canister: Principal, lease: LeaseId) -> PathBuf {
        self.leases.join(format!("{canister}-{lease}.lease"))
    }

    fn begun_path(&self, canister: Principal, lease: LeaseId) -> PathBuf {
        self.leases.join(format!("{canister}-{lease}.begun"))
    }

    fn sync_folder(&self) -> Result<(), JournalError> {
        File::open(&self.leases)
            .and_then(|folder| folder.sync_all())
            .map_err(at(&self.leases, "sync"))
    }
}

fn encode(record: &Record) -> Vec<u8> {
    let body = candid::encode_one(record).expect("BUG: a record is plain Candid data");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(Hash32::sha256(&body).as_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

fn decode(bytes: &[u8]) -> Result<Record, String> {
    if bytes.len() as u64 > RECORD_BYTES_MAX {
        return Err(format!("longer than {RECORD_BYTES_MAX} bytes"));
    }
    let Some((header, body)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err("ends within its header".to_owned());
    };
    if !header.starts_with(MAGIC) {
        return Err("is not a record of a lease".to_owned());
    }
    match header[MAGIC.len()] {
        VERSION => {}
        newer => {
            return Err(format!(
                "has version {newer}, this release reads {VERSION}; start the newer release again"
            ));
        }
    }
    if header[MAGIC.len() + 1..] != Hash32::sha256(body).0 {
        return Err("does not have its own checksum: it was cut short or changed".to_owned());
    }
    candid::decode_one(body).map_err(|error| format!("cannot be decoded: {error}"))
}

fn at<'a>(path: &'a Path, doing: &'static str) -> impl Fn(io::Error) -> JournalError + 'a {
    move |error| JournalError::Io {
        path: path.to_owned(),
        doing,
        error,
    }
}

fn create_private(path: &Path) -> Result<(), JournalError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path).map_err(at(path, "create"))
}

fn open_private(path: &Path, truncate: bool) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(truncate);
    private(&mut options).open(path)
}

/// New files are this user's alone.
fn private(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

/// Whether a file was last written before any lease that can still be open was granted.
fn is_old(path: &Path) -> bool {
    let age = fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|modified| modified.elapsed().ok());
    age.is_some_and(|age| age.as_secs() > 2 * limits::DEADLINE_SECONDS_MAX as u64)
}

#[cfg(test)]
mod tests;
