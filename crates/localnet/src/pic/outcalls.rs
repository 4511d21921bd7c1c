//! HTTP requests of canisters that wait for an answer, and answers that a client makes up.

use std::sync::Arc;

use assay_localnet_core::network::{
    Input,
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
    replication: &'static str,
    pricing_version: &'static str,
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

/// What waits for an answer, oldest first.
pub(super) async fn list(instance: Arc<Instance>) -> Outcome {
    let answer = instance
        .network
        .run(|actor| Answer::of(&actor.network().outcalls().map(request).collect::<Vec<_>>()))
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
            Replication::Full => "FullyReplicated",
            Replication::OneNode => "NonReplicated",
        },
        pricing_version: "Legacy",
    }
}

/// Answers an outcall: with one answer for all nodes, or with one for each.
pub(super) async fn mock(instance: Arc<Instance>, mock: Mock) -> Outcome {
    let Mock {
        subnet_id: SubnetId {
            subnet_id: Id(subnet),
        },
        request_id: id,
        response,
        additional_responses,
    } = mock;
    let answers = std::iter::once(response)
        .chain(additional_responses)
        .map(answer)
        .collect::<Result<Vec<_>, _>>()?;
    instance
        .network
        .run(move |actor| {
            let known = actor
                .network()
                .outcalls()
                .any(|outcall| outcall.id == id && outcall.subnet == subnet);
            let answered = match known {
                true => {
                    let input = Input::Outcall {
                        id,
                        answers: answers.clone(),
                    };
                    actor.change(
                        |network| network.answer_outcall_by_node(id, answers),
                        |_| input,
                    )
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
