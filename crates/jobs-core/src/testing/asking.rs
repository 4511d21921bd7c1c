//! What requesters ask for, rightly and wrongly.

use assay_protocol::{
    job::SubmitArgs,
    limits,
    request::{
        Assurance, Chat, Format, JobRequest, Message, MessageRole, ModelRef, Parameters, Sampling,
        Task, Tool,
    },
};
use candid::Principal;
use fastrand::Rng;

use super::{Fixture, MODELS};

/// A request that a market with enough workers accepts.
pub fn random_request(rng: &mut Rng, fixture: &Fixture) -> JobRequest {
    let assurance = match rng.u8(..11) {
        0 | 1 => Assurance::Single,
        2..=5 => Assurance::Checked { checkers: 1 },
        6 | 7 => Assurance::Checked {
            checkers: rng.u8(1..=3),
        },
        8 | 9 => Assurance::Equality {
            total: rng.u8(2..=3),
        },
        _ => Assurance::Threshold { total: 3, min: 2 },
    };
    let messages = (0..rng.usize(1..4)).map(|i| {
        let role = match i {
            0 => MessageRole::System,
            _ => MessageRole::User,
        };
        Message::new(role, "x".repeat(rng.usize(1..200)))
    });
    let mut messages: Vec<Message> = messages.collect();
    if let Some(last) = messages.last_mut() {
        last.role = MessageRole::User;
    }
    let model = rng.usize(..MODELS.len());
    JobRequest {
        model: if rng.bool() {
            ModelRef::Name(MODELS[model].into())
        } else {
            ModelRef::Version(fixture.model(model).id)
        },
        task: task(rng, messages),
        parameters: parameters(rng),
        seed: rng.bool().then(|| rng.u64(..)),
        assurance,
    }
}

fn task(rng: &mut Rng, messages: Vec<Message>) -> Task {
    if rng.u8(..4) == 0 {
        let prompt = messages
            .into_iter()
            .map(|message| message.content)
            .collect();
        return Task::Completion { prompt };
    }
    let tool = Tool {
        name: "weather".into(),
        description: Some("Tells the weather".into()),
        parameters: Some(r#"{"type":"object"}"#.into()),
    };
    let tools = (rng.u8(..4) == 0).then(|| vec![tool]);
    Task::Chat(Chat { messages, tools })
}

fn parameters(rng: &mut Rng) -> Parameters {
    let format = match rng.u8(..8) {
        0 => Some(Format::JsonObject),
        1 => Some(Format::JsonSchema(r#"{"type":"integer"}"#.into())),
        _ => None,
    };
    Parameters {
        stop: rng.bool().then(|| vec!["END".into()]),
        format,
        logprobs: (rng.u8(..4) == 0).then(|| rng.u8(..3)),
        ..Parameters::new(rng.u32(1..60), Sampling::GREEDY)
    }
}

/// Breaks one rule of a submit, so that it must be refused.
pub fn spoil(rng: &mut Rng, from: &mut Principal, args: &mut SubmitArgs) {
    match rng.u8(..9) {
        0 => *from = Principal::anonymous(),
        1 => args.request.model = ModelRef::Name("nobody's".into()),
        2 => {
            args.request.task = Task::Completion {
                prompt: String::new(),
            }
        }
        3 => {
            let prompt = "y".repeat(limits::REQUEST_BYTES_MAX + 1);
            args.request.task = Task::Completion { prompt };
        }
        4 => args.request.parameters.max_tokens = *rng.choice([0, u32::MAX].iter()).unwrap_or(&0),
        5 => args.deadline_seconds = *rng.choice([0, u32::MAX].iter()).unwrap_or(&0),
        6 => args.idempotency_key = vec![0; *rng.choice([0, 65].iter()).unwrap_or(&0)],
        7 => args.request.assurance = Assurance::Refereed,
        _ => args.request.assurance = Assurance::Checked { checkers: 0 },
    }
}
