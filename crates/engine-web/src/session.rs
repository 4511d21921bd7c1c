//! One model and what is asked of it: requests and answers as JSON.
//!
//! Every answer is an object with one key: `ok` and what was asked for, or `error` and a sentence for people. A request that is refused
//! changes nothing.

use std::collections::BTreeMap;

use assay_engine::{
    forward::{Options, batch::SequenceId},
    model::{Model, ModelError},
    run::{self, Checked, Checker, Event, Finish, Group, RunError, StopError, StopStrings},
    sampler::{
        Logprobs, Sampling,
        constraint::{Constraint, ConstraintError},
    },
    tokenizer::{ChatMessage, Role, TemplateError, Tokenizer, TokenizerError},
};
use serde::{Deserialize, Serialize};

/// Bytes of the longest request.
pub const REQUEST_BYTES_MAX: usize = 8 << 20;
/// Most checks in progress.
pub const CHECKS_MAX: usize = 16;
/// Claimed tokens that one step of a check runs.
pub const CHECK_STEP: usize = 64;

/// One model in memory.
#[derive(Debug)]
pub struct Session {
    /// Lives as long as the module, which holds one model only.
    model: &'static Model,
    tokenizer: Option<Tokenizer>,
    group: Group<'static>,
    names: BTreeMap<u64, SequenceId>,
    checks: BTreeMap<u64, Check>,
    next: u64,
}

/// What a model is.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Opened {
    /// Root over weights and manifest, in hexadecimal.
    pub root: String,
    /// Its name in the manifest.
    pub name: String,
    /// Semantics that its results follow.
    pub spec: String,
    /// Most tokens of input and output together.
    pub context_max: usize,
    /// Whether it reads and writes text.
    pub tokenizer: bool,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to ask yet.
    #[error("no model is open; call open first")]
    NoModel,
    /// The file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Its tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Text without a tokenizer.
    #[error("this model has no tokenizer; give and take token ids")]
    NoTokenizer,
    /// Messages that the template refuses.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// What the engine refuses.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Stop strings.
    #[error(transparent)]
    Stop(#[from] StopError),
    /// A schema.
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
    /// Not a request.
    #[error("not a request: {0}")]
    Request(#[from] serde_json::Error),
    /// Too long.
    #[error("a request of {0} bytes, more than the limit of {REQUEST_BYTES_MAX}")]
    RequestBytes(usize),
    /// Nobody has this name.
    #[error("nothing goes on under the name {0}; it has ended or never began")]
    Unknown(u64),
    /// Too many at once.
    #[error("{CHECKS_MAX} checks are in progress, which is the limit; finish or leave one")]
    Checks,
}

/// A request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Ask {
    /// The tokens of a conversation, up to where the answer begins.
    PromptTokens { messages: Vec<Message> },
    /// The text of tokens.
    Text { tokens: Vec<u32> },
    /// Begins a generation.
    Generate(Job),
    /// Runs one pass for all generations.
    Step {},
    /// Begins a check of an answer.
    Check { job: Job, claim: Claim },
    /// Goes on with a check.
    CheckStep { id: u64 },
    /// Ends a generation or a check before its time.
    Leave { id: u64 },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    role: Speaker,
    content: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Speaker {
    System,
    User,
    Assistant,
}

/// What is to be generated.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    input: Vec<u32>,
    max_tokens: u32,
    #[serde(default)]
    sampling: Draws,
    #[serde(default)]
    stop: Vec<String>,
    /// A JSON schema that the answer follows.
    schema: Option<serde_json::Value>,
    /// Alternatives with each log-probability.
    logprobs: Option<u8>,
}

/// How tokens are drawn; what is left out is off.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Draws {
    temperature_milli: u32,
    top_p_ppm: u32,
    top_k: u32,
    min_p_ppm: u32,
    /// Decimal digits: JavaScript's numbers are too short.
    seed: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    output: Vec<u32>,
    finish: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Ending {
    Stop,
    Length,
}

/// A check in progress.
#[derive(Debug)]
struct Check {
    checker: Checker<'static>,
    claim: Claim,
    done: usize,
}

/// What happened to a generation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Token {
        id: u64,
        index: u32,
        token: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        logprobs: Option<Likely>,
    },
    Done {
        id: u64,
        transcript: Transcript,
    },
    Failed {
        id: u64,
        error: String,
    },
}

/// Log-probabilities in millionths of a nat.
#[derive(Debug, Serialize)]
struct Likely {
    micro_nats: i64,
    top: Vec<(u32, i64)>,
}

