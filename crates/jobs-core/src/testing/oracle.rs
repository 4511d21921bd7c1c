//! A stand-in for inference: answers that depend on everything in the order, and lies about them.

use assay_protocol::{
    Hash32, Hasher, JobId, LeaseId, Timestamp,
    lease::{Claim, Mismatch, Opening, Order, Role},
    registry::{Model, SPEC_CIS_1},
    request::{Assurance, JobRequest, Message, ModelRef, Task},
    result::{Finish, Logprob, ResultBody, ResultContext, TokenLogprobs},
};

/// Tokens that an honest answer is made of: those below.
const TOKENS: u32 = 50_000;

/// What an honest generator or replica finds.
pub fn honest_body(order: &Order) -> ResultBody {
    let max_tokens = order.parameters.max_tokens;
    let asked = JobRequest {
        model: ModelRef::Version(order.model),
        task: order.task.clone(),
        parameters: order.parameters.clone(),
        seed: Some(order.seed),
        assurance: Assurance::Single,
    };
    let essence = Hasher::new("testing-oracle")
        .hash(&order.model_root)
        .hash(&asked.salted_hash(&Hash32::default()))
        .finish();
    let input = order.task.text_bytes() / 3 + 4;
    let vector = matches!(order.task, Task::Embedding { .. });
    let count = match vector {
        true => 0,
        false => {
            u32::from_le_bytes(essence.0[..4].try_into().expect("four bytes")) % (max_tokens + 1)
        }
    };
    let output_tokens: Vec<u32> = (0..count).map(|i| token(&essence, i)).collect();
    ResultBody {
        input_tokens: (0..input as u32)
            .map(|i| token(&essence, 1_000_000 + i))
            .collect(),
        answer: match vector {
            true => essence.0[..8].to_vec(),
            false => output_tokens
                .iter()
                .map(|token| b'a' + (token % 26) as u8)
                .collect(),
        },
        finish: if count == max_tokens {
            Finish::Length
        } else {
            Finish::Stop
        },
        logprobs: order
            .parameters
            .logprobs
            .map(|count| output_tokens.iter().map(|t| logprobs(*t, count)).collect()),
        trace_root: Hasher::new("testing-trace").hash(&essence).finish(),
        output_tokens,
    }
}

/// The root of the right answer to a request with a seed, whatever its job.
pub fn right_root(model: &Model, request: &JobRequest) -> Hash32 {
    let order = Order {
        lease: LeaseId(1),
        job: JobId(1),
        round: 1,
        role: Role::Generator,
        model: model.id,
        model_root: model.manifest.model_root,
        task: request.task.clone(),
        parameters: request.parameters.clone(),
        input_tokens_max: u32::MAX,
        seed: request.seed.expect("only with a seed is the answer known"),
        deadline: Timestamp(0),
        run_deadline: Timestamp(0),
        streamed: 0,
    };
    body_root(&order, &honest_body(&order))
}

/// The messages of a request for a chat.
pub fn messages(request: &mut JobRequest) -> &mut Vec<Message> {
    match &mut request.task {
        Task::Chat(chat) => &mut chat.messages,
        task => panic!("{task:?} has no messages"),
    }
}

fn logprobs(token: u32, count: u8) -> TokenLogprobs {
    let of = |token| Logprob {
        token,
        micro_nats: -i64::from(token),
    };
    TokenLogprobs {
        drawn: of(token),
        top: (0..u32::from(count)).map(of).collect(),
    }
}

/// The root of a body under an order.
pub fn body_root(order: &Order, body: &ResultBody) -> Hash32 {
    body.root(&ResultContext {
        spec: SPEC_CIS_1,
        model_root: &order.model_root,
        parameters: &order.parameters,
        seed: order.seed,
    })
}

/// What an honest checker finds in a transcript.
pub fn honest_opening(order: &Order, claim: &Claim) -> Opening {
    opening_by(order, &honest_body(order), claim)
}

