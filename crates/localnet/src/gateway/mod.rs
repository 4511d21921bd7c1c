//! The HTTP gateway: canisters as web sites, at `http://<canister-id>.localhost:<port>` (HTTP gateway specification).
//!
//! A request becomes the query `http_request`, or where the canister says so the update `http_request_update`; its answer
//! is put together, verified against the network's root key and passed on. `<canister-id>.raw.localhost` passes answers on
//! unverified. What is below `/api/` and `/_/` on any host goes to the network's own interface, opened to browsers of all
//! origins.
//!
//! It knows the network by its HTTP interface alone, so it stands before anything that serves one. It keeps nothing between
//! requests, and passes on no byte of an answer that it has not verified.

mod cors;
mod error;
mod fetch;
pub(crate) mod fuzzing;
mod host;
mod limits;
mod upstream;
mod verify;
mod wire;

use std::sync::Arc;

use assay_localnet_core::ingress::ARG_BYTES_MAX;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, FromRequest as _, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    response::Response,
};
use candid::Principal;
use tokio::sync::Semaphore;

use self::{
    error::GatewayError,
    host::Place,
    limits::{PATH_SEGMENTS_MAX, REQUEST_HEADER_BYTES_MAX, REQUESTS_AT_ONCE_MAX, URL_BYTES_MAX},
    wire::Asked,
};
pub use self::{
    host::{DomainError, Domains},
    upstream::{Clock, Upstream},
};

/// The canister's id, for clients that came by another name.
const CANISTER_ID_HEADER: &str = "x-ic-canister-id";

/// What requests share.
#[derive(Debug)]
struct Shared {
    upstream: Upstream,
    domains: Domains,
    free: Semaphore,
}

/// A gateway before a network: canisters by host name, the network's interface for the rest.
pub fn router(upstream: Upstream, domains: Domains) -> Router {
    let shared = Arc::new(Shared {
        upstream,
        domains,
        free: Semaphore::new(REQUESTS_AT_ONCE_MAX),
    });
    Router::new()
        .fallback(serve)
        .layer(DefaultBodyLimit::max(ARG_BYTES_MAX))
        .with_state(shared)
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let method = request.method().clone();
    if of_the_network(request.uri().path()) {
        return shared.network(request).await;
    }
    let host = authority(request.uri(), request.headers());
    let place = match &host {
        // Only old programs send none; to them this is one network without names.
        None => Ok(Place::Network),
        Some(host) => shared.domains.resolve(
            host,
            request.uri().query(),
            request
                .headers()
                .get(header::REFERER)
                .and_then(|referer| referer.to_str().ok()),
        ),
    };
    let asked = format!(
        "{method} {}{}",
        host.unwrap_or_default(),
        request.uri().path()
    );
    match place {
        Ok(Place::Network) => shared.network(request).await,
        Ok(Place::Canister { id, raw }) => shared.canister(&id, raw, &asked, request).await,
        Err(error) => GatewayError::from(error).into_response(&asked, None, request.headers()),
    }
}

/// Whether the network itself answers at a path, whatever the host is.
fn of_the_network(path: &str) -> bool {
    path.starts_with("/api/") || path.starts_with("/_/")
}

/// The host and port that a request is for.
fn authority(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    match (uri.authority(), headers.get(header::HOST)) {
        (Some(authority), _) => Some(authority.to_string()),
        (None, Some(host)) => Some(String::from_utf8_lossy(host.as_bytes()).into_owned()),
        (None, None) => None,
    }
}

impl Shared {
    async fn network(&self, request: Request) -> Response {
        let method = request.method().clone();
        if method == Method::OPTIONS {
            return cors::preflight();
        }
        let mut response = self.upstream.pass(request).await;
        cors::fill(&method, &mut response);
        response
    }

    async fn canister(&self, id: &Principal, raw: bool, asked: &str, request: Request) -> Response {
        let (method, headers) = (request.method().clone(), request.headers().clone());
        let mut response = match self.page(id, raw, request).await {
            Ok(response) => response,
            Err(error) => error.into_response(asked, Some(id), &headers),
        };
        if method == Method::OPTIONS && !cors::is_preflight(&response) {
            response = cors::preflight();
        }
        cors::fill(&method, &mut response);
        if let Ok(id) = HeaderValue::from_str(&id.to_text()) {
            response.headers_mut().insert(CANISTER_ID_HEADER, id);
        }
        response
    }

    async fn page(
        &self,
        id: &Principal,
        raw: bool,
        request: Request,
    ) -> Result<Response, GatewayError> {
        let (parts, body) = request.into_parts();
        check(&parts)?;
        let headers = text_headers(&parts.headers)?;
        let (method, url) = (parts.method.to_string(), url(&parts.uri));
        let body = read_body(parts, body).await?;
        let asked = Asked {
            method,
            url,
            headers,
            body,
        };
        let _free = self.free.acquire().await;
        fetch::fetch(&self.upstream, id, raw, asked).await
    }
}

fn check(parts: &Parts) -> Result<(), GatewayError> {
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(GatewayError::Method(parts.method.to_string()));
    }
    let path = parts.uri.path();
    let length = path.len() + parts.uri.query().map_or(0, |query| query.len() + 1);
    // An encoded slash divides segments as well, once it is decoded.
    let slashes = path.matches('/').count() + path.to_ascii_lowercase().matches("%2f").count();
    if length > URL_BYTES_MAX || slashes > PATH_SEGMENTS_MAX {
        return Err(GatewayError::AddressTooLong);
    }
    let bytes: usize = parts
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if bytes > REQUEST_HEADER_BYTES_MAX {
        return Err(GatewayError::HeadersTooLarge);
    }
    Ok(())
}

/// Path and query as they came; never empty.
fn url(uri: &Uri) -> String {
    uri.path_and_query()
        .map_or_else(|| "/".to_owned(), ToString::to_string)
}

fn text_headers(headers: &HeaderMap) -> Result<Vec<wire::Header>, GatewayError> {
    headers
        .iter()
        // An id that a proxy gives to every request would keep answers from being certified.
        .filter(|(name, _)| name.as_str() != "x-request-id")
        .map(|(name, value)| match value.to_str() {
            Ok(value) => Ok((name.to_string(), value.to_owned())),
            Err(_) => Err(GatewayError::HeaderNotText(name.to_string())),
        })
        .collect()
}

async fn read_body(parts: Parts, body: Body) -> Result<Vec<u8>, GatewayError> {
    match Bytes::from_request(Request::from_parts(parts, body), &()).await {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(GatewayError::RequestTooLarge { max: ARG_BYTES_MAX })
        }
        Err(_) => Err(GatewayError::Body),
    }
}
