//! A job in the words of OpenAI's interface, and of the servers that know a few more.

use assay_protocol::{
    limits,
    request::{
        Chat, Format, Message, Parameters, REPETITION_PENALTY_MILLI_NEUTRAL, Sampling, Task, Tool,
        ToolCall,
    },
};
use serde_json::{Map, Value, json};

use super::{Deployment, Dialect};
use crate::model::{Job, Unfit};

/// Where conversations go on.
pub(super) const CHAT: &str = "v1/chat/completions";
/// Where texts go on.
const COMPLETION: &str = "v1/completions";
/// Seeds have so many bits: more than that not every server takes.
const SEED_BITS: u64 = 0x7fff_ffff;

/// A request to send.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) path: &'static str,
    pub(super) body: Value,
}

/// What to send to a server for a job; streamed, or whole.
pub(super) fn request(deployment: &Deployment, job: &Job, streamed: bool) -> Result<Asked, Unfit> {
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(deployment.model));
    let path = match &job.task {
        Task::Chat(Chat { messages, tools }) => {
            let messages: Vec<Value> = messages.iter().map(message).collect::<Result<_, _>>()?;
            body.insert("messages".to_owned(), messages.into());
            if let Some(tools) = tools.as_ref().filter(|tools| !tools.is_empty()) {
                let tools: Vec<Value> = tools.iter().map(tool).collect::<Result<_, _>>()?;
                body.insert("tools".to_owned(), tools.into());
            }
            CHAT
        }
        Task::Completion { prompt } => {
            body.insert("prompt".to_owned(), json!(prompt));
            COMPLETION
        }
        Task::Embedding { .. } => return Err(Unfit::Kind("for a chat or a completion")),
        Task::Training { .. } => return Err(Unfit::Kind("for a chat or a completion")),
    };
    how(deployment.dialect, &job.parameters, &mut body)?;
    body.insert("seed".to_owned(), json!(job.seed & SEED_BITS));
    body.insert("stream".to_owned(), json!(streamed));
    if streamed {
        body.insert("stream_options".to_owned(), json!({"include_usage": true}));
    }
    Ok(Asked {
        path,
        body: body.into(),
    })
}

/// How the answer is drawn and when it ends. What a server would otherwise take from its own settings is said in any case.
fn how(
    dialect: Dialect,
    parameters: &Parameters,
    body: &mut Map<String, Value>,
) -> Result<(), Unfit> {
    let Parameters {
        max_tokens,
        sampling,
        stop: _,
        format,
        logprobs,
    } = parameters;
    if logprobs.is_some() {
        return Err(cannot("log-probabilities in a form that could be compared"));
    }
    body.insert("max_tokens".to_owned(), json!(max_tokens));
    if !parameters.stops().is_empty() {
        body.insert("stop".to_owned(), json!(parameters.stops()));
    }
    let format = match format {
        None | Some(Format::Text) => None,
        Some(Format::JsonObject) => Some(json!({"type": "json_object"})),
        Some(Format::JsonSchema(schema)) => {
            let schema = json_of("the schema", schema)?;
            let named = json!({"name": "answer", "strict": true, "schema": schema});
            Some(json!({"type": "json_schema", "json_schema": named}))
        }
    };
    if let Some(format) = format {
        body.insert("response_format".to_owned(), format);
    }
    draw(dialect, sampling, body)
}

