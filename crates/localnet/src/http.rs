//! The IC HTTP interface: status, call, query and read_state (interface specification, "HTTPS Interface").
//!
//! Everything here is form: envelopes are opened and authenticated before the network's thread sees them, and what it
//! answers is passed on. The versions of an endpoint differ in two things only: v2 calls do not wait for the outcome, and
//! delegations list canister ranges flat before v4 calls and v3 queries and reads, and sharded from then on.

use std::{fmt::Display, time::Duration};

use assay_localnet_core::{
    cert::{RangeForm, cbor::Writer, encode_refusal},
    ingress::{
        BODY_BYTES_MAX, Call, Content, Envelope, EnvelopeError, Kind, PathError, Place,
        check_effective, open,
    },
    types::{Ingress, Query},
};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State, rejection::BytesRejection},
    http::{Method, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use candid::Principal;

use crate::{
    IMPL_VERSION,
    actor::{Handle, ReadError, Unavailable},
};

/// What handlers share.
#[derive(Clone, Debug)]
struct Server {
    network: Handle,
    call_wait: Duration,
}

/// All endpoints.
pub(crate) fn router(network: Handle, call_wait: Duration) -> Router {
    use RangeForm::{Flat, Sharded};
    let call = |form, wait| {
        post(
            move |server, path, body| async move { reply(call(server, path, body, form, wait).await) },
        )
    };
    let query = |form| {
        post(move |server, path, body| async move { reply(query(server, path, body, form).await) })
    };
    let read_canister = |form| {
        post(move |server, Path(id): Path<String>, body| async move {
            reply(read_state(server, parse(&id).map(Place::Canister), body, form).await)
        })
    };
    let read_subnet = |form| {
        post(move |server, Path(id): Path<String>, body| async move {
            reply(read_state(server, parse(&id).map(Place::Subnet), body, form).await)
        })
    };
    Router::new()
        .route("/", get(page))
        .route("/_/dashboard", get(page))
        .route("/api/v2/status", get(status))
        .route("/api/v2/canister/{id}/call", call(Flat, false))
        .route("/api/v3/canister/{id}/call", call(Flat, true))
        .route("/api/v4/canister/{id}/call", call(Sharded, true))
        .route("/api/v2/canister/{id}/query", query(Flat))
        .route("/api/v3/canister/{id}/query", query(Sharded))
        .route("/api/v2/canister/{id}/read_state", read_canister(Flat))
        .route("/api/v3/canister/{id}/read_state", read_canister(Sharded))
        .route("/api/v2/subnet/{id}/read_state", read_subnet(Flat))
        .route("/api/v3/subnet/{id}/read_state", read_subnet(Sharded))
        .fallback(no_endpoint)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Server { network, call_wait })
}

/// A refusal: a status and one line of text that says why.
#[derive(Debug)]
struct Refusal(StatusCode, String);

impl Refusal {
    fn bad(reason: impl Display) -> Self {
        Self(StatusCode::BAD_REQUEST, reason.to_string())
    }
}

impl From<Unavailable> for Refusal {
    fn from(error: Unavailable) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<EnvelopeError> for Refusal {
    fn from(error: EnvelopeError) -> Self {
        let status = match error {
            EnvelopeError::TooLarge { .. } | EnvelopeError::TooLong { field: "arg", .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            _ => StatusCode::BAD_REQUEST,
        };
        Self(status, error.to_string())
    }
}

impl From<BytesRejection> for Refusal {
    fn from(rejection: BytesRejection) -> Self {
        let reason = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                format!("the request has more than {BODY_BYTES_MAX} bytes")
            }
            _ => rejection.body_text(),
        };
        Self(rejection.status(), reason)
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        let status = match error {
            ReadError::NoSubnet(_) => StatusCode::BAD_REQUEST,
            ReadError::Path(PathError::Invalid { .. }) => StatusCode::NOT_FOUND,
            ReadError::Path(PathError::SeveralRequests | PathError::SeveralSubnets) => {
                StatusCode::BAD_REQUEST
            }
            ReadError::Path(
                PathError::NotYours { .. }
                | PathError::NotATarget { .. }
                | PathError::OtherCanister { .. }
                | PathError::Private { .. },
            ) => StatusCode::FORBIDDEN,
        };
        Self(status, error.to_string())
    }
}

type Body = Result<Bytes, BytesRejection>;

async fn call(
    State(server): State<Server>,
    Path(id): Path<String>,
    body: Body,
    form: RangeForm,
    wait: bool,
) -> Result<Response, Refusal> {
    let effective = parse(&id)?;
    let mut envelope = server.open(&body?, Kind::Call)?;
    let call = match take(&mut envelope) {
        Content::Call(call) => call,
        Content::Query(_) | Content::ReadState(_) => return Err(Refusal::bad("not a call")),
    };
    check_effective(&call, Kind::Call, &effective).map_err(Refusal::bad)?;
    server.subnet_of(&effective)?;
    tracing::debug!(id = %envelope.id, sender = %envelope.sender, canister = %call.canister, method = call.method, "call");
    let message = message(envelope, call, effective);
    let outcome = match server.network.submit(message, wait.then_some(form)).await? {
        Err(reject) => return Ok(cbor(encode_refusal(&reject, wait))),
        Ok(None) => return Ok(StatusCode::ACCEPTED.into_response()),
        Ok(Some(outcome)) => outcome,
    };
    match tokio::time::timeout(server.call_wait, outcome).await {
        Ok(Ok(certificate)) => {
            let mut out = Writer::self_described();
            out.map(2)
                .text("status")
                .text("replied")
                .text("certificate")
                .bytes(&certificate);
            Ok(cbor(out.finish()))
        }
        Ok(Err(_)) => Err(Unavailable::Stopped.into()),
        Err(_) => Ok(StatusCode::ACCEPTED.into_response()),
    }
}

