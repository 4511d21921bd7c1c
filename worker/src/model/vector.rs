//! A model that makes vectors of texts.
//!
//! There is nothing to stream and nothing to draw: a check makes the vector again, and its root tells whether the vectors
//! are the same.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use assay_engine::{
    encoder::{self, Embedding, SentenceTokenizer},
    model::{Encoder, manifest::Manifest},
    offload::{Offload, Placed},
};
use assay_protocol::{
    Hash32,
    lease::Mismatch,
    request::Task,
    result::{Finish, ResultBody},
};

use super::{Checked, Job, ModelFault, RunFault, Unfit, place};

/// A sentence encoder with its tokenizer.
#[derive(Debug)]
pub struct VectorModel {
    path: PathBuf,
    placed: Option<Placed>,
    encoder: Encoder,
    manifest: Manifest,
    tokenizer: SentenceTokenizer,
}

impl VectorModel {
    pub(super) fn open(path: &Path, device: Option<&Arc<Offload>>) -> Result<Self, ModelFault> {
        let mut encoder = Encoder::open(path)?;
        let manifest = encoder
            .manifest()
            .ok_or_else(|| ModelFault::NoManifest {
                path: path.to_owned(),
            })?
            .clone();
        let tokenizer = SentenceTokenizer::from_encoder(&encoder).map_err(|error| {
            ModelFault::SentenceTokenizer {
                path: path.to_owned(),
                error,
            }
        })?;
        let placed = place(path, device, |device| encoder.offload(device))?;
        Ok(Self {
            placed,
            path: path.to_owned(),
            encoder,
            manifest,
            tokenizer,
        })
    }

    /// Root over weights and manifest.
    pub fn root(&self) -> Hash32 {
        Hash32(self.encoder.root())
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How much of it lies on chips, if there are any.
    pub fn placed(&self) -> Option<&Placed> {
        self.placed.as_ref()
    }

    /// What the file says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Makes the vector of the job's text.
    pub fn embed(&self, job: &Job) -> Result<ResultBody, RunFault> {
        let input = self.input(job)?;
        self.body(job, &input, input.clone())
    }

    /// The token ids of the job's text.
    pub(super) fn input(&self, job: &Job) -> Result<Vec<u32>, RunFault> {
        let Task::Embedding { text } = &job.task else {
            return Err(Unfit::Kind("it for an embedding").into());
        };
        let input = self.tokenizer.encode(text).map_err(Unfit::from)?;
        job.admit(input.len())?;
        Ok(input)
    }

    /// The result of what was read, told as that of `input`.
    pub(super) fn body(
        &self,
        job: &Job,
        read: &[u32],
        input: Vec<u32>,
    ) -> Result<ResultBody, RunFault> {
        let Embedding { vector, trace_root } = encoder::embed(&self.encoder, read, &job.options())?;
        Ok(ResultBody {
            input_tokens: input,
            output_tokens: Vec::new(),
            answer: vector.iter().flat_map(|n| n.to_le_bytes()).collect(),
            logprobs: None,
            finish: Finish::Stop,
            trace_root: Hash32(trace_root),
        })
    }

    pub(super) fn check(&self, job: &Job) -> Result<Check, RunFault> {
        Ok(Check {
            own: self.embed(job)?,
            tokens: false,
        })
    }
}

/// A check of a vector; it was made before the claim came.
#[derive(Debug)]
pub struct Check {
    own: ResultBody,
    /// Whether tokens were claimed, where there are none.
    tokens: bool,
}

impl Check {
    pub(super) fn push(&mut self, tokens: &[u32]) {
        self.tokens |= !tokens.is_empty();
    }

    pub(super) fn finish(self, finish: Finish) -> Checked {
        if !self.tokens && finish == self.own.finish {
            return Checked::Match(self.own);
        }
        Checked::Mismatch {
            input_tokens: self.own.input_tokens.len(),
            mismatch: Mismatch {
                position: 0,
                trace_root: self.own.trace_root,
            },
        }
    }
}
