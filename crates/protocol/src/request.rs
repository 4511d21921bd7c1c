//! What may be asked: tasks, how tokens are drawn, what an answer must look like, how sure it must be.
//!
//! Everything that is optional is absent in a short request, and what is absent means the same as its neutral value, also to
//! every hash. Numbers are integers: no float ever decides an answer.

use candid::CandidType;
use serde::{Deserialize, Serialize};

use crate::{Hash32, Hasher, ModelId, limits};

/// A model, by name or by version.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum ModelRef {
    /// The registered name; the job pins the version it means at submit.
    Name(String),
    /// A version id.
    Version(ModelId),
}

/// What a requester asks for.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct JobRequest {
    /// Which model.
    pub model: ModelRef,
    /// What it is to do.
    pub task: Task,
    /// How the answer is generated and when it ends.
    pub parameters: Parameters,
    /// Seed of the draws; the canister draws one when absent.
    pub seed: Option<u64>,
    /// How sure the answer must be.
    pub assurance: Assurance,
}

/// What a model is to do.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum Task {
    /// The next message of a conversation.
    Chat(Chat),
    /// What comes after a text, which the model reads as it stands.
    Completion {
        /// The text.
        prompt: String,
    },
    /// The vector of a text.
    Embedding {
        /// The text.
        text: String,
    },
    /// A step of training; not available yet.
    Training {
        /// Root of the weights to begin with.
        checkpoint_root: Hash32,
    },
}

/// A conversation, and the tools that the model may call in it.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Chat {
    /// Oldest first; the last message is the user's or a tool's.
    pub messages: Vec<Message>,
    /// Tools, each with a name of its own.
    pub tools: Option<Vec<Tool>>,
}

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum MessageRole {
    /// Instructions.
    System,
    /// The person or program that asks.
    User,
    /// The model, earlier.
    Assistant,
    /// A tool that the model called.
    Tool,
}

impl MessageRole {
    /// The name that chat templates use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: MessageRole,
    /// What is said; may be empty where an assistant only calls tools.
    pub content: String,
    /// Calls that an assistant made.
    pub tool_calls: Option<Vec<ToolCall>>,
    /// Which call a tool answers.
    pub tool_call_id: Option<String>,
}

impl Message {
    /// A message that is nothing but text.
    pub fn new(role: MessageRole, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            tool_calls: None,
            tool_call_id: None,
        }
    }
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct ToolCall {
    /// Which call, for the answer to name.
    pub id: String,
    /// The tool.
    pub name: String,
    /// What it is called with: a JSON object.
    pub arguments: String,
}

/// A tool that a model may call.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Tool {
    /// Letters, digits, `_` and `-`.
    pub name: String,
    /// What it does, for the model to read.
    pub description: Option<String>,
    /// JSON Schema of its arguments: a JSON object.
    pub parameters: Option<String>,
}

/// How an answer is generated and when it ends. The result root covers all of it.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Parameters {
    /// Tokens to generate at most, 1 to [`limits::OUTPUT_TOKENS_MAX`]; 1 for an embedding, which generates none.
    pub max_tokens: u32,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Texts that end the answer, which does not hold them.
    pub stop: Option<Vec<String>>,
    /// What the answer must look like; any text when absent.
    pub format: Option<Format>,
    /// With each token its log-probability, and those of so many others.
    pub logprobs: Option<u8>,
}

impl Parameters {
    /// So many tokens at most, drawn so; nothing else asked for.
    pub const fn new(max_tokens: u32, sampling: Sampling) -> Self {
        Self {
            max_tokens,
            sampling,
            stop: None,
            format: None,
            logprobs: None,
        }
    }

    /// Whether something else than an end token may end the answer.
    pub fn is_steered(&self) -> bool {
        !self.stops().is_empty() || !matches!(self.format, None | Some(Format::Text))
    }

    /// The stop strings.
    pub fn stops(&self) -> &[String] {
        self.stop.as_deref().unwrap_or_default()
    }

