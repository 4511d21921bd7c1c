//! What a server answers, put together piece by piece.

use std::fmt::Write as _;

use assay_protocol::{
    Hash32,
    limits::{ANSWER_BYTES_MAX, INPUT_TOKENS_MAX, TOOL_CALLS_MAX},
    request::Parameters,
    result::{Finish, ResultBody},
};
use serde::Deserialize;
use serde_json::Value;

use super::http::{ServerError, ServerFault};

/// An answer on its way.
#[derive(Debug, Default)]
pub(super) struct Answering {
    text: String,
    calls: Vec<Call>,
    finish: Option<String>,
    usage: Option<Usage>,
    input: Vec<u32>,
    output: Vec<u32>,
}

/// A call of a tool.
#[derive(Debug, Default)]
struct Call {
    name: String,
    arguments: String,
}

/// A chunk, or a whole answer.
#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    prompt_token_ids: Option<Vec<u32>>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    /// Of a completion.
    text: Option<String>,
    /// Of a streamed conversation.
    delta: Option<Said>,
    /// Of a whole one.
    message: Option<Said>,
    finish_reason: Option<String>,
    token_ids: Option<Vec<u32>>,
    prompt_token_ids: Option<Vec<u32>>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<String>,
    tool_calls: Option<Vec<Called>>,
}

#[derive(Deserialize)]
struct Called {
    #[serde(default)]
    index: usize,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Usage {
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
}

/// Whether a chunk tells the tokens used.
pub(super) fn has_usage(event: &str) -> bool {
    serde_json::from_str(event).is_ok_and(|reply: Reply| reply.usage.is_some())
}

impl Answering {
    /// Takes a chunk of a stream, or a whole answer; gives the text that it adds.
    pub(super) fn take(&mut self, reply: &str) -> Result<Option<String>, ServerFault> {
        let reply: Reply = serde_json::from_str(reply)
            .map_err(|error| malformed(format!("no answer: {error}")))?;
        let Reply {
            choices,
            usage,
            prompt_token_ids,
            error,
        } = reply;
        if let Some(error) = error {
            return Err(malformed(format!("it broke off: {error}")));
        }
        self.usage = usage.or(self.usage);
        self.input.extend(prompt_token_ids.unwrap_or_default());
        let Some(choice) = choices.into_iter().next() else {
            return Ok(None);
        };
        let Choice {
            text,
            delta,
            message,
            finish_reason,
            token_ids,
            prompt_token_ids,
        } = choice;
        self.finish = finish_reason.or(self.finish.take());
        self.output.extend(token_ids.unwrap_or_default());
        self.input.extend(prompt_token_ids.unwrap_or_default());
        let Said {
            content,
            tool_calls,
        } = delta.or(message).unwrap_or(Said {
            content: None,
            tool_calls: None,
        });
        for call in tool_calls.unwrap_or_default() {
            self.call(call)?;
        }
        let text = text.or(content).filter(|text| !text.is_empty());
        if let Some(text) = &text {
            self.text.push_str(text);
        }
        let calls = self
            .calls
            .iter()
            .map(|call| call.name.len() + call.arguments.len());
        if self.text.len() + calls.sum::<usize>() > ANSWER_BYTES_MAX {
            return Err(malformed(format!("more than {ANSWER_BYTES_MAX} bytes")));
        }
        Ok(text)
    }

    fn call(&mut self, called: Called) -> Result<(), ServerFault> {
        let Called {
            index,
            function: Function { name, arguments },
        } = called;
        if index >= TOOL_CALLS_MAX {
            return Err(malformed(format!(
                "more than {TOOL_CALLS_MAX} calls of tools"
            )));
        }
        if self.calls.len() <= index {
            self.calls.resize_with(index + 1, Call::default);
        }
        let call = &mut self.calls[index];
        call.name.push_str(&name.unwrap_or_default());
        call.arguments.push_str(&arguments.unwrap_or_default());
        Ok(())
    }

