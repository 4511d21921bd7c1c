//! HTTP requests of canisters, answered by the test.

use candid::{decode_one, encode_one};
use pocket_ic::{
    PocketIc,
    common::rest::{
        CanisterHttpHeader, CanisterHttpMethod, CanisterHttpReject, CanisterHttpReply,
        CanisterHttpRequest, CanisterHttpResponse, MockCanisterHttpResponse, RawMessageId,
    },
};

use crate::harness::{anybody, network, probe};

const URL: &str = "https://example.com/page";

fn ask(network: &PocketIc) -> (RawMessageId, CanisterHttpRequest) {
    let id = probe(network);
    let call = network
        .submit_call(id, anybody(), "fetch", encode_one(URL).unwrap())
        .unwrap();
    for _ in 0..3 {
        network.tick();
    }
    let mut waiting = network.get_canister_http();
    assert_eq!(waiting.len(), 1);
    (call, waiting.remove(0))
}

fn answer(
    request: &CanisterHttpRequest,
    response: CanisterHttpResponse,
) -> MockCanisterHttpResponse {
    MockCanisterHttpResponse {
        subnet_id: request.subnet_id,
        request_id: request.request_id,
        response,
        additional_responses: vec![],
    }
}

fn page(body: &str) -> CanisterHttpResponse {
    CanisterHttpResponse::CanisterHttpReply(CanisterHttpReply {
        status: 200,
        headers: vec![CanisterHttpHeader {
            name: "date".to_owned(),
            value: "today".to_owned(),
        }],
        body: body.as_bytes().to_vec(),
    })
}

fn fetched(network: &PocketIc, call: RawMessageId) -> Result<String, String> {
    decode_one(&network.await_call(call).unwrap()).unwrap()
}

#[test]
fn a_request_waits_for_its_answer_which_is_transformed() {
    let network = network();
    let (call, request) = ask(&network);
    assert_eq!(request.url, URL);
    assert_eq!(request.http_method, CanisterHttpMethod::GET);
    assert_eq!(request.max_response_bytes, Some(10_000));
    assert!(
        request
            .headers
            .iter()
            .any(|header| header.name == "accept" && header.value == "text/plain")
    );
    assert_eq!(network.topology().get_app_subnets(), [request.subnet_id]);
    network.mock_canister_http_response(answer(&request, page("hello")));
    assert_eq!(fetched(&network, call), Ok("200 hello! 0".to_owned()));
    assert!(network.get_canister_http().is_empty());
}

#[test]
fn a_failure_of_the_world_is_told() {
    let network = network();
    let (call, request) = ask(&network);
    let reject = CanisterHttpResponse::CanisterHttpReject(CanisterHttpReject {
        reject_code: 2,
        message: "no route".to_owned(),
    });
    network.mock_canister_http_response(answer(&request, reject));
    assert!(fetched(&network, call).unwrap_err().contains("no route"));
}

#[test]
fn nodes_that_disagree_find_no_consensus() {
    let network = network();
    let (call, request) = ask(&network);
    let mut mock = answer(&request, page("0"));
    mock.additional_responses = (1..13).map(|number| page(&number.to_string())).collect();
    network.mock_canister_http_response(mock);
    assert!(fetched(&network, call).unwrap_err().contains("consensus"));
}

#[test]
fn an_answer_that_never_comes_is_given_up() {
    let network = network();
    let (call, _) = ask(&network);
    network.advance_time(std::time::Duration::from_secs(61));
    assert!(fetched(&network, call).unwrap_err().contains("timed out"));
}
