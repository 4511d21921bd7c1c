//! GGUF to model file.
//!
//! Each weight row becomes int8: `scale = max|w| / 127`, `q = round(w / scale)`, ties to even, all in F32Z. Rotation tables
//! are computed in f64 by the portable `libm` crate and rounded once. Rows are decoded, quantised, hashed and written one
//! by one, so memory does not grow with the model.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Cursor, Seek, Write},
    path::{Path, PathBuf},
};

use memmap2::Mmap;
use thiserror::Error;

use super::{
    family::{Angles, Family, layer_part},
    gguf::{Gguf, GgufError, Tensor},
    vocabulary::{Vocabulary, VocabularyError},
};
use crate::{
    f32z,
    model::{
        Assets, Manifest, ManifestError, Shape, WriteError,
        layout::Layout,
        manifest::{
            Asset, CONTEXT_MAX, CONVERTER, NAME_BYTES_MAX, Planes, ROTATIONS_MAX, SPEC,
            WeightFormat,
        },
        root::{Hash, Hashes},
        write::{AtomicFile, ModelWriter},
    },
};

/// How far a conversion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Weights converted so far.
    pub done: u64,
    /// Weights in the whole model.
    pub total: u64,
}

/// Why a checkpoint could not be converted.
#[derive(Debug, Error)]
pub enum ImportError {
    #[error("{path}: cannot be read")]
    Source { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error("architecture {found:?} cannot be converted; use a checkpoint of one of {known}")]
    Architecture { found: String, known: String },
    #[error(
        "metadata key {key:?} is not known and might change the results; this checkpoint cannot be converted yet"
    )]
    UnknownKey { key: String },
    #[error("{key:?} is {found:?}, which cannot be converted yet")]
    Unsupported { key: String, found: String },
    #[error("metadata key {key:?} is {found}, expected {expected}")]
    Disagrees {
        key: String,
        found: u64,
        expected: u64,
    },
    #[error("rotation base {found} is not a number above 1")]
    RotationBase { found: f32 },
    #[error("rotation factor {found} is not a number of at least 1")]
    RotationFactor { found: f32 },
    #[error("tensor {tensor:?} is missing; fetch the file again")]
    TensorMissing { tensor: String },
    #[error(
        "tensor {tensor:?} is not known and might change the results; this checkpoint cannot be converted yet"
    )]
    TensorUnknown { tensor: String },
    #[error(
        "tensor {tensor:?} has {rows} rows of {columns}, expected {expected_rows} of {expected_columns}"
    )]
    TensorShape {
        tensor: String,
        rows: u64,
        columns: u64,
        expected_rows: usize,
        expected_columns: usize,
    },
    #[error("tensor {tensor:?} row {row} holds a value that is not a finite number")]
    NotFinite { tensor: String, row: usize },
    #[error("checkpoint cannot be a model: {reason}")]
    Manifest { reason: ManifestError },
    #[error("vocabulary: {reason}")]
    Vocabulary { reason: VocabularyError },
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<ManifestError> for ImportError {
    fn from(reason: ManifestError) -> Self {
        Self::Manifest { reason }
    }
}

impl From<VocabularyError> for ImportError {
    fn from(reason: VocabularyError) -> Self {
        Self::Vocabulary { reason }
    }
}

/// Converts the GGUF file at `source` into a model file at `target`, which appears only when it is complete.
/// Returns the model root.
pub fn convert_file(
    source: impl AsRef<Path>,
    target: impl AsRef<Path>,
    progress: impl FnMut(Progress),
) -> Result<Hash, ImportError> {
    let path = source.as_ref();
    let failed = |source| ImportError::Source {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        )));
    }
    #[allow(unsafe_code, reason = "checkpoints may be larger than memory")]
    // SAFETY: the map is read-only and dropped before this function returns; the caller does not change the file meanwhile.
    let bytes = unsafe { Mmap::map(&file) }.map_err(failed)?;
    let checkpoint = Checkpoint::parse(&bytes)?;
    let (target, out) = AtomicFile::create(target.as_ref())?;
    let (out, root) = checkpoint.write(out, progress)?;
    target.commit(out)?;
    Ok(root)
}