    /// The whole answer, in the market's words. Token ids are 0 where the server does not tell them: what counts is how many there are.
    pub(super) fn body(self, parameters: &Parameters) -> Result<ResultBody, ServerFault> {
        let Self {
            mut text,
            calls,
            finish,
            usage,
            input,
            output,
        } = self;
        let usage =
            usage.ok_or_else(|| malformed("it does not tell the tokens used".to_owned()))?;
        let max = parameters.max_tokens;
        let (finish, most) = match finish.as_deref() {
            // Servers that count the token that ends an answer count one more than the market does.
            Some("stop" | "tool_calls") if parameters.is_steered() => (Finish::Stop, max),
            Some("stop" | "tool_calls") => (Finish::Stop, max - 1),
            Some("length") if usage.completion_tokens < max => {
                return Err(ServerFault::Request(format!(
                    "the server's context was full after {} of {max} tokens",
                    usage.completion_tokens
                )));
            }
            Some("length") => (Finish::Length, max),
            other => return Err(malformed(format!("it ended with {other:?}"))),
        };
        if usage.prompt_tokens as usize > INPUT_TOKENS_MAX {
            return Err(malformed(format!("{} input tokens", usage.prompt_tokens)));
        }
        for Call { name, arguments } in &calls {
            let name = Value::from(name.as_str());
            // Arguments travel as they were written; that they are JSON is for whoever runs the tool to see.
            let _ = write!(
                text,
                "<tool_call>{{\"name\": {name}, \"arguments\": {arguments}}}</tool_call>"
            );
        }
        if text.len() > ANSWER_BYTES_MAX {
            return Err(malformed(format!("more than {ANSWER_BYTES_MAX} bytes")));
        }
        Ok(ResultBody {
            input_tokens: ids(input, usage.prompt_tokens),
            output_tokens: ids(output, usage.completion_tokens.min(most)),
            answer: text.into_bytes(),
            logprobs: None,
            finish,
            trace_root: Hash32::default(),
        })
    }
}

/// So many token ids.
fn ids(mut told: Vec<u32>, count: u32) -> Vec<u32> {
    told.resize(count as usize, 0);
    told
}

fn malformed(what: String) -> ServerFault {
    ServerFault::Server(ServerError::Malformed(what))
}

#[cfg(test)]
mod tests {
    use assay_protocol::request::Sampling;
    use serde_json::json;

    use super::*;

    fn streamed(chunks: &[Value], max: u32) -> Result<ResultBody, ServerFault> {
        let mut answering = Answering::default();
        for chunk in chunks {
            answering.take(&chunk.to_string())?;
        }
        answering.body(&Parameters::new(max, Sampling::GREEDY))
    }

    fn said(text: &str) -> Value {
        json!({"choices": [{"delta": {"content": text}, "finish_reason": null}]})
    }

    fn ended(why: &str) -> Value {
        json!({"choices": [{"delta": {}, "finish_reason": why}]})
    }

    fn used(input: u32, output: u32) -> Value {
        json!({"choices": [], "usage": {"prompt_tokens": input, "completion_tokens": output}})
    }

    #[test]
    fn pieces_become_an_answer_with_its_tokens_counted() {
        let body = streamed(&[said("Par"), said("is"), ended("stop"), used(3, 2)], 8).unwrap();
        assert_eq!(
            (body.answer.as_slice(), body.finish),
            (b"Paris".as_slice(), Finish::Stop)
        );
        assert_eq!(
            (body.input_tokens, body.output_tokens),
            (vec![0; 3], vec![0; 2])
        );
        assert_eq!((body.trace_root, body.logprobs), (Hash32::default(), None));
    }

