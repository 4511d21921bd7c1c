//! HTTPS outcalls: what canisters ask of the world, and what the world answers.
//!
//! The network makes no connections. It keeps each request until somebody answers it or its time is up; an answer
//! goes through the canister's transform function, once for each node that saw it, and nodes that do not agree have
//! no answer.

mod check;
mod flexible;

use std::collections::BTreeMap;

use candid::Principal;
use ic_management_canister_types::{
    HttpHeader, HttpMethod, HttpRequestArgs, HttpRequestResult, TransformArgs,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Call, Outcome, reply};
use crate::{
    canister::Origin,
    cycles, limits,
    network::Network,
    types::{ErrorCode, Reject, RejectCode, Time},
};

/// The method of an outcall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutcallMethod {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
    /// `PATCH`.
    Patch,
}

impl OutcallMethod {
    /// As it is written in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
        }
    }
}

/// Who makes an outcall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replication {
    /// Every node of the subnet; enough of them must agree on the answer.
    Full,
    /// One node.
    OneNode,
    /// So many nodes, each for itself; the canister gets the answers as they are.
    Flexible {
        /// Nodes that make it.
        total: u32,
        /// Answers without which there is no result.
        min: u32,
        /// Answers beyond which there are no more in a result.
        max: u32,
    },
}

/// A request that waits for the world's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcall {
    /// Its number.
    pub id: u64,
    /// The subnet of the canister that asks.
    pub subnet: Principal,
    /// The canister that asks.
    pub canister: Principal,
    /// The method.
    pub method: OutcallMethod,
    /// Where to; the canister's text, not checked.
    pub url: String,
    /// Names and values of its headers, as the canister gave them.
    pub headers: Vec<(String, String)>,
    /// The body; empty where there is none.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// Bytes of headers and body that the answer may have, where the canister says.
    pub max_response_bytes: Option<u64>,
    /// Who makes it.
    pub replication: Replication,
    /// After this time nobody waits for the answer.
    pub until: Time,
}

/// What the world answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutcallAnswer {
    /// A response, of whatever status.
    Reply {
        /// Its status.
        status: u16,
        /// Names and values of its headers.
        headers: Vec<(String, String)>,
        /// Its body.
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
    },
    /// No response.
    Reject {
        /// What kind of failure: one of the specification's reject codes.
        code: u8,
        /// What failed.
        message: String,
    },
}

/// Why an answer cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OutcallError {
    /// No such outcall, or not any more.
    #[error("no outcall with id {id} waits for an answer; list those that do")]
    Unknown {
        /// The id.
        id: u64,
    },
    /// Not one answer for all nodes, and not one for each.
    #[error("outcall {id} takes one answer for all nodes or {nodes}, one for each, not {found}")]
    Count {
        /// The id.
        id: u64,
        /// How many nodes there are.
        nodes: usize,
        /// How many answers came.
        found: usize,
    },
    /// More answers than nodes make the outcall.
    #[error("outcall {id} is made by {nodes} nodes, which have not given {found} answers")]
    TooMany {
        /// The id.
        id: u64,
        /// How many nodes make it.
        nodes: u32,
        /// How many answers came.
        found: usize,
    },
    /// Answered as an outcall of the other kind.
    #[error("outcall {id} is {}; answer it as such", if *flexible { "flexible" } else { "not flexible" })]
    Kind {
        /// The id.
        id: u64,
        /// Whether the nodes make it each for itself.
        flexible: bool,
    },
    /// A reject code that there is not.
    #[error("reject code {code} does not exist; take one from 1 to 5")]
    RejectCode {
        /// The code.
        code: u8,
    },
}

/// All outcalls that wait.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcalls {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Waiting {
    outcall: Outcall,
    /// The function that every answer goes through, and what it is told besides.
    transform: Option<(String, Vec<u8>)>,
    origin: Origin,
    /// Cycles that go back with the answer.
    cycles: u128,
    /// Whether some nodes have answered and the others never will.
    silent: bool,
}

/// What a canister asks for, checked.
struct Asked {
    url: String,
    max_response_bytes: Option<u64>,
    method: HttpMethod,
    headers: Vec<HttpHeader>,
    body: Vec<u8>,
    /// The function that every answer goes through, and what it is told besides.
    transform: Option<(String, Vec<u8>)>,
    replication: Replication,
}

impl Outcalls {
    /// Cycles that go back with the answers.
    pub(crate) fn cycles(&self) -> u128 {
        self.waiting.values().map(|waiting| waiting.cycles).sum()
    }

    /// When the next one is given up.
    pub(crate) fn next_end(&self) -> Option<Time> {
        self.waiting
            .values()
            .map(|waiting| waiting.outcall.until)
            .min()
    }
}

pub(super) use flexible::request as flexible_request;