#[derive(Debug, Serialize)]
struct Transcript {
    output: Vec<u32>,
    finish: Ending,
    trace_root: String,
    /// The answer, where the model has a tokenizer.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// How far a check is, or what it found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Progress {
    Going {
        done: usize,
        total: usize,
    },
    Match {
        transcript: Transcript,
    },
    Mismatch {
        position: u32,
        expected: Option<u32>,
        trace_root: String,
    },
}

/// The answer to any request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Tokens(Vec<u32>),
    Text(String),
    Id(u64),
    Events(Vec<Told>),
    Check(Progress),
    Left(bool),
}

impl Default for Draws {
    fn default() -> Self {
        let Sampling {
            temperature_milli,
            top_p_ppm,
            top_k,
            min_p_ppm,
            ..
        } = Sampling::GREEDY;
        Self {
            temperature_milli,
            top_p_ppm,
            top_k,
            min_p_ppm,
            seed: "0".to_owned(),
        }
    }
}

impl Session {
    /// Opens a model file and checks all of it.
    pub fn open(file: Vec<u8>) -> Result<(Self, Opened), Error> {
        let model = Model::from_bytes(file)?;
        model.verify()?;
        let tokenizer = match model.manifest() {
            Some(manifest) if manifest.tokenizer.is_some() => Some(Tokenizer::from_model(&model)?),
            _ => None,
        };
        let manifest = model.manifest();
        let opened = Opened {
            root: hex::encode(model.root()),
            name: manifest.map_or_else(String::new, |manifest| manifest.name.clone()),
            spec: manifest.map_or_else(String::new, |manifest| manifest.spec.clone()),
            context_max: model.shape.context_max,
            tokenizer: tokenizer.is_some(),
        };
        let model: &'static Model = Box::leak(Box::new(model));
        let session = Self {
            model,
            tokenizer,
            group: Group::new(model, &Options::default(), 0)?,
            names: BTreeMap::new(),
            checks: BTreeMap::new(),
            next: 0,
        };
        Ok((session, opened))
    }

    /// Answers a request: JSON in, JSON out.
    pub fn call(&mut self, request: &[u8]) -> String {
        text(self.ask(request))
    }

    fn ask(&mut self, request: &[u8]) -> Result<Answer, Error> {
        if request.len() > REQUEST_BYTES_MAX {
            return Err(Error::RequestBytes(request.len()));
        }
        match serde_json::from_slice(request)? {
            Ask::PromptTokens { messages } => self.prompt_tokens(messages).map(Answer::Tokens),
            Ask::Text { tokens } => Ok(Answer::Text(self.tokenizer()?.answer_text(&tokens))),
            Ask::Generate(job) => self.generate(&job).map(Answer::Id),
            Ask::Step {} => self.step().map(Answer::Events),
            Ask::Check { job, claim } => self.check(&job, claim).map(Answer::Id),
            Ask::CheckStep { id } => self.check_step(id).map(Answer::Check),
            Ask::Leave { id } => Ok(Answer::Left(self.leave(id))),
        }
    }

    fn tokenizer(&self) -> Result<&Tokenizer, Error> {
        self.tokenizer.as_ref().ok_or(Error::NoTokenizer)
    }

    fn prompt_tokens(&self, messages: Vec<Message>) -> Result<Vec<u32>, Error> {
        let messages: Vec<ChatMessage> = messages
            .into_iter()
            .map(|Message { role, content }| {
                let role = match role {
                    Speaker::System => Role::System,
                    Speaker::User => Role::User,
                    Speaker::Assistant => Role::Assistant,
                };
                ChatMessage::new(role, content)
            })
            .collect();
        Ok(self.tokenizer()?.prompt_tokens(&messages)?)
    }