async fn query(
    State(server): State<Server>,
    Path(id): Path<String>,
    body: Body,
    form: RangeForm,
) -> Result<Response, Refusal> {
    let effective = parse(&id)?;
    let mut envelope = server.open(&body?, Kind::Query)?;
    let call = match take(&mut envelope) {
        Content::Query(call) => call,
        Content::Call(_) | Content::ReadState(_) => return Err(Refusal::bad("not a query")),
    };
    check_effective(&call, Kind::Query, &effective).map_err(Refusal::bad)?;
    let subnet = server.subnet_of(&effective)?;
    let query = Query {
        sender: envelope.sender,
        canister: call.canister,
        method: call.method,
        arg: call.arg,
        info: envelope.info,
    };
    Ok(cbor(
        server
            .network
            .query(envelope.id, query, subnet, form)
            .await?,
    ))
}

async fn read_state(
    State(server): State<Server>,
    place: Result<Place, Refusal>,
    body: Body,
    form: RangeForm,
) -> Result<Response, Refusal> {
    let envelope = server.open(&body?, Kind::ReadState)?;
    let certificate = server.network.read_state(envelope, place?, form).await??;
    let mut out = Writer::self_described();
    out.map(1).text("certificate").bytes(&certificate);
    Ok(cbor(out.finish()))
}

async fn status(State(server): State<Server>) -> Response {
    let mut out = Writer::self_described();
    out.map(3).text("impl_version").text(IMPL_VERSION);
    out.text("replica_health_status").text("healthy");
    out.text("root_key")
        .bytes(server.network.topology().root_key());
    cbor(out.finish())
}

async fn page(State(server): State<Server>) -> Html<String> {
    let topology = server.network.topology();
    let subnet = topology.default_subnet();
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{IMPL_VERSION}</title>\n\
         <h1>{IMPL_VERSION}</h1>\n\
         <p>A local Internet Computer network for development and tests. It is not a replica of the public network, and its \
         keys are no secret: trust nothing that it signs beyond this machine.</p>\n\
         <dl><dt>Status</dt><dd><a href=\"/api/v2/status\">/api/v2/status</a> (CBOR)</dd>\n\
         <dt>Root key</dt><dd><code>{}</code></dd>\n\
         <dt>Application subnet</dt><dd><code>{}</code></dd>\n\
         <dt>Effective canister id for creating canisters</dt><dd><code>{}</code></dd>\n\
         <dt>A canister's pages</dt><dd><code>http://&lt;canister-id&gt;.localhost</code> with the port of this network, and \
         unverified <code>http://&lt;canister-id&gt;.raw.localhost</code></dd></dl>\n</html>\n",
        hex::encode(topology.root_key()),
        subnet.id,
        topology.default_effective_canister(),
    ))
}

async fn no_endpoint(method: Method, uri: Uri) -> Response {
    let reason = format!(
        "there is no endpoint {method} {}; this network serves /api/v2/status, and call, query and read_state below \
         /api/v2/canister/<id>/ (calls also v3 and v4, the others also v3) and read_state below /api/v2/subnet/<id>/",
        uri.path()
    );
    Refusal(StatusCode::NOT_FOUND, reason).into_response()
}

impl Server {
    fn open(&self, body: &[u8], kind: Kind) -> Result<Envelope, EnvelopeError> {
        open(body, kind, self.network.now(), &self.network.topology())
    }

    /// The id of the subnet that hosts a canister id.
    fn subnet_of(&self, effective: &Principal) -> Result<Principal, Refusal> {
        let topology = self.network.topology();
        let subnet = topology.subnet_of(effective).map(|subnet| subnet.id);
        subnet.ok_or_else(|| {
            Refusal::bad(format!(
                "no subnet of this network hosts the effective canister id {effective}; to create a canister, use {}",
                topology.default_effective_canister()
            ))
        })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (
            self.0,
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            self.1,
        )
            .into_response()
    }
}

fn reply(result: Result<Response, Refusal>) -> Response {
    result.unwrap_or_else(|refusal| {
        tracing::debug!(status = %refusal.0, reason = refusal.1, "request refused");
        refusal.into_response()
    })
}

fn cbor(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/cbor")], bytes).into_response()
}

/// The content of an envelope, out of it.
fn take(envelope: &mut Envelope) -> Content {
    std::mem::replace(&mut envelope.content, Content::ReadState(Vec::new()))
}

fn parse(id: &str) -> Result<Principal, Refusal> {
    Principal::from_text(id)
        .map_err(|error| Refusal::bad(format!("the address names no principal: {error}")))
}

/// A call as the network takes it.
fn message(envelope: Envelope, call: Call, effective_canister: Principal) -> Ingress {
    Ingress {
        id: envelope.id,
        sender: envelope.sender,
        canister: call.canister,
        effective_canister,
        method: call.method,
        arg: call.arg,
        info: envelope.info,
        expiry: envelope.expiry,
        bytes: envelope.bytes,
    }
}
