//! Flexible outcalls: nodes ask each for itself, and the test answers for those that have an answer.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use candid::{Func, Principal, Reserved};
use ic_management_canister_types::{
    FlexibleHttpGlobalError, FlexibleHttpRequestArgs, FlexibleHttpRequestErr,
    FlexibleHttpRequestResult, HttpMethod, HttpRequestArgs, ReplicationCounts, TransformContext,
    TransformFunc,
};
use pocket_ic::{
    PocketIc,
    common::rest::{
        CanisterHttpPricingVersion, CanisterHttpReject, CanisterHttpReplication, CanisterHttpReply,
        CanisterHttpRequest, CanisterHttpResponse, MockCanisterHttpResponse,
        MockFlexibleCanisterHttpResponse, RawMessageId,
    },
};

use crate::harness::{begin_managing, managed, network, networks, probe, probe_on};

type Told = Result<FlexibleHttpRequestResult, (u32, String)>;

/// A subnet that charges nothing, of thirteen nodes.
fn free() -> (PocketIc, Principal) {
    let network = networks().with_system_subnet().build();
    let subnet = network.topology().get_system_subnets()[0];
    let id = probe_on(&network, subnet);
    (network, id)
}

fn counts(total: u32, min: u32, max: u32) -> Option<ReplicationCounts> {
    Some(ReplicationCounts {
        total_requests: total,
        min_responses: min,
        max_responses: max,
    })
}

fn get(replication: Option<ReplicationCounts>) -> FlexibleHttpRequestArgs {
    FlexibleHttpRequestArgs {
        url: "https://example.com/".to_owned(),
        replication,
        ..Default::default()
    }
}

fn submit(network: &PocketIc, id: Principal, args: &FlexibleHttpRequestArgs) -> RawMessageId {
    let call = begin_managing(network, id, "flexible_http_request", args);
    for _ in 0..3 {
        network.tick();
    }
    call
}

/// Begins an outcall, and gives the request that waits.
fn begin(
    network: &PocketIc,
    id: Principal,
    args: &FlexibleHttpRequestArgs,
) -> (RawMessageId, CanisterHttpRequest) {
    let call = submit(network, id, args);
    let mut waiting = network.get_canister_http();
    assert_eq!(waiting.len(), 1);
    (call, waiting.remove(0))
}

fn end(network: &PocketIc, call: RawMessageId) -> Told {
    managed(&network.await_call(call).unwrap())
}

fn reply(body: &[u8]) -> CanisterHttpResponse {
    CanisterHttpResponse::CanisterHttpReply(CanisterHttpReply {
        status: 200,
        headers: vec![],
        body: body.to_vec(),
    })
}

fn reject(message: &str) -> CanisterHttpResponse {
    CanisterHttpResponse::CanisterHttpReject(CanisterHttpReject {
        reject_code: 2,
        message: message.to_owned(),
    })
}

fn answer(network: &PocketIc, request: &CanisterHttpRequest, responses: Vec<CanisterHttpResponse>) {
    network.mock_flexible_canister_http_response(MockFlexibleCanisterHttpResponse {
        subnet_id: request.subnet_id,
        request_id: request.request_id,
        responses,
    });
}

/// One outcall with these answers.
fn exchange(
    replication: Option<ReplicationCounts>,
    responses: Vec<CanisterHttpResponse>,
) -> FlexibleHttpRequestResult {
    let (network, id) = free();
    let (call, request) = begin(&network, id, &get(replication));
    answer(&network, &request, responses);
    end(&network, call).unwrap()
}

fn bodies(result: FlexibleHttpRequestResult) -> Vec<Vec<u8>> {
    match result {
        FlexibleHttpRequestResult::Ok(responses) => responses
            .into_iter()
            .map(|response| response.body)
            .collect(),
        FlexibleHttpRequestResult::Err(error) => panic!("{error:?}"),
    }
}

