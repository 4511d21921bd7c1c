//! Servers that owners already run, asked as OpenAI's clients ask: tt-inference-server and vLLM, llama.cpp, Ollama.
//!
//! What such a server computes, in floats and in an order of its own, nobody can run again elsewhere. So its answers belong to a class:
//! what the server says it is, and what its operator says of its image and its machines. They are compared as a whole, inside that class
//! only, and no market can do more than that for them.
//!
//! Invariants: a request that a server would not follow to the letter is declined and not bent; nothing that a server sends is taken
//! without a limit.

mod answer;
mod ask;
mod deployment;
mod http;
mod key;
mod sse;

use std::sync::Arc;

use assay_protocol::{
    Hash32,
    registry::{ModelFile, ModelManifest, SPEC_CLASS_1},
    result::ResultBody,
};
use tracing::info;

use self::{
    answer::Answering,
    http::{Http, Identity, ServerFault},
};
pub use self::{
    deployment::{Deployment, Dialect, Topology},
    http::ServerError,
    key::{KeyError, Source as KeySource},
};
use crate::model::{Job, RunFault, Token};

/// Longest answer to anything but a question, bytes.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// How a server is reached, and what its operator says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it answers, without `/v1`.
    pub url: String,
    /// What it calls the model.
    pub model: String,
    /// On what it runs.
    pub topology: Topology,
    /// Digest of the image that it runs from.
    pub image_digest: Option<String>,
    /// Input and output tokens together, where the server does not say.
    pub context_max: Option<u32>,
    /// What it wants to be shown.
    pub key: Option<KeySource>,
}

/// A model on a server.
#[derive(Debug)]
pub struct ServerModel {
    settings: Settings,
    deployment: Deployment,
    context_max: u32,
    /// Whether it tells the tokens used while it streams; else it is asked for whole answers.
    tells_usage: bool,
    http: Http,
}

/// Hears of each piece of text as it comes.
pub type Sink<'a> = &'a mut (dyn FnMut(Token) + Send);

impl ServerModel {
    /// Asks a server what it is, and whether it can answer.
    pub async fn open(settings: &Settings) -> Result<Arc<Self>, ServerError> {
        let http = Http::new(settings)?;
        let known = http.models().await?;
        let listed = known.iter().find(|listed| listed.id == settings.model);
        let listed = listed.ok_or_else(|| ServerError::NoModel {
            url: settings.url.clone(),
            model: settings.model.clone(),
            known: known.iter().map(|listed| listed.id.clone()).collect(),
        })?;
        let Identity {
            dialect,
            version,
            context_max,
        } = http.identity().await?;
        let context_max = settings
            .context_max
            .or(listed.max_model_len)
            .or(context_max)
            .ok_or_else(|| ServerError::NoContext {
                url: settings.url.clone(),
            })?;
        if dialect == Dialect::Unknown && settings.image_digest.is_none() {
            return Err(ServerError::NoIdentity {
                url: settings.url.clone(),
            });
        }
        let deployment = Deployment {
            dialect,
            version,
            model: settings.model.clone(),
            image_digest: settings.image_digest.clone(),
            topology: settings.topology.clone(),
        };
        let tells_usage = http.tells_usage(&settings.model).await?;
        info!(?deployment, tells_usage, "a server answers");
        Ok(Arc::new(Self {
            settings: settings.clone(),
            deployment,
            context_max,
            tells_usage,
            http,
        }))
    }

    /// What its answers depend on, as far as anybody can say.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.settings.url
    }

    /// The root under which the registry knows the deployment.
    pub fn root(&self) -> Hash32 {
        self.deployment.root()
    }

    /// What a provider registers for this deployment under `name`.
    pub fn registration(&self, name: &str, license: &str) -> ModelManifest {
        let text = self.deployment.to_json();
        ModelManifest {
            name: name.to_owned(),
            architecture: self.deployment.dialect.name().to_owned(),
            semantics: SPEC_CLASS_1.to_owned(),
            files: vec![ModelFile {
                name: "deployment.json".to_owned(),
                bytes: text.len() as u64,
                sha256: Hash32::sha256(text.as_bytes()),
                urls: Vec::new(),
            }],
            model_root: self.root(),
            tokenizer_sha256: Hash32::default(),
            template_sha256: Hash32::default(),
            context_max: self.context_max,
            license: license.to_owned(),
            royalty_bps: 0,
            verifiable: false,
        }
    }

    /// Lets the server answer. Dropped, the connection closes, and servers stop at that.
    pub async fn generate(&self, job: &Job, on_token: Sink<'_>) -> Result<ResultBody, RunFault> {
        let asked = ask::request(&self.deployment, job, self.tells_usage)?;
        self.is_unchanged().await?;
        let mut answering = Answering::default();
        let given = async {
            if self.tells_usage {
                let mut events = self.http.stream(&asked).await?;
                while let Some(event) = events.next().await? {
                    if let Some(text) = answering.take(&event)? {
                        on_token(Token {
                            id: 0,
                            text: text.into(),
                        });
                    }
                }
            } else {
                answering.take(&self.http.whole(&asked).await?)?;
            }
            answering.body(&job.parameters)
        };
        let body = given.await.map_err(RunFault::from)?;
        job.admit(body.input_tokens.len())?;
        Ok(body)
    }

    /// A server that was updated meanwhile is of another class.
    async fn is_unchanged(&self) -> Result<(), ServerError> {
        let Deployment {
            dialect, version, ..
        } = &self.deployment;
        if *dialect == Dialect::Unknown {
            return Ok(());
        }
        let now = self.http.identity_as(*dialect).await?;
        let now = now.map_or_else(|| "another program".to_owned(), |now| now.version);
        if now == *version {
            return Ok(());
        }
        Err(ServerError::Changed {
            url: self.settings.url.clone(),
            before: version.clone(),
            now,
        })
    }
}

impl From<ServerFault> for RunFault {
    fn from(fault: ServerFault) -> Self {
        match fault {
            ServerFault::Request(why) => Self::Unfit(crate::model::Unfit::Server(why)),
            ServerFault::Server(error) => Self::Server(error),
        }
    }
}
