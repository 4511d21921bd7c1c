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
    encoder::TextError,
    forward::{Kernels, Options},
    kat::KatFailure,
    model::{
        ModelError,
        manifest::{Asset, Manifest},
    },
    offload::{Offload, Placed},
    tokenizer::TokenizerError,
};
use assay_protocol::{
    Hash32,
    lease::{Mismatch, Order},
    registry::{ModelFile, ModelManifest, SPEC_CLASS_1},
    request::{Parameters, Task},
    result::{Finish, ResultBody, ResultContext},
};

use crate::openai::ServerModel;

mod fault;
mod prepared;
mod swapped;
mod text;
mod vector;

pub(crate) use self::prepared::Prepared;
pub use self::{
    fault::{RunFault, Unfit},
    text::TextModel,
    vector::VectorModel,
};

/// Tokens that one pass over the weights takes when many are known.
const PREFILL_CHUNK: usize = 128;

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
    /// An encoder's tokenizer is.
    #[error("{path}: {error}")]
    SentenceTokenizer {
        /// The model file.
        path: PathBuf,
        /// What is wrong.
        error: TextError,
    },
    /// It carries no manifest.
    #[error("{path}: holds no manifest; convert the model again with: assay engine convert")]
    NoManifest {
        /// The model file.
        path: PathBuf,
    },
    /// Text was wanted of a model that makes vectors.
    #[error("{path}: makes vectors of texts and no text; name a model that generates")]
    NoText {
        /// The model file.
        path: PathBuf,
    },
    /// The chips that were to hold it.
    #[error("{path} on chips: {error}")]
    Device {
        /// The model file.
        path: PathBuf,
        /// What is wrong.
        error: KatFailure,
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

/// A model that can run.
#[derive(Clone, Debug)]
pub enum LocalModel {
    /// It goes on with texts.
    Text(Arc<TextModel>),
    /// It makes vectors of texts.
    Vector(Arc<VectorModel>),
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

    /// Refuses more input than somebody has allowed.
    pub(crate) fn admit(&self, input: usize) -> Result<(), Unfit> {
        match self.input_tokens_max {
            Some(max) if input > max as usize => Err(Unfit::Input { found: input, max }),
            _ => Ok(()),
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
        Self::open_on(path, None)
    }

    /// Opens it, and places what there is room for on chips.
    pub fn open_on(path: &Path, device: Option<&Arc<Offload>>) -> Result<Self, ModelFault> {
        match TextModel::open(path, device) {
            Err(ModelFault::File(ModelError::IsEncoder { .. })) => {
                VectorModel::open(path, device).map(|model| Self::Vector(Arc::new(model)))
            }
            opened => opened.map(|model| Self::Text(Arc::new(model))),
        }
    }

    /// Opens a file of a model that goes on with texts.
    pub fn open_text(path: &Path) -> Result<Arc<TextModel>, ModelFault> {
        match Self::open(path)? {
            Self::Text(model) => Ok(model),
            Self::Vector(_) => Err(ModelFault::NoText {
                path: path.to_owned(),
            }),
        }
    }

    /// Root over weights and manifest.
    pub fn root(&self) -> Hash32 {
        match self {
            Self::Text(model) => model.root(),
            Self::Vector(model) => model.root(),
        }
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        match self {
            Self::Text(model) => model.path(),
            Self::Vector(model) => model.path(),
        }
    }

    /// How much of it lies on chips, if there are any.
    pub fn placed(&self) -> Option<&Placed> {
        match self {
            Self::Text(model) => model.placed(),
            Self::Vector(model) => model.placed(),
        }
    }

    /// What the file says about itself.
    pub fn manifest(&self) -> &Manifest {
        match self {
            Self::Text(model) => model.manifest(),
            Self::Vector(model) => model.manifest(),
        }
    }

    /// What a provider registers for this file under `name`.
    pub fn registration(&self, name: &str, license: &str) -> Result<ModelManifest, ModelFault> {
        let read = |error| ModelFault::Read {
            path: self.path().to_owned(),
            error,
        };
        let manifest = self.manifest();
        let (bytes, sha256) = hash_file(self.path()).map_err(read)?;
        // The manifest was read with its hashes checked to be hashes; a model without the asset has the zero hash.
        let asset = |asset: &Option<Asset>| {
            asset
                .as_ref()
                .and_then(|asset| asset.sha256.parse().ok())
                .unwrap_or_default()
        };
        Ok(ModelManifest {
            name: name.to_owned(),
            architecture: manifest.architecture.clone(),
            semantics: manifest.spec.clone(),
            files: vec![ModelFile {
                name: format!("{name}.assay"),
                bytes,
                sha256,
                urls: Vec::new(),
            }],
            model_root: self.root(),
            tokenizer_sha256: asset(&manifest.tokenizer),
            template_sha256: asset(&manifest.chat_template),
            context_max: u32::try_from(manifest.shape.context_max).unwrap_or(u32::MAX),
            license: license.to_owned(),
            royalty_bps: 0,
            verifiable: true,
        })
    }

    /// Does a job.
    pub fn run(&self, job: &Job, on_token: OnToken<'_>) -> Result<ResultBody, RunFault> {
        match self {
            Self::Text(model) => model.generate(job, on_token),
            Self::Vector(model) => model.embed(job),
        }
    }

    /// Begins a check of somebody's answer.
    pub fn check(&self, job: &Job) -> Result<Check<'_>, RunFault> {
        Ok(match self {
            Self::Text(model) => Check::Text(Box::new(model.check(job)?)),
            Self::Vector(model) => Check::Vector(model.check(job)?),
        })
    }
}

/// A model that can run: in memory, or on a server.
#[derive(Clone, Debug)]
pub enum Opened {
    /// In memory.
    Local(LocalModel),
    /// On a server.
    Server(Arc<ServerModel>),
}

impl Opened {
    /// What the registry knows it by.
    pub fn root(&self) -> Hash32 {
        match self {
            Self::Local(model) => model.root(),
            Self::Server(model) => model.root(),
        }
    }

    /// The root that a result has under an order.
    pub fn result_root(&self, body: &ResultBody, order: &Order) -> Hash32 {
        let spec = match self {
            Self::Local(model) => &model.manifest().spec,
            Self::Server(_) => SPEC_CLASS_1,
        };
        body.root(&ResultContext {
            spec,
            model_root: &order.model_root,
            parameters: &order.parameters,
            seed: order.seed,
        })
    }

    /// Begins a check of somebody's answer.
    pub fn check(&self, job: &Job) -> Result<Check<'_>, RunFault> {
        match self {
            Self::Local(model) => model.check(job),
            Self::Server(_) => Err(RunFault::NotChecked),
        }
    }
}