fn draw(dialect: Dialect, sampling: &Sampling, body: &mut Map<String, Value>) -> Result<(), Unfit> {
    let Sampling {
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
    let milli = |value: i64| json!(value as f64 / 1e3);
    let ppm = |value: u32| json!(f64::from(value) / 1e6);
    let penalty = i64::from(repetition_penalty_milli.unwrap_or(REPETITION_PENALTY_MILLI_NEUTRAL));
    let (min_p, window) = (min_p_ppm.unwrap_or(0), repetition_window.unwrap_or(0));
    let neutral = penalty == i64::from(REPETITION_PENALTY_MILLI_NEUTRAL);
    let mut say = |name: &str, value: Value| body.insert(name.to_owned(), value);
    say("temperature", milli(i64::from(*temperature_milli)));
    say("top_p", ppm(*top_p_ppm));
    say(
        "presence_penalty",
        milli(presence_penalty_milli.unwrap_or(0).into()),
    );
    say(
        "frequency_penalty",
        milli(frequency_penalty_milli.unwrap_or(0).into()),
    );
    match dialect {
        Dialect::Vllm => {
            if window > 0 && !neutral {
                return Err(cannot("a window for the repetition penalty"));
            }
            // There -1 keeps all.
            say("top_k", if *top_k == 0 { json!(-1) } else { json!(top_k) });
            say("min_p", ppm(min_p));
            say("repetition_penalty", milli(penalty));
            say("return_token_ids", json!(true));
        }
        Dialect::LlamaCpp => {
            say("top_k", json!(top_k));
            say("min_p", ppm(min_p));
            say("repeat_penalty", milli(penalty));
            // Versions differ in what -1 means, and some refuse it: all is as many as any context has.
            let all = limits::CONTEXT_TOKENS_MAX;
            say(
                "repeat_last_n",
                json!(if window == 0 { all } else { window }),
            );
            // What it remembers of other questions changes the order of its sums.
            say("cache_prompt", json!(false));
        }
        // What such a server draws by, and nobody has asked for, only does no harm where nothing is drawn.
        Dialect::Ollama | Dialect::Unknown => {
            if *temperature_milli > 0 {
                return Err(cannot("another temperature than 0"));
            }
            if !neutral {
                return Err(cannot("a repetition penalty"));
            }
        }
    }
    if !sampling.biases().is_empty() {
        if dialect == Dialect::Ollama {
            return Err(cannot("biases of tokens"));
        }
        let biases = sampling.biases().iter();
        let biases: Map<String, Value> = biases
            .map(|bias| (bias.token.to_string(), milli(bias.milli.into())))
            .collect();
        say("logit_bias", biases.into());
    }
    Ok(())
}

fn message(message: &Message) -> Result<Value, Unfit> {
    let Message {
        role,
        content,
        tool_calls,
        tool_call_id,
    } = message;
    let mut said = json!({"role": role.name(), "content": content});
    if let Some(calls) = tool_calls.as_ref().filter(|calls| !calls.is_empty()) {
        said["tool_calls"] = calls.iter().map(call).collect();
    }
    if let Some(id) = tool_call_id {
        said["tool_call_id"] = json!(id);
    }
    Ok(said)
}

fn call(call: &ToolCall) -> Value {
    let ToolCall {
        id,
        name,
        arguments,
    } = call;
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

fn tool(tool: &Tool) -> Result<Value, Unfit> {
    let Tool {
        name,
        description,
        parameters,
    } = tool;
    let mut function = json!({"name": name});
    if let Some(description) = description {
        function["description"] = json!(description);
    }
    if let Some(parameters) = parameters {
        function["parameters"] = json_of("a tool's parameters", parameters)?;
    }
    Ok(json!({"type": "function", "function": function}))
}

fn json_of(what: &str, text: &str) -> Result<Value, Unfit> {
    debug_assert!(text.len() <= limits::REQUEST_BYTES_MAX);
    serde_json::from_str(text).map_err(|error| Unfit::Server(format!("{what}: {error}")))
}

fn cannot(what: &str) -> Unfit {
    Unfit::Server(format!("this model's servers cannot give {what}"))
}

#[cfg(test)]
mod tests {
    use assay_protocol::request::{LogitBias, MessageRole};
    use expect_test::expect;

    use super::*;
    use crate::openai::Topology;

    fn deployment(dialect: Dialect) -> Deployment {
        Deployment {
            dialect,
            version: "1".to_owned(),
            model: "big".to_owned(),
            image_digest: None,
            topology: Topology::new("n300").unwrap(),
        }
    }

    fn job(task: Task, change: impl FnOnce(&mut Parameters)) -> Job {
        let mut parameters = Parameters::new(7, Sampling::GREEDY);
        change(&mut parameters);
        Job {
            task,
            parameters,
            input_tokens_max: None,
            seed: u64::MAX,
            threads: 1,
        }
    }

    fn body(dialect: Dialect, job: &Job) -> String {
        request(&deployment(dialect), job, true)
            .unwrap()
            .body
            .to_string()
    }

    fn refusal(dialect: Dialect, change: impl FnOnce(&mut Parameters)) -> String {
        let job = job(Task::question("Hi"), change);
        request(&deployment(dialect), &job, true)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_short_question_says_how_it_is_drawn_all_the_same() {
        let job = job(Task::question("Hi"), |_| {});
        expect![[r#"{"cache_prompt":false,"frequency_penalty":0.0,"max_tokens":7,"messages":[{"content":"Hi","role":"user"}],"min_p":0.0,"model":"big","presence_penalty":0.0,"repeat_last_n":131072,"repeat_penalty":1.0,"seed":2147483647,"stream":true,"stream_options":{"include_usage":true},"temperature":0.0,"top_k":0,"top_p":1.0}"#]]
            .assert_eq(&body(Dialect::LlamaCpp, &job));
        expect![[r#"{"frequency_penalty":0.0,"max_tokens":7,"messages":[{"content":"Hi","role":"user"}],"min_p":0.0,"model":"big","presence_penalty":0.0,"repetition_penalty":1.0,"return_token_ids":true,"seed":2147483647,"stream":true,"stream_options":{"include_usage":true},"temperature":0.0,"top_k":-1,"top_p":1.0}"#]]
            .assert_eq(&body(Dialect::Vllm, &job));
        expect![[r#"{"frequency_penalty":0.0,"max_tokens":7,"messages":[{"content":"Hi","role":"user"}],"model":"big","presence_penalty":0.0,"seed":2147483647,"stream":true,"stream_options":{"include_usage":true},"temperature":0.0,"top_p":1.0}"#]]
            .assert_eq(&body(Dialect::Unknown, &job));
    }

    #[test]
    fn everything_that_may_be_asked_is_passed_on() {
        let mut called = Message::new(MessageRole::Assistant, "");
        called.tool_calls = Some(vec![ToolCall {
            id: "call_0".to_owned(),
            name: "weather".to_owned(),
            arguments: "{\"city\":\"Bern\"}".to_owned(),
        }]);
        let mut told = Message::new(MessageRole::Tool, "rain");
        told.tool_call_id = Some("call_0".to_owned());
        let chat = Chat {
            messages: vec![Message::new(MessageRole::System, "Be short."), called, told],
            tools: Some(vec![Tool {
                name: "weather".to_owned(),
                description: Some("Of a city".to_owned()),
                parameters: Some("{\"type\":\"object\"}".to_owned()),
            }]),
        };
        let job = job(Task::Chat(chat), |parameters| {
            parameters.stop = Some(vec!["END".to_owned()]);
            parameters.format = Some(Format::JsonSchema("{\"type\":\"object\"}".to_owned()));
            parameters.sampling = Sampling {
                temperature_milli: 700,
                top_p_ppm: 900_000,
                top_k: 40,
                min_p_ppm: Some(50_000),
                repetition_penalty_milli: Some(1_100),
                repetition_window: None,
                presence_penalty_milli: Some(-500),
                frequency_penalty_milli: Some(250),
                logit_bias: Some(vec![LogitBias {
                    token: 5,
                    milli: -100_000,
                }]),
            };
        });
        expect![[r#"{"frequency_penalty":0.25,"logit_bias":{"5":-100.0},"max_tokens":7,"messages":[{"content":"Be short.","role":"system"},{"content":"","role":"assistant","tool_calls":[{"function":{"arguments":"{\"city\":\"Bern\"}","name":"weather"},"id":"call_0","type":"function"}]},{"content":"rain","role":"tool","tool_call_id":"call_0"}],"min_p":0.05,"model":"big","presence_penalty":-0.5,"repetition_penalty":1.1,"response_format":{"json_schema":{"name":"answer","schema":{"type":"object"},"strict":true},"type":"json_schema"},"return_token_ids":true,"seed":2147483647,"stop":["END"],"stream":true,"stream_options":{"include_usage":true},"temperature":0.7,"tools":[{"function":{"description":"Of a city","name":"weather","parameters":{"type":"object"}},"type":"function"}],"top_k":40,"top_p":0.9}"#]]
            .assert_eq(&body(Dialect::Vllm, &job));
    }

    #[test]
    fn a_completion_is_sent_as_it_stands_and_whole_where_nothing_is_streamed() {
        let prompt = "Once upon".to_owned();
        let job = job(Task::Completion { prompt }, |_| {});
        let Asked { path, body } = request(&deployment(Dialect::Unknown), &job, false).unwrap();
        assert_eq!(
            (path, &body["prompt"], &body["stream"]),
            (COMPLETION, &json!("Once upon"), &json!(false))
        );
        assert!(body.get("stream_options").is_none(), "{body}");
    }

    #[test]
    fn what_a_server_would_not_follow_to_the_letter_is_declined() {
        let vector = job(
            Task::Embedding {
                text: "Hi".to_owned(),
            },
            |_| {},
        );
        let told = request(&deployment(Dialect::Vllm), &vector, true).unwrap_err();
        assert!(matches!(told, Unfit::Kind(_)), "{told}");
        let warm = |parameters: &mut Parameters| parameters.sampling.temperature_milli = 1;
        let penalty = |parameters: &mut Parameters| {
            parameters.sampling.repetition_penalty_milli = Some(1_001);
        };
        let window = |parameters: &mut Parameters| {
            parameters.sampling.repetition_penalty_milli = Some(1_001);
            parameters.sampling.repetition_window = Some(64);
        };
        let logprobs = |parameters: &mut Parameters| parameters.logprobs = Some(0);
        for (dialect, change, word) in [
            (Dialect::Ollama, warm as fn(&mut Parameters), "temperature"),
            (Dialect::Unknown, warm, "temperature"),
            (Dialect::Unknown, penalty, "repetition penalty"),
            (Dialect::Vllm, window, "window"),
            (Dialect::LlamaCpp, logprobs, "log-probabilities"),
        ] {
            let told = refusal(dialect, change);
            assert!(told.contains(word), "{told}");
        }
        let job = job(Task::question("Hi"), window);
        assert!(body(Dialect::LlamaCpp, &job).contains(r#""repeat_last_n":64"#));
    }
}
