//! What a network was made from: enough to make it again, and to tell it from others.

use std::{
    ffi::OsStr,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use assay_localnet_core::{system::SystemPlan, topology::SubnetPlan};
use candid::Principal;
use serde::{Deserialize, Serialize};

use super::{StateError, io_error, write_whole};

/// The file that says it.
const FILE: &str = "network.json";

/// What a network was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// What all keys follow from.
    #[serde(with = "seed_as_text")]
    pub(crate) seed: [u8; 32],
    /// The subnets.
    pub(crate) subnets: Vec<SubnetPlan>,
    /// The system canisters.
    pub(crate) system: Vec<Principal>,
}

impl Plan {
    pub(crate) fn new(seed: [u8; 32], subnets: Vec<SubnetPlan>, system: &SystemPlan) -> Self {
        Self {
            seed,
            subnets,
            system: system.ids().collect(),
        }
    }

    /// The plan in a folder, where there is one.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, StateError> {
        let path = path(folder);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(path)(error)),
        };
        match serde_json::from_slice(&text) {
            Ok(plan) => Ok(Some(plan)),
            Err(error) => Err(StateError::Plan {
                path,
                reason: error.to_string(),
            }),
        }
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), StateError> {
        let path = path(folder);
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|error| io_error(&path)(io::Error::other(error)))?;
        text.push(b'\n');
        write_whole(&path, &[&text]).map_err(io_error(path))
    }

    /// Whether a folder with this plan holds the network that somebody asks for.
    pub(super) fn check(&self, wanted: &Self, folder: &Path) -> Result<(), StateError> {
        if self == wanted {
            return Ok(());
        }
        Err(StateError::OtherNetwork {
            folder: folder.to_owned(),
            found: self.to_string(),
            wanted: wanted.to_string(),
        })
    }
}

/// Seeds as people can compare them.
mod seed_as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(seed: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(seed))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(from)?;
        let mut seed = [0; 32];
        hex::decode_to_slice(&text, &mut seed).map_err(D::Error::custom)?;
        Ok(seed)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            subnets,
            system,
        } = self;
        let kinds: Vec<_> = subnets.iter().map(|subnet| subnet.kind.name()).collect();
        write!(
            f,
            "seed {}, subnets {}",
            &hex::encode(seed)[..8],
            kinds.join(" + ")
        )?;
        if !system.is_empty() {
            write!(f, " and {} system canisters", system.len())?;
        }
        Ok(())
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Whether a file with this name is a plan.
pub(super) fn is_ours(name: &OsStr) -> bool {
    name == FILE
}