    /// Bytes of text in them.
    pub fn text_bytes(&self) -> usize {
        let stops: usize = self.stops().iter().map(String::len).sum();
        let schema = match &self.format {
            Some(Format::JsonSchema(schema)) => schema.len(),
            _ => 0,
        };
        stops + schema
    }

    /// Adds them to an encoding.
    pub fn hash_into(&self, hasher: Hasher) -> Hasher {
        let Self {
            max_tokens,
            sampling,
            stop: _,
            format,
            logprobs,
        } = self;
        let mut hasher = sampling.hash_into(hasher.u64(u64::from(*max_tokens)));
        hasher = hasher.u64(self.stops().len() as u64);
        for stop in self.stops() {
            hasher = hasher.bytes(stop.as_bytes());
        }
        hasher = match format {
            None | Some(Format::Text) => hasher.bytes(b"text"),
            Some(Format::JsonObject) => hasher.bytes(b"json object"),
            Some(Format::JsonSchema(schema)) => {
                hasher.bytes(b"json schema").bytes(schema.as_bytes())
            }
        };
        hasher.bytes(&option(logprobs.map(u64::from)))
    }
}

/// How tokens are drawn.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Sampling {
    /// Temperature in thousandths; 0 is greedy, at most [`limits::TEMPERATURE_MILLI_MAX`].
    pub temperature_milli: u32,
    /// Nucleus mass in millionths, 1 to 1,000,000.
    pub top_p_ppm: u32,
    /// Keep the k likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Least weight that is kept, in millionths of the likeliest token's; 0, the neutral value, keeps all.
    pub min_p_ppm: Option<u32>,
    /// What logits of tokens seen before are divided by (positive ones) or multiplied by (others), in thousandths, 1 to
    /// [`limits::REPETITION_PENALTY_MILLI_MAX`]; 1,000 is neutral.
    pub repetition_penalty_milli: Option<u32>,
    /// How many of the latest tokens, input included, count as seen before; 0, the neutral value, counts all.
    pub repetition_window: Option<u32>,
    /// What is taken from the logit of every generated token, in thousandths, at most
    /// [`limits::PENALTY_MILLI_MAX`] of either sign; 0 is neutral.
    pub presence_penalty_milli: Option<i32>,
    /// What is taken from the logit of a generated token for each time that it was, in the same way.
    pub frequency_penalty_milli: Option<i32>,
    /// What is added to the logits of single tokens.
    pub logit_bias: Option<Vec<LogitBias>>,
}

/// What is added to the logit of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct LogitBias {
    /// The token.
    pub token: u32,
    /// In thousandths, at most [`limits::LOGIT_BIAS_MILLI_MAX`] of either sign.
    pub milli: i32,
}

/// [`Sampling::repetition_penalty_milli`] that changes nothing.
pub const REPETITION_PENALTY_MILLI_NEUTRAL: u32 = 1_000;

impl Sampling {
    /// Always the likeliest token.
    pub const GREEDY: Self = Self {
        temperature_milli: 0,
        top_p_ppm: 1_000_000,
        top_k: 0,
        min_p_ppm: None,
        repetition_penalty_milli: None,
        repetition_window: None,
        presence_penalty_milli: None,
        frequency_penalty_milli: None,
        logit_bias: None,
    };

    /// The biases.
    pub fn biases(&self) -> &[LogitBias] {
        self.logit_bias.as_deref().unwrap_or_default()
    }

    fn hash_into(&self, hasher: Hasher) -> Hasher {
        let Self {
            temperature_milli,
            top_p_ppm,
            top_k,
            min_p_ppm,
            repetition_penalty_milli,
            repetition_window,
            presence_penalty_milli,
            frequency_penalty_milli,
            logit_bias: _,
        } = self;
        let mut hasher = hasher
            .u64(u64::from(*temperature_milli))
            .u64(u64::from(*top_p_ppm))
            .u64(u64::from(*top_k))
            .u64(u64::from(min_p_ppm.unwrap_or(0)))
            .u64(u64::from(
                repetition_penalty_milli.unwrap_or(REPETITION_PENALTY_MILLI_NEUTRAL),
            ))
            .u64(u64::from(repetition_window.unwrap_or(0)))
            .i64(i64::from(presence_penalty_milli.unwrap_or(0)))
            .i64(i64::from(frequency_penalty_milli.unwrap_or(0)))
            .u64(self.biases().len() as u64);
        for LogitBias { token, milli } in self.biases() {
            hasher = hasher.u64(u64::from(*token)).i64(i64::from(*milli));
        }
        hasher
    }
}

