//! What a checkpoint of any format becomes: a manifest, the tensor behind each part of the model file, and how rotations turn.
//!
//! Each weight row becomes int8 by the scale that loses least: see [`super::round`]. Rotation tables
//! are computed in f64 by the portable `libm` crate and rounded once. Rows are decoded, quantised, hashed and written one
//! by one, so memory does not grow with the model.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{Seek, Write},
};

use super::{
    ImportError, Progress,
    round::{key_factors, quantize},
    tensor::Tensor,
};
use crate::{
    f32z,
    model::{
        Assets, Manifest, Rope,
        layout::Layout,
        root::{Hash, Hashes},
        write::ModelWriter,
    },
};

/// A checked source: everything but the tensor values is known to be usable.
pub(super) struct Plan<'a> {
    pub(super) manifest: Manifest,
    pub(super) tokenizer: Cow<'a, [u8]>,
    pub(super) template: Option<Cow<'a, str>>,
    /// By their names in the model file.
    pub(super) parts: BTreeMap<String, Part<'a>>,
    /// Of the layers that see everything.
    pub(super) turns: Vec<f64>,
    /// Of the layers that see a window.
    pub(super) local_turns: Vec<f64>,
}

/// A tensor of the source, and what becomes of its values.
#[derive(Clone)]
pub(super) struct Part<'a> {
    pub(super) tensor: Tensor<'a>,
    pub(super) change: Change<'a>,
}

/// What becomes of values before they are rounded.
#[derive(Clone)]
pub(super) enum Change<'a> {
    /// Nothing.
    None,
    /// One is added to each.
    AddOne,
    /// The first row of another tensor is added to each row.
    AddRow(Tensor<'a>),
}

impl<'a> Part<'a> {
    pub(super) fn plain(tensor: Tensor<'a>) -> Self {
        Self {
            tensor,
            change: Change::None,
        }
    }

    /// Decodes one row into F32Z.
    pub(super) fn read(&self, row: usize, values: &mut [f32]) -> Result<(), ImportError> {
        read_row(&self.tensor, row, values)?;
        match &self.change {
            Change::None => {}
            Change::AddOne => values
                .iter_mut()
                .for_each(|value| *value = f32z::add(*value, 1.0)),
            Change::AddRow(other) => {
                let mut added = vec![0.0; values.len()];
                read_row(other, 0, &mut added)?;
                for (value, added) in values.iter_mut().zip(added) {
                    *value = f32z::add(*value, added);
                }
            }
        }
        Ok(())
    }
}

/// Finds what is behind everything in the model file but the rotation tables, and checks its size.
pub(super) fn gather<'a>(
    manifest: &Manifest,
    mut find: impl FnMut(&str) -> Result<Part<'a>, ImportError>,
) -> Result<BTreeMap<String, Part<'a>>, ImportError> {
    let layout = Layout::new(manifest)?;
    let matrices = layout.matrices.iter().map(|p| (&p.name, p.rows, p.cols));
    let tables = layout
        .tables
        .iter()
        .filter(|p| !p.name.starts_with(ROTATIONS))
        .map(|p| (&p.name, p.rows, p.cols));
    let mut parts = BTreeMap::new();
    for (name, rows, columns) in matrices.chain(tables) {
        let part = find(name)?;
        check_shape(&part.tensor, rows, columns)?;
        parts.insert(name.clone(), part);
    }
    Ok(parts)
}

pub(super) fn check_shape(
    tensor: &Tensor<'_>,
    expected_rows: usize,
    expected_columns: usize,
) -> Result<(), ImportError> {
    let Tensor { rows, columns, .. } = *tensor;
    if rows != expected_rows as u64 || columns != expected_columns as u64 {
        return Err(ImportError::TensorShape {
            tensor: tensor.name.into(),
            rows,
            columns,
            expected_rows,
            expected_columns,
        });
    }
    Ok(())
}

/// Cosine or sine.
pub(super) type Function = fn(f64) -> f64;

/// Names of rotation tables begin so.
const ROTATIONS: &str = "rope.";

