//! Models: fetched once, checked against the pinned SHA-256, converted once.
//!
//! `models.json` at the root names the model, its hash and where it can be had. Everything lies in the cache folder,
//! outside the repository:
//! - `gguf/<name>-<hash>.gguf`, as published; nothing stands under that name that has not been checked;
//! - `folders/<name>-<hash>`, a checkpoint of several files, in the same way;
//! - `models/<name>-<hash>-c<converter>.assay`, our model file. The name carries the hash of the source and the
//!   version of the converter, so a stale conversion is never picked up;
//! - `lock` and `scratch/`: one set-up at a time writes here, and half-made files are emptied away by the next one.

mod encoder;
mod fetch;
mod manifest;

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use sha2::{Digest, Sha256};

pub(crate) use self::encoder::fetch_encoder;
pub(crate) use self::fetch::{fetch, gemma, source};
use self::manifest::{Manifest, Model};
use crate::process;
use crate::workspace::{Profile, Workspace};

/// Where the engine says which version its conversion from GGUF has. Read as text: xtask is built before the engine.
const CONVERTER_SOURCE: &str = "crates/engine/src/model/manifest.rs";
const CONVERTER_LINE: &str = "pub const CONVERTER: u32 = ";

#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelError {
    #[error(
        "{origin}: has {found} bytes where {expected} are published; it was cut short, fetch it again"
    )]
    Truncated {
        origin: String,
        expected: u64,
        found: u64,
    },
    #[error(
        "{origin}: SHA-256 is {found}, models.json pins {expected}; do not use this file, get it from another source"
    )]
    WrongHash {
        origin: String,
        expected: String,
        found: String,
    },
    #[error(
        "model {name} could not be fetched:\n{}\n\
         by hand: get {file} with SHA-256 {sha256}, then run: cargo xtask model --gguf PATH",
        attempts.iter().map(|attempt| format!("  {attempt}")).collect::<Vec<_>>().join("\n")
    )]
    NotFetched {
        name: String,
        file: String,
        sha256: String,
        attempts: Vec<String>,
    },
}

/// Where the files of the default model belong in the cache.
///
/// After [`fetch()`] there is the source, checked, or the conversion, which makes the source unnecessary.
#[derive(Debug)]
pub(crate) struct Places {
    source: PathBuf,
    converted: PathBuf,
}

/// Our model file, made with the product's own importer when it is not there yet.
///
/// The programs of `profile` must have been built.
pub(crate) fn convert(
    workspace: &Workspace,
    profile: Profile,
    places: &Places,
) -> anyhow::Result<PathBuf> {
    let Places { source, converted } = places;
    if converted.is_file() {
        return Ok(converted.clone());
    }
    let cache = CacheLock::take(&workspace.cache)?;
    // Another set-up may have done it while this one waited.
    if !converted.is_file() {
        eprintln!("converting {} (once)", source.display());
        let part = cache.scratch()?.join("model.assay");
        let mut import = Command::new(workspace.program(profile, "assay"));
        import
            .args(["engine", "convert"])
            .arg(source)
            .arg("--out")
            .arg(&part);
        process::run_talking(&mut import)?;
        keep(&part, converted)?;
    }
    Ok(converted.clone())
}

impl Places {
    /// The conversion, once it is there.
    pub(crate) fn converted(&self) -> Option<&Path> {
        self.converted.is_file().then_some(self.converted.as_path())
    }

    fn new(cache: &Path, model: &Model, converter: u32) -> Self {
        let stem = format!("{}-{}", model.name, &model.sha256[..16]);
        Self {
            source: cache.join("gguf").join(format!("{stem}.gguf")),
            converted: cache
                .join("models")
                .join(format!("{stem}-c{converter}.assay")),
        }
    }
}

/// The engine's version of the conversion.
fn converter(root: &Path) -> anyhow::Result<u32> {
    let path = root.join(CONVERTER_SOURCE);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    text.lines()
        .find_map(|line| {
            line.strip_prefix(CONVERTER_LINE)?
                .strip_suffix(';')?
                .parse()
                .ok()
        })
        .with_context(|| format!("{CONVERTER_SOURCE}: no line `{CONVERTER_LINE}..;`"))
}

/// Checks length and hash of `file`; `origin` is what a message calls it.
fn verify(file: &Path, origin: &str, bytes: u64, sha256: &str) -> anyhow::Result<()> {
    let mut reader = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    let found = reader
        .metadata()
        .with_context(|| format!("cannot read {}", file.display()))?
        .len();
    if found < bytes {
        return Err(ModelError::Truncated {
            origin: origin.to_owned(),
            expected: bytes,
            found,
        }
        .into());
    }
    let mut hasher = Sha256::new();
    std::io::copy(&mut reader, &mut hasher)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let found: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if found != sha256 {
        let (origin, expected) = (origin.to_owned(), sha256.to_owned());
        return Err(ModelError::WrongHash {
            origin,
            expected,
            found,
        }
        .into());
    }
    Ok(())
}

/// Moves a finished file to its place in the cache.
fn keep(finished: &Path, place: &Path) -> anyhow::Result<()> {
    let folder = place.parent().context("BUG: the cache has no folder")?;
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::rename(finished, place))
        .with_context(|| format!("cannot write {}", place.display()))
}

/// The right to write to the cache, held by one process at a time, and a scratch folder to do it with.
struct CacheLock {
    scratch: PathBuf,
    /// Released by the system when this process ends, however it ends.
    _lock: File,
}

impl CacheLock {
    fn take(cache: &Path) -> anyhow::Result<Self> {
        let context = || {
            format!(
                "cannot use the cache {}; set ASSAY_CACHE to another folder",
                cache.display()
            )
        };
        std::fs::create_dir_all(cache).with_context(context)?;
        let lock = File::create(cache.join("lock")).with_context(context)?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            eprintln!("waiting for another set-up that uses {}", cache.display());
        }
        lock.lock().with_context(context)?;
        Ok(Self {
            scratch: cache.join("scratch"),
            _lock: lock,
        })
    }

    /// An empty folder on the same disk as the cache.
    fn scratch(&self) -> anyhow::Result<&Path> {
        self.empty()?;
        std::fs::create_dir_all(&self.scratch)
            .with_context(|| format!("cannot create {}", self.scratch.display()))?;
        Ok(&self.scratch)
    }

    fn empty(&self) -> anyhow::Result<()> {
        match std::fs::remove_dir_all(&self.scratch) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot empty {}", self.scratch.display()))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for CacheLock {
    fn drop(&mut self) {
        // What is left over wastes space until the next set-up empties the folder: no reason to fail here.
        let _ = self.empty();
    }
}

#[cfg(test)]
mod tests;