    fn name(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Reads a job and hands it on as the engine asks for it.
    fn with_request<T>(
        &mut self,
        job: &Job,
        then: impl FnOnce(&mut Self, &run::Request<'_>) -> Result<T, RunError>,
    ) -> Result<T, Error> {
        let stop = StopStrings::new(&job.stop)?;
        let schema = job.schema.as_ref().map(ToString::to_string);
        let constraint = schema.as_deref().map(Constraint::json_schema).transpose()?;
        let pieces = match job.stop.is_empty() && constraint.is_none() {
            true => None,
            false => Some(self.tokenizer()?.pieces().clone()),
        };
        let Draws {
            temperature_milli,
            top_p_ppm,
            top_k,
            min_p_ppm,
            ref seed,
        } = job.sampling;
        let seed = seed.parse().map_err(|error| {
            let error = format!("seed {seed:?}: {error}");
            <serde_json::Error as serde::de::Error>::custom(error)
        })?;
        let request = run::Request {
            input: &job.input,
            max_tokens: job.max_tokens,
            sampling: Sampling {
                temperature_milli,
                top_p_ppm,
                top_k,
                min_p_ppm,
                seed,
                ..Sampling::GREEDY
            },
            logprobs: job.logprobs,
            pieces: pieces.as_ref(),
            stop: Some(&stop),
            constraint: constraint.as_ref(),
            ..run::Request::default()
        };
        Ok(then(self, &request)?)
    }

    fn generate(&mut self, job: &Job) -> Result<u64, Error> {
        let member = self.with_request(job, |session, request| session.group.join(request))?;
        let name = self.name();
        self.names.insert(name, member);
        Ok(name)
    }

    fn step(&mut self) -> Result<Vec<Told>, Error> {
        if self.group.is_empty() {
            return Ok(Vec::new());
        }
        let events = self.group.step()?;
        let mut told = Vec::new();
        for (member, event) in events {
            let name = self.names.iter().find(|(_, known)| **known == member);
            let Some(id) = name.map(|(name, _)| *name) else {
                continue;
            };
            told.push(match event {
                Event::Token {
                    index,
                    token,
                    logprobs,
                } => Told::Token {
                    id,
                    index,
                    token,
                    logprobs: logprobs.map(Likely::of),
                },
                Event::Done(transcript) => {
                    self.names.remove(&id);
                    let transcript = self.transcript(*transcript);
                    Told::Done { id, transcript }
                }
                Event::Failed(error) => {
                    self.names.remove(&id);
                    let error = error.to_string();
                    Told::Failed { id, error }
                }
            });
        }
        Ok(told)
    }

    fn check(&mut self, job: &Job, claim: Claim) -> Result<u64, Error> {
        if self.checks.len() >= CHECKS_MAX {
            return Err(Error::Checks);
        }
        let model = self.model;
        let options = Options {
            prefill_chunk: CHECK_STEP,
            ..Options::default()
        };
        let checker =
            self.with_request(job, |_, request| Checker::new(model, request, &options))?;
        let name = self.name();
        self.checks.insert(
            name,
            Check {
                checker,
                claim,
                done: 0,
            },
        );
        Ok(name)
    }

    fn check_step(&mut self, id: u64) -> Result<Progress, Error> {
        let check = self.checks.get_mut(&id).ok_or(Error::Unknown(id))?;
        let total = check.claim.output.len();
        let until = total.min(check.done + CHECK_STEP);
        let agrees = check.checker.push(&check.claim.output[check.done..until])?;
        check.done = until;
        if agrees && until < total {
            return Ok(Progress::Going { done: until, total });
        }
        let Some(Check { checker, claim, .. }) = self.checks.remove(&id) else {
            return Err(Error::Unknown(id));
        };
        let finish = match claim.finish {
            Ending::Stop => Finish::Stop,
            Ending::Length => Finish::Length,
        };
        Ok(match checker.finish(finish)? {
            Checked::Match(transcript) => Progress::Match {
                transcript: self.transcript(transcript),
            },
            Checked::Mismatch {
                position,
                expected,
                trace_root,
            } => Progress::Mismatch {
                position,
                expected,
                trace_root: hex::encode(trace_root),
            },
        })
    }

    fn leave(&mut self, id: u64) -> bool {
        if let Some(member) = self.names.remove(&id) {
            self.group.leave(member);
            return true;
        }
        self.checks.remove(&id).is_some()
    }

    fn transcript(&self, transcript: run::Transcript) -> Transcript {
        let text = self
            .tokenizer
            .as_ref()
            .map(|tokenizer| tokenizer.answer_text_before(&transcript.output, transcript.stop));
        Transcript {
            finish: match transcript.finish {
                Finish::Stop => Ending::Stop,
                Finish::Length => Ending::Length,
            },
            trace_root: hex::encode(transcript.trace_root),
            output: transcript.output,
            text,
        }
    }
}

impl Likely {
    fn of(logprobs: Logprobs) -> Self {
        let top = logprobs.top.iter();
        Self {
            micro_nats: logprobs.drawn.micro_nats,
            top: top.map(|one| (one.token, one.micro_nats)).collect(),
        }
    }
}

/// An answer as JSON.
pub(crate) fn text<T: Serialize>(answer: Result<T, Error>) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Either<T> {
        Ok(T),
        Error(String),
    }
    let either = match answer {
        Ok(answer) => Either::Ok(answer),
        Err(error) => Either::Error(error.to_string()),
    };
    serde_json::to_string(&either).expect("BUG: an answer is plain data")
}

#[cfg(test)]
mod tests;
