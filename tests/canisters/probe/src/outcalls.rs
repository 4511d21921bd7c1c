//! Requests to the world outside.

use candid::{CandidType, Func, Nat, Principal, define_function};
use ic_cdk::call::{Call, CallFailed};
use serde::Deserialize;
use serde_bytes::ByteBuf;

/// What an outcall is paid with; what is not used comes back.
const CYCLES: u128 = 200_000_000_000;

define_function!(Transforming : (TransformArgs) -> (Answer) query);

#[derive(CandidType)]
struct Request {
    url: String,
    max_response_bytes: Option<u64>,
    headers: Vec<Header>,
    body: Option<ByteBuf>,
    method: Method,
    transform: Option<Transform>,
    is_replicated: Option<bool>,
}

#[derive(CandidType)]
#[expect(non_camel_case_types, reason = "the interface's names")]
enum Method {
    get,
}

#[derive(CandidType)]
struct Transform {
    function: Transforming,
    context: ByteBuf,
}

#[derive(Debug, CandidType, Deserialize)]
struct Header {
    name: String,
    value: String,
}

#[derive(Debug, CandidType, Deserialize)]
struct Answer {
    status: Nat,
    headers: Vec<Header>,
    body: ByteBuf,
}

#[derive(CandidType, Deserialize)]
struct TransformArgs {
    response: Answer,
    context: ByteBuf,
}

/// What a page says, after [`shorten`] has been over it.
#[ic_cdk::update]
async fn fetch(url: String) -> Result<String, String> {
    let request = Request {
        url,
        max_response_bytes: Some(10_000),
        headers: vec![Header {
            name: "accept".to_owned(),
            value: "text/plain".to_owned(),
        }],
        body: None,
        method: Method::get,
        transform: Some(Transform {
            function: Transforming(Func {
                principal: ic_cdk::api::canister_self(),
                method: "shorten".to_owned(),
            }),
            context: ByteBuf::from(*b"!"),
        }),
        is_replicated: None,
    };
    let answer: Answer = Call::unbounded_wait(Principal::management_canister(), "http_request")
        .with_arg(request)
        .with_cycles(CYCLES)
        .await
        .map_err(|error| error.to_string())?
        .candid()
        .map_err(|error| error.to_string())?;
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    Ok(format!("{} {body} {}", answer.status, answer.headers.len()))
}

/// Calls the management canister with any argument; gives its reply, or the code and the text of its reject.
#[ic_cdk::update]
async fn manage(method: String, arg: ByteBuf) -> Result<ByteBuf, (u32, String)> {
    let called = Call::unbounded_wait(Principal::management_canister(), &method)
        .with_raw_args(&arg)
        .with_cycles(CYCLES)
        .await;
    match called {
        Ok(reply) => Ok(ByteBuf::from(reply.into_bytes())),
        Err(CallFailed::CallRejected(reject)) => {
            Err((reject.raw_reject_code(), reject.reject_message().to_owned()))
        }
        Err(error) => Err((0, error.to_string())),
    }
}

/// Keeps of an answer what is the same for everybody.
#[ic_cdk::query]
fn shorten(args: TransformArgs) -> Answer {
    let TransformArgs { response, context } = args;
    let mut body = response.body;
    body.extend_from_slice(&context);
    Answer {
        status: response.status,
        headers: Vec::new(),
        body,
    }
}
