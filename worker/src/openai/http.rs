//! Calls to a server, each with limits on time and size.

use std::{net::IpAddr, time::Duration};

use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect::Policy};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Dialect, REPLY_BYTES_MAX, Settings,
    answer::has_usage,
    ask::{Asked, CHAT},
    key::KeyError,
    sse::Events,
};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a server may be silent: before its first token it reads the whole prompt, perhaps behind others.
const SILENCE: Duration = Duration::from_secs(120);
/// How much of an error is shown, bytes.
const SHOWN: usize = 300;

/// What is wrong with a server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its address.
    #[error("{url}: {problem}; write it as http://127.0.0.1:8000")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// Its key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key would travel for everybody to read.
    #[error("{url}: a key is sent over https or to this machine only; use https, or a tunnel")]
    KeyInClear {
        /// Where to.
        url: String,
    },
    /// It does not answer.
    #[error("{url} does not answer: {error}; is the server running?")]
    Unreachable {
        /// What was called.
        url: String,
        /// Why.
        error: String,
    },
    /// It answers with an error.
    #[error("{url} answers HTTP {status}: {text}")]
    Status {
        /// What was called.
        url: String,
        /// The status.
        status: u16,
        /// The beginning of what it says.
        text: String,
    },
    /// It says what no such server says.
    #[error("unexpected answer of the server: {0}")]
    Malformed(String),
    /// It is another one than before.
    #[error(
        "{url} says that it is {now} and no longer {before}; register what `assay-worker models` prints, and start the worker again"
    )]
    Changed {
        /// Where.
        url: String,
        /// What it was.
        before: String,
        /// What it is.
        now: String,
    },
    /// It has no such model.
    #[error(
        "{url} serves no model {model:?}, only {known:?}; name one of them in models.openai.model"
    )]
    NoModel {
        /// Where.
        url: String,
        /// What was wanted.
        model: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Nobody knows how long a context it has.
    #[error("{url} does not tell its context; set models.openai.context_max")]
    NoContext {
        /// Where.
        url: String,
    },
    /// Nobody knows what it is.
    #[error(
        "{url} does not tell what program it is; set models.openai.image_digest, so that its answers are compared with its like only"
    )]
    NoIdentity {
        /// Where.
        url: String,
    },
}

impl ServerError {
    /// Whether waiting may help: a server that starts refuses connections, or says that it is not ready yet.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }
}

/// Why a question has no answer.
#[derive(Debug)]
pub(super) enum ServerFault {
    /// The request cannot be done.
    Request(String),
    /// The server failed.
    Server(ServerError),
}

impl From<ServerError> for ServerFault {
    fn from(error: ServerError) -> Self {
        Self::Server(error)
    }
}

/// What a server says that it is.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) dialect: Dialect,
    pub(super) version: String,
    pub(super) context_max: Option<u32>,
}

/// A model in a server's list.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) max_model_len: Option<u32>,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Listed>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// What llama.cpp's server tells of itself.
#[derive(Deserialize)]
struct Props {
    build_info: String,
    default_generation_settings: Option<Generation>,
}

#[derive(Deserialize)]
struct Generation {
    n_ctx: Option<u32>,
}

/// A server.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    base: Url,
    bearer: Option<String>,
}

/// An answer while it comes.
#[derive(Debug)]
pub(super) struct Stream {
    response: Response,
    url: String,
    events: Events,
    ready: std::collections::VecDeque<String>,
}

impl Http {
    pub(super) fn new(settings: &Settings) -> Result<Self, ServerError> {
        let wrong = |problem: &str| ServerError::Url {
            url: settings.url.clone(),
            problem: problem.to_owned(),
        };
        let base = Url::parse(&format!("{}/", settings.url.trim_end_matches('/')))
            .map_err(|error| wrong(&error.to_string()))?;
        if !["http", "https"].contains(&base.scheme()) || base.host_str().is_none() {
            return Err(wrong("not an address of the web"));
        }
        if !base.username().is_empty() || base.password().is_some() || base.query().is_some() {
            return Err(wrong("holds more than host, port and path"));
        }
        let bearer = settings.key.as_ref().map(|key| key.bearer()).transpose()?;
        if bearer.is_some() && base.scheme() == "http" && !is_here(&base) {
            return Err(ServerError::KeyInClear {
                url: settings.url.clone(),
            });
        }
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            // Where a key goes is for its owner to say, not for the server.
            .redirect(Policy::none())
            .build()
            .map_err(|error| wrong(&error.to_string()))?;
        Ok(Self {
            client,
            base,
            bearer,
        })
    }

    /// The models that it lists.
    pub(super) async fn models(&self) -> Result<Vec<Listed>, ServerError> {
        let text = self.get("v1/models").await?;
        let list: List = serde_json::from_str(&text)
            .map_err(|error| ServerError::Malformed(format!("list of models: {error}")))?;
        Ok(list.data)
    }

    /// What program it is, by its own word.
    pub(super) async fn identity(&self) -> Result<Identity, ServerError> {
        for dialect in [Dialect::LlamaCpp, Dialect::Ollama, Dialect::Vllm] {
            if let Some(identity) = self.identity_as(dialect).await? {
                return Ok(identity);
            }
        }
        Ok(Identity {
            dialect: Dialect::Unknown,
            version: String::new(),
            context_max: None,
        })
    }

