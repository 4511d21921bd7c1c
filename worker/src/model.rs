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
    tokenizer::{ChatMessage, Role, TemplateError, Tokenizer, TokenizerError},
};
use assay_protocol::{
    Hash32,
    job::{Message, MessageRole, Sampling},
    lease::{Mismatch, Order},
    registry::{ModelFile, ModelManifest},
    result::{Finish, ResultBody, ResultContext},
};

/// Tokens that one pass over the weights takes when many are known.
const PREFILL_CHUNK: usize = 64;
/// Which output token a deliberately wrong generation swaps, if the answer is long enough.
const SWAPPED_TOKEN: usize = 5;

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
    /// The messages could not be rendered.
    #[error(transparent)]
    Prompt(#[from] TemplateError),
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
    /// The conversation.
    pub messages: Vec<Message>,
    /// Tokens to generate at most.
    pub max_tokens: u32,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Seed of the draws.
    pub seed: u64,
    /// Threads to use; the result is the same for every number.
    pub threads: usize,
}

impl Job {
    /// What an order asks for.
    pub fn from_order(order: &Order, threads: usize) -> Self {
        Self {
            messages: order.messages.clone(),
            max_tokens: order.max_tokens,
            sampling: order.sampling,
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

    /// How its tokens are drawn, in the engine's words.
    pub(crate) fn draws(&self) -> sampler::Sampling {
        let Sampling {
            temperature_milli,
            top_p_ppm,
            top_k,
        } = self.sampling;
        sampler::Sampling {
            temperature_milli,
            top_p_ppm,
            top_k,
            seed: self.seed,
            ..sampler::Sampling::GREEDY
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

    /// The token ids of a conversation, up to where the answer begins.
    pub fn prompt_tokens(&self, messages: &[Message]) -> Result<Vec<u32>, RunFault> {
        let messages: Vec<ChatMessage> = messages
            .iter()
            .map(|Message { role, content }| {
                let role = match role {
                    MessageRole::System => Role::System,
                    MessageRole::User => Role::User,
                    MessageRole::Assistant => Role::Assistant,
                };
                ChatMessage::new(role, content.as_str())
            })
            .collect();
        Ok(self.tokenizer.prompt_tokens(&messages)?)
    }

    /// Generates an answer.
    pub fn generate(&self, job: &Job, on_token: OnToken<'_>) -> Result<ResultBody, RunFault> {
        let input = self.prompt_tokens(&job.messages)?;
        let mut detokenizer = self.tokenizer.stream();
        let request = run::Request {
            input: &input,
            max_tokens: job.max_tokens,
            sampling: job.draws(),
            ..run::Request::default()
        };
        let transcript = run::generate(&self.model, &request, &job.options(), &mut |_, id| {
            on_token(Token {
                id,
                text: detokenizer.push(id).into(),
            })
        })?;
        Ok(self.body(input, transcript))
    }

    /// Generates an answer in which one token is not the model's; everything after it honestly follows from it, and
    /// the trace is that of the tokens as they stand. For demonstrations of how such an answer is caught.
    pub(crate) fn generate_swapped(
        &self,
        job: &Job,
        on_token: OnToken<'_>,
    ) -> Result<ResultBody, RunFault> {
        let input = self.prompt_tokens(&job.messages)?;
        let honest = run::generate(
            &self.model,
            &run::Request {
                input: &input,
                max_tokens: job.max_tokens.min(SWAPPED_TOKEN as u32 + 1),
                sampling: job.draws(),
                ..run::Request::default()
            },
            &job.options(),
            &mut |_, _| ControlFlow::Continue(()),
        )?
        .output;
        let kept = honest.len().saturating_sub(1);
        let mut told = honest[..kept].to_vec();
        told.push(self.another_token(&input, &told, honest.last().copied(), job)?);

        let mut detokenizer = self.tokenizer.stream();
        for id in &told {
            if on_token(Token {
                id: *id,
                text: detokenizer.push(*id).into(),
            })
            .is_break()
            {
                return Err(RunFault::Cancelled);
            }
        }
        let left = job.max_tokens.saturating_sub(told.len() as u32);
        let as_input: Vec<u32> = input.iter().chain(&told).copied().collect();
        if left == 0 {
            // Nothing comes after the swapped token, so its own position is never computed.
            let request = run::Request {
                input: &as_input[..as_input.len() - 1],
                max_tokens: 1,
                sampling: job.draws(),
                ..run::Request::default()
            };
            let transcript = run::generate(&self.model, &request, &job.options(), &mut |_, _| {
                ControlFlow::Continue(())
            })?;
            return Ok(self.body(
                input,
                run::Transcript {
                    output: told,
                    finish: run::Finish::Length,
                    ..transcript
                },
            ));
        }
        let request = run::Request {
            input: &as_input,
            max_tokens: left,
            sampling: job.draws(),
            ..run::Request::default()
        };
        let mut transcript = run::generate(&self.model, &request, &job.options(), &mut |_, id| {
            on_token(Token {
                id,
                text: detokenizer.push(id).into(),
            })
        })?;
        told.append(&mut transcript.output);
        Ok(self.body(
            input,
            run::Transcript {
                output: told,
                ..transcript
            },
        ))
    }

    /// A plausible token that is not `honest`.
    fn another_token(
        &self,
        input: &[u32],
        told: &[u32],
        honest: Option<u32>,
        job: &Job,
    ) -> Result<u32, RunFault> {
        let prefix: Vec<u32> = input.iter().chain(told).copied().collect();
        for seed in 0..32 {
            let sampling = sampler::Sampling {
                temperature_milli: 1_500,
                top_p_ppm: 950_000,
                top_k: 40,
                seed,
                ..sampler::Sampling::GREEDY
            };
            let request = run::Request {
                input: &prefix,
                max_tokens: 1,
                sampling,
                ..run::Request::default()
            };
            let drawn = run::generate(&self.model, &request, &job.options(), &mut |_, _| {
                ControlFlow::Continue(())
            })?;
            if let Some(token) = drawn.output.first()
                && Some(*token) != honest
            {
                return Ok(*token);
            }
        }
        // The model is very sure; then any other token will do.
        let wanted = honest.map_or(1, |token| token ^ 1);
        Ok(wanted.min(self.manifest.shape.vocab as u32 - 1))
    }

    /// Begins a check of somebody's answer.
    pub fn check(&self, job: &Job) -> Result<Check<'_>, RunFault> {
        let input = self.prompt_tokens(&job.messages)?;
        let request = run::Request {
            input: &input,
            max_tokens: job.max_tokens,
            sampling: job.draws(),
            ..run::Request::default()
        };
        let checker = run::Checker::new(&self.model, &request, &job.options())?;
        Ok(Check {
            model: self,
            input,
            checker,
        })
    }

    /// The root that a result has under an order.
    pub fn result_root(&self, body: &ResultBody, order: &Order) -> Hash32 {
        body.root(&ResultContext {
            spec: &self.manifest.spec,
            model_root: &order.model_root,
            sampling: &order.sampling,
            seed: order.seed,
            max_tokens: order.max_tokens,
        })
    }

    /// What a transcript says, in the market's words.
    pub(crate) fn body(&self, input_tokens: Vec<u32>, transcript: run::Transcript) -> ResultBody {
        let run::Transcript {
            output,
            finish,
            trace_root,
            // Neither is asked for.
            stop: _,
            logprobs: _,
        } = transcript;
        ResultBody {
            input_tokens,
            answer: self.tokenizer.answer_text(&output).into_bytes(),
            output_tokens: output,
            finish: match finish {
                run::Finish::Stop => Finish::Stop,
                run::Finish::Length => Finish::Length,
            },
            trace_root: Hash32(trace_root),
        }
    }
}

/// A check in progress.
#[derive(Debug)]
pub struct Check<'m> {
    model: &'m LocalModel,
    input: Vec<u32>,
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
                Checked::Match(self.model.body(self.input, transcript))
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
