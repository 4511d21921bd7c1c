//! The tensors of a checkpoint, whatever file they lie in.

use std::collections::BTreeMap;

use crate::import::{ImportError, safetensors::Stored, tensor::Tensor};

/// All tensors of a checkpoint.
pub(in crate::import) struct Tensors<'a>(pub(super) BTreeMap<String, Stored<'a>>);

impl Tensors<'_> {
    pub(in crate::import) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A tensor with so many dimensions, in an encoding that can be converted.
    pub(in crate::import) fn tensor(
        &self,
        name: &str,
        expected: u32,
    ) -> Result<Tensor<'_>, ImportError> {
        let stored = self.0.get_key_value(name);
        let (name, stored) = stored.ok_or_else(|| ImportError::TensorMissing {
            tensor: name.into(),
        })?;
        let found = stored.shape.len() as u32;
        if found != expected {
            return Err(ImportError::TensorDimensions {
                tensor: name.clone(),
                found,
                expected,
            });
        }
        stored.tensor(name).ok_or_else(|| ImportError::TensorType {
            tensor: name.clone(),
            found: stored.data_type.clone(),
        })
    }

    /// Refuses the first tensor that is not known.
    pub(in crate::import) fn refuse_others(
        &self,
        known: impl Fn(&str) -> bool,
    ) -> Result<(), ImportError> {
        match self.0.keys().find(|name| !known(name)) {
            Some(tensor) => Err(ImportError::TensorUnknown {
                tensor: tensor.clone(),
            }),
            None => Ok(()),
        }
    }
}
