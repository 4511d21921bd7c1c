//! Writing a model file, row by row, with no more in memory than the scales.
//!
//! The caller pushes rows in the order of the layout; the root grows along and is put into the header at the
//! end. The same rows give the same bytes everywhere.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process,
    string::String,
    sync::atomic::{AtomicU64, Ordering},
    vec::Vec,
};

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    Matrix, Model, Package,
    layout::{Layout, hex},
    manifest::{Asset, Manifest, ManifestError},
    root::{Hash, Hashes, Tree},
};

/// Why a model file could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    #[error("model cannot be described: {reason}")]
    Manifest { reason: ManifestError },
    #[error("{path}: cannot be written; check free space and rights")]
    File { path: PathBuf, source: io::Error },
    #[error("model cannot be written")]
    Output(#[from] io::Error),
    #[error("model has no manifest, so it cannot be written")]
    NoManifest,
}

impl From<ManifestError> for WriteError {
    fn from(reason: ManifestError) -> Self {
        Self::Manifest { reason }
    }
}

/// Parts of a model that are kept as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Assets<'a> {
    /// The tokenizer, as `tokenizer.json` of the `tokenizers` library.
    pub tokenizer: Option<&'a [u8]>,
    /// The chat template, in Jinja.
    pub template: Option<&'a str>,
}

impl Asset {
    /// Describes these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.len() as u64,
            sha256: hex(&Sha256::digest(bytes)),
        }
    }
}

/// Takes the rows of a model in file order.
pub(crate) struct ModelWriter<'a, W> {
    out: W,
    layout: Layout,
    manifest_text: String,
    assets: Assets<'a>,
    hashes: &'a Hashes,
    root: Tree<'a>,
    scales: Vec<u8>,
}

impl<'a, W: Write + Seek> ModelWriter<'a, W> {
    /// Begins a file. The manifest's entries for the assets are set here.
    pub(crate) fn new(
        mut out: W,
        manifest: &mut Manifest,
        assets: Assets<'a>,
        hashes: &'a Hashes,
    ) -> Result<Self, WriteError> {
        manifest.tokenizer = assets.tokenizer.map(Asset::of);
        manifest.chat_template = assets.template.map(|text| Asset::of(text.as_bytes()));
        let layout = Layout::new(manifest)?;
        let manifest_text = manifest.to_text();
        out.write_all(&layout.header(&manifest_text, &[0; 32]))?;
        let mut root = hashes.tree();
        root.push(hashes.manifest(&manifest_text));
        Ok(Self {
            out,
            layout,
            manifest_text,
            assets,
            hashes,
            root,
            scales: Vec::new(),
        })
    }

    /// What is to be pushed, in this order.
    #[cfg(feature = "import")]
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Writes matrix `index` of the layout. `fill` puts a row's weights into its buffer and returns the scale.
    pub(crate) fn matrix<E: From<WriteError>>(
        &mut self,
        index: usize,
        mut fill: impl FnMut(usize, &mut [i8]) -> Result<f32, E>,
    ) -> Result<(), E> {
        let place = &self.layout.matrices[index];
        let mut tree = self.hashes.tree();
        let mut weights = vec![0i8; place.cols];
        let mut bytes = vec![0u8; place.cols];
        for row in 0..place.rows {
            let scale = fill(row, &mut weights)?;
            for (byte, weight) in bytes.iter_mut().zip(&weights) {
                *byte = *weight as u8;
            }
            tree.push(self.hashes.weight_row(&bytes, scale));
            self.scales
                .extend_from_slice(&scale.to_bits().to_le_bytes());
            self.out.write_all(&bytes).map_err(WriteError::from)?;
        }
        let tree = tree.root().expect("BUG: a checked shape has rows");
        self.root.push(self.hashes.tensor(
            &place.name,
            place.rows as u64,
            place.cols as u64,
            &tree,
        ));
        Ok(())
    }

    /// Writes the scales; after the last matrix.
    pub(crate) fn scales(&mut self) -> Result<(), WriteError> {
        Ok(self.out.write_all(&core::mem::take(&mut self.scales))?)
    }

    /// Writes table `index` of the layout.
    pub(crate) fn table(&mut self, index: usize, values: &[f32]) -> Result<(), WriteError> {
        let place = &self.layout.tables[index];
        let cols = place.cols;
        assert_eq!(
            values.len(),
            place.rows * cols,
            "BUG: table {} has another shape",
            place.name
        );
        self.table_rows(index, |row, out| {
            out.copy_from_slice(&values[row * cols..(row + 1) * cols]);
            Ok(())
        })
    }

