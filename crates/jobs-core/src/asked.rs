//! Whether a request may be asked at all: sizes, ranges and shapes, before any look at models and money.

use assay_protocol::{
    job::SubmitError,
    limits,
    request::{
        Assurance, Chat, Format, JobRequest, LogitBias, Message, MessageRole, ModelRef, Parameters,
        Sampling, Task, Tool, ToolCall,
    },
};
use serde::de::IgnoredAny;

type Checked = Result<(), SubmitError>;

pub(crate) fn check(request: &JobRequest) -> Checked {
    let JobRequest {
        model,
        task,
        parameters,
        seed: _,
        assurance,
    } = request;
    if let ModelRef::Name(name) = model {
        within("model", "bytes", name.len(), 1, limits::NAME_BYTES_MAX)?;
    }
    check_task(task)?;
    let bytes = request.text_bytes();
    at_most(
        field_of(task),
        "bytes of text",
        bytes,
        limits::REQUEST_BYTES_MAX,
    )?;
    check_parameters(parameters)?;
    if matches!(task, Task::Embedding { .. }) && *parameters != Parameters::new(1, Sampling::GREEDY)
    {
        return Err(invalid(
            "parameters",
            "an embedding draws no tokens: ask with max_tokens 1, greedy sampling and without stop, format and logprobs",
        ));
    }
    check_assurance(*assurance)
}

fn field_of(task: &Task) -> &'static str {
    match task {
        Task::Chat(_) => "messages",
        Task::Completion { .. } => "prompt",
        Task::Embedding { .. } => "text",
        Task::Training { .. } => "task",
    }
}

fn check_task(task: &Task) -> Checked {
    match task {
        Task::Chat(chat) => check_chat(chat),
        Task::Completion { prompt: text } | Task::Embedding { text } if text.is_empty() => Err(
            invalid(field_of(task), "the text is empty; write something"),
        ),
        Task::Completion { .. } | Task::Embedding { .. } => Ok(()),
        Task::Training { .. } => Err(SubmitError::NotAvailableYet("training".into())),
    }
}

fn check_chat(Chat { messages, tools }: &Chat) -> Checked {
    within(
        "messages",
        "messages",
        messages.len(),
        1,
        limits::MESSAGES_MAX,
    )?;
    let calls = messages.iter().map(|message| message.calls().len()).sum();
    at_most("messages", "calls of tools", calls, limits::TOOL_CALLS_MAX)?;
    for (i, message) in messages.iter().enumerate() {
        check_message(i, message)?;
    }
    let last = messages.last().map(|message| message.role);
    if !matches!(last, Some(MessageRole::User | MessageRole::Tool)) {
        return Err(invalid(
            "messages",
            "the last message must be the user's or a tool's",
        ));
    }
    let tools = tools.as_deref().unwrap_or_default();
    at_most("tools", "tools", tools.len(), limits::TOOLS_MAX)?;
    for (i, tool) in tools.iter().enumerate() {
        check_tool(i, tool)?;
        if tools[..i].iter().any(|other| other.name == tool.name) {
            return Err(invalid(
                "tools",
                &format!("tool {i} is called {} like another", tool.name),
            ));
        }
    }
    Ok(())
}

fn check_message(i: usize, message: &Message) -> Checked {
    let refused = |problem: &str| Err(invalid("messages", &format!("message {i} {problem}")));
    let Message {
        role,
        content,
        tool_calls: _,
        tool_call_id,
    } = message;
    let calls = message.calls();
    if content.trim().is_empty() && calls.is_empty() {
        return refused("is empty; write something or leave it out");
    }
    if !calls.is_empty() && *role != MessageRole::Assistant {
        return refused("calls tools, which only the assistant does");
    }
    if tool_call_id.is_some() && *role != MessageRole::Tool {
        return refused("names a call, which only a tool's answer does");
    }
    for ToolCall {
        id,
        name,
        arguments,
    } in calls
    {
        if name.is_empty()
            || name.len() > limits::NAME_BYTES_MAX
            || id.len() > limits::NAME_BYTES_MAX
        {
            return refused(&format!(
                "calls a tool whose name has not 1 to {max} bytes, or by an id of more than {max}",
                max = limits::NAME_BYTES_MAX
            ));
        }
        if !is_object(arguments) {
            return refused(&format!(
                "calls {name} with arguments that are no JSON object"
            ));
        }
    }
    if tool_call_id
        .as_ref()
        .is_some_and(|id| id.len() > limits::NAME_BYTES_MAX)
    {
        return refused(&format!(
            "answers a call with an id of more than {} bytes",
            limits::NAME_BYTES_MAX
        ));
    }
    Ok(())
}

fn check_tool(i: usize, tool: &Tool) -> Checked {
    let Tool {
        name,
        description: _,
        parameters,
    } = tool;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.is_empty() || name.len() > limits::NAME_BYTES_MAX || !name.bytes().all(plain) {
        return Err(invalid(
            "tools",
            &format!(
                "the name of tool {i} must have 1 to {} letters, digits, _ or -",
                limits::NAME_BYTES_MAX
            ),
        ));
    }
    match parameters {
        Some(schema) if !is_object(schema) => Err(invalid(
            "tools",
            &format!("the parameters of {name} are no JSON object"),
        )),
        _ => Ok(()),
    }
}