    /// What it says of itself, if it is such a program.
    pub(super) async fn identity_as(
        &self,
        dialect: Dialect,
    ) -> Result<Option<Identity>, ServerError> {
        let path = match dialect {
            Dialect::LlamaCpp => {
                let props: Option<Props> = self.try_get("props").await?;
                return Ok(props.map(|props| Identity {
                    dialect,
                    version: props.build_info,
                    context_max: props
                        .default_generation_settings
                        .and_then(|settings| settings.n_ctx),
                }));
            }
            Dialect::Ollama => "api/version",
            Dialect::Vllm => "version",
            Dialect::Unknown => return Ok(None),
        };
        let told: Option<Version> = self.try_get(path).await?;
        Ok(told.map(|Version { version }| Identity {
            dialect,
            version,
            context_max: None,
        }))
    }

    /// Whether it tells the tokens used while it streams, found out by a question of one token.
    pub(super) async fn tells_usage(&self, model: &str) -> Result<bool, ServerError> {
        let asked = Asked {
            path: CHAT,
            body: json!({
                "model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1, "temperature": 0,
                "stream": true, "stream_options": {"include_usage": true},
            }),
        };
        let mut stream = match self.stream(&asked).await {
            Ok(stream) => stream,
            // It may refuse to stream, or to be told how.
            Err(ServerFault::Request(_)) => return Ok(false),
            Err(ServerFault::Server(error)) => return Err(error),
        };
        let mut tells = false;
        while let Some(event) = stream.next().await? {
            tells |= has_usage(&event);
        }
        Ok(tells)
    }

    /// Asks for an answer token by token.
    pub(super) async fn stream(&self, asked: &Asked) -> Result<Stream, ServerFault> {
        let (url, response) = self.ask(asked).await?;
        Ok(Stream {
            response,
            url,
            events: Events::default(),
            ready: Default::default(),
        })
    }

    /// Asks for an answer in one piece.
    pub(super) async fn whole(&self, asked: &Asked) -> Result<String, ServerFault> {
        let (url, response) = self.ask(asked).await?;
        Ok(text(&url, response, REPLY_BYTES_MAX).await?)
    }

    async fn ask(&self, asked: &Asked) -> Result<(String, Response), ServerFault> {
        let url = self.url(asked.path)?;
        let request = self
            .client
            .post(url.clone())
            .header("content-type", "application/json")
            .body(asked.body.to_string());
        let response = self.send(request, url.as_str()).await?;
        let status = response.status();
        if status.is_success() {
            return Ok((url.into(), response));
        }
        let shown = shown(url.as_str(), response).await;
        Err(match status {
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => ServerFault::Request(shown),
            _ => ServerFault::Server(ServerError::Status {
                url: url.into(),
                status: status.as_u16(),
                text: shown,
            }),
        })
    }

    async fn get(&self, path: &str) -> Result<String, ServerError> {
        let url = self.url(path)?;
        let response = self
            .send(self.client.get(url.clone()), url.as_str())
            .await?;
        let status = response.status();
        if !status.is_success() {
            return Err(ServerError::Status {
                status: status.as_u16(),
                text: shown(url.as_str(), response).await,
                url: url.into(),
            });
        }
        text(url.as_str(), response, REPLY_BYTES_MAX).await
    }

    /// What is there, if it is of this kind.
    async fn try_get<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
    ) -> Result<Option<T>, ServerError> {
        match self.get(path).await {
            Ok(text) => Ok(serde_json::from_str(&text).ok()),
            Err(ServerError::Status { .. } | ServerError::Malformed(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn send(&self, request: RequestBuilder, url: &str) -> Result<Response, ServerError> {
        let request = match &self.bearer {
            Some(bearer) => request.bearer_auth(bearer),
            None => request,
        };
        request
            .send()
            .await
            .map_err(|error| unreachable(url, &error))
    }

    fn url(&self, path: &str) -> Result<Url, ServerError> {
        self.base.join(path).map_err(|error| ServerError::Url {
            url: self.base.to_string(),
            problem: error.to_string(),
        })
    }
}

impl Stream {
    /// The data of the next event.
    pub(super) async fn next(&mut self) -> Result<Option<String>, ServerError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.events.is_done() {
                return Ok(None);
            }
            let chunk = self.response.chunk().await;
            match chunk.map_err(|error| unreachable(&self.url, &error))? {
                Some(bytes) => self.ready.extend(self.events.push(&bytes)?),
                // Some end without a word; whether the answer is whole its content says.
                None => return Ok(None),
            }
        }
    }
}

fn unreachable(url: &str, error: &reqwest::Error) -> ServerError {
    let mut why = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        why = cause.to_string();
        source = cause.source();
    }
    ServerError::Unreachable {
        url: url.to_owned(),
        error: why,
    }
}

/// A whole body, no longer than that.
async fn text(url: &str, mut response: Response, most: usize) -> Result<String, ServerError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| unreachable(url, &error))?
    {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > most {
            return Err(ServerError::Malformed(format!(
                "{url} answers with more than {most} bytes"
            )));
        }
    }
    String::from_utf8(bytes)
        .map_err(|_| ServerError::Malformed(format!("{url} answers with no text in UTF-8")))
}

/// What an error says, in short: OpenAI's form if it has that.
async fn shown(url: &str, response: Response) -> String {
    let text = text(url, response, REPLY_BYTES_MAX)
        .await
        .unwrap_or_else(|error| error.to_string());
    let message = serde_json::from_str(&text).ok().and_then(|value: Value| {
        let error = value.get("error").unwrap_or(&value);
        let message = error.get("message").unwrap_or(error);
        message.as_str().map(str::to_owned)
    });
    let text = message.unwrap_or(text);
    text[..text.floor_char_boundary(SHOWN)].to_owned()
}

/// Whether an address is this machine's own.
fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    host == "localhost" || address.is_ok_and(|address: IpAddr| address.is_loopback())
}
