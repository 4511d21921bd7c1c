//! The default model: fetched once, checked against the pinned SHA-256, converted once.
//!
//! `models.json` at the root names the model, its hash and where it can be had. Everything lies in the cache folder,
//! outside the repository:
//! - `gguf/<name>-<hash>.gguf`, as published; nothing stands under that name that has not been checked;
//! - `models/<name>-<hash>-c<converter>.assay`, our model file. The name carries the hash of the source and the
//!   version of the converter, so a stale conversion is never picked up.

mod fetch;
mod manifest;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use sha2::{Digest, Sha256};

pub(crate) use self::fetch::fetch;
use self::manifest::{Manifest, Model};
use crate::process;
use crate::workspace::{Profile, Workspace};

/// The version of the conversion from GGUF; raise it whenever the importer writes other bytes for the same source.
const CONVERTER: u32 = 1;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelError {
    #[error(
        "{origin}: has {found} bytes where {expected} are published; the download was cut short, run this again"
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

/// A checked GGUF file of the default model, and the place of its conversion.
#[derive(Debug)]
pub(crate) struct Gguf {
    /// Absent when the conversion is there already, since nothing else needs the source.
    source: Option<PathBuf>,
    converted: PathBuf,
}

/// Our model file, made with the product's own importer when it is not there yet.
///
/// The programs of `profile` must have been built.
pub(crate) fn convert(
    workspace: &Workspace,
    profile: Profile,
    gguf: &Gguf,
) -> anyhow::Result<PathBuf> {
    let Some(source) = &gguf.source else {
        return Ok(gguf.converted.clone());
    };
    let folder = gguf
        .converted
        .parent()
        .context("BUG: the conversion has no folder")?;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let scratch = Scratch::beside(&gguf.converted)?;
    let part = scratch.0.join("model.assay");
    eprintln!("converting {} (once)", source.display());
    let mut import = Command::new(workspace.program(profile, "assay"));
    process::run_talking(
        import
            .args(["model", "import", "--gguf"])
            .arg(source)
            .arg("--out")
            .arg(&part),
    )?;
    std::fs::rename(&part, &gguf.converted)
        .with_context(|| format!("cannot write {}", gguf.converted.display()))?;
    Ok(gguf.converted.clone())
}

impl Gguf {
    fn names(cache: &Path, model: &Model) -> (PathBuf, PathBuf) {
        let stem = format!("{}-{}", model.name, &model.sha256[..16]);
        let source = cache.join("gguf").join(format!("{stem}.gguf"));
        (
            source,
            cache
                .join("models")
                .join(format!("{stem}-c{CONVERTER}.assay")),
        )
    }
}

/// Checks length and hash of `file`; `origin` is what a message calls it.
fn verify(file: &Path, origin: &str, model: &Model) -> anyhow::Result<()> {
    let mut reader =
        std::fs::File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    let found = reader
        .metadata()
        .with_context(|| format!("cannot read {}", file.display()))?
        .len();
    if found < model.bytes {
        return Err(ModelError::Truncated {
            origin: origin.to_owned(),
            expected: model.bytes,
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
    if found != model.sha256 {
        let (origin, expected) = (origin.to_owned(), model.sha256.clone());
        return Err(ModelError::WrongHash {
            origin,
            expected,
            found,
        }
        .into());
    }
    Ok(())
}

/// A folder that is removed with everything in it, whatever happens.
struct Scratch(PathBuf);

impl Scratch {
    /// On the same disk as `file`, so that a finished file can be renamed to it.
    fn beside(file: &Path) -> anyhow::Result<Self> {
        let folder = file.with_extension(format!("{}.part", std::process::id()));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left-over scratch wastes space and is never read: nothing more can be done about a failure here.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests;
