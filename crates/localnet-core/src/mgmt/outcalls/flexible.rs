//! Flexible outcalls: some nodes ask the world, each for itself, and the canister gets what each was told.
//!
//! They are offered where outcalls cost nothing. Elsewhere the public network charges for what every node has used, and
//! nothing here measures that.

use candid::{Principal, Reserved, decode_one};
use ic_management_canister_types::{
    FlexibleHttpGlobalError, FlexibleHttpNodeDetail, FlexibleHttpNodeError,
    FlexibleHttpRequestArgs, FlexibleHttpRequestErr, FlexibleHttpRequestResult, HttpRequestArgs,
    HttpRequestResourceReport, HttpRequestResult, ReplicationCounts,
};

use super::{
    Asked, Call, OutcallAnswer, OutcallError, Outcome, Replication, check, check_codes, failed,
    keep, repeatable,
};
use crate::{
    limits,
    mgmt::{reply, subnet},
    network::Network,
    types::{ErrorCode, Reject, RejectCode},
};

pub(in crate::mgmt) fn request(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let args: FlexibleHttpRequestArgs = call.decode()?;
    let FlexibleHttpRequestArgs {
        url,
        max_response_bytes,
        method,
        headers,
        body,
        transform,
        replication,
    } = args;
    let home = subnet::home(network, &call.caller)?;
    if home.prices.http_request(0, 1) > 0 {
        return Err(Reject::of(
            ErrorCode::CanisterMethodNotFound,
            "Management canister has no method 'flexible_http_request' on this subnet, which charges for outcalls; a \
             system subnet has it, and one with the cost schedule Free",
        ));
    }
    let nodes = subnet::nodes(network, &home.id).len() as u32;
    let plain = HttpRequestArgs {
        url,
        max_response_bytes,
        method,
        headers,
        body,
        transform,
        is_replicated: None,
        pricing_version: None,
    };
    check::request(&plain, &call.caller)?;
    let (total, min, max) = counts(replication, nodes)?;
    let exact = min == max && max == total;
    if !exact && !repeatable(&plain.method) {
        return Err(check::refused(
            "The requested HTTP method is only allowed with min_responses = max_responses = total_requests.".into(),
        ));
    }
    let asked = Asked {
        url: plain.url,
        max_response_bytes: plain.max_response_bytes,
        method: plain.method,
        headers: plain.headers,
        body: plain.body.unwrap_or_default(),
        transform: plain
            .transform
            .map(|transform| (transform.function.0.method, transform.context)),
        replication: Replication::Flexible { total, min, max },
    };
    keep(network, call, asked)
}

/// How many of so many nodes make an outcall, and how many answers it takes, at least and at most.
fn counts(asked: Option<ReplicationCounts>, nodes: u32) -> Result<(u32, u32, u32), Reject> {
    let Some(ReplicationCounts {
        min_responses: min,
        max_responses: max,
        total_requests: total,
    }) = asked
    else {
        return Ok((nodes, 2 * nodes / 3 + 1, nodes));
    };
    let wrong = if total < 1 {
        format!("total_requests ({total}) must be at least 1")
    } else if total > nodes {
        format!("total_requests ({total}) must not exceed the number of available nodes ({nodes})")
    } else if min > max {
        format!("min_responses ({min}) must not exceed max_responses ({max})")
    } else if max > total {
        format!("max_responses ({max}) must not exceed total_requests ({total})")
    } else {
        return Ok((total, min, max));
    };
    Err(check::refused(wrong))
}

impl Network {
    /// Answers a flexible outcall: with one answer for each node that has one. The others never answer: where these
    /// decide nothing, the outcall waits until its time is up, and takes no more.
    ///
    /// # Errors
    /// Where nobody waits for it, it is no flexible outcall, or there are more answers than nodes.
    pub fn answer_flexible_outcall(
        &mut self,
        id: u64,
        answers: Vec<OutcallAnswer>,
    ) -> Result<(), OutcallError> {
        let waiting = self.outcalls.waiting.get_mut(&id);
        let waiting = waiting
            .filter(|waiting| !waiting.silent)
            .ok_or(OutcallError::Unknown { id })?;
        let Replication::Flexible { total, min, max } = waiting.outcall.replication else {
            return Err(OutcallError::Kind {
                id,
                flexible: false,
            });
        };
        let found = answers.len();
        if found > total as usize {
            return Err(OutcallError::TooMany {
                id,
                nodes: total,
                found,
            });
        }
        check_codes(&answers)?;
        waiting.silent = true;
        let outcall = waiting.outcall.clone();
        let transform = waiting.transform.clone();
        let nodes = subnet::nodes(self, &outcall.subnet);
        // Which nodes are asked follows from the outcall's number.
        let first = id as usize % nodes.len().max(1);
        let committee = nodes.iter().cycle().skip(first).copied();
        let results: Vec<_> = committee
            .zip(answers)
            .map(|(node, answer)| {
                let result = self
                    .transformed(&outcall, transform.as_ref(), answer)
                    .and_then(read);
                (node, result)
            })
            .collect();
        if let Some(result) = decide([total, min, max].map(|count| count as usize), &results)
            && let Some(waiting) = self.outcalls.waiting.remove(&id)
        {
            self.respond(waiting.origin, Ok(reply(&result)), waiting.cycles);
        }
        Ok(())
    }
}

