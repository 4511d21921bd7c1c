//! Calls of tools in the text of an answer.
//!
//! A model calls tools by writing text, in the form that its chat template taught it. Two forms are read: JSON between
//! `<tool_call>` and `</tool_call>`, any number of times (Hermes, Qwen), and an answer that is nothing but one JSON object
//! (Llama 3). In both the object has a `name`, and `arguments` or `parameters`.
//!
//! It is the clients' reading of an answer: what workers compare and receipts cover is the text itself. Arguments are kept
//! as they were written; whether they follow a tool's schema is for whoever runs the tool to see.

use serde::de::{DeserializeOwned, IgnoredAny};

use crate::{
    limits,
    request::{Tool, ToolCall},
};

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

/// An answer, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// What it says beside its calls.
    pub content: String,
    /// What it calls, in its order; the ids are `call_0`, `call_1` and so on.
    pub calls: Vec<ToolCall>,
}

/// Why the calls of an answer cannot be followed. The text is an answer all the same; asking again, or with a format that is
/// a schema, may help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Not JSON, or cut off by `max_tokens`.
    #[error("call {index} is no JSON object; ask for more tokens if the answer was cut off")]
    Syntax {
        /// Which call.
        index: usize,
    },
    /// JSON, but no call.
    #[error("call {index} has no name, or not one of arguments and parameters")]
    Shape {
        /// Which call.
        index: usize,
    },
    /// A tool that was not offered.
    #[error("call {index} is of {name:?}, which was not offered")]
    UnknownTool {
        /// Which call.
        index: usize,
        /// Of what.
        name: String,
    },
    /// Arguments that are no JSON object.
    #[error("the arguments of call {index} are no JSON object")]
    Arguments {
        /// Which call.
        index: usize,
    },
    /// More than a conversation may hold.
    #[error("more than {} calls", limits::TOOL_CALLS_MAX)]
    TooMany,
}

/// Reads the calls out of an answer to a request that offered these tools.
pub fn read(text: &str, tools: &[Tool]) -> Result<Reply, CallError> {
    let mut reply = Reply::default();
    if tools.is_empty() {
        reply.content = text.to_owned();
        return Ok(reply);
    }
    if !text.contains(OPEN) {
        match call(text, tools, 0) {
            Ok(call) => reply.calls.push(call),
            // Any other answer, JSON or not.
            Err(_) => reply.content = text.to_owned(),
        }
        return Ok(reply);
    }
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let index = reply.calls.len();
        if index == limits::TOOL_CALLS_MAX {
            return Err(CallError::TooMany);
        }
        reply.content += before;
        // The object says where it ends: its texts may hold the closing mark, and the last mark may be missing.
        let object = value(after).ok_or(CallError::Syntax { index })?;
        reply.calls.push(call(object, tools, index)?);
        let behind = after.trim_start()[object.len()..].trim_start();
        rest = match behind.strip_prefix(CLOSE) {
            Some(rest) => rest,
            None if behind.is_empty() => "",
            None => return Err(CallError::Syntax { index }),
        };
    }
    reply.content += rest;
    reply.content = reply.content.trim().to_owned();
    Ok(reply)
}

/// The call that an object describes.
fn call(object: &str, tools: &[Tool], index: usize) -> Result<ToolCall, CallError> {
    let members = members(object).ok_or(CallError::Syntax { index })?;
    let mut found = members.iter().filter(|(key, _)| key == "name");
    let (Some((_, name)), None) = (found.next(), found.next()) else {
        return Err(CallError::Shape { index });
    };
    let name: String = parsed(name).ok_or(CallError::Shape { index })?;
    let mut found = members
        .iter()
        .filter(|(key, _)| key == "arguments" || key == "parameters");
    let (Some((_, arguments)), None) = (found.next(), found.next()) else {
        return Err(CallError::Shape { index });
    };
    if !tools.iter().any(|tool| tool.name == name) {
        return Err(CallError::UnknownTool { index, name });
    }
    // Some models write the object into a string.
    let arguments = parsed(arguments).unwrap_or_else(|| (*arguments).to_owned());
    if self::members(&arguments).is_none() {
        return Err(CallError::Arguments { index });
    }
    Ok(ToolCall {
        id: format!("call_{index}"),
        name,
        arguments,
    })
}

/// The members of a text that is nothing but a JSON object, each value as it was written.
fn members(object: &str) -> Option<Vec<(String, &str)>> {
    let mut rest = object.trim().strip_prefix('{')?.trim_start();
    let mut members = Vec::new();
    while rest != "}" {
        if !members.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start();
        }
        let key = value(rest)?;
        let text: String = parsed(key)?;
        rest = rest[key.len()..].trim_start().strip_prefix(':')?;
        rest = rest.trim_start();
        let held = value(rest)?;
        rest = rest[held.len()..].trim_start();
        members.push((text, held));
    }
    Some(members)
}

/// The JSON value that a text begins with.
fn value(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    text.get(..values.byte_offset())
}

fn parsed<T: DeserializeOwned>(json: &str) -> Option<T> {
    serde_json::from_str(json).ok()
}
