//! Answers without certificates, most of them against some rule.

use candid::Principal;

use crate::{
    certified::streaming,
    forms::{Callback, HttpRequest, HttpResponse, Part, StreamingStrategy, Token},
};

/// Bytes of the page that comes in parts.
pub(crate) const BIG_BYTES: usize = 5 << 20;
/// Bytes of one part.
pub(crate) const PART_BYTES: usize = 1_500_000;

/// Bytes of the big page, each a function of its place.
pub(crate) fn big(begin: usize, end: usize) -> Vec<u8> {
    (begin..end).map(|at| (at * 31 % 251) as u8).collect()
}

pub(crate) fn answer(request: &HttpRequest) -> Option<HttpResponse> {
    let path = request.path();
    if let Some(status) = path.strip_prefix("/status/") {
        let status = status.parse().unwrap_or_default();
        return Some(HttpResponse::of(status, &[], "a status"));
    }
    Some(match path {
        "/upgrade" | "/upgrade/trap" => HttpResponse {
            upgrade: Some(true),
            ..HttpResponse::of(500, &[], "nobody sees this")
        },
        "/trap" => ic_cdk::api::trap("no page today"),
        "/uncertified" => HttpResponse::of(200, &[("x-kept", "yes")], "as it came"),
        "/echo" => echo(request),
        "/preflight" => HttpResponse::of(
            204,
            &[("access-control-allow-origin", "https://a.example")],
            "",
        ),
        "/split" => HttpResponse::of(200, &[("x-split", "a\r\nset-cookie: evil=1")], "split"),
        "/headers/many" => HttpResponse::of(200, &[("x", "y"); 201], ""),
        "/headers/long" => HttpResponse::of(200, &[("x", "y".repeat(200_000).as_str())], ""),
        "/certificate/deep" => certified_by(&[0x81; 60_000]),
        "/certificate/inflated" => certified_by(&[0xbb, 0, 0, 0, 0x40, 0, 0, 0, 0]),
        "/certificate/junk" => certified_by(b"junk"),
        "/expression/deep" => HttpResponse::of(
            200,
            &[
                (
                    "ic-certificate",
                    "certificate=:gA==:, tree=:gA==:, version=2",
                ),
                ("ic-certificateexpression", &"[".repeat(60_000)),
            ],
            "",
        ),
        "/endless" => HttpResponse {
            streaming_strategy: Some(streaming(path, 1)),
            ..HttpResponse::of(200, &[], "x")
        },
        "/stream/foreign" => HttpResponse {
            streaming_strategy: Some(match streaming(path, 1) {
                StreamingStrategy::Callback { callback: _, token } => StreamingStrategy::Callback {
                    callback: Callback::new(Principal::management_canister(), "more".to_owned()),
                    token,
                },
            }),
            ..HttpResponse::of(200, &[], "x")
        },
        "/stream/trap" => HttpResponse {
            streaming_strategy: Some(streaming(path, 1)),
            ..HttpResponse::of(200, &[], "x")
        },
        "/ranges/gap" => {
            let range = match request.header("range") {
                None => "bytes 0-3/12",
                Some(_) => "bytes 8-11/12",
            };
            HttpResponse::of(206, &[("content-range", range)], "abcd")
        }
        _ => return None,
    })
}

pub(crate) fn more(token: &Token) -> Part {
    let index = usize::try_from(&token.index.0).unwrap_or_default();
    match token.path.as_str() {
        "/big" => {
            assert_eq!(token.hash.as_deref(), Some([7; 32].as_slice()));
            let begin = index * PART_BYTES;
            let end = (begin + PART_BYTES).min(BIG_BYTES);
            Part {
                body: big(begin, end),
                token: (end < BIG_BYTES).then(|| next(token, index)),
            }
        }
        "/endless" => Part {
            body: b"x".to_vec(),
            token: Some(next(token, index)),
        },
        path => ic_cdk::api::trap(format!("no more of {path}")),
    }
}

fn next(token: &Token, index: usize) -> Token {
    match streaming(&token.path, index as u64 + 1) {
        StreamingStrategy::Callback { callback: _, token } => token,
    }
}

/// The request, in words.
fn echo(request: &HttpRequest) -> HttpResponse {
    let HttpRequest {
        method,
        url,
        headers,
        body,
        certificate_version,
    } = request;
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect();
    let text = format!(
        "{method} {url}\n{}{} bytes, version {certificate_version:?}\n",
        headers.concat(),
        body.len()
    );
    HttpResponse::of(
        200,
        &[("content-length", "3"), ("connection", "close")],
        text,
    )
}

fn certified_by(certificate: &[u8]) -> HttpResponse {
    let certificate = crate::certified::base64(certificate);
    let header = format!("certificate=:{certificate}:, tree=:gA==:, version=2");
    HttpResponse::of(200, &[("IC-Certificate", &header)], "")
}