fn error(result: FlexibleHttpRequestResult) -> FlexibleHttpRequestErr {
    match result {
        FlexibleHttpRequestResult::Ok(responses) => panic!("{} responses", responses.len()),
        FlexibleHttpRequestResult::Err(error) => error,
    }
}

#[test]
fn answers_that_differ_are_all_given() {
    let (network, id) = free();
    let (call, request) = begin(&network, id, &get(None));
    assert_eq!(
        request.replication,
        CanisterHttpReplication::Flexible {
            total_requests: 13,
            min_responses: 9,
            max_responses: 13
        }
    );
    assert_eq!(request.pricing_version, CanisterHttpPricingVersion::Legacy);
    let answers = (0..13).map(|number| reply(&[number])).collect();
    answer(&network, &request, answers);
    assert!(network.get_canister_http().is_empty());
    let mut seen = bodies(end(&network, call).unwrap());
    seen.sort_unstable();
    assert_eq!(seen, (0..13).map(|number| vec![number]).collect::<Vec<_>>());
}

#[test]
fn every_answer_goes_through_the_transform() {
    let (network, id) = free();
    let args = FlexibleHttpRequestArgs {
        transform: Some(TransformContext {
            function: TransformFunc(Func {
                principal: id,
                method: "shorten".to_owned(),
            }),
            context: b"!".to_vec(),
        }),
        ..get(counts(2, 2, 2))
    };
    let (call, request) = begin(&network, id, &args);
    answer(&network, &request, vec![reply(b"one"), reply(b"two")]);
    let mut seen = bodies(end(&network, call).unwrap());
    seen.sort_unstable();
    assert_eq!(seen, [b"one!", b"two!"]);
}

#[test]
fn enough_answers_are_a_result_and_no_more_than_the_canister_takes() {
    let some = exchange(
        counts(4, 2, 3),
        vec![reply(b"a"), reject("late"), reply(b"b")],
    );
    assert_eq!(bodies(some).len(), 2);
    let most = exchange(counts(4, 2, 3), vec![reply(b"a"); 4]);
    assert_eq!(bodies(most).len(), 3);
    for one in [reply(b"a"), reject("no")] {
        assert!(bodies(exchange(counts(4, 0, 0), vec![one])).is_empty());
    }
}

#[test]
fn more_rejects_than_can_be_spared_are_named() {
    let failed = error(exchange(
        counts(4, 3, 4),
        vec![reject("no route"), reply(b"a"), reject("no route")],
    ));
    assert_eq!(
        failed.global_error,
        Some(FlexibleHttpGlobalError::TooManyRejects(Reserved))
    );
    assert_eq!(failed.message, "Too many rejects: 2 responses are rejects");
    assert_eq!(failed.node_details.len(), 2);
    assert_ne!(
        failed.node_details[0].node_id,
        failed.node_details[1].node_id
    );
    for detail in failed.node_details {
        let error = detail.error.unwrap();
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            ("SysTransient", "no route")
        );
    }
}

#[test]
fn answers_that_do_not_fit_together_are_fewer_or_none() {
    let large = || reply(&vec![b'x'; 1_000_000]);
    assert_eq!(bodies(exchange(counts(4, 2, 4), vec![large(); 4])).len(), 2);
    let failed = error(exchange(counts(4, 3, 4), vec![large(); 4]));
    assert_eq!(
        failed.global_error,
        Some(FlexibleHttpGlobalError::ResponsesTooLarge(Reserved))
    );
    assert!(
        failed.message.starts_with(
            "Responses too large: need at least 3 OK responses to fit within 2097152 bytes"
        ),
        "{}",
        failed.message
    );
    assert_eq!(failed.node_details.len(), 4);
    for detail in failed.node_details {
        let error = detail.error.unwrap();
        assert_eq!(error.code, "ok");
        assert!(error.message.ends_with(" bytes"), "{}", error.message);
    }
}