pub(super) fn request(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let args: HttpRequestArgs = call.decode()?;
    check::request(&args, &call.caller)?;
    if !repeatable(&args.method) && args.is_replicated != Some(false) {
        return Err(Reject::of(
            ErrorCode::CanisterRejectedMessage,
            "The requested HTTP method is only allowed for non-replicated requests.",
        ));
    }
    let HttpRequestArgs {
        url,
        max_response_bytes,
        method,
        headers,
        body,
        transform,
        is_replicated,
        // Every version is charged by the largest answer.
        pricing_version: _,
    } = args;
    let asked = Asked {
        url,
        max_response_bytes,
        method,
        headers,
        body: body.unwrap_or_default(),
        transform: transform.map(|transform| (transform.function.0.method, transform.context)),
        replication: if is_replicated == Some(false) {
            Replication::OneNode
        } else {
            Replication::Full
        },
    };
    keep(network, call, asked)
}

/// Whether it does no harm that every node makes a request with this method.
fn repeatable(method: &HttpMethod) -> bool {
    matches!(
        method,
        HttpMethod::GET | HttpMethod::HEAD | HttpMethod::POST
    )
}

/// Takes the fee, and keeps the request until somebody answers.
fn keep(network: &mut Network, call: &mut Call, asked: Asked) -> Result<Outcome, Reject> {
    let Asked {
        url,
        max_response_bytes,
        method,
        headers,
        body,
        transform,
        replication,
    } = asked;
    let home = super::subnet::home(network, &call.caller)?;
    let (subnet, prices) = (home.id, home.prices);
    let sent = url.len()
        + check::header_bytes(&headers)
        + body.len()
        + transform
            .as_ref()
            .map_or(0, |(method, context)| method.len() + context.len());
    let fee = prices.http_request(
        sent as u64,
        max_response_bytes.unwrap_or(limits::OUTCALL_RESPONSE_BYTES_MAX),
    );
    if call.cycles < fee {
        return Err(Reject::of(
            ErrorCode::CanisterRejectedMessage,
            format!(
                "http_request request sent with {} cycles, but {} cycles are required.",
                cycles::grouped(call.cycles),
                cycles::grouped(fee)
            ),
        ));
    }
    if network.outcalls.waiting.len() >= limits::OUTCALLS_MAX {
        return Err(Reject::of(
            ErrorCode::CanisterRejectedMessage,
            format!(
                "max number ({}) of http requests in-flight reached.",
                limits::OUTCALLS_MAX
            ),
        ));
    }
    let left = std::mem::take(&mut call.cycles) - fee;
    network.spend(fee);
    if let Some(canister) = network.canisters.get_mut(&call.caller) {
        canister.consumed.outcalls += fee;
    }
    let until = network
        .time
        .plus_nanos(limits::OUTCALL_SECONDS_MAX * 1_000_000_000);
    let id = network.outcalls.next;
    network.outcalls.next += 1;
    let outcall = Outcall {
        id,
        subnet,
        canister: call.caller,
        method: match method {
            HttpMethod::GET => OutcallMethod::Get,
            HttpMethod::HEAD => OutcallMethod::Head,
            HttpMethod::POST => OutcallMethod::Post,
            HttpMethod::PUT => OutcallMethod::Put,
            HttpMethod::DELETE => OutcallMethod::Delete,
            HttpMethod::PATCH => OutcallMethod::Patch,
        },
        url,
        headers: headers
            .into_iter()
            .map(|HttpHeader { name, value }| (name, value))
            .collect(),
        body,
        max_response_bytes,
        replication,
        until,
    };
    let waiting = Waiting {
        outcall,
        transform,
        origin: call.origin.clone(),
        cycles: left,
        silent: false,
    };
    network.outcalls.waiting.insert(id, waiting);
    Ok(Outcome::Later)
}

impl Network {
    /// Outcalls that wait for an answer, oldest first.
    pub fn outcalls(&self) -> impl Iterator<Item = &Outcall> {
        self.outcalls
            .waiting
            .values()
            .filter(|waiting| !waiting.silent)
            .map(|waiting| &waiting.outcall)
    }

    /// Answers an outcall: every node that makes it sees the same.
    ///
    /// # Errors
    /// Where nobody waits for it.
    pub fn answer_outcall(&mut self, id: u64, answer: OutcallAnswer) -> Result<(), OutcallError> {
        let waiting = self.outcalls.waiting.get(&id);
        match waiting.map(|waiting| waiting.outcall.replication) {
            Some(Replication::Flexible { total, .. }) => {
                self.answer_flexible_outcall(id, vec![answer; total as usize])
            }
            _ => self.answer_outcall_by_node(id, vec![answer]),
        }
    }

