//! The web app: its files on disk, packed, and into a frontend canister.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use assay_protocol::frontend::{
    FILES_MAX, FrontendError, PIECE_BYTES_MAX, PieceArgs, Published, RULES_FILE,
};
use assay_worker::client::{CallError, Network};
use candid::Principal;
use flate2::{Compression, write::GzEncoder};

use crate::Failure;

/// Bytes of one message's piece, with room to spare.
const PIECE_BYTES: usize = PIECE_BYTES_MAX - 400_000;
/// Files with these endings are served packed as well.
const PACKED: [&str; 9] = [
    "css",
    "html",
    "js",
    "json",
    "map",
    "svg",
    "txt",
    "wasm",
    "webmanifest",
];

/// Why a page cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The canister refuses.
    #[error("the frontend canister refuses: {0}")]
    Refused(#[from] FrontendError),
    /// The folder is none of a built page.
    #[error("{path}: no {RULES_FILE} in it; build the page with `cargo xtask page`")]
    NoPage {
        /// The folder.
        path: PathBuf,
    },
    /// Too many files.
    #[error("{path}: more than {FILES_MAX} files, packed forms included")]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
}

/// A file and where it is served.
#[derive(Debug)]
struct PageFile {
    path: String,
    bytes: Vec<u8>,
}

/// Publishes the files of a folder, and others from elsewhere under the paths named, in this canister. Gives what is served then.
pub(crate) async fn publish(
    network: &Network,
    canister: Principal,
    folder: &Path,
    more: &[(String, PathBuf)],
) -> Result<Published, Failure> {
    let files = read(folder)?;
    let () = call(network.update(canister, "discard", ()).await)?;
    for PageFile { path, bytes } in &files {
        stage(network, canister, path, bytes).await?;
    }
    drop(files);
    for (path, file) in more {
        let bytes = fs::read(file).map_err(Failure::io(file))?;
        stage(network, canister, path, &bytes).await?;
    }
    call(network.update(canister, "publish", ()).await)
}

async fn stage(
    network: &Network,
    canister: Principal,
    path: &str,
    bytes: &[u8],
) -> Result<(), Failure> {
    let mut offset = 0;
    loop {
        let end = bytes.len().min(offset + PIECE_BYTES);
        let args = PieceArgs {
            path: path.to_owned(),
            offset: offset as u64,
            bytes: bytes[offset..end].to_vec(),
        };
        let _: u64 = call(network.update(canister, "stage", (args,)).await)?;
        offset = end;
        if offset == bytes.len() {
            return Ok(());
        }
    }
}

fn call<T>(told: Result<Result<T, FrontendError>, CallError>) -> Result<T, Failure> {
    Ok(told?.map_err(PageError::from)?)
}

/// All files below a folder, with packed forms where they are smaller.
fn read(folder: &Path) -> Result<Vec<PageFile>, Failure> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(place) = folders.pop() {
        for entry in fs::read_dir(&place).map_err(Failure::io(&place))? {
            let path = entry.map_err(Failure::io(&place))?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).map_err(Failure::io(&path))?;
            let served = served_at(folder, &path);
            if let Some(packed) = pack(&path, &bytes) {
                files.push(PageFile {
                    path: format!("{served}.gz"),
                    bytes: packed,
                });
            }
            files.push(PageFile {
                path: served,
                bytes,
            });
            if files.len() > FILES_MAX {
                let path = folder.to_owned();
                return Err(PageError::TooMany { path }.into());
            }
        }
    }
    if !files.iter().any(|file| file.path == RULES_FILE) {
        let path = folder.to_owned();
        return Err(PageError::NoPage { path }.into());
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The path of a file on the site.
fn served_at(folder: &Path, file: &Path) -> String {
    let below = file.strip_prefix(folder).unwrap_or(file);
    let parts = below.components();
    let parts: Vec<_> = parts
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    format!("/{}", parts.join("/"))
}

fn pack(path: &Path, bytes: &[u8]) -> Option<Vec<u8>> {
    let ending = path.extension()?.to_str()?;
    // Nobody is served the rules.
    if !PACKED.contains(&ending) || path.ends_with(RULES_FILE.trim_start_matches('/')) {
        return None;
    }
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(bytes).ok()?;
    packer
        .finish()
        .ok()
        .filter(|packed| packed.len() < bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_files_and_packed_forms_of_those_that_shrink() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let told = read(folder.path()).unwrap_err().to_string();
        assert!(told.contains("no /assets.json in it"), "{told}");
        write("assets.json", &" ".repeat(100));
        write("index.html", "<p>");
        write("assets/a.js", &"x".repeat(100));
        write("assets/b.png", &"x".repeat(100));
        write(".well-known/ic-domains", "");
        let files = read(folder.path()).unwrap();
        let paths: Vec<&str> = files.iter().map(|file| &file.path[..]).collect();
        assert_eq!(
            paths,
            [
                "/.well-known/ic-domains",
                "/assets.json",
                "/assets/a.js",
                "/assets/a.js.gz",
                "/assets/b.png",
                "/index.html"
            ]
        );
    }
}
