//! The chat template of a model, rendered with bounds, and how its control tokens are told from the user's text.
//!
//! A template writes control tokens as plain text (`<|im_start|>`), and a message may hold the same characters. Before
//! rendering, every place in a message where a control token stands, or could come to stand with the template's text
//! around it, is broken by a guard: a character that occurs in no message, nor in the template. What is still whole
//! after rendering is the template's own. The guards are taken out before the text between control tokens is encoded, so
//! a message without control tokens gives the same ids as in any other implementation.

use std::{collections::BTreeMap, io, string::String, vec::Vec};

use minijinja::{Environment, Error, ErrorKind, Value, syntax::SyntaxConfig};
use thiserror::Error;

use super::{
    TokenizerError,
    control::ControlTexts,
    python::{Members, method, to_json, value_of},
    shortened,
};
use crate::sampler::constraint::{Json, JsonError};

/// Most messages in one prompt.
pub const MESSAGES_MAX: usize = 256;
/// Most tools that a model is told of.
pub const TOOLS_MAX: usize = 128;
/// Most calls of tools in one prompt.
pub const TOOL_CALLS_MAX: usize = 256;
/// Most bytes of all messages and tools together.
pub const MESSAGES_BYTES_MAX: usize = 256 << 10;
/// Most bytes that a template may write.
pub const RENDERED_BYTES_MAX: usize = 512 << 10;
/// Steps that a template may take; a step also pays for 64 bytes of memory.
const FUEL: u64 = 500_000;
/// Deepest nesting of calls inside a template.
const RECURSION_MAX: usize = 100;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// The person or program that asks.
    User,
    /// The model, earlier.
    Assistant,
    /// A tool that the model called.
    Tool,
}

impl Role {
    /// The name that templates know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// Calls of tools that an assistant made.
    pub tool_calls: Vec<ToolCall>,
    /// Which call a tool answers; empty where that does not matter.
    pub tool_call_id: String,
}

impl ChatMessage {
    /// A message that is nothing but text.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            tool_calls: Vec::new(),
            tool_call_id: String::new(),
        }
    }
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// Which call, for the answer to name.
    pub id: String,
    /// The tool.
    pub name: String,
    /// What it is called with: a JSON object.
    pub arguments: String,
}

/// What a prompt is made of.
#[derive(Debug, Clone, Copy)]
pub struct Conversation<'a> {
    /// What was said, at least one message.
    pub messages: &'a [ChatMessage],
    /// Tools that the model may call, each described by a JSON object.
    pub tools: &'a [String],
    /// Whether the prompt ends where an answer begins.
    pub add_generation_prompt: bool,
}

/// Why messages could not become a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    #[error("model holds no chat template; give it plain tokens")]
    NoTemplate,
    #[error("there are no messages; give at least one")]
    NoMessages,
    #[error("{found} messages, more than the limit of {max}; leave out the oldest")]
    MessageCount { found: usize, max: usize },
    #[error(
        "messages are {found} bytes long together, more than the limit of {max}; leave out the oldest"
    )]
    MessageBytes { found: usize, max: usize },
    #[error("{found} {what}, more than the limit of {max}; leave some out")]
    ToolCount {
        what: &'static str,
        found: usize,
        max: usize,
    },
    #[error("{what} {index} cannot be read: {reason}")]
    ToolJson {
        what: &'static str,
        index: usize,
        reason: String,
    },
    #[error("chat template cannot be read ({reason}); convert the model again")]
    Syntax { reason: String },
    #[error("chat template refuses these messages: {reason}")]
    Refused { reason: String },
    #[error("chat template writes nothing for these messages; give plain tokens")]
    Empty,
    #[error("chat template writes more than {max} bytes")]
    RenderedBytes { max: usize },
    #[error("chat template takes more steps or memory than allowed; shorten the messages")]
    Fuel,
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// A template with the texts it may refer to.
#[derive(Debug)]
pub(super) struct ChatTemplate {
    source: String,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    pub(super) fn new(source: String, bos: String, eos: String) -> Self {
        Self { source, bos, eos }
    }