/// Converts a GGUF file in memory. Returns the model file and its root.
pub fn convert_bytes(
    source: &[u8],
    progress: impl FnMut(Progress),
) -> Result<(Vec<u8>, Hash), ImportError> {
    let (out, root) = Checkpoint::parse(source)?.write(Cursor::new(Vec::new()), progress)?;
    Ok((out.into_inner(), root))
}

/// A checked source: everything but the tensor values is known to be usable.
pub(super) struct Checkpoint<'a> {
    pub(super) gguf: Gguf<'a>,
    pub(super) manifest: Manifest,
    tokenizer: Vec<u8>,
    template: Option<&'a str>,
    /// Of the layers that see everything.
    pub(super) angles: Angles,
    /// Of the layers that see a window.
    pub(super) local_angles: Angles,
}

const ROTATION_FACTORS: &str = "rope_freqs.weight";
const HEAD: &str = "output.weight";

impl<'a> Checkpoint<'a> {
    pub(super) fn parse(source: &'a [u8]) -> Result<Self, ImportError> {
        let gguf = Gguf::parse(source)?;
        let architecture = required(gguf.text("general.architecture")?, "general.architecture")?;
        let family = Family::of(architecture).ok_or_else(|| ImportError::Architecture {
            found: architecture.chars().take(NAME_BYTES_MAX).collect(),
            known: Family::names(),
        })?;
        let of_family = |key: &str| {
            key.strip_prefix(architecture)
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|rest| !family.knows(rest))
        };
        if let Some(key) = gguf.keys().find(|key| of_family(key)) {
            return Err(ImportError::UnknownKey { key: key.into() });
        }
        let (angles, local_angles) = family.angles(&gguf)?;

