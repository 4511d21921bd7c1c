//! HTTPS outcalls: asked by canisters, answered by whoever runs the network.

use assay_localnet_core::{
    network::access::{OutcallAnswer, OutcallError, OutcallMethod, Replication},
    types::RequestId,
};
use candid::{Principal, encode_one};
use ic_management_canister_types as ic;

use super::{decoded, forward, forwarded, forwarder, split};
use crate::harness::{Net, START};

const T: u128 = 1_000_000_000_000;
/// (3 000 000 + 60 000 · 13 + 400 · request + 800 · response) · 13
fn fee(request: u128, response: u128) -> u128 {
    (3_000_000 + 60_000 * 13 + 400 * request + 800 * response) * 13
}

fn get(url: &str) -> ic::HttpRequestArgs {
    ic::HttpRequestArgs {
        url: url.into(),
        max_response_bytes: Some(1_000),
        ..Default::default()
    }
}

fn header(name: &str, value: &str) -> ic::HttpHeader {
    ic::HttpHeader {
        name: name.into(),
        value: value.into(),
    }
}

fn transform(canister: Principal, method: &str) -> Option<ic::TransformContext> {
    Some(ic::TransformContext {
        function: ic::TransformFunc(candid::Func {
            principal: canister,
            method: method.into(),
        }),
        context: b"context".to_vec(),
    })
}

fn ok(body: &[u8]) -> OutcallAnswer {
    OutcallAnswer::Reply {
        status: 200,
        headers: vec![("a".into(), "b".into())],
        body: body.to_vec(),
    }
}

/// Begins an outcall and gives the request that waits for it.
fn begin(net: &mut Net, by: Principal, arg: &ic::HttpRequestArgs, cycles: u128) -> RequestId {
    let request = forwarded("http_request", &encode_one(arg).unwrap(), cycles);
    let id = net.submit(by, "forward", request);
    net.rounds(2);
    id
}

fn end(net: &mut Net, request: &RequestId) -> Result<Vec<u8>, (u8, String)> {
    split(&net.wait(request).unwrap())
}

/// One outcall with one answer.
fn exchange(
    net: &mut Net,
    by: Principal,
    arg: &ic::HttpRequestArgs,
    answer: OutcallAnswer,
) -> Result<Vec<u8>, (u8, String)> {
    let request = begin(net, by, arg, T);
    let id = net.network.outcalls().next().unwrap().id;
    net.network.answer_outcall(id, answer).unwrap();
    net.check_cycles();
    end(net, &request)
}

#[test]
fn an_outcall_waits_for_its_answer() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let arg = ic::HttpRequestArgs {
        method: ic::HttpMethod::POST,
        headers: vec![header("X-Key", "1")],
        body: Some(b"ask".to_vec()),
        ..get("https://example.com/")
    };
    let request = begin(&mut net, by, &arg, T);
    net.check_cycles();
    let outcall = net.network.outcalls().next().unwrap().clone();
    assert_eq!(outcall.canister, by);
    assert_eq!(
        Some(outcall.subnet),
        net.network.subnet_of(&by).map(|subnet| subnet.id)
    );
    assert_eq!(outcall.method, OutcallMethod::Post);
    assert_eq!(outcall.url, "https://example.com/");
    assert_eq!(outcall.headers, [("X-Key".into(), "1".into())]);
    assert_eq!(outcall.body, b"ask");
    assert_eq!(outcall.max_response_bytes, Some(1_000));
    assert_eq!(outcall.replication, Replication::Full);
    assert!(outcall.until > START);
    assert_eq!(net.answer(&request), None);

    net.network.answer_outcall(outcall.id, ok(b"tell")).unwrap();
    assert_eq!(net.network.outcalls().count(), 0);
    let reply: ic::HttpRequestResult = decoded(&end(&mut net, &request).unwrap());
    assert_eq!(reply.status, 200u8);
    assert_eq!(reply.headers, [header("a", "b")]);
    assert_eq!(reply.body, b"tell");
    let unknown = net.network.answer_outcall(outcall.id, ok(b"again"));
    assert_eq!(unknown, Err(OutcallError::Unknown { id: outcall.id }));
    net.check_cycles();
}

