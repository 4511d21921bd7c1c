//! A model in memory, with its tokenizer: orders in, results out.
//!
//! It is the one place that translates between the market's types and the engine's. It refuses to know leases and
//! networks.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use assay_engine::{
    forward::{Kernels, Options},
    model::{
        Model, ModelError,
        manifest::{Asset, Manifest},
    },
    run::{self, RunError},
    sampler,
    tokenizer::{Detokenizer, Tokenizer, TokenizerError},
};
use assay_protocol::{
    Hash32,
    lease::{Mismatch, Order},
    registry::{ModelFile, ModelManifest},
    request::{Parameters, Task},
    result::{Finish, Logprob, ResultBody, ResultContext, TokenLogprobs},
};

mod prepared;
mod swapped;

pub(crate) use self::prepared::Prepared;
pub use self::prepared::Unfit;

/// Tokens that one pass over the weights takes when many are known.
const PREFILL_CHUNK: usize = 64;
/// Why a model cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum ModelFault {
    /// The file is missing or not a model.
    #[error(transparent)]
    File(#[from] ModelError),
    /// Its tokenizer or template is.
    #[error("{path}: {error}")]
    Tokenizer {
        /// The model file.
        path: PathBuf,
        /// What is wrong.
        error: TokenizerError,
    },
    /// It carries no manifest.
    #[error("{path}: holds no manifest; convert the model again with: assay engine convert")]
    NoManifest {
        /// The model file.
        path: PathBuf,
    },
    /// Its size or hash could not be read.
    #[error("{path}: {error}")]
    Read {
        /// The model file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// Why a run gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunFault {
    /// The request cannot be done.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The engine refused.
    #[error(transparent)]
    Run(RunError),
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl From<RunError> for RunFault {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Cancelled => Self::Cancelled,
            other => Self::Run(other),
        }
    }
}

/// A model that can run.
#[derive(Debug)]
pub struct LocalModel {
    path: PathBuf,
    model: Model,
    manifest: Manifest,
    tokenizer: Tokenizer,
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// What the model is to do.
    pub task: Task,
    /// How the answer is generated and when it ends.
    pub parameters: Parameters,
    /// Input tokens that there may be, where somebody has set a limit.
    pub input_tokens_max: Option<u32>,
    /// Seed of the draws.
    pub seed: u64,
    /// Threads to use; the result is the same for every number.
    pub threads: usize,
}

impl Job {
    /// What an order asks for.
    pub fn from_order(order: &Order, threads: usize) -> Self {
        Self {
            task: order.task.clone(),
            parameters: order.parameters.clone(),
            input_tokens_max: Some(order.input_tokens_max),
            seed: order.seed,
            threads,
        }
    }

    fn options(&self) -> Options {
        Self::options_for(self.threads)
    }

    /// How any job runs on so many threads.
    pub(crate) fn options_for(threads: usize) -> Options {
        Options {
            threads: threads.max(1),
            prefill_chunk: PREFILL_CHUNK,
            kernels: Kernels::Auto,
        }
    }
}

/// A token as it is generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// The characters that it completes; may be empty.
    pub text: Arc<str>,
}

/// Hears of each token; may break off.
pub type OnToken<'a> = &'a mut dyn FnMut(Token) -> ControlFlow<()>;

impl LocalModel {
    /// Opens a converted model file and checks all of it.
    pub fn open(path: &Path) -> Result<Self, ModelFault> {
        let model = Model::open(path)?;
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
        Ok(Self {
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

    /// What the file says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What a provider registers for this file under `name`.
    pub fn registration(&self, name: &str, license: &str) -> Result<ModelManifest, ModelFault> {
        let read = |error| ModelFault::Read {
            path: self.path.clone(),
            error,
        };
        let (bytes, sha256) = hash_file(&self.path).map_err(read)?;
        // The manifest was read with its hashes checked to be hashes; a model without the asset has the zero hash.
        let asset = |asset: &Option<Asset>| {
            asset
                .as_ref()
                .and_then(|asset| asset.sha256.parse().ok())
                .unwrap_or_default()
        };
        Ok(ModelManifest {
            name: name.to_owned(),
            architecture: self.manifest.architecture.clone(),
            semantics: self.manifest.spec.clone(),
            files: vec![ModelFile {
                name: format!("{name}.assay"),
                bytes,
                sha256,
                urls: Vec::new(),
            }],
            model_root: self.root(),
            tokenizer_sha256: asset(&self.manifest.tokenizer),
            template_sha256: asset(&self.manifest.chat_template),
            context_max: u32::try_from(self.manifest.shape.context_max).unwrap_or(u32::MAX),
            license: license.to_owned(),
            royalty_bps: 0,
            verifiable: true,
        })
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

    /// Begins a check of somebody's answer.
    pub fn check(&self, job: &Job) -> Result<Check<'_>, RunFault> {
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

    /// The root that a result has under an order.
    pub fn result_root(&self, body: &ResultBody, order: &Order) -> Hash32 {
        body.root(&ResultContext {
            spec: &self.manifest.spec,
            model_root: &order.model_root,
            parameters: &order.parameters,
            seed: order.seed,
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

/// A check in progress.
#[derive(Debug)]
pub struct Check<'m> {
    model: &'m LocalModel,
    input: Vec<u32>,
    logprobs: Option<u8>,
    checker: run::Checker<'m>,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The answer is the model's; this is the result that its root covers.
    Match(ResultBody),
    /// It is not.
    Mismatch {
        /// Token ids that the model read.
        input_tokens: usize,
        /// Where the answer leaves the model's own.
        mismatch: Mismatch,
    },
}

impl Checked {
    /// Tokens read.
    pub fn input_tokens(&self) -> usize {
        match self {
            Self::Match(body) => body.input_tokens.len(),
            Self::Mismatch { input_tokens, .. } => *input_tokens,
        }
    }
}

impl Check<'_> {
    /// Follows the answer by some more tokens. After a difference nothing more is computed.
    pub fn push(&mut self, tokens: &[u32]) -> Result<(), RunFault> {
        self.checker.push(tokens)?;
        Ok(())
    }

    /// The answer ends so.
    pub fn finish(self, finish: Finish) -> Checked {
        let finish = match finish {
            Finish::Stop => run::Finish::Stop,
            Finish::Length => run::Finish::Length,
        };
        match self.checker.finish(finish) {
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
        }
    }
}

fn hash_file(path: &Path) -> std::io::Result<(u64, Hash32)> {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new();
    let bytes = std::io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok((bytes, Hash32(hasher.finalize().into())))
}