        let vocabulary = Vocabulary::read(&gguf)?;
        let shape = shape(&gguf, architecture, vocabulary.len())?;
        let blocks = family.blocks(&gguf, &shape)?;
        let template = gguf
            .text("tokenizer.chat_template")?
            .filter(|text| !text.is_empty());
        let manifest = Manifest {
            spec: SPEC.into(),
            architecture: architecture.into(),
            name: name(&gguf)?,
            shape,
            rope: family.rope(),
            blocks,
            encoder: None,
            weights: WeightFormat::W8,
            planes: Planes::default(),
            tied_head: gguf.tensor(HEAD).is_none(),
            end_tokens: vocabulary.end_tokens(),
            bos_token: vocabulary.bos(),
            eos_token: vocabulary.eos(),
            tokenizer: None,
            chat_template: None,
            source: Some(Asset::of(source)),
            converter: CONVERTER,
        };
        manifest.check()?;
        let tokenizer = vocabulary.to_json();
        let checkpoint = Self {
            gguf,
            manifest,
            tokenizer,
            template,
            angles,
            local_angles,
        };
        checkpoint.check_tensors()?;
        Ok(checkpoint)
    }

    /// Every tensor that the manifest calls for is there with the right size, and no other.
    fn check_tensors(&self) -> Result<(), ImportError> {
        let layout = Layout::new(&self.manifest)?;
        let mut known = BTreeSet::new();
        let matrices = layout.matrices.iter().map(|p| (&p.name, p.rows, p.cols));
        let tables = layout
            .tables
            .iter()
            .filter(|p| !p.name.starts_with("rope."))
            .map(|p| (&p.name, p.rows, p.cols));
        for (name, rows, columns) in matrices.chain(tables) {
            let source = source_name(name);
            self.check_tensor(&source, rows, columns)?;
            known.insert(source);
        }
        if self.gguf.tensor(ROTATION_FACTORS).is_some() {
            self.check_tensor(ROTATION_FACTORS, 1, self.manifest.shape.head_dim / 2)?;
            known.insert(ROTATION_FACTORS.into());
        }
        match self.gguf.tensors().find(|t| !known.contains(t.name)) {
            Some(unknown) => Err(ImportError::TensorUnknown {
                tensor: unknown.name.into(),
            }),
            None => Ok(()),
        }
    }

    fn check_tensor(
        &self,
        name: &str,
        expected_rows: usize,
        expected_columns: usize,
    ) -> Result<(), ImportError> {
        let Tensor { rows, columns, .. } = *self.tensor(name)?;
        if rows != expected_rows as u64 || columns != expected_columns as u64 {
            let tensor = name.into();
            return Err(ImportError::TensorShape {
                tensor,
                rows,
                columns,
                expected_rows,
                expected_columns,
            });
        }
        Ok(())
    }

    fn tensor(&self, name: &str) -> Result<&Tensor<'a>, ImportError> {
        self.gguf
            .tensor(name)
            .ok_or_else(|| ImportError::TensorMissing {
                tensor: name.into(),
            })
    }

    /// Writes the model file.
    fn write<W: Write + Seek>(
        mut self,
        out: W,
        mut progress: impl FnMut(Progress),
    ) -> Result<(W, Hash), ImportError> {
        let hashes = Hashes::default();
        let assets = Assets {
            tokenizer: Some(&self.tokenizer),
            template: self.template,
        };
        let mut writer = ModelWriter::new(out, &mut self.manifest, assets, &hashes)?;
        let places = writer.layout().matrices.clone();
        let total = places
            .iter()
            .map(|place| place.rows as u64 * place.cols as u64)
            .sum();
        let mut done = 0;
        progress(Progress { done, total });
        for (index, place) in places.iter().enumerate() {
            let tensor = self
                .gguf
                .tensor(&source_name(&place.name))
                .expect("BUG: every matrix was checked");
            let mut values = vec![0.0; place.cols];
            writer.matrix(index, |row, weights| {
                read_row(tensor, row, &mut values)?;
                Ok::<_, ImportError>(quantize(&values, weights))
            })?;
            done += place.rows as u64 * place.cols as u64;
            progress(Progress { done, total });
        }
        writer.scales()?;
        let (cos, sin) = self.rotations(self.angles)?;
        let (local_cos, local_sin) = match self.manifest.blocks.window {
            Some(_) => self.rotations(self.local_angles)?,
            None => Default::default(),
        };
        for (index, place) in writer.layout().tables.clone().iter().enumerate() {
            match place.name.as_str() {
                "rope.cos" => writer.table(index, &cos)?,
                "rope.sin" => writer.table(index, &sin)?,
                "rope.local.cos" => writer.table(index, &local_cos)?,
                "rope.local.sin" => writer.table(index, &local_sin)?,
                name => {
                    let tensor = self
                        .gguf
                        .tensor(&source_name(name))
                        .expect("BUG: every table was checked");
                    let mut values = vec![0.0; place.cols];
                    read_row(tensor, 0, &mut values)?;
                    writer.table(index, &values)?;
                }
            }
        }
        Ok(writer.finish()?)
    }

    /// Cosines and sines of `position * base^(-2i / head_dim) / factor / factor[i]`, (position, i).
    pub(super) fn rotations(&self, angles: Angles) -> Result<(Vec<f32>, Vec<f32>), ImportError> {
        let Shape {
            head_dim,
            context_max,
            ..
        } = self.manifest.shape;
        let mut factors = vec![1.0; head_dim / 2];
        if let Some(tensor) = self.gguf.tensor(ROTATION_FACTORS) {
            read_row(tensor, 0, &mut factors)?;
        }
        let base = f64::from(angles.base);
        let turns: Vec<f64> = factors
            .iter()
            .enumerate()
            .map(|(i, factor)| {
                1.0 / libm::pow(base, (2 * i) as f64 / head_dim as f64)
                    / f64::from(*factor)
                    / f64::from(angles.factor)
            })
            .collect();
        if turns.iter().any(|turn| !turn.is_finite()) {
            return Err(ImportError::NotFinite {
                tensor: ROTATION_FACTORS.into(),
                row: 0,
            });
        }
        let table = |function: fn(f64) -> f64| {
            let angles = (0..context_max)
                .flat_map(|position| turns.iter().map(move |turn| position as f64 * turn));
            angles
                .map(|angle| f32z::z(function(angle) as f32))
                .collect()
        };
        Ok((table(libm::cos), table(libm::sin)))
    }
}

