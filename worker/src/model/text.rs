//! A model that goes on with texts: chats and completions.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use assay_engine::{
    model::{Model, manifest::Manifest},
    offload::{Offload, Placed},
    run, sampler,
    tokenizer::{Detokenizer, Tokenizer},
};
use assay_protocol::{
    Hash32,
    lease::Mismatch,
    result::{Finish, Logprob, ResultBody, TokenLogprobs},
};

use super::{Checked, Job, ModelFault, OnToken, Prepared, RunFault, Token, place};

/// A decoder with its tokenizer.
#[derive(Debug)]
pub struct TextModel {
    path: PathBuf,
    placed: Option<Placed>,
    pub(super) model: Model,
    manifest: Manifest,
    pub(super) tokenizer: Tokenizer,
}

impl TextModel {
    pub(super) fn open(path: &Path, device: Option<&Arc<Offload>>) -> Result<Self, ModelFault> {
        let mut model = Model::open(path)?;
        let manifest = model
            .manifest()
            .ok_or_else(|| ModelFault::NoManifest {
                path: path.to_owned(),
            })?
            .clone();
        let tokenizer = Tokenizer::from_model(&model).map_err(|error| ModelFault::Tokenizer {
            path: path.to_owned(),
            error,
        })?;
        let placed = place(path, device, |device| model.offload(device))?;
        Ok(Self {
            placed,
            path: path.to_owned(),
            model,
            manifest,
            tokenizer,
        })
    }

    /// Root over weights and manifest.
    pub fn root(&self) -> Hash32 {
        Hash32(self.model.root())
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model itself.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// How much of it lies on chips, if there are any.
    pub fn placed(&self) -> Option<&Placed> {
        self.placed.as_ref()
    }

    /// What the file says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Makes a job ready to run.
    pub(crate) fn prepare(&self, job: &Job) -> Result<Prepared, RunFault> {
        Prepared::new(&self.tokenizer, job)
    }

    /// Shows the text of tokens as they come.
    pub(crate) fn detokenizer(&self, prepared: &Prepared) -> Detokenizer<'_> {
        match &prepared.stop {
            Some(stop) => self.tokenizer.stream_until(stop.clone()),
            None => self.tokenizer.stream(),
        }
    }

    /// Generates an answer.
    pub fn generate(&self, job: &Job, on_token: OnToken<'_>) -> Result<ResultBody, RunFault> {
        let prepared = self.prepare(job)?;
        let mut detokenizer = self.detokenizer(&prepared);
        let request = prepared.request(&self.tokenizer);
        let transcript = run::generate(&self.model, &request, &job.options(), &mut |_, id| {
            on_token(Token {
                id,
                text: detokenizer.push(id).into(),
            })
        })?;
        Ok(self.body(prepared.input, job.parameters.logprobs, transcript))
    }

    pub(super) fn check(&self, job: &Job) -> Result<Check<'_>, RunFault> {
        let prepared = self.prepare(job)?;
        let request = prepared.request(&self.tokenizer);
        let checker = run::Checker::new(&self.model, &request, &job.options())?;
        Ok(Check {
            model: self,
            input: prepared.input,
            logprobs: job.parameters.logprobs,
            checker,
        })
    }

    /// What a transcript says, in the market's words.
    pub(crate) fn body(
        &self,
        input_tokens: Vec<u32>,
        asked: Option<u8>,
        transcript: run::Transcript,
    ) -> ResultBody {
        let run::Transcript {
            output,
            finish,
            trace_root,
            stop,
            logprobs,
        } = transcript;
        let answer = self.tokenizer.answer_text_before(&output, stop);
        ResultBody {
            input_tokens,
            answer: answer.into_bytes(),
            output_tokens: output,
            logprobs: asked.map(|_| logprobs.into_iter().map(told).collect()),
            finish: match finish {
                run::Finish::Stop => Finish::Stop,
                run::Finish::Length => Finish::Length,
            },
            trace_root: Hash32(trace_root),
        }
    }
}

/// Log-probabilities in the market's words.
fn told(logprobs: sampler::Logprobs) -> TokenLogprobs {
    let of = |sampler::Logprob { token, micro_nats }| Logprob { token, micro_nats };
    TokenLogprobs {
        drawn: of(logprobs.drawn),
        top: logprobs.top.into_iter().map(of).collect(),
    }
}

/// A check of a text in progress.
#[derive(Debug)]
pub struct Check<'m> {
    model: &'m TextModel,
    input: Vec<u32>,
    logprobs: Option<u8>,
    checker: run::Checker<'m>,
}

impl Check<'_> {
    pub(super) fn push(&mut self, tokens: &[u32]) -> Result<(), RunFault> {
        self.checker.push(tokens)?;
        Ok(())
    }

    pub(super) fn finish(self, finish: Finish) -> Result<Checked, RunFault> {
        let finish = match finish {
            Finish::Stop => run::Finish::Stop,
            Finish::Length => run::Finish::Length,
        };
        Ok(match self.checker.finish(finish)? {
            run::Checked::Match(transcript) => {
                Checked::Match(self.model.body(self.input, self.logprobs, transcript))
            }
            run::Checked::Mismatch {
                position,
                trace_root,
                ..
            } => Checked::Mismatch {
                input_tokens: self.input.len(),
                mismatch: Mismatch {
                    position,
                    trace_root: Hash32(trace_root),
                },
            },
        })
    }
}