    /// The prompt as text, and the guard that breaks control tokens inside messages.
    pub(super) fn render(
        &self,
        conversation: &Conversation<'_>,
        control: &ControlTexts,
    ) -> Result<(String, char), TemplateError> {
        let checked = Checked::new(conversation)?;
        let guard = choose_guard(conversation, &self.source);
        let text = |text: &str| guarded(text, guard, control);
        let messages: Vec<Value> = conversation
            .messages
            .iter()
            .zip(&checked.arguments)
            .map(|(message, arguments)| message_value(message, arguments, &text))
            .collect();
        let tools = match &checked.tools[..] {
            [] => Value::from(()),
            tools => tools.iter().map(|tool| value_of(tool, &text)).collect(),
        };
        let context = Value::from(BTreeMap::from([
            ("messages", Value::from(messages)),
            ("tools", tools),
            (
                "add_generation_prompt",
                Value::from(conversation.add_generation_prompt),
            ),
            ("bos_token", Value::from(self.bos.as_str())),
            ("eos_token", Value::from(self.eos.as_str())),
        ]));
        let environment = environment();
        let template = environment
            .template_from_str(&self.source)
            .map_err(|error| TemplateError::Syntax {
                reason: reason(&error),
            })?;
        let mut out = Capped {
            text: Vec::new(),
            full: false,
        };
        let rendered = template.render_captured_to(context, &mut out).map(|_| ());
        if out.full {
            return Err(TemplateError::RenderedBytes {
                max: RENDERED_BYTES_MAX,
            });
        }
        rendered.map_err(|error| match error.kind() {
            ErrorKind::OutOfFuel => TemplateError::Fuel,
            _ => TemplateError::Refused {
                reason: reason(&error),
            },
        })?;
        let text = String::from_utf8(out.text).expect("BUG: a template writes text");
        Ok((text, guard))
    }
}

/// What a conversation holds besides text, read.
struct Checked {
    tools: Vec<Json>,
    /// By message, then by call.
    arguments: Vec<Vec<Json>>,
}

impl Checked {
    fn new(conversation: &Conversation<'_>) -> Result<Self, TemplateError> {
        let Conversation {
            messages, tools, ..
        } = conversation;
        if messages.is_empty() {
            return Err(TemplateError::NoMessages);
        }
        if messages.len() > MESSAGES_MAX {
            return Err(TemplateError::MessageCount {
                found: messages.len(),
                max: MESSAGES_MAX,
            });
        }
        let bytes = texts(conversation).map(str::len).sum();
        if bytes > MESSAGES_BYTES_MAX {
            return Err(TemplateError::MessageBytes {
                found: bytes,
                max: MESSAGES_BYTES_MAX,
            });
        }
        let calls = messages
            .iter()
            .map(|message| message.tool_calls.len())
            .sum();
        for (what, found, max) in [
            ("tools", tools.len(), TOOLS_MAX),
            ("tool calls", calls, TOOL_CALLS_MAX),
        ] {
            if found > max {
                return Err(TemplateError::ToolCount { what, found, max });
            }
        }
        let read = |what: &'static str, index: usize, text: &str| {
            let error = |reason: JsonError| TemplateError::ToolJson {
                what,
                index,
                reason: reason.to_string(),
            };
            match Json::parse(text).map_err(error)? {
                object @ Json::Object(_) => Ok(object),
                _ => Err(TemplateError::ToolJson {
                    what,
                    index,
                    reason: "it is not an object".into(),
                }),
            }
        };
        let arguments = messages.iter().map(|message| {
            let calls = message.tool_calls.iter().enumerate();
            calls
                .map(|(i, call)| read("tool call", i, &call.arguments))
                .collect()
        });
        Ok(Self {
            arguments: arguments.collect::<Result<_, _>>()?,
            tools: tools
                .iter()
                .enumerate()
                .map(|(i, tool)| read("tool", i, tool))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Every text of a conversation that comes from outside.
fn texts<'c>(conversation: &Conversation<'c>) -> impl Iterator<Item = &'c str> {
    let messages = conversation.messages.iter().flat_map(|message| {
        let calls = message.tool_calls.iter();
        let calls = calls.flat_map(|call| [&call.id, &call.name, &call.arguments]);
        calls.chain([&message.content, &message.tool_call_id])
    });
    messages.chain(conversation.tools).map(String::as_str)
}

/// A message as templates know it. Members that it does not have are left out.
fn message_value(
    message: &ChatMessage,
    arguments: &[Json],
    text: &dyn Fn(&str) -> String,
) -> Value {
    let mut members = Vec::from([
        ("role".to_owned(), Value::from(message.role.as_str())),
        ("content".to_owned(), Value::from(text(&message.content))),
    ]);
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().zip(arguments);
        let calls = calls.map(|(call, arguments)| {
            let function = Members::value(Vec::from([
                ("name".to_owned(), Value::from(text(&call.name))),
                ("arguments".to_owned(), value_of(arguments, text)),
            ]));
            Members::value(Vec::from([
                ("id".to_owned(), Value::from(text(&call.id))),
                ("type".to_owned(), Value::from("function")),
                ("function".to_owned(), function),
            ]))
        });
        members.push(("tool_calls".to_owned(), calls.collect()));
    }
    if !message.tool_call_id.is_empty() {
        let id = Value::from(text(&message.tool_call_id));
        members.push(("tool_call_id".to_owned(), id));
    }
    Members::value(members)
}