/// What an answer must look like.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum Format {
    /// Any text.
    Text,
    /// A JSON object.
    JsonObject,
    /// JSON that follows this schema.
    JsonSchema(String),
}

/// How sure the answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum Assurance {
    /// One worker, not compared with anyone: the verdict says so.
    Single,
    /// One worker generates, others check the transcript.
    Checked {
        /// How many check, 1 to [`limits::CHECKERS_MAX`].
        checkers: u8,
    },
    /// Independent generations that must all agree.
    Equality {
        /// How many generate, 2 to [`limits::REPLICAS_MAX`].
        total: u8,
    },
    /// Independent generations of which some must agree.
    Threshold {
        /// How many generate, 2 to [`limits::REPLICAS_MAX`].
        total: u8,
        /// How many must agree: more than half of them, so that no two answers can both have enough.
        min: u8,
    },
    /// A referee canister decides; not available yet.
    Refereed,
}

impl Assurance {
    /// How many generate independently and how many of them must agree, where answers are compared so.
    pub const fn replicas(self) -> Option<(u8, u8)> {
        match self {
            Self::Equality { total } => Some((total, total)),
            Self::Threshold { total, min } => Some((total, min)),
            Self::Single | Self::Checked { .. } | Self::Refereed => None,
        }
    }

    /// Adds the assurance to an encoding.
    pub fn hash_into(self, hasher: Hasher) -> Hasher {
        match self {
            Self::Single => hasher.bytes(b"single"),
            Self::Checked { checkers } => hasher.bytes(b"checked").u64(u64::from(checkers)),
            Self::Equality { total } => hasher.bytes(b"equality").u64(u64::from(total)),
            Self::Threshold { total, min } => hasher
                .bytes(b"threshold")
                .u64(u64::from(total))
                .u64(u64::from(min)),
            Self::Refereed => hasher.bytes(b"refereed"),
        }
    }
}

impl Task {
    /// A conversation that begins with this question.
    pub fn question(text: impl Into<String>) -> Self {
        Self::Chat(Chat {
            messages: vec![Message::new(MessageRole::User, text)],
            tools: None,
        })
    }

    /// Bytes of all its texts.
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::Chat(Chat { messages, tools }) => {
                let messages: usize = messages.iter().map(Message::text_bytes).sum();
                let tools: usize = tools.iter().flatten().map(Tool::text_bytes).sum();
                messages + tools
            }
            Self::Completion { prompt: text } | Self::Embedding { text } => text.len(),
            Self::Training { .. } => 0,
        }
    }

    /// Input tokens at worst: one per byte of text, plus what the chat template or the tokenizer adds. Tools and their calls
    /// count twice, because templates write their JSON anew, with spaces.
    pub fn input_tokens_max(&self) -> u32 {
        let (mut messages, mut tools, mut tool_bytes) = (0, 0, 0);
        if let Self::Chat(chat) = self {
            messages = chat.messages.len();
            let calls = chat.messages.iter().flat_map(Message::calls);
            let texts = calls.map(ToolCall::text_bytes);
            let texts = texts.chain(chat.tools.iter().flatten().map(Tool::text_bytes));
            for bytes in texts {
                tools += 1;
                tool_bytes += bytes;
            }
        }
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        number(self.text_bytes() + tool_bytes)
            .saturating_add(number(messages).saturating_mul(limits::TEMPLATE_TOKENS_PER_MESSAGE))
            .saturating_add(number(tools).saturating_mul(limits::TEMPLATE_TOKENS_PER_TOOL))
            .saturating_add(limits::TEMPLATE_TOKENS)
    }

    /// The conversation, where it is one.
    pub fn chat(&self) -> Option<&Chat> {
        match self {
            Self::Chat(chat) => Some(chat),
            _ => None,
        }
    }

    fn hash_into(&self, hasher: Hasher) -> Hasher {
        match self {
            Self::Chat(Chat { messages, tools }) => {
                let mut hasher = hasher.bytes(b"chat").u64(messages.len() as u64);
                for message in messages {
                    hasher = message.hash_into(hasher);
                }
                let tools = tools.as_deref().unwrap_or_default();
                hasher = hasher.u64(tools.len() as u64);
                for tool in tools {
                    hasher = tool.hash_into(hasher);
                }
                hasher
            }
            Self::Completion { prompt } => hasher.bytes(b"completion").bytes(prompt.as_bytes()),
            Self::Embedding { text } => hasher.bytes(b"embedding").bytes(text.as_bytes()),
            Self::Training { checkpoint_root } => hasher.bytes(b"training").hash(checkpoint_root),
        }
    }
}

