//! A receipt in a file: all that is needed to check it later, offline, elsewhere.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use assay_protocol::receipt::CertifiedReceipt;
use serde::{Deserialize, Serialize};

/// Bytes of the longest receipt file that is read.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
const FORMAT: &str = "assay-receipt-1";

/// A receipt with the root key of the network that it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptFile {
    /// Where it comes from; for people.
    pub network: String,
    /// The network's root key as whoever saved it knew it, DER.
    pub root_key: Vec<u8>,
    /// The receipt and its proof.
    pub certified: CertifiedReceipt,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    format: String,
    network: String,
    /// DER in hexadecimal.
    root_key: String,
    /// The certified receipt in Candid, in hexadecimal.
    certified_receipt: String,
}

/// Why a receipt file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Reading or writing failed.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Too long.
    #[error("{path}: longer than {FILE_BYTES_MAX} bytes, so not a receipt")]
    TooLong {
        /// Which file.
        path: PathBuf,
    },
    /// Not a receipt file.
    #[error("{path}: {problem}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl ReceiptFile {
    /// Writes it.
    pub fn save(&self, path: &Path) -> Result<(), FileError> {
        let json = Json {
            format: FORMAT.to_owned(),
            network: self.network.clone(),
            root_key: hex::encode(&self.root_key),
            certified_receipt: hex::encode(
                candid::encode_one(&self.certified).expect("BUG: a receipt is plain Candid data"),
            ),
        };
        let mut text = serde_json::to_string_pretty(&json).expect("BUG: texts always become JSON");
        text.push('\n');
        fs::write(path, text).map_err(|error| FileError::Io {
            path: path.to_owned(),
            error,
        })
    }

    /// Reads it; nothing in it is trusted yet.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let io = |error| FileError::Io {
            path: path.to_owned(),
            error,
        };
        let mut bytes = Vec::new();
        fs::File::open(path)
            .map_err(io)?
            .take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(FileError::TooLong {
                path: path.to_owned(),
            });
        }
        let malformed = |problem: String| FileError::Malformed {
            path: path.to_owned(),
            problem,
        };
        let json: Json = serde_json::from_slice(&bytes)
            .map_err(|error| malformed(format!("is not a receipt file: {error}")))?;
        if json.format != FORMAT {
            return Err(malformed(format!(
                "has format {:?}, this release reads {FORMAT:?}",
                json.format
            )));
        }
        let unhex = |field: &str, text: &str| {
            hex::decode(text).map_err(|_| malformed(format!("{field} is not hexadecimal")))
        };
        let receipt = unhex("certified_receipt", &json.certified_receipt)?;
        Ok(Self {
            root_key: unhex("root_key", &json.root_key)?,
            certified: candid::decode_one(&receipt).map_err(|error| {
                malformed(format!("certified_receipt cannot be decoded: {error}"))
            })?,
            network: json.network,
        })
    }
}
