//! HTTP requests of canisters that wait for an answer, and answers that a client makes up.

use std::sync::Arc;

use assay_localnet_core::network::{
    Input, Network,
    access::{Outcall, OutcallAnswer, OutcallError, Replication},
};
use serde::{Deserialize, Serialize};

use super::{
    answer::{Answer, ApiError, Outcome},
    instances::Instance,
    shapes::{Blob, Id, SubnetId},
};

#[derive(Debug, Serialize)]
struct Request<'a> {
    subnet_id: SubnetId,
    request_id: u64,
    http_method: &'static str,
    url: &'a str,
    headers: Vec<Header>,
    body: Blob,
    max_response_bytes: Option<u64>,
    replication: Nodes,
    pricing_version: &'static str,
}

/// Who makes an outcall.
#[derive(Clone, Copy, Debug, Serialize)]
enum Nodes {
    FullyReplicated,
    NonReplicated,
    Flexible {
        total_requests: u32,
        min_responses: u32,
        max_responses: u32,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    name: String,
    value: String,
}

/// An answer that a client makes up.
#[derive(Debug, Deserialize)]
pub(super) struct Mock {
    subnet_id: SubnetId,
    request_id: u64,
    response: Response,
    #[serde(default)]
    additional_responses: Vec<Response>,
}

/// An answer that a client makes up, of each node that has one.
#[derive(Debug, Deserialize)]
pub(super) struct FlexibleMock {
    subnet_id: SubnetId,
    request_id: u64,
    responses: Vec<Response>,
}

#[derive(Debug, Deserialize)]
enum Response {
    CanisterHttpReply(Reply),
    CanisterHttpReject(Reject),
}

#[derive(Debug, Deserialize)]
struct Reply {
    status: u16,
    #[serde(default)]
    headers: Vec<Header>,
    body: Blob,
}

#[derive(Debug, Deserialize)]
struct Reject {
    reject_code: u64,
    message: String,
}

/// What waits for an answer from here, oldest first; a live network makes its outcalls itself.
pub(super) async fn list(instance: Arc<Instance>) -> Outcome {
    let answer = instance
        .network
        .run(|actor| {
            let waiting = actor.network().outcalls();
            let free = waiting.filter(|outcall| !actor.makes_outcall(outcall.id));
            Answer::of(&free.map(request).collect::<Vec<_>>())
        })
        .await?;
    Ok(answer)
}

fn request(outcall: &Outcall) -> Request<'_> {
    let Outcall {
        id,
        subnet,
        canister: _,
        method,
        url,
        headers,
        body,
        max_response_bytes,
        replication,
        until: _,
    } = outcall;
    let header = |(name, value): &(String, String)| Header {
        name: name.clone(),
        value: value.clone(),
    };
    Request {
        subnet_id: SubnetId {
            subnet_id: Id(*subnet),
        },
        request_id: *id,
        http_method: method.as_str(),
        url,
        headers: headers.iter().map(header).collect(),
        body: Blob(body.clone()),
        max_response_bytes: *max_response_bytes,
        replication: match replication {
            Replication::Full => Nodes::FullyReplicated,
            Replication::OneNode => Nodes::NonReplicated,
            Replication::Flexible { total, min, max } => Nodes::Flexible {
                total_requests: *total,
                min_responses: *min,
                max_responses: *max,
            },
        },
        pricing_version: "Legacy",
    }
}

/// Answers an outcall: with one answer for all nodes, or with one for each.
pub(super) async fn mock(instance: Arc<Instance>, mock: Mock) -> Outcome {
    let Mock {
        subnet_id,
        request_id,
        response,
        additional_responses,
    } = mock;
    let responses = std::iter::once(response).chain(additional_responses);
    give(
        instance,
        subnet_id,
        request_id,
        responses,
        Network::answer_outcall_by_node,
        |id, answers| Input::OutcallByNode { id, answers },
    )
    .await
}

/// Answers a flexible outcall, with one answer for each node that has one.
pub(super) async fn mock_flexible(instance: Arc<Instance>, mock: FlexibleMock) -> Outcome {
    let FlexibleMock {
        subnet_id,
        request_id,
        responses,
    } = mock;
    give(
        instance,
        subnet_id,
        request_id,
        responses,
        Network::answer_flexible_outcall,
        |id, answers| Input::FlexibleOutcall { id, answers },
    )
    .await
}

async fn give(
    instance: Arc<Instance>,
    subnet: SubnetId,
    id: u64,
    responses: impl IntoIterator<Item = Response>,
    tell: fn(&mut Network, u64, Vec<OutcallAnswer>) -> Result<(), OutcallError>,
    input: fn(u64, Vec<OutcallAnswer>) -> Input,
) -> Outcome {
    let Id(subnet) = subnet.subnet_id;
    let answers = responses
        .into_iter()
        .map(answer)
        .collect::<Result<Vec<_>, _>>()?;
    instance
        .network
        .run(move |actor| {
            if actor.makes_outcall(id) {
                return Err(ApiError::bad(format!(
                    "outcall {id} takes no made-up answer: the network was live when it came up and makes it for real"
                )));
            }
            let known = actor
                .network()
                .outcalls()
                .any(|outcall| outcall.id == id && outcall.subnet == subnet);
            let answered = match known {
                true => {
                    let input = input(id, answers.clone());
                    actor.change(|network| tell(network, id, answers), |_| input)
                }
                false => Err(OutcallError::Unknown { id }),
            };
            answered.map_err(|error| ApiError::bad(error.to_string()))
        })
        .await??;
    Ok(Answer::null())
}

fn answer(response: Response) -> Result<OutcallAnswer, ApiError> {
    match response {
        Response::CanisterHttpReply(Reply {
            status,
            headers,
            body,
        }) => Ok(OutcallAnswer::Reply {
            status,
            headers: headers
                .into_iter()
                .map(|Header { name, value }| (name, value))
                .collect(),
            body: body.0,
        }),
        Response::CanisterHttpReject(Reject {
            reject_code,
            message,
        }) => Ok(OutcallAnswer::Reject {
            code: u8::try_from(reject_code)
                .map_err(|_| ApiError::bad(format!("reject code {reject_code} does not exist")))?,
            message,
        }),
    }
}
