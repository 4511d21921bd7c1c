//! `v1_chat`: what dapps with the crate `ic-llm` call, answered by this market's workers.
//!
//! The interface is that crate's (version 2.0): a model by its registered name, messages, tools; no limits, prices or seeds.
//! So the answer has at most [`limits::V1_CHAT_TOKENS_MAX`] tokens, is checked by one other provider, and costs what `quote` says, from the
//! caller's balance first and the attached cycles then. Whatever is not an answer is a reject that says why.

use std::cell::Cell;

use assay_protocol::{
    Cycles, Timestamp,
    job::{ChatReply, JobView, SubmitArgs, SubmitError, Verdict},
    limits,
    request::{
        Assurance, Chat, JobRequest, Message, MessageRole, ModelRef, Parameters, Sampling, Task,
        Tool, ToolCall,
    },
    tool_calls,
};
use candid::{CandidType, Deserialize};
use serde_json::{Map, Value, json};

/// Seconds after which such a job expires: a little longer than its call waits.
const DEADLINE_SECONDS: u32 = limits::CHAT_SECONDS as u32 + 60;

/// What a dapp asks.
#[derive(Clone, Debug, PartialEq, CandidType, Deserialize)]
pub(crate) struct V1Request {
    pub(crate) model: String,
    pub(crate) messages: Vec<V1Message>,
    pub(crate) tools: Option<Vec<V1Tool>>,
}

#[derive(Clone, Debug, PartialEq, CandidType, Deserialize)]
pub(crate) enum V1Message {
    #[serde(rename = "user")]
    User { content: String },
    #[serde(rename = "system")]
    System { content: String },
    #[serde(rename = "assistant")]
    Assistant(V1Reply),
    #[serde(rename = "tool")]
    Tool {
        content: String,
        tool_call_id: String,
    },
}

/// What a model says.
#[derive(Clone, Debug, Default, PartialEq, CandidType, Deserialize)]
pub(crate) struct V1Reply {
    pub(crate) content: Option<String>,
    pub(crate) tool_calls: Vec<V1Call>,
}

#[derive(Clone, Debug, PartialEq, CandidType, Deserialize)]
pub(crate) struct V1Call {
    pub(crate) id: String,
    pub(crate) function: V1Function,
}

#[derive(Clone, Debug, PartialEq, CandidType, Deserialize)]
pub(crate) struct V1Function {
    pub(crate) name: String,
    pub(crate) arguments: Vec<V1Argument>,
}

#[derive(Clone, Debug, PartialEq, CandidType, Deserialize)]
pub(crate) struct V1Argument {
    pub(crate) name: String,
    pub(crate) value: String,
}

#[derive(Clone, Debug, PartialEq, CandidType, Deserialize)]
pub(crate) enum V1Tool {
    #[serde(rename = "function")]
    Function(V1Offered),
}

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq, CandidType, Deserialize)]
pub(crate) struct V1Offered {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) parameters: Option<V1Parameters>,
}

#[derive(Clone, Debug, PartialEq, CandidType, Deserialize)]
pub(crate) struct V1Parameters {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) properties: Option<Vec<V1Property>>,
    pub(crate) required: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, CandidType, Deserialize)]
pub(crate) struct V1Property {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    #[serde(rename = "enum")]
    pub(crate) allowed: Option<Vec<String>>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, CandidType, Deserialize)]
pub(crate) struct V1Response {
    pub(crate) message: V1Reply,
}

/// The job that a call stands for; `price` is what the market wants for a request.
pub(crate) fn job(
    request: V1Request,
    now: Timestamp,
    price: impl Fn(&JobRequest) -> Result<Cycles, SubmitError>,
) -> Result<SubmitArgs, SubmitError> {
    let V1Request {
        model,
        messages,
        tools,
    } = request;
    let tools = tools.map(|tools| tools.into_iter().map(tool).collect());
    let messages = messages.into_iter().map(message).collect();
    let mut request = JobRequest {
        model: ModelRef::Name(model),
        task: Task::Chat(Chat { messages, tools }),
        parameters: Parameters::new(limits::V1_CHAT_TOKENS_MAX, Sampling::GREEDY),
        seed: None,
        assurance: Assurance::Checked { checkers: 1 },
    };
    let price_cap = match price(&request) {
        // A shorter answer may fit.
        Err(SubmitError::ContextTooLong { input, max, .. }) if input < max => {
            request.parameters.max_tokens = max - input;
            price(&request)?
        }
        priced => priced?,
    };
    Ok(SubmitArgs {
        request,
        price_cap,
        deadline_seconds: DEADLINE_SECONDS,
        idempotency_key: key(now),
    })
}