/// A check in progress.
#[derive(Debug)]
pub enum Check<'m> {
    /// Of a text.
    Text(Box<text::Check<'m>>),
    /// Of a vector.
    Vector(vector::Check),
}

impl Check<'_> {
    /// Follows the answer by some more tokens. After a difference nothing more is computed.
    pub fn push(&mut self, tokens: &[u32]) -> Result<(), RunFault> {
        match self {
            Self::Text(check) => check.push(tokens),
            Self::Vector(check) => {
                check.push(tokens);
                Ok(())
            }
        }
    }

    /// The answer ends so.
    pub fn finish(self, finish: Finish) -> Result<Checked, RunFault> {
        match self {
            Self::Text(check) => check.finish(finish),
            Self::Vector(check) => Ok(check.finish(finish)),
        }
    }
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

/// Places a model on chips where there are any; the error names the file.
fn place(
    path: &Path,
    device: Option<&Arc<Offload>>,
    offload: impl FnOnce(&Arc<Offload>) -> Result<Placed, KatFailure>,
) -> Result<Option<Placed>, ModelFault> {
    device
        .map(offload)
        .transpose()
        .map_err(|error| ModelFault::Device {
            path: path.to_owned(),
            error,
        })
}

fn hash_file(path: &Path) -> std::io::Result<(u64, Hash32)> {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new();
    let bytes = std::io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok((bytes, Hash32(hasher.finalize().into())))
}
