//! What an order asks for, in the engine's words.

use assay_engine::{
    run::{Request, StopStrings},
    sampler::{Bias, Sampling, constraint::Constraint},
    tokenizer::{self, ChatMessage, Conversation, Tokenizer},
};
use assay_protocol::request::{self, Chat, Format, LogitBias, Message, MessageRole, Task, Tool};

use super::{Job, RunFault, Unfit};

/// A task that is ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) input: Vec<u32>,
    max_tokens: u32,
    sampling: Sampling,
    bias: Vec<Bias>,
    logprobs: Option<u8>,
    pub(crate) stop: Option<StopStrings>,
    constraint: Option<Constraint>,
}

impl Prepared {
    pub(crate) fn new(tokenizer: &Tokenizer, job: &Job) -> Result<Self, RunFault> {
        let input = input(tokenizer, &job.task)?;
        job.admit(input.len())?;
        let parameters = &job.parameters;
        let stop = match parameters.stops() {
            [] => None,
            stops => Some(StopStrings::new(stops).map_err(Unfit::from)?),
        };
        let constraint = match &parameters.format {
            None | Some(Format::Text) => None,
            Some(Format::JsonObject) => Some(Constraint::json_object()),
            Some(Format::JsonSchema(schema)) => {
                Some(Constraint::json_schema(schema).map_err(Unfit::from)?)
            }
        };
        let bias = parameters.sampling.biases().iter();
        Ok(Self {
            input,
            max_tokens: parameters.max_tokens,
            sampling: sampling(&parameters.sampling, job.seed),
            bias: bias
                .map(|LogitBias { token, milli }| Bias {
                    token: *token,
                    milli: *milli,
                })
                .collect(),
            logprobs: parameters.logprobs,
            stop,
            constraint,
        })
    }

    /// The same for the engine.
    pub(crate) fn request<'a>(&'a self, tokenizer: &'a Tokenizer) -> Request<'a> {
        let steered = self.stop.is_some() || self.constraint.is_some();
        Request {
            input: &self.input,
            max_tokens: self.max_tokens,
            sampling: self.sampling,
            bias: &self.bias,
            logprobs: self.logprobs,
            pieces: steered.then(|| tokenizer.pieces()),
            stop: self.stop.as_ref(),
            constraint: self.constraint.as_ref(),
        }
    }
}

/// The token ids that a task begins with, up to where the answer begins.
fn input(tokenizer: &Tokenizer, task: &Task) -> Result<Vec<u32>, Unfit> {
    match task {
        Task::Chat(Chat { messages, tools }) => {
            let messages: Vec<ChatMessage> = messages.iter().map(chat_message).collect();
            let tools: Vec<String> = tools.iter().flatten().map(described).collect();
            Ok(tokenizer.conversation_tokens(&Conversation {
                messages: &messages,
                tools: &tools,
                add_generation_prompt: true,
            })?)
        }
        Task::Completion { prompt } => Ok(tokenizer.text_tokens(prompt)?),
        Task::Embedding { .. } | Task::Training { .. } => {
            Err(Unfit::Kind("it for a chat or a completion"))
        }
    }
}

fn chat_message(message: &Message) -> ChatMessage {
    let Message {
        role,
        content,
        tool_calls: _,
        tool_call_id,
    } = message;
    let calls = message.calls().iter();
    ChatMessage {
        role: match role {
            MessageRole::System => tokenizer::Role::System,
            MessageRole::User => tokenizer::Role::User,
            MessageRole::Assistant => tokenizer::Role::Assistant,
            MessageRole::Tool => tokenizer::Role::Tool,
        },
        content: content.clone(),
        tool_calls: calls
            .map(
                |request::ToolCall {
                     id,
                     name,
                     arguments,
                 }| tokenizer::ToolCall {
                    id: id.clone(),
                    name: name.clone(),
                    arguments: arguments.clone(),
                },
            )
            .collect(),
        tool_call_id: tool_call_id.clone().unwrap_or_default(),
    }
}

/// A tool as chat templates expect it: the JSON object that OpenAI's interface takes.
fn described(tool: &Tool) -> String {
    let Tool {
        name,
        description,
        parameters,
    } = tool;
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let mut function = format!("{{\"name\":{}", text(name));
    if let Some(description) = description {
        function += &format!(",\"description\":{}", text(description));
    }
    if let Some(parameters) = parameters {
        // As it stands: the order of its keys is the requester's.
        function += &format!(",\"parameters\":{parameters}");
    }
    format!("{{\"type\":\"function\",\"function\":{function}}}}}")
}

/// How tokens are drawn, with the seed of the job.
pub(crate) fn sampling(sampling: &request::Sampling, seed: u64) -> Sampling {
    let request::Sampling {
        temperature_milli,
        top_p_ppm,
        top_k,
        min_p_ppm,
        repetition_penalty_milli,
        repetition_window,
        presence_penalty_milli,
        frequency_penalty_milli,
        logit_bias: _,
    } = sampling;
    let neutral = Sampling::GREEDY;
    Sampling {
        temperature_milli: *temperature_milli,
        top_p_ppm: *top_p_ppm,
        top_k: *top_k,
        min_p_ppm: min_p_ppm.unwrap_or(neutral.min_p_ppm),
        repetition_penalty_milli: repetition_penalty_milli
            .unwrap_or(neutral.repetition_penalty_milli),
        repetition_window: repetition_window.unwrap_or(neutral.repetition_window),
        presence_penalty_milli: presence_penalty_milli.unwrap_or(neutral.presence_penalty_milli),
        frequency_penalty_milli: frequency_penalty_milli.unwrap_or(neutral.frequency_penalty_milli),
        seed,
    }
}