fn environment<'source>() -> Environment<'source> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    // As templates of this kind are written for.
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    environment.set_syntax(syntax.expect("BUG: the usual delimiters are valid"));
    environment.add_function(
        "raise_exception",
        |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        },
    );
    environment.add_filter("tojson", to_json);
    environment.set_unknown_method_callback(|state, value, name, arguments| {
        method(state, value, name, arguments)
    });
    environment
}

fn reason(error: &Error) -> String {
    shortened(error.detail().unwrap_or("no detail"))
}

/// Takes what a template writes, up to the limit.
struct Capped {
    text: Vec<u8>,
    full: bool,
}

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > RENDERED_BYTES_MAX {
            self.full = true;
            return Err(io::Error::other("too much text"));
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A character that occurs in no message and not in the template: a noncharacter, or else one for private use.
fn choose_guard(conversation: &Conversation<'_>, template: &str) -> char {
    let mut used: Vec<char> = texts(conversation)
        .chain([template])
        .flat_map(str::chars)
        .filter(|c| *c >= '\u{fdd0}')
        .collect();
    used.sort_unstable();
    used.dedup();
    ('\u{fdd0}'..='\u{fdef}')
        .chain('\u{f0000}'..='\u{10fffd}')
        .find(|c| used.binary_search(c).is_err())
        .expect("BUG: more distinct characters than the limit on bytes allows")
}

/// A message with guards wherever a control token stands or could come to stand.
///
/// A token that is to appear around the message's text must be inside it, begin in it, end in it or contain it. Templates
/// may trim messages, so the ends are judged without white space.
fn guarded(content: &str, guard: char, control: &ControlTexts) -> String {
    let trimmed = content.trim();
    let begin = content.len() - content.trim_start().len();
    let end = begin + trimmed.len();
    let could_end_one = control.texts().any(|text| {
        let continues = text
            .char_indices()
            .skip(1)
            .any(|(at, _)| trimmed.starts_with(&text[at..]));
        continues || (!trimmed.is_empty() && text.contains(trimmed))
    });

    let mut out = String::with_capacity(content.len() + 16);
    for (at, c) in content.char_indices() {
        if at == begin && could_end_one {
            out.push(guard);
        }
        out.push(c);
        let rest = &content.as_bytes()[at..];
        let could_begin_one = || {
            let tail = content.get(at..end).unwrap_or_default();
            tail.len() < control.longest
                && !tail.is_empty()
                && control.texts().any(|text| text.starts_with(tail))
        };
        if control.at(rest).is_some() || could_begin_one() {
            out.push(guard);
        }
    }
    out
}