fn check_parameters(parameters: &Parameters) -> Checked {
    let Parameters {
        max_tokens,
        sampling,
        stop: _,
        format,
        logprobs,
    } = parameters;
    within(
        "max_tokens",
        "tokens",
        *max_tokens as usize,
        1,
        limits::OUTPUT_TOKENS_MAX as usize,
    )?;
    check_sampling(sampling)?;
    let stops = parameters.stops();
    at_most(
        "stop",
        "stop strings",
        stops.len(),
        limits::STOP_STRINGS_MAX,
    )?;
    for stop in stops {
        within("stop", "bytes", stop.len(), 1, limits::STOP_BYTES_MAX)?;
    }
    if let Some(Format::JsonSchema(schema)) = format {
        at_most(
            "format",
            "bytes of schema",
            schema.len(),
            limits::SCHEMA_BYTES_MAX,
        )?;
        if serde_json::from_str::<IgnoredAny>(schema).is_err() {
            return Err(invalid("format", "the schema is no JSON"));
        }
    }
    let alternatives = usize::from(logprobs.unwrap_or(0));
    at_most(
        "logprobs",
        "alternatives",
        alternatives,
        limits::LOGPROBS_MAX.into(),
    )
}

fn check_sampling(sampling: &Sampling) -> Checked {
    let Sampling {
        temperature_milli,
        top_p_ppm,
        top_k: _,
        min_p_ppm,
        repetition_penalty_milli,
        repetition_window,
        presence_penalty_milli,
        frequency_penalty_milli,
        logit_bias: _,
    } = sampling;
    in_range(
        "temperature_milli",
        *temperature_milli,
        0,
        limits::TEMPERATURE_MILLI_MAX,
    )?;
    in_range("top_p_ppm", *top_p_ppm, 1, 1_000_000)?;
    in_range("min_p_ppm", min_p_ppm.unwrap_or(0), 0, 1_000_000)?;
    in_range(
        "repetition_penalty_milli",
        repetition_penalty_milli.unwrap_or(1),
        1,
        limits::REPETITION_PENALTY_MILLI_MAX,
    )?;
    in_range(
        "repetition_window",
        repetition_window.unwrap_or(0),
        0,
        limits::REPETITION_WINDOW_MAX,
    )?;
    let most = limits::PENALTY_MILLI_MAX;
    for (field, value) in [
        ("presence_penalty_milli", presence_penalty_milli),
        ("frequency_penalty_milli", frequency_penalty_milli),
    ] {
        in_range(field, value.unwrap_or(0), -most, most)?;
    }
    let biases = sampling.biases();
    at_most("logit_bias", "tokens", biases.len(), limits::LOGIT_BIAS_MAX)?;
    let most = limits::LOGIT_BIAS_MILLI_MAX;
    for (i, LogitBias { token, milli }) in biases.iter().enumerate() {
        in_range("logit_bias", *milli, -most, most)?;
        if biases[..i].iter().any(|other| other.token == *token) {
            return Err(invalid(
                "logit_bias",
                &format!("token {token} has two; give one"),
            ));
        }
    }
    Ok(())
}

fn check_assurance(assurance: Assurance) -> Checked {
    let field = "assurance";
    match assurance {
        Assurance::Single | Assurance::Refereed => Ok(()),
        Assurance::Checked { checkers } => within(
            field,
            "checkers",
            checkers.into(),
            1,
            limits::CHECKERS_MAX.into(),
        ),
        Assurance::Equality { total } | Assurance::Threshold { total, .. }
            if !(2..=limits::REPLICAS_MAX).contains(&total) =>
        {
            within(
                field,
                "replicas",
                total.into(),
                2,
                limits::REPLICAS_MAX.into(),
            )
        }
        Assurance::Threshold { total, min } if !(total / 2 + 1..=total).contains(&min) => {
            Err(invalid(
                field,
                &format!(
                    "{min} of {total} replicas, {} to {total} are allowed: more than half",
                    total / 2 + 1
                ),
            ))
        }
        Assurance::Equality { .. } | Assurance::Threshold { .. } => Ok(()),
    }
}

/// Whether a text is a JSON object.
fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn in_range<N: PartialOrd + std::fmt::Display>(
    field: &str,
    value: N,
    least: N,
    most: N,
) -> Checked {
    if value >= least && value <= most {
        return Ok(());
    }
    Err(invalid(
        field,
        &format!("{value}, {least} to {most} is allowed"),
    ))
}

fn within(field: &str, what: &str, found: usize, least: usize, most: usize) -> Checked {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(invalid(
        field,
        &format!("{found} {what}, {least} to {most} are allowed"),
    ))
}

fn at_most(field: &str, what: &str, found: usize, most: usize) -> Checked {
    if found <= most {
        return Ok(());
    }
    Err(invalid(
        field,
        &format!("{found} {what}, at most {most} are allowed"),
    ))
}

pub(crate) fn invalid(field: &str, problem: &str) -> SubmitError {
    SubmitError::Invalid {
        field: field.into(),
        problem: problem.into(),
    }
}
