//! What browsers are told about requests from other origins: everything is public here.
//!
//! What a canister says about itself stands; only what it leaves open is filled in. A canister that does not answer a
//! preflight as one is answered for.

use axum::{
    body::{Body, HttpBody as _},
    http::{
        HeaderName, HeaderValue, Method,
        header::{
            ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
            ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, VARY,
        },
    },
    response::Response,
};

const METHODS: &str = "HEAD, GET, POST, PUT, DELETE, PATCH";
const HEADERS: &str = "user-agent, dnt, if-none-match, if-modified-since, cache-control, content-type, range, cookie, \
                       x-requested-with, x-ic-canister-id";
const EXPOSED: &str =
    "accept-ranges, content-length, content-range, x-request-id, x-ic-canister-id";
const MAX_AGE: &str = "7200";
const VARIES: &str = "origin, access-control-request-method, access-control-request-headers";

/// The answer to a preflight.
pub(super) fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    fill(&Method::OPTIONS, &mut response);
    response
}

/// Adds what the answer leaves open.
pub(super) fn fill(method: &Method, response: &mut Response) {
    let own: &[(HeaderName, &'static str)] = if *method == Method::OPTIONS {
        &[
            (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
            (ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ]
    } else {
        &[(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED)]
    };
    let always = [(ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (VARY, VARIES)];
    let headers = response.headers_mut();
    for (name, value) in own.iter().cloned().chain(always) {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}

/// Whether a canister's answer to OPTIONS is one to a preflight.
pub(super) fn is_preflight(response: &Response) -> bool {
    let about_origins = [
        ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        ACCESS_CONTROL_MAX_AGE,
    ];
    response.status().is_success()
        && response.body().size_hint().exact() == Some(0)
        && about_origins
            .iter()
            .any(|name| response.headers().contains_key(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_says_stands() {
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert(
            ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("https://one.example"),
        );
        assert!(is_preflight(&response));
        fill(&Method::GET, &mut response);
        assert_eq!(
            response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN],
            "https://one.example"
        );
        assert_eq!(response.headers()[ACCESS_CONTROL_EXPOSE_HEADERS], EXPOSED);
        assert!(
            !response
                .headers()
                .contains_key(ACCESS_CONTROL_ALLOW_METHODS)
        );
    }

    #[test]
    fn only_an_empty_success_about_origins_is_a_preflight() {
        assert!(is_preflight(&preflight()));
        assert!(!is_preflight(&Response::new(Body::empty())));
        let mut failed = preflight();
        *failed.status_mut() = axum::http::StatusCode::NOT_FOUND;
        assert!(!is_preflight(&failed));
        let mut filled = Response::new(Body::from("page"));
        fill(&Method::OPTIONS, &mut filled);
        assert!(!is_preflight(&filled));
    }
}