    /// Answers an outcall: with one answer for all nodes, or with one for each.
    ///
    /// # Errors
    /// Where nobody waits for it, or the answers are neither.
    pub fn answer_outcall_by_node(
        &mut self,
        id: u64,
        answers: Vec<OutcallAnswer>,
    ) -> Result<(), OutcallError> {
        let waiting = self
            .outcalls
            .waiting
            .get(&id)
            .ok_or(OutcallError::Unknown { id })?;
        if matches!(waiting.outcall.replication, Replication::Flexible { .. }) {
            return Err(OutcallError::Kind { id, flexible: true });
        }
        let nodes = super::subnet::nodes(self, &waiting.outcall.subnet).len();
        let found = answers.len();
        if found != 1 && found != nodes {
            return Err(OutcallError::Count { id, nodes, found });
        }
        check_codes(&answers)?;
        let Some(waiting) = self.outcalls.waiting.remove(&id) else {
            return Err(OutcallError::Unknown { id });
        };
        let Waiting {
            outcall,
            transform,
            origin,
            cycles,
            silent: _,
        } = waiting;
        let mut results: Vec<_> = answers
            .into_iter()
            .map(|answer| self.transformed(&outcall, transform.as_ref(), answer))
            .collect();
        let result = match outcall.replication {
            Replication::OneNode => results.swap_remove(0),
            Replication::Full | Replication::Flexible { .. } => agree(id, results, found),
        };
        self.respond(origin, result, cycles);
        Ok(())
    }

    /// Gives outcalls up that nobody has answered in time.
    pub(crate) fn expire_outcalls(&mut self) {
        let now = self.time;
        let late: Vec<_> = self
            .outcalls
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.outcall.until <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            let Some(waiting) = self.outcalls.waiting.remove(&id) else {
                continue;
            };
            let result = match waiting.outcall.replication {
                Replication::Flexible { .. } => Ok(flexible::timed_out()),
                Replication::Full | Replication::OneNode => Err(failed(
                    RejectCode::SysTransient,
                    "Canister http request timed out",
                )),
            };
            self.respond(waiting.origin, result, waiting.cycles);
        }
    }

    /// What one node makes of an answer.
    fn transformed(
        &mut self,
        outcall: &Outcall,
        transform: Option<&(String, Vec<u8>)>,
        answer: OutcallAnswer,
    ) -> Result<Vec<u8>, Reject> {
        let (status, headers, body) = match answer {
            OutcallAnswer::Reply {
                status,
                headers,
                body,
            } => (status, headers, body),
            OutcallAnswer::Reject { code, message } => {
                let code = reject_code(code).unwrap_or(RejectCode::SysFatal);
                return Err(failed(code, message));
            }
        };
        let max = outcall
            .max_response_bytes
            .unwrap_or(limits::OUTCALL_RESPONSE_BYTES_MAX);
        let response = HttpRequestResult {
            status: status.into(),
            headers: headers
                .into_iter()
                .map(|(name, value)| HttpHeader { name, value })
                .collect(),
            body,
        };
        check::response(&response, max)?;
        let Some((method, context)) = transform else {
            return Ok(reply(&response));
        };
        let arg = reply(&TransformArgs {
            response,
            context: context.clone(),
        });
        let transformed = self
            .transform(outcall.canister, method, arg)
            .map_err(|reject| failed(reject.code, reject.message))?;
        if transformed.len() as u64 > max {
            return Err(failed(
                RejectCode::SysFatal,
                format!("Transformed http response exceeds limit: {max}"),
            ));
        }
        Ok(transformed)
    }
}

/// The answer that enough nodes have: all but a third of them.
fn agree(id: u64, results: Vec<Result<Vec<u8>, Reject>>, nodes: usize) -> Result<Vec<u8>, Reject> {
    let needed = nodes - nodes.saturating_sub(1) / 3;
    let mut counts: Vec<(Result<Vec<u8>, Reject>, usize)> = Vec::new();
    for result in results {
        match counts.iter_mut().find(|(other, _)| *other == result) {
            Some((_, count)) => *count += 1,
            None => counts.push((result, 1)),
        }
    }
    if let Some(at) = counts.iter().position(|(_, count)| *count >= needed) {
        return counts.swap_remove(at).0;
    }
    let mut sizes: Vec<_> = counts.iter().map(|(_, count)| *count).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    Err(failed(
        RejectCode::SysTransient,
        format!(
            "No consensus could be reached. Replicas had different responses. Details: request_id: {id}, \
             nodes that agree with each other: {sizes:?}, needed: {needed}"
        ),
    ))
}

fn check_codes(answers: &[OutcallAnswer]) -> Result<(), OutcallError> {
    let wrong = answers.iter().find_map(|answer| match answer {
        OutcallAnswer::Reject { code, .. } if reject_code(*code).is_none() => Some(*code),
        _ => None,
    });
    match wrong {
        Some(code) => Err(OutcallError::RejectCode { code }),
        None => Ok(()),
    }
}

fn reject_code(code: u8) -> Option<RejectCode> {
    Some(match code {
        1 => RejectCode::SysFatal,
        2 => RejectCode::SysTransient,
        3 => RejectCode::DestinationInvalid,
        4 => RejectCode::CanisterReject,
        5 => RejectCode::CanisterError,
        _ => return None,
    })
}

/// An outcall that came to nothing; such rejects have a class and no number.
fn failed(code: RejectCode, message: impl Into<String>) -> Reject {
    Reject {
        code,
        error: None,
        message: message.into(),
    }
}
