//! What a proof needs to know about a model: its manifest, and the tensors that follow from it.

use alloc::{string::String, vec::Vec};

use super::ProofError;
use crate::model::{
    Blocks, Manifest, Shape,
    tensors::{matrix_shapes, table_shapes},
};

/// A model without its numbers.
#[derive(Clone, Debug)]
pub struct Facts {
    manifest: Manifest,
    text: String,
    tensors: Vec<Tensor>, // in the order of the file
}

/// One tensor under the model root.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// int8 rows with a scale each, or rows of F32Z.
    pub(crate) weights: bool,
}

impl Tensor {
    /// Bytes of one row as it is opened.
    pub(crate) fn row_bytes(&self) -> usize {
        match self.weights {
            true => self.cols + 4,
            false => 4 * self.cols,
        }
    }
}

impl Facts {
    /// What follows from the text of a decoder's manifest.
    pub fn read(text: &str) -> Result<Self, ProofError> {
        let manifest = Manifest::parse(text)?;
        // Its tensors are others, so no step could be run.
        if manifest.encoder.is_some() {
            return Err(ProofError::Encoder);
        }
        let tensor = |weights| {
            move |(name, rows, cols)| Tensor {
                name,
                rows,
                cols,
                weights,
            }
        };
        let mut tensors: Vec<Tensor> = matrix_shapes(&manifest)
            .into_iter()
            .map(tensor(true))
            .collect();
        tensors.extend(table_shapes(&manifest).into_iter().map(tensor(false)));
        Ok(Self {
            manifest,
            text: text.into(),
            tensors,
        })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.manifest.shape
    }

    pub(crate) fn blocks(&self) -> &Blocks {
        &self.manifest.blocks
    }

    /// All tensors; the manifest is the leaf before them in the model's tree.
    pub(crate) fn all_tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    pub(crate) fn tensor_index(&self, name: &str) -> usize {
        let index = self.tensors.iter().position(|tensor| tensor.name == name);
        index.expect("BUG: every step reads tensors that its model has")
    }

    pub(crate) fn eps(&self) -> f32 {
        f32::from_bits(self.shape().norm_eps_bits)
    }
}
