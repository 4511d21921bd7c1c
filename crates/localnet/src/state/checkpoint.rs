//! Checkpoints: images of a network, each in a file of its own behind its SHA-256.

use std::{fs, path::Path};

use assay_localnet_core::network::{Network, NetworkConfig};
use sha2::{Digest as _, Sha256};

use super::{StateError, blobs::BlobFiles, io_error, numbered, write_whole};

/// What a checkpoint's name begins with; its number follows.
pub(super) const PREFIX: &str = "checkpoint-";

fn path(folder: &Path, number: u64) -> std::path::PathBuf {
    folder.join(format!("{PREFIX}{number}"))
}

/// The number of the newest checkpoint, where there is one.
pub(super) fn newest(folder: &Path) -> Result<Option<u64>, StateError> {
    let mut newest = None;
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        let name = entry.map_err(io_error(folder))?.file_name();
        let number = name.to_str().and_then(|name| numbered(name, PREFIX));
        newest = newest.max(number);
    }
    Ok(newest)
}

/// The network as it was at a checkpoint.
pub(super) fn read(
    folder: &Path,
    number: u64,
    config: NetworkConfig,
    blobs: &mut BlobFiles,
) -> Result<Network, StateError> {
    let path = path(folder, number);
    let bytes = fs::read(&path).map_err(io_error(&path))?;
    let image = bytes
        .split_first_chunk::<32>()
        .filter(|(hash, image)| hash[..] == Sha256::digest(image)[..])
        .map(|(_, image)| image);
    let Some(image) = image else {
        return Err(StateError::Checkpoint { path });
    };
    let network = Network::restore(config, image, blobs)
        .map_err(|source| StateError::Restore { path, source })?;
    // There may be blobs of a checkpoint that was never finished.
    blobs.forget_unnamed();
    Ok(network)
}

/// Writes a checkpoint; when it is there, so is all that it names.
pub(super) fn write(
    folder: &Path,
    number: u64,
    network: &Network,
    blobs: &mut BlobFiles,
) -> Result<(), StateError> {
    blobs.begin().map_err(io_error(folder))?;
    let image = network.image(blobs).map_err(io_error(folder))?;
    blobs.finish().map_err(io_error(folder))?;
    let path = path(folder, number);
    let hash: [u8; 32] = Sha256::digest(&image).into();
    write_whole(&path, &[&hash, &image]).map_err(io_error(path))?;
    blobs.forget_unnamed();
    Ok(())
}
