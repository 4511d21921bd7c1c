//! The canisters' Wasm modules on disk.

use std::{fs, io, path::Path};

use crate::Failure;

/// The modules of all canisters, packed where a packed file is there.
#[derive(Clone)]
pub struct Modules {
    pub(crate) registry: Vec<u8>,
    pub(crate) jobs: Vec<u8>,
    pub(crate) purse: Vec<u8>,
}

impl std::fmt::Debug for Modules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            registry,
            jobs,
            purse,
        } = self;
        write!(
            f,
            "Modules(registry {} bytes, jobs {} bytes, purse {} bytes)",
            registry.len(),
            jobs.len(),
            purse.len()
        )
    }
}

impl Modules {
    /// Reads `registry`, `jobs` and `purse` with the ending `.wasm.gz` or `.wasm`.
    pub fn load(dir: &Path) -> Result<Self, Failure> {
        Ok(Self {
            registry: read(dir, "registry")?,
            jobs: read(dir, "jobs")?,
            purse: read(dir, "purse")?,
        })
    }

    /// Reads the module of the canister that serves the web app, which only a market with a page has.
    pub fn frontend(dir: &Path) -> Result<Vec<u8>, Failure> {
        read(dir, "frontend")
    }
}

fn read(dir: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    for ending in ["wasm.gz", "wasm"] {
        let path = dir.join(format!("{name}.{ending}"));
        match fs::read(&path) {
            Ok(bytes) => return Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::Io { path, error }),
        }
    }
    Err(Failure::NoModule {
        path: dir.join(format!("{name}.wasm")),
    })
}