/// What somebody who takes `body` for the truth finds in a transcript.
pub fn opening_by(order: &Order, body: &ResultBody, claim: &Claim) -> Opening {
    if claim.output == body.output_tokens && claim.finish == body.finish {
        return Opening::Agrees {
            root: body_root(order, body),
        };
    }
    let same = claim
        .output
        .iter()
        .zip(&body.output_tokens)
        .take_while(|(a, b)| a == b)
        .count() as u32;
    Opening::Mismatch(Mismatch {
        position: same,
        trace_root: Hasher::new("testing-prefix")
            .hash(&body.trace_root)
            .u64(u64::from(same))
            .finish(),
    })
}

/// How a worker lies. Every lie is its own: no two leases tell the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Other tokens than the model gives.
    Tokens,
    /// Another trace.
    Trace,
    /// Another text than the tokens say.
    Text,
    /// Another input.
    Input,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tokens, Self::Trace, Self::Text, Self::Input];

    /// A generator's or replica's lie.
    pub fn body(self, order: &Order) -> ResultBody {
        let mut body = honest_body(order);
        let own = Hasher::new("testing-lie").u64(order.lease.0).finish();
        // No honest answer has such a token, and no other lease's lie this one.
        let own_token = TOKENS + order.lease.0 as u32;
        match self {
            Self::Tokens if body.output_tokens.is_empty() => {
                // There is always room for one token.
                body.output_tokens.push(own_token);
                body.finish = if order.parameters.max_tokens == 1 {
                    Finish::Length
                } else {
                    Finish::Stop
                };
            }
            Self::Tokens => {
                let last = body.output_tokens.len() - 1;
                body.output_tokens[last] =
                    body.output_tokens[last].wrapping_add(1 + order.lease.0 as u32);
            }
            Self::Trace => body.trace_root = own,
            Self::Text => body.answer = own.to_string().into_bytes(),
            Self::Input => {
                let shorter = order.lease.0 as usize % body.input_tokens.len();
                body.input_tokens.truncate(shorter);
                // Another's may be as short; no two who lie by themselves say the same.
                body.input_tokens.push(own_token);
            }
        }
        body
    }

    /// A checker's lie.
    pub fn opening(self, order: &Order) -> Opening {
        let own = Hasher::new("testing-lie").u64(order.lease.0).finish();
        match self {
            Self::Tokens | Self::Input => Opening::Mismatch(Mismatch {
                position: order.parameters.max_tokens / 2,
                trace_root: own,
            }),
            Self::Trace | Self::Text => Opening::Agrees { root: own },
        }
    }
}

fn token(essence: &Hash32, i: u32) -> u32 {
    let hash = Hasher::new("testing-token")
        .hash(essence)
        .u64(u64::from(i))
        .finish();
    u32::from_le_bytes(hash.0[..4].try_into().expect("four bytes")) % TOKENS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::{Fixture, random_request};

    #[test]
    fn every_lie_is_its_own_and_none_is_the_truth() {
        let mut rng = fastrand::Rng::with_seed(1);
        let fixture = Fixture::new(1, 1, 1);
        let mut without_output = 0;
        for _ in 0..200 {
            let request = random_request(&mut rng, &fixture);
            let mut order = Order {
                lease: LeaseId(1),
                job: JobId(1),
                round: 1,
                role: Role::Generator,
                model: fixture.model(0).id,
                model_root: fixture.model(0).manifest.model_root,
                task: request.task,
                parameters: request.parameters,
                input_tokens_max: u32::MAX,
                seed: 1,
                deadline: Timestamp(0),
                run_deadline: Timestamp(0),
                streamed: 0,
            };
            let truth = honest_body(&order);
            without_output += u32::from(truth.output_tokens.is_empty());
            let inputs = truth.input_tokens.len() as u64;
            let mut told = BTreeSet::from([body_root(&order, &truth)]);
            // Leases of which some cut the input at the same place.
            for lease in (1..=3).chain([1 + inputs, 1 + 2 * inputs]) {
                order.lease = LeaseId(lease);
                for lie in Lie::ALL {
                    let root = body_root(&order, &lie.body(&order));
                    assert!(told.insert(root), "lease {lease} tells another's {lie:?}");
                }
            }
        }
        assert!(without_output > 0);
    }
}
