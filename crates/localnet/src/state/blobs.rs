//! The blobs of images, in files that are written once and removed when no image names anything in them.
//!
//! ```text
//! pages-M = records; record = length (4 bytes, little-endian) | SHA-256 (32 bytes) | bytes
//! ```
//!
//! A checkpoint puts every blob that it names. One that is there already is only noted; the others go into one new file.
//! Files of which little is still named are left behind: what is named of them goes into the new file as well.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read as _, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use assay_localnet_core::image::{BlobId, Blobs};

use super::numbered;

/// What the name of a file of blobs begins with; its number follows.
pub(super) const PREFIX: &str = "pages-";

/// Bytes before a blob.
const HEAD_BYTES: u64 = 36;

/// A file is left behind when less than one part in so many of it is named.
const USED_SHARE_MIN: u64 = 2;

/// Where a blob is.
#[derive(Clone, Copy, Debug)]
struct Place {
    file: u64,
    at: u64,
    len: u32,
    /// When it was named last.
    named: u64,
}

/// All files of blobs of a folder.
#[derive(Debug)]
pub(super) struct BlobFiles {
    folder: PathBuf,
    places: HashMap<BlobId, Place>,
    files: BTreeMap<u64, File>,
    /// Where new blobs go, while a checkpoint is being written and has any.
    writer: Option<(u64, BufWriter<File>, u64)>,
    /// Counts checkpoints.
    turn: u64,
}

impl BlobFiles {
    /// Finds the blobs in a folder.
    pub(super) fn open(folder: &Path) -> Result<Self, super::StateError> {
        let mut blobs = Self {
            folder: folder.to_owned(),
            places: HashMap::new(),
            files: BTreeMap::new(),
            writer: None,
            turn: 1,
        };
        for entry in fs::read_dir(folder).map_err(super::io_error(folder))? {
            let entry = entry.map_err(super::io_error(folder))?;
            let name = entry.file_name();
            if let Some(number) = name.to_str().and_then(|name| numbered(name, PREFIX)) {
                let path = entry.path();
                blobs.index(number, &path).map_err(super::io_error(path))?;
            }
        }
        Ok(blobs)
    }

    /// Notes what is in a file. A record that is cut short is of a checkpoint that was never finished.
    fn index(&mut self, number: u64, path: &Path) -> io::Result<()> {
        let file = File::open(path)?;
        let end = file.metadata()?.len();
        let mut reader = BufReader::new(&file);
        let mut at = 0;
        while at + HEAD_BYTES <= end {
            let mut head = [0; HEAD_BYTES as usize];
            reader.read_exact(&mut head)?;
            let (len, hash) = head.split_at(4);
            let len = u32::from_le_bytes(len.try_into().map_err(io::Error::other)?);
            let hash = hash.try_into().map_err(io::Error::other)?;
            at += HEAD_BYTES;
            if at + u64::from(len) > end {
                break;
            }
            let place = Place {
                file: number,
                at,
                len,
                named: 0,
            };
            self.places.insert(BlobId(hash), place);
            reader.seek_relative(i64::from(len))?;
            at += u64::from(len);
        }
        drop(reader);
        self.files.insert(number, file);
        Ok(())
    }

    /// Begins a checkpoint. An earlier one that failed must have been the last use of this value.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        let mut named: BTreeMap<u64, u64> = BTreeMap::new();
        for place in self.places.values() {
            *named.entry(place.file).or_default() += u64::from(place.len);
        }
        let mut sparse = BTreeSet::new();
        for (number, file) in &self.files {
            let named = named.get(number).copied().unwrap_or(0);
            if named * USED_SHARE_MIN < file.metadata()?.len() {
                sparse.insert(*number);
            }
        }
        self.places.retain(|_, place| !sparse.contains(&place.file));
        self.turn += 1;
        Ok(())
    }

    /// Everything that was put is on disk.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let Some((number, writer, _)) = self.writer.take() else {
            return Ok(());
        };
        let file = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        self.files.insert(number, File::open(self.path(number))?);
        Ok(())
    }

    /// Forgets what was not named since the last checkpoint began, or since the folder was opened, and removes files in
    /// which nothing was. What cannot be removed does no harm.
    pub(super) fn forget_unnamed(&mut self) {
        let turn = self.turn;
        self.places.retain(|_, place| place.named == turn);
        let used: BTreeSet<u64> = self.places.values().map(|place| place.file).collect();
        let unused: Vec<u64> = self
            .files
            .keys()
            .copied()
            .filter(|number| !used.contains(number))
            .collect();
        for number in unused {
            self.files.remove(&number);
            let _ = fs::remove_file(self.path(number));
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{PREFIX}{number}"))
    }

    fn writer(&mut self) -> io::Result<&mut (u64, BufWriter<File>, u64)> {
        if self.writer.is_none() {
            let last = self.files.last_key_value().map_or(0, |(number, _)| *number);
            let number = last + 1;
            let file = File::create(self.path(number))?;
            self.writer = Some((number, BufWriter::new(file), 0));
        }
        self.writer
            .as_mut()
            .ok_or_else(|| io::Error::other("BUG: there is no file for blobs"))
    }
}

impl Blobs for BlobFiles {
    fn put(&mut self, bytes: &[u8]) -> io::Result<BlobId> {
        let id = BlobId::of(bytes);
        let turn = self.turn;
        if let Some(place) = self.places.get_mut(&id) {
            place.named = turn;
            return Ok(id);
        }
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let (file, writer, end) = self.writer()?;
        writer.write_all(&len.to_le_bytes())?;
        writer.write_all(&id.0)?;
        writer.write_all(bytes)?;
        let place = Place {
            file: *file,
            at: *end + HEAD_BYTES,
            len,
            named: turn,
        };
        *end += HEAD_BYTES + u64::from(len);
        self.places.insert(id, place);
        Ok(id)
    }

    fn get(&mut self, id: BlobId) -> io::Result<Vec<u8>> {
        let missing =
            || io::Error::new(io::ErrorKind::NotFound, format!("there is no blob {id:?}"));
        let place = self.places.get_mut(&id).ok_or_else(missing)?;
        let file = self.files.get(&place.file).ok_or_else(missing)?;
        let mut bytes = vec![0; place.len as usize];
        file.read_exact_at(&mut bytes, place.at)?;
        if BlobId::of(&bytes) != id {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("blob {id:?} is damaged"),
            ));
        }
        place.named = self.turn;
        Ok(bytes)
    }
}