    /// Writes table `index` of the layout. `fill` puts a row's values into its buffer.
    pub(crate) fn table_rows<E: From<WriteError>>(
        &mut self,
        index: usize,
        mut fill: impl FnMut(usize, &mut [f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        let place = &self.layout.tables[index];
        let mut tree = self.hashes.tree();
        let mut values = vec![0.0; place.cols];
        let mut bytes = Vec::with_capacity(4 * place.cols);
        for row in 0..place.rows {
            fill(row, &mut values)?;
            bytes.clear();
            bytes.extend(values.iter().flat_map(|v| v.to_bits().to_le_bytes()));
            tree.push(self.hashes.table_row(&bytes));
            self.out.write_all(&bytes).map_err(WriteError::from)?;
        }
        let tree = tree.root().expect("BUG: a checked shape has rows");
        self.root.push(self.hashes.tensor(
            &place.name,
            place.rows as u64,
            place.cols as u64,
            &tree,
        ));
        Ok(())
    }

    /// Writes the assets and puts the root into the header. Returns the output and the root.
    pub(crate) fn finish(mut self) -> Result<(W, Hash), WriteError> {
        self.out
            .write_all(self.assets.tokenizer.unwrap_or_default())?;
        self.out
            .write_all(self.assets.template.unwrap_or_default().as_bytes())?;
        let root = self.root.root().expect("BUG: the manifest is a leaf");
        let header = self.layout.header(&self.manifest_text, &root);
        debug_assert_eq!(
            self.out.stream_position()?,
            header.len() as u64 + self.layout.len
        );
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header)?;
        self.out.flush()?;
        Ok((self.out, root))
    }
}

impl Model {
    /// The bytes of the model's file, exactly as they were read or would be converted.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WriteError> {
        Ok(self.write(io::Cursor::new(Vec::new()))?.into_inner())
    }

    /// Writes the model's file; it appears under its name only when it is complete.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), WriteError> {
        let (file, out) = AtomicFile::create(path.as_ref())?;
        file.commit(self.write(out)?)
    }

    fn write<W: Write + Seek>(&self, out: W) -> Result<W, WriteError> {
        let package = self.package.as_ref().ok_or(WriteError::NoManifest)?;
        write_parts(out, package, &self.matrices(), &self.tables())
    }
}

/// Writes a model's file from its parts in file order.
pub(super) fn write_parts<W: Write + Seek>(
    out: W,
    package: &Package,
    matrices: &[(String, &Matrix)],
    tables: &[(String, usize, &[f32])],
) -> Result<W, WriteError> {
    let hashes = Hashes::default();
    let mut manifest = package.manifest.clone();
    let assets = Assets {
        tokenizer: package.tokenizer.as_ref().map(|bytes| bytes.as_slice()),
        template: package.template.as_deref(),
    };
    let mut writer = ModelWriter::new(out, &mut manifest, assets, &hashes)?;
    for (index, (_, matrix)) in matrices.iter().enumerate() {
        writer.matrix(index, |row, out| {
            out.copy_from_slice(matrix.row(row));
            Ok::<_, WriteError>(matrix.scales()[row])
        })?;
    }
    writer.scales()?;
    for (index, (_, _, values)) in tables.iter().enumerate() {
        writer.table(index, values)?;
    }
    Ok(writer.finish()?.0)
}

/// Tells partial files of one process apart.
static PARTIAL: AtomicU64 = AtomicU64::new(0);

/// A file that appears under its name only when it is complete.
pub(crate) struct AtomicFile {
    path: PathBuf,
    partial: PathBuf,
}

impl AtomicFile {
    /// Creates a partial file beside `path`.
    pub(crate) fn create(path: &Path) -> Result<(Self, BufWriter<File>), WriteError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(
            ".{}.{}.partial",
            process::id(),
            PARTIAL.fetch_add(1, Ordering::Relaxed)
        ));
        let file = Self {
            path: path.to_owned(),
            partial: path.with_file_name(name),
        };
        let out = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&file.partial)
            .map_err(|source| WriteError::File {
                path: file.partial.clone(),
                source,
            })?;
        Ok((file, BufWriter::with_capacity(1 << 20, out)))
    }

    /// Makes the bytes durable and gives them their name, replacing an older file.
    pub(crate) fn commit(self, out: BufWriter<File>) -> Result<(), WriteError> {
        let failed = |source| WriteError::File {
            path: self.path.clone(),
            source,
        };
        let out = out
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        out.sync_all().map_err(failed)?;
        drop(out);
        fs::rename(&self.partial, &self.path).map_err(failed)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // After a commit there is nothing left under this name.
        let _ = fs::remove_file(&self.partial);
    }
}