/// What a node has: a response, and how many bytes it takes; or a reject.
type Seen = Result<(HttpRequestResult, usize), Reject>;

fn read(bytes: Vec<u8>) -> Seen {
    match decode_one(&bytes) {
        Ok(response) => Ok((response, bytes.len())),
        Err(error) => Err(failed(
            RejectCode::CanisterError,
            format!("the transform function's reply is no HTTP response: {error}"),
        )),
    }
}

/// What comes of the answers of so many nodes, of which it takes so many at least and at most; nothing yet where others
/// could decide.
fn decide(
    [total, min, max]: [usize; 3],
    seen: &[(Principal, Seen)],
) -> Option<FlexibleHttpRequestResult> {
    if seen.is_empty() {
        return None;
    }
    let mut responses: Vec<_> = seen
        .iter()
        .filter_map(|(_, result)| result.as_ref().ok())
        .collect();
    // The smallest first, and of the same size the earlier.
    responses.sort_by_key(|(_, bytes)| *bytes);
    let fit = |count: usize| {
        responses
            .iter()
            .take(count)
            .map(|(_, bytes)| *bytes)
            .sum::<usize>()
            <= limits::OUTCALL_FLEXIBLE_BYTES_MAX
    };
    let most = responses.len().min(max);
    if let Some(count) = (min..=most).rev().find(|count| fit(*count)) {
        let chosen = responses.iter().take(count);
        return Some(FlexibleHttpRequestResult::Ok(
            chosen.map(|(response, _)| response.clone()).collect(),
        ));
    }
    let rejects = seen.len() - responses.len();
    if rejects > total - min {
        return Some(FlexibleHttpRequestResult::Err(too_many_rejects(seen)));
    }
    let unseen = total - seen.len();
    let needed = min.saturating_sub(unseen);
    if !fit(needed) {
        let sizes = responses
            .iter()
            .take(needed)
            .map(|(_, bytes)| bytes.to_string());
        let message = format!(
            "Responses too large: need at least {min} OK responses to fit within {} bytes, but even the smallest \
             {needed} (= {min} min_responses - {unseen} unseen) of {ok} OK responses have sizes [{}] bytes ({ok} ok + \
             {rejects} reject + {unseen} unseen = {total} total_requests)",
            limits::OUTCALL_FLEXIBLE_BYTES_MAX,
            sizes.collect::<Vec<_>>().join(", "),
            ok = responses.len(),
        );
        return Some(FlexibleHttpRequestResult::Err(too_large(seen, message)));
    }
    None
}

fn too_many_rejects(seen: &[(Principal, Seen)]) -> FlexibleHttpRequestErr {
    let node_details: Vec<_> = seen
        .iter()
        .filter_map(|(node, result)| {
            let reject = result.as_ref().err()?;
            Some(detail(
                *node,
                format!("{:?}", reject.code),
                reject.message.clone(),
            ))
        })
        .collect();
    FlexibleHttpRequestErr {
        global_error: Some(FlexibleHttpGlobalError::TooManyRejects(Reserved)),
        message: format!(
            "Too many rejects: {} responses are rejects",
            node_details.len()
        ),
        node_details,
    }
}

fn too_large(seen: &[(Principal, Seen)], message: String) -> FlexibleHttpRequestErr {
    let node_details = seen.iter().map(|(node, result)| {
        let (code, bytes) = match result {
            Ok((_, bytes)) => ("ok", *bytes),
            // A class of one byte, and a text.
            Err(reject) => ("reject", reject.message.len() + 1),
        };
        detail(*node, code.to_owned(), format!("{bytes} bytes"))
    });
    FlexibleHttpRequestErr {
        global_error: Some(FlexibleHttpGlobalError::ResponsesTooLarge(Reserved)),
        node_details: node_details.collect(),
        message,
    }
}

fn detail(node_id: Principal, code: String, message: String) -> FlexibleHttpNodeDetail {
    FlexibleHttpNodeDetail {
        node_id,
        report: HttpRequestResourceReport::default(),
        error: Some(FlexibleHttpNodeError { code, message }),
    }
}

/// The reply where too few nodes have answered in time.
pub(super) fn timed_out() -> Vec<u8> {
    reply(&FlexibleHttpRequestResult::Err(FlexibleHttpRequestErr {
        global_error: Some(FlexibleHttpGlobalError::Timeout(Reserved)),
        node_details: Vec::new(),
        message: "Flexible HTTP request timed out".to_owned(),
    }))
}