impl Plan<'_> {
    /// Writes the model file.
    pub(super) fn write<W: Write + Seek>(
        mut self,
        out: W,
        mut progress: impl FnMut(Progress),
    ) -> Result<(W, Hash), ImportError> {
        let hashes = Hashes::default();
        let assets = Assets {
            tokenizer: Some(&self.tokenizer),
            template: self.template.as_deref(),
        };
        let rope = self.manifest.rope;
        let mut writer = ModelWriter::new(out, &mut self.manifest, assets, &hashes)?;
        let places = writer.layout().matrices.clone();
        let total = places
            .iter()
            .map(|place| place.rows as u64 * place.cols as u64)
            .sum();
        let mut done = 0;
        progress(Progress { done, total });
        for (index, place) in places.iter().enumerate() {
            let part = gathered(&self.parts, &place.name);
            let mut values = vec![0.0; place.cols];
            writer.matrix(index, |row, weights| {
                part.read(row, &mut values)?;
                Ok::<_, ImportError>(quantize(&values, weights))
            })?;
            done += place.rows as u64 * place.cols as u64;
            progress(Progress { done, total });
        }
        writer.scales()?;
        for (index, place) in writer.layout().tables.clone().iter().enumerate() {
            let angles: Option<(&[f64], Function)> = match place.name.as_str() {
                "rope.cos" => Some((&self.turns, libm::cos)),
                "rope.sin" => Some((&self.turns, libm::sin)),
                "rope.local.cos" => Some((&self.local_turns, libm::cos)),
                "rope.local.sin" => Some((&self.local_turns, libm::sin)),
                _ => None,
            };
            match angles {
                Some((turns, function)) => writer.table_rows(index, |position, values| {
                    rotated(turns, position, function, values);
                    Ok::<_, ImportError>(())
                })?,
                None => writer.table_rows(index, |row, values| {
                    read_gains(&self.parts, &place.name, row, rope, values)
                })?,
            }
        }
        Ok(writer.finish()?)
    }
}

fn gathered<'p, 'a>(parts: &'p BTreeMap<String, Part<'a>>, name: &str) -> &'p Part<'a> {
    parts.get(name).expect("BUG: every part was gathered")
}

/// Reads one row of gains. Norms of queries and keys carry the factors that [`key_factors`] moves from the keys to the queries.
fn read_gains(
    parts: &BTreeMap<String, Part<'_>>,
    name: &str,
    row: usize,
    rope: Rope,
    values: &mut [f32],
) -> Result<(), ImportError> {
    gathered(parts, name).read(row, values)?;
    let query = name.strip_suffix("q_norm");
    let Some(layer) = query.or(name.strip_suffix("k_norm")) else {
        return Ok(());
    };
    let mut factors = vec![0.0; values.len()];
    gathered(parts, &format!("{layer}k_norm")).read(row, &mut factors)?;
    key_factors(&mut factors, rope);
    let apply = if query.is_some() {
        f32z::mul
    } else {
        f32z::div
    };
    for (value, factor) in values.iter_mut().zip(factors) {
        *value = apply(*value, factor);
    }
    Ok(())
}

/// What a position turns pair `i` by: `base^(-2i / head_dim) / factors[i] / factor`.
pub(super) fn turns(base: f32, factor: f32, factors: Option<&[f32]>, head_dim: usize) -> Vec<f64> {
    (0..head_dim / 2)
        .map(|i| {
            let of_pair = factors.map_or(1.0, |factors| factors[i]);
            1.0 / libm::pow(f64::from(base), (2 * i) as f64 / head_dim as f64)
                / f64::from(of_pair)
                / f64::from(factor)
        })
        .collect()
}

/// One row of a rotation table: cosines or sines of what a position turns its pairs by.
pub(super) fn rotated(turns: &[f64], position: usize, function: Function, values: &mut [f32]) {
    for (value, turn) in values.iter_mut().zip(turns) {
        *value = f32z::z(function(position as f64 * turn) as f32);
    }
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