impl Message {
    /// The calls that it makes.
    pub fn calls(&self) -> &[ToolCall] {
        self.tool_calls.as_deref().unwrap_or_default()
    }

    /// Bytes of all its texts.
    pub fn text_bytes(&self) -> usize {
        let calls: usize = self.calls().iter().map(ToolCall::text_bytes).sum();
        self.content.len() + calls + self.tool_call_id.as_ref().map_or(0, String::len)
    }

    fn hash_into(&self, hasher: Hasher) -> Hasher {
        let Self {
            role,
            content,
            tool_calls: _,
            tool_call_id,
        } = self;
        let mut hasher = hasher
            .bytes(role.name().as_bytes())
            .bytes(content.as_bytes())
            .u64(self.calls().len() as u64);
        for ToolCall {
            id,
            name,
            arguments,
        } in self.calls()
        {
            hasher = hasher
                .bytes(id.as_bytes())
                .bytes(name.as_bytes())
                .bytes(arguments.as_bytes());
        }
        hasher.bytes(tool_call_id.as_deref().unwrap_or_default().as_bytes())
    }
}

impl ToolCall {
    /// Bytes of all its texts.
    pub fn text_bytes(&self) -> usize {
        let Self {
            id,
            name,
            arguments,
        } = self;
        id.len() + name.len() + arguments.len()
    }
}

impl Tool {
    /// Bytes of all its texts.
    pub fn text_bytes(&self) -> usize {
        let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.name.len() + optional(&self.description) + optional(&self.parameters)
    }

    fn hash_into(&self, hasher: Hasher) -> Hasher {
        let Self {
            name,
            description,
            parameters,
        } = self;
        hasher
            .bytes(name.as_bytes())
            .bytes(description.as_deref().unwrap_or_default().as_bytes())
            .bytes(parameters.as_deref().unwrap_or_default().as_bytes())
    }
}

impl JobRequest {
    /// Input tokens at worst.
    pub fn input_tokens_max(&self) -> u32 {
        self.task.input_tokens_max()
    }

    /// Bytes of all its texts.
    pub fn text_bytes(&self) -> usize {
        self.task.text_bytes() + self.parameters.text_bytes()
    }

    /// A hash of every field behind a salt, so that a public log does not give short prompts away.
    pub fn salted_hash(&self, salt: &Hash32) -> Hash32 {
        let Self {
            model,
            task,
            parameters,
            seed,
            assurance,
        } = self;
        let mut hasher = Hasher::new("assay-request-1").hash(salt);
        hasher = match model {
            ModelRef::Name(name) => hasher.bytes(b"name").bytes(name.as_bytes()),
            ModelRef::Version(id) => hasher.bytes(b"version").hash(&id.0),
        };
        hasher = parameters.hash_into(task.hash_into(hasher));
        assurance.hash_into(hasher.bytes(&option(*seed))).finish()
    }
}

/// A number that may be absent, as one field.
fn option(number: Option<u64>) -> Vec<u8> {
    number.map_or_else(Vec::new, |number| number.to_le_bytes().to_vec())
}