    #[test]
    fn a_whole_answer_is_the_streamed_one() {
        let mut answering = Answering::default();
        let reply = json!({
            "choices": [{"message": {"role": "assistant", "content": "Paris"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        });
        answering.take(&reply.to_string()).unwrap();
        let parameters = Parameters::new(8, Sampling::GREEDY);
        let streamed = streamed(&[said("Paris"), ended("stop"), used(3, 2)], 8).unwrap();
        assert_eq!(answering.body(&parameters).unwrap(), streamed);
        let mut going_on = Answering::default();
        let reply = json!({"choices": [{"text": "Paris", "finish_reason": "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}});
        going_on.take(&reply.to_string()).unwrap();
        assert_eq!(going_on.body(&parameters).unwrap(), streamed);
    }

    #[test]
    fn ids_are_kept_where_a_server_tells_them() {
        let first = json!({"prompt_token_ids": [9, 8], "choices": [{"delta": {"content": "a"}, "token_ids": [7]}]});
        let second = json!({"choices": [{"delta": {"content": "b"}, "token_ids": [6, 5], "finish_reason": "stop"}]});
        let body = streamed(&[first, second, used(2, 3)], 8).unwrap();
        assert_eq!(
            (body.input_tokens, body.output_tokens),
            (vec![9, 8], vec![7, 6, 5])
        );
    }

    #[test]
    fn an_answer_ends_as_the_market_counts() {
        // The token that ends it was counted, too.
        let body = streamed(&[said("abc"), ended("stop"), used(1, 4)], 4).unwrap();
        assert_eq!((body.output_tokens.len(), body.finish), (3, Finish::Stop));
        let body = streamed(&[said("abcd"), ended("length"), used(1, 4)], 4).unwrap();
        assert_eq!((body.output_tokens.len(), body.finish), (4, Finish::Length));
        let full = streamed(&[said("ab"), ended("length"), used(1, 2)], 4);
        assert!(
            matches!(&full, Err(ServerFault::Request(why)) if why.contains("2 of 4")),
            "{full:?}"
        );
    }

    #[test]
    fn calls_of_tools_are_written_as_the_market_reads_them() {
        let call = |index: usize, name: Option<&str>, arguments: &str| {
            let function = json!({"name": name, "arguments": arguments});
            json!({"choices": [{"delta": {"tool_calls": [{"index": index, "function": function}]}}]})
        };
        let body = streamed(
            &[
                call(0, Some("weather"), "{\"city\":"),
                call(0, None, "\"Bern\"}"),
                call(1, Some("time"), "{}"),
                ended("tool_calls"),
                used(1, 2),
            ],
            8,
        )
        .unwrap();
        let text = String::from_utf8(body.answer).unwrap();
        assert_eq!(
            text,
            "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\":\"Bern\"}}</tool_call>\
             <tool_call>{\"name\": \"time\", \"arguments\": {}}</tool_call>"
        );
        let at = |index| {
            streamed(
                &[call(index, Some("x"), "{}"), ended("stop"), used(1, 1)],
                8,
            )
        };
        assert!(at(TOOL_CALLS_MAX - 1).is_ok());
        assert!(matches!(at(TOOL_CALLS_MAX), Err(ServerFault::Server(_))));
    }

    #[test]
    fn what_is_no_answer_is_the_servers_fault() {
        let long = "x".repeat(ANSWER_BYTES_MAX);
        assert!(streamed(&[said(&long), ended("stop"), used(1, 1)], 8).is_ok());
        let most = INPUT_TOKENS_MAX as u32;
        assert!(streamed(&[ended("stop"), used(most, 1)], 8).is_ok());
        for wrong in [
            vec![said(&long), said("x"), ended("stop"), used(1, 1)],
            vec![ended("stop"), used(most + 1, 1)],
            vec![said("no usage"), ended("stop")],
            vec![said("no end"), used(1, 1)],
            vec![ended("content_filter"), used(1, 1)],
            vec![json!({"error": {"message": "out of memory"}})],
            vec![json!([1])],
        ] {
            let told = streamed(&wrong, 8);
            let malformed = matches!(told, Err(ServerFault::Server(ServerError::Malformed(_))));
            assert!(malformed, "{told:?}");
        }
    }
}