#[test]
fn the_fee_is_exact_and_the_rest_comes_back() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let url = "https://a.b";
    let arg = ic::HttpRequestArgs {
        headers: vec![header("abc", "de")],
        body: Some(vec![0; 7]),
        transform: transform(by, "mend"),
        ..get(url)
    };
    let size = (url.len() + 5 + 7 + "mend".len() + "context".len()) as u128;
    let price = fee(size, 1_000);
    let reject = forward(&mut net, by, "http_request", &arg, price - 1).unwrap_err();
    let shown = |cycles: u128| {
        let digits = cycles.to_string();
        let mut out = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                out.push('_');
            }
            out.push(digit);
        }
        out
    };
    assert_eq!(
        reject,
        (
            4,
            format!(
                "http_request request sent with {} cycles, but {} cycles are required.",
                shown(price - 1),
                shown(price)
            )
        )
    );
    assert_eq!(net.network.outcalls().count(), 0);
    let request = begin(&mut net, by, &arg, price);
    assert_eq!(net.network.outcalls().count(), 1);
    net.network.answer_outcall(0, ok(b"")).unwrap();
    assert_eq!(end(&mut net, &request), Ok(b"same".to_vec()));

    let unlimited = ic::HttpRequestArgs {
        max_response_bytes: None,
        ..get(url)
    };
    let before = net.network.cycles().spent;
    let request = begin(&mut net, by, &unlimited, T);
    net.network.answer_outcall(1, ok(b"")).unwrap();
    end(&mut net, &request).unwrap();
    let spent = net.network.cycles().spent - before;
    let price = fee(url.len() as u128, 2_000_000);
    assert!(
        (price..price + 100_000_000).contains(&spent),
        "{spent} for {price}"
    );
    net.check_cycles();
}

#[test]
fn requests_have_limits() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let many = |count: usize| vec![header("n", "v"); count];
    let text = |len: usize| "x".repeat(len);
    let spread = |bytes: usize| -> Vec<ic::HttpHeader> {
        // 16 headers of equal length, and the rest in one more.
        let mut all = vec![header("n", &text(bytes / 16 - 1)); 16];
        if !bytes.is_multiple_of(16) {
            all.push(header("", &text(bytes % 16)));
        }
        all
    };
    type Change<'a> = Box<dyn Fn(&mut ic::HttpRequestArgs) + 'a>;
    let cases: Vec<(Change<'_>, Option<String>)> = vec![
        (Box::new(|arg| arg.url = text(8_192)), None),
        (Box::new(|arg| arg.url = text(8_193)), Some("url size 8193 exceeds 8192".into())),
        (Box::new(|arg| arg.headers = many(64)), None),
        (Box::new(|arg| arg.headers = many(65)), Some("number of all http headers 65 exceeds 64".into())),
        (Box::new(|arg| arg.headers = vec![header(&text(8_192), &text(8_192))]), None),
        (Box::new(|arg| arg.headers = vec![header(&text(8_193), "")]),
            Some("number of bytes to represent some http header name 8193 exceeds 8192".into())),
        (Box::new(|arg| arg.headers = vec![header("", &text(8_193))]),
            Some("number of bytes to represent some http header value 8193 exceeds 8192".into())),
        (Box::new(|arg| arg.headers = spread(48 << 10)), None),
        (Box::new(|arg| arg.headers = spread((48 << 10) + 1)),
            Some("total number of bytes to represent all http header names and values 49153 exceeds 49152".into())),
        (Box::new(|arg| { arg.body = Some(vec![0; 2_000_000]); arg.headers = vec![]; }), None),
        (Box::new(|arg| { arg.body = Some(vec![0; 2_000_000]); arg.headers = vec![header("", "v")]; }),
            Some("total number of bytes to represent all http header names and values and http body 2000001 exceeds 2000000".into())),
        (Box::new(|arg| arg.max_response_bytes = Some(2_000_000)), None),
        (Box::new(|arg| arg.max_response_bytes = Some(2_000_001)),
            Some("max_response_bytes expected to be in the range [0..2000000], got 2000001".into())),
        (Box::new(|arg| arg.method = ic::HttpMethod::PUT),
            Some("The requested HTTP method is only allowed for non-replicated requests.".into())),
        (Box::new(|arg| { arg.method = ic::HttpMethod::PATCH; arg.is_replicated = Some(false); }), None),
        (Box::new(|arg| arg.transform = transform(Principal::anonymous(), "mend")),
            Some(format!("transform principal id expected to be {by}, got 2vxsx-fae"))),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        let mut arg = get("https://a.b");
        change(&mut arg);
        let result = exchange_or_refuse(&mut net, by, &arg);
        assert_eq!(
            result.err().map(|(code, text)| {
                assert_eq!(code, 4, "{number}");
                text
            }),
            expected,
            "{number}"
        );
    }
}

fn exchange_or_refuse(
    net: &mut Net,
    by: Principal,
    arg: &ic::HttpRequestArgs,
) -> Result<Vec<u8>, (u8, String)> {
    let request = begin(net, by, arg, T);
    let id = net.network.outcalls().next().map(|outcall| outcall.id);
    if let Some(id) = id {
        net.network.answer_outcall(id, ok(b"")).unwrap();
    }
    let result = end(net, &request);
    assert_eq!(result.is_ok(), id.is_some());
    net.check_cycles();
    result
}

