//! The journal: inputs, one after the other, each behind its length and its checksum.
//!
//! ```text
//! record = length of the input (4 bytes, little-endian) | CRC-32 of the input (4 bytes) | input, as CBOR
//! ```
//!
//! A record is written by one call, before the network's thread does anything else, so the process can die at any
//! moment and leave only a last record that is cut short; reading stops there, and the next record takes its place.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use assay_localnet_core::network::Input;

/// What a journal's name begins with; the number of its checkpoint follows.
pub(super) const PREFIX: &str = "journal-";

/// Bytes of an input that is written down; instead of a longer one there is a checkpoint.
pub(super) const INPUT_BYTES_MAX: usize = 16 << 20;

/// Bytes before an input.
const HEAD_BYTES: usize = 8;

/// Whether an input was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appended {
    Whole,
    /// It has more than [`INPUT_BYTES_MAX`] bytes, and was not.
    TooLong,
}

/// A journal that is being written.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Used again for every record.
    record: Vec<u8>,
}

/// Where the journal of a checkpoint is.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{number}"))
}

impl Journal {
    /// A new journal; what is in its place is gone.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self::at(path, File::create(path)?, 0))
    }

    /// The journal that is there, or a new one, and the inputs in it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Input>)> {
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (inputs, end) = read(&bytes);
        let lost = bytes.len() - end;
        if lost > 0 {
            tracing::warn!(file = %path.display(), bytes = lost, "the journal ends within an input, which is dropped");
        }
        file.set_len(end as u64)?;
        file.seek(SeekFrom::Start(end as u64))?;
        Ok((Self::at(path, file, end as u64), inputs))
    }

    fn at(path: &Path, file: File, bytes: u64) -> Self {
        Self {
            path: path.to_owned(),
            file,
            bytes,
            record: Vec::new(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in it.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes an input down.
    pub(super) fn append(&mut self, input: &Input) -> io::Result<Appended> {
        self.record.clear();
        self.record.resize(HEAD_BYTES, 0);
        ciborium::into_writer(input, &mut self.record).map_err(io::Error::other)?;
        let (head, input) = self.record.split_at_mut(HEAD_BYTES);
        if input.len() > INPUT_BYTES_MAX {
            return Ok(Appended::TooLong);
        }
        // It fits, by the limit above.
        let len = input.len() as u32;
        head[..4].copy_from_slice(&len.to_le_bytes());
        head[4..].copy_from_slice(&crc32fast::hash(input).to_le_bytes());
        self.file.write_all(&self.record)?;
        self.bytes += self.record.len() as u64;
        Ok(Appended::Whole)
    }
}

/// The inputs in a journal's bytes, and where the last whole one ends.
fn read(bytes: &[u8]) -> (Vec<Input>, usize) {
    let mut inputs = Vec::new();
    let mut end = 0;
    while let Some((input, len)) = next(&bytes[end..]) {
        inputs.push(input);
        end += len;
    }
    (inputs, end)
}

/// The first input, and the bytes of its record; nothing where it is not whole.
fn next(bytes: &[u8]) -> Option<(Input, usize)> {
    let (len, rest) = bytes.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let len = u32::from_le_bytes(*len) as usize;
    let input = rest.get(..len)?;
    if crc32fast::hash(input) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let input = ciborium::from_reader(input).ok()?;
    Some((input, HEAD_BYTES + len))
}