#[test]
fn too_few_answers_are_waited_for_until_the_time_is_up() {
    let (network, id) = free();
    let (call, request) = begin(&network, id, &get(counts(4, 3, 4)));
    answer(&network, &request, vec![reply(b"a"), reject("no")]);
    assert!(network.get_canister_http().is_empty(), "it takes no more");
    let again = catch_unwind(AssertUnwindSafe(|| {
        answer(&network, &request, vec![reply(b"a"); 3]);
    }));
    assert!(again.is_err());
    network.advance_time(Duration::from_secs(61));
    let failed = error(end(&network, call).unwrap());
    assert_eq!(
        failed.global_error,
        Some(FlexibleHttpGlobalError::Timeout(Reserved))
    );
    assert_eq!(failed.message, "Flexible HTTP request timed out");
    assert!(failed.node_details.is_empty());
}

#[test]
fn counts_that_make_no_sense_are_refused() {
    let (network, id) = free();
    for (replication, method, reason) in [
        (
            counts(0, 0, 0),
            HttpMethod::GET,
            "total_requests (0) must be at least 1",
        ),
        (
            counts(14, 1, 1),
            HttpMethod::GET,
            "total_requests (14) must not exceed the number of available nodes (13)",
        ),
        (
            counts(4, 3, 2),
            HttpMethod::GET,
            "min_responses (3) must not exceed max_responses (2)",
        ),
        (
            counts(2, 1, 3),
            HttpMethod::GET,
            "max_responses (3) must not exceed total_requests (2)",
        ),
        (
            counts(4, 3, 4),
            HttpMethod::PUT,
            "min_responses = max_responses = total_requests",
        ),
        (
            None,
            HttpMethod::DELETE,
            "min_responses = max_responses = total_requests",
        ),
    ] {
        let args = FlexibleHttpRequestArgs {
            method,
            ..get(replication)
        };
        let call = submit(&network, id, &args);
        assert!(network.get_canister_http().is_empty(), "{reason}");
        let (code, message) = end(&network, call).unwrap_err();
        assert_eq!(code, 4, "{message}");
        assert!(message.contains(reason), "{message}");
    }
    let put = FlexibleHttpRequestArgs {
        method: HttpMethod::PUT,
        ..get(counts(1, 1, 1))
    };
    let (call, request) = begin(&network, id, &put);
    answer(&network, &request, vec![reply(b"put")]);
    assert_eq!(bodies(end(&network, call).unwrap()), [b"put"]);
}

#[test]
fn a_subnet_that_charges_has_none() {
    let network = network();
    let id = probe(&network);
    let call = submit(&network, id, &get(None));
    let (code, message) = end(&network, call).unwrap_err();
    assert_eq!(code, 5);
    assert!(message.contains("charges for outcalls"), "{message}");
}

/// What the server says when the client answers as it cannot.
fn refusal(work: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(work)).expect_err("it must be refused");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn answers_of_the_wrong_kind_or_number_are_refused() {
    let (network, id) = free();
    let (call, request) = begin(&network, id, &get(counts(2, 1, 2)));
    let many = refusal(|| answer(&network, &request, vec![reply(b"a"); 3]));
    assert!(many.contains("made by 2 nodes"), "{many}");
    let plain = MockCanisterHttpResponse {
        subnet_id: request.subnet_id,
        request_id: request.request_id,
        response: reply(b"a"),
        additional_responses: vec![],
    };
    let kind = refusal(|| network.mock_canister_http_response(plain));
    assert!(kind.contains("is flexible"), "{kind}");
    answer(&network, &request, vec![reply(b"a")]);
    assert_eq!(bodies(end(&network, call).unwrap()), [b"a"]);

    let args = HttpRequestArgs {
        url: "https://example.com/".to_owned(),
        ..Default::default()
    };
    begin_managing(&network, id, "http_request", &args);
    for _ in 0..3 {
        network.tick();
    }
    let request = network.get_canister_http().remove(0);
    let kind = refusal(|| answer(&network, &request, vec![reply(b"a")]));
    assert!(kind.contains("is not flexible"), "{kind}");
}