#[test]
fn answers_have_limits() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let answer = |headers: Vec<(String, String)>, bytes: usize| OutcallAnswer::Reply {
        status: 200,
        headers,
        body: vec![0; bytes],
    };
    let ab = || vec![("a".to_string(), "b".to_string())];
    let arg = get("https://a.b");
    assert!(exchange(&mut net, by, &arg, answer(ab(), 998)).is_ok());
    assert_eq!(
        exchange(&mut net, by, &arg, answer(ab(), 999)),
        Err((1, "Http body exceeds size limit of 1000 bytes.".into()))
    );
    let long = vec![("a".to_string(), "b".repeat(1_000))];
    assert_eq!(
        exchange(&mut net, by, &arg, answer(long, 0)),
        Err((
            1,
            "Header size exceeds specified response size limit 1000".into()
        ))
    );
    let many = vec![(String::new(), String::new()); 65];
    assert_eq!(
        exchange(&mut net, by, &arg, answer(many, 0)),
        Err((1, "number of all http headers 65 exceeds 64".into()))
    );
    let failed = OutcallAnswer::Reject {
        code: 2,
        message: "no route".into(),
    };
    assert_eq!(
        exchange(&mut net, by, &arg, failed),
        Err((2, "no route".into()))
    );
    let request = begin(&mut net, by, &arg, T);
    let id = net.network.outcalls().next().unwrap().id;
    for code in [0, 6] {
        let bad = OutcallAnswer::Reject {
            code,
            message: String::new(),
        };
        assert_eq!(
            net.network.answer_outcall(id, bad),
            Err(OutcallError::RejectCode { code })
        );
    }
    assert_eq!(net.answer(&request), None, "it still waits");
}

#[test]
fn answers_go_through_the_transform_function() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let with = |method: &str| ic::HttpRequestArgs {
        transform: transform(by, method),
        ..get("https://a.b")
    };
    let seen = exchange(&mut net, by, &with("transform"), ok(b"tell")).unwrap();
    let seen: ic::TransformArgs = decoded(&seen);
    assert_eq!(seen.context, b"context");
    assert_eq!(seen.response.body, b"tell");
    let (code, message) = exchange(&mut net, by, &with("crash"), ok(b"")).unwrap_err();
    assert!(code == 5 && message.contains("unreachable"), "{message}");
    let (code, message) = exchange(&mut net, by, &with("missing"), ok(b"")).unwrap_err();
    assert!(
        code == 5 && message.contains("no query method 'missing'"),
        "{message}"
    );
    let tight = ic::HttpRequestArgs {
        max_response_bytes: Some(3),
        ..with("mend")
    };
    assert_eq!(
        exchange(&mut net, by, &tight, ok(b"")),
        Err((1, "Transformed http response exceeds limit: 3".into()))
    );
}

#[test]
fn nodes_must_agree() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let mut play = |arg: &ic::HttpRequestArgs, same: usize| {
        let request = begin(&mut net, by, arg, T);
        let id = net.network.outcalls().next().unwrap().id;
        let answers = (0..13)
            .map(|node| {
                if node < same {
                    ok(b"same")
                } else {
                    ok(&[node as u8])
                }
            })
            .collect();
        net.network.answer_outcall_by_node(id, answers).unwrap();
        net.check_cycles();
        end(&mut net, &request)
    };
    assert!(play(&get("https://a.b"), 9).is_ok(), "13 - 4 agree");
    let (code, message) = play(&get("https://a.b"), 8).unwrap_err();
    assert_eq!(code, 2);
    assert!(
        message.starts_with(
            "No consensus could be reached. Replicas had different responses. Details: request_id: "
        ),
        "{message}"
    );
    let mended = ic::HttpRequestArgs {
        transform: transform(by, "mend"),
        ..get("https://a.b")
    };
    assert_eq!(
        play(&mended, 0),
        Ok(b"same".to_vec()),
        "what differs was removed"
    );
    let alone = ic::HttpRequestArgs {
        is_replicated: Some(false),
        ..get("https://a.b")
    };
    assert!(play(&alone, 1).is_ok());
    let request = begin(&mut net, by, &alone, T);
    let id = net.network.outcalls().next().unwrap().id;
    let wrong = net.network.answer_outcall_by_node(id, vec![ok(b""); 12]);
    assert_eq!(
        wrong,
        Err(OutcallError::Count {
            id,
            nodes: 13,
            found: 12
        })
    );
    assert_eq!(net.answer(&request), None);
}

#[test]
fn after_a_minute_nobody_waits() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let request = begin(&mut net, by, &get("https://a.b"), T);
    let until = net.network.outcalls().next().unwrap().until;
    assert_eq!(net.network.next_timer(), Some(until));
    net.advance(59);
    net.rounds(2);
    assert_eq!(net.answer(&request), None);
    net.advance(1);
    net.rounds(1);
    assert_eq!(net.network.outcalls().count(), 0);
    assert_eq!(
        end(&mut net, &request),
        Err((2, "Canister http request timed out".into()))
    );
    net.check_cycles();
}

#[test]
fn outcalls_of_a_canister_that_is_gone_come_to_nothing() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let request = begin(&mut net, by, &get("https://a.b"), T);
    net.manage("uninstall_code", &super::record(by)).unwrap();
    net.check_cycles();
    let id = net.network.outcalls().next().unwrap().id;
    net.network.answer_outcall(id, ok(b"late")).unwrap();
    net.settle();
    net.check_cycles();
    assert!(net.answer(&request).unwrap().is_err());
    assert_eq!(net.network.cycles().moving, 0);
}