/// What a dapp gets for a job, or why it gets nothing.
pub(crate) fn response(reply: ChatReply, offered: &[Tool]) -> Result<V1Response, String> {
    let view = match reply {
        ChatReply::Ended(view) => *view,
        ChatReply::Pending { job } => {
            return Err(format!(
                "job {job} is still under way; read it with job({job}) later"
            ));
        }
    };
    let JobView {
        id,
        state,
        verdict,
        answer,
        history,
        ..
    } = view;
    let Some(answer) = answer.filter(|_| verdict == Some(Verdict::Verified)) else {
        let why = history.last().map(|last| format!(" ({:?})", last.reason));
        return Err(format!(
            "job {id} ended without a verified answer: {state:?}{}; it was refunded",
            why.unwrap_or_default()
        ));
    };
    // What looks like a call and cannot be read is text all the same.
    let reply = tool_calls::read(&answer.text, offered).unwrap_or_else(|_| tool_calls::Reply {
        content: answer.text.clone(),
        calls: Vec::new(),
    });
    let content =
        Some(reply.content).filter(|content| !content.is_empty() || reply.calls.is_empty());
    Ok(V1Response {
        message: V1Reply {
            content,
            tool_calls: reply.calls.into_iter().map(call).collect(),
        },
    })
}

/// The tools that a request offers.
pub(crate) fn offered(args: &SubmitArgs) -> Vec<Tool> {
    match &args.request.task {
        Task::Chat(chat) => chat.tools.clone().unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn message(message: V1Message) -> Message {
    match message {
        V1Message::User { content } => Message::new(MessageRole::User, content),
        V1Message::System { content } => Message::new(MessageRole::System, content),
        V1Message::Assistant(V1Reply {
            content,
            tool_calls,
        }) => {
            let calls: Vec<ToolCall> = tool_calls.into_iter().map(called).collect();
            Message {
                tool_calls: Some(calls).filter(|calls| !calls.is_empty()),
                ..Message::new(MessageRole::Assistant, content.unwrap_or_default())
            }
        }
        V1Message::Tool {
            content,
            tool_call_id,
        } => Message {
            tool_call_id: Some(tool_call_id),
            ..Message::new(MessageRole::Tool, content)
        },
    }
}

fn called(V1Call { id, function }: V1Call) -> ToolCall {
    let arguments: Map<String, Value> = function
        .arguments
        .into_iter()
        .map(|argument| (argument.name, Value::String(argument.value)))
        .collect();
    ToolCall {
        id,
        name: function.name,
        arguments: Value::Object(arguments).to_string(),
    }
}

fn call(
    ToolCall {
        id,
        name,
        arguments,
    }: ToolCall,
) -> V1Call {
    let arguments = match serde_json::from_str(&arguments) {
        Ok(Value::Object(arguments)) => arguments,
        _ => Map::new(),
    };
    let argument = |(name, value): (String, Value)| V1Argument {
        name,
        value: match value {
            Value::String(text) => text,
            other => other.to_string(),
        },
    };
    V1Call {
        id,
        function: V1Function {
            name,
            arguments: arguments.into_iter().map(argument).collect(),
        },
    }
}

fn tool(V1Tool::Function(function): V1Tool) -> Tool {
    let V1Offered {
        name,
        description,
        parameters,
    } = function;
    Tool {
        name,
        description,
        parameters: parameters.map(|parameters| schema(parameters).to_string()),
    }
}

/// The JSON Schema of a function's parameters.
fn schema(parameters: V1Parameters) -> Value {
    let V1Parameters {
        kind,
        properties,
        required,
    } = parameters;
    let property = |property: V1Property| {
        let mut told = json!({ "type": property.kind });
        if let Some(description) = property.description {
            told["description"] = description.into();
        }
        if let Some(allowed) = property.allowed {
            told["enum"] = allowed.into();
        }
        (property.name, told)
    };
    let properties: Map<String, Value> = properties
        .unwrap_or_default()
        .into_iter()
        .map(property)
        .collect();
    json!({ "type": kind, "properties": properties, "required": required.unwrap_or_default() })
}

/// A key that no other call has: its time and its number.
fn key(now: Timestamp) -> Vec<u8> {
    thread_local! {
        static VOLATILE_CALLS: Cell<u64> = const { Cell::new(0) };
    }
    let number = VOLATILE_CALLS.get() + 1;
    VOLATILE_CALLS.set(number);
    [&b"v1_chat"[..], &now.0.to_be_bytes(), &number.to_be_bytes()].concat()
}