/// The name in the source of a tensor of the model file.
pub(super) fn source_name(name: &str) -> String {
    match name {
        "embedding" => return "token_embd.weight".into(),
        "final_norm" => return "output_norm.weight".into(),
        "head" => return HEAD.into(),
        _ => {}
    }
    let (layer, part) = name
        .strip_prefix("layers.")
        .and_then(|rest| rest.split_once('.'))
        .expect("BUG: every other tensor belongs to a layer");
    format!("blk.{layer}.{}", layer_part(part))
}

pub(super) fn required<T>(value: Option<T>, key: &str) -> Result<T, GgufError> {
    value.ok_or_else(|| GgufError::MissingKey { key: key.into() })
}

fn name(gguf: &Gguf<'_>) -> Result<String, ImportError> {
    let full = gguf.text("general.name")?.unwrap_or_default();
    let end = (0..=NAME_BYTES_MAX.min(full.len()))
        .rev()
        .find(|end| full.is_char_boundary(*end))
        .unwrap_or(0);
    Ok(full[..end].into())
}

fn shape(gguf: &Gguf<'_>, architecture: &str, tokens: usize) -> Result<Shape, ImportError> {
    let full = |key: &str| format!("{architecture}.{key}");
    let count = |key: &str| Ok::<_, ImportError>(gguf.u32(&full(key))?.map(|count| count as usize));
    let must = |key: &str| Ok::<_, ImportError>(required(count(key)?, &full(key))?);
    let agree = |key: &str, expected: usize| match count(key)? {
        Some(found) if found != expected => Err(ImportError::Disagrees {
            key: full(key),
            found: found as u64,
            expected: expected as u64,
        }),
        _ => Ok(()),
    };

    let dim = must("embedding_length")?;
    let heads = must("attention.head_count")?;
    let head_dim = match count("attention.key_length")? {
        Some(head_dim) => head_dim,
        None if heads != 0 && dim % heads == 0 => dim / heads,
        None => {
            let what = "the width must divide evenly";
            return Err(ManifestError::Multiple {
                field: "embedding width",
                found: dim as u64,
                of: heads as u64,
                what,
            }
            .into());
        }
    };
    agree("attention.value_length", head_dim)?;
    agree("rope.dimension_count", head_dim)?;
    agree("vocab_size", tokens)?;
    let epsilon = full("attention.layer_norm_rms_epsilon");
    let epsilon = required(gguf.f32(&epsilon)?, &epsilon)?;
    let shape = Shape {
        layers: must("block_count")?,
        dim,
        heads,
        kv_heads: count("attention.head_count_kv")?.unwrap_or(heads),
        head_dim,
        ff: must("feed_forward_length")?,
        vocab: tokens,
        context_max: must("context_length")?
            .min(CONTEXT_MAX)
            .min(ROTATIONS_MAX / (head_dim / 2).max(1)),
        norm_eps_bits: epsilon.to_bits(),
    };
    shape.check()?;
    Ok(shape)
}

/// Decodes one row into F32Z.
pub(super) fn read_row(
    tensor: &Tensor<'_>,
    row: usize,
    values: &mut [f32],
) -> Result<(), ImportError> {
    let len = tensor.bytes.len() / tensor.rows as usize;
    tensor
        .data_type
        .decode(&tensor.bytes[row * len..(row + 1) * len], values);
    if values.iter().any(|value| !value.is_finite()) {
        return Err(ImportError::NotFinite {
            tensor: tensor.name.into(),
            row,
        });
    }
    for value in values {
        *value = f32z::z(*value);
    }
    Ok(())
}

/// Rounds a row to int8 and returns its scale.
fn quantize(values: &[f32], weights: &mut [i8]) -> f32 {
    let scale = f32z::div(f32z::max_abs(values), 127.0);
    if scale == 0.0 {
        weights.fill(0);
        return 0.0;
    }
    for (weight, value) in weights.iter_mut().zip(values) {
        *weight = f32z::rne(f32z::div(*value, scale)).clamp(-127, 127) as i8;
    }
    scale
}
