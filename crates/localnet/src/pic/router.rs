//! Which address does what.

use std::{ops::Deref, path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use tower::ServiceExt as _;

use super::{
    answer::{Answer, ApiError, Body, Outcome, bytes, parse, settle},
    blobs::Blobs,
    calls, create,
    gateways::{self, Gateways},
    instances::{Instance, Instances},
    limits::{BLOB_BYTES_MAX, REST_BYTES_MAX},
    live, memory,
    operations::Operations,
    outcalls,
    routes::{Endpoint, Table, delete, get, post},
    server::Activity,
    shapes::AutoProgress,
    snapshots, state, verify,
};
use crate::OutcallPolicy;

/// What handlers share.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Server>);

/// Everything that a server holds.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) instances: Instances,
    pub(super) gateways: Gateways,
    pub(super) blobs: Blobs,
    pub(super) operations: Operations,
    pub(super) module_cache: Option<PathBuf>,
    pub(super) outcalls: OutcallPolicy,
}

impl Deref for Shared {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Shared {
    pub(super) fn new(
        activity: Arc<Activity>,
        module_cache: Option<PathBuf>,
        outcalls: OutcallPolicy,
    ) -> Self {
        Self(Arc::new(Server {
            instances: Instances::default(),
            gateways: Gateways::new(activity),
            blobs: Blobs::default(),
            operations: Operations::default(),
            module_cache,
            outcalls,
        }))
    }
}

/// All addresses.
pub(super) fn router(server: Shared) -> Router {
    let blobs = Table::new().at_both("/blobstore", "keeps a blob", post(put_blob));
    let table = Table::new()
        .at(
            "/status",
            "says that the server runs",
            get(|| async { Answer::null() }),
        )
        .at_both("/instances", "lists instances", get(create::list))
        .at_both("/instances", "makes an instance", post(create::create))
        .at_both(
            "/instances/{id}",
            "ends an instance",
            delete(create::delete),
        )
        .at("/blobstore/{id}", "gives a blob", get(get_blob))
        .at(
            "/verify_signature",
            "verifies a canister's signature",
            post(verify::verify),
        )
        .at(
            "/read_graph/{label}/{operation}",
            "gives the outcome of a long operation",
            get(read_operation),
        )
        .at(
            "/prune_graph/{label}/{operation}",
            "forgets the outcome of a long operation",
            delete(prune_operation),
        )
        .at_both("/http_gateway", "lists gateways", get(gateways::list))
        .at_both("/http_gateway", "opens a gateway", post(gateways::create))
        .at(
            "/http_gateway/{id}/stop",
            "closes a gateway",
            post(gateways::stop),
        );
    of_instances(table)
        .limited(REST_BYTES_MAX)
        .with(blobs.limited(BLOB_BYTES_MAX))
        .finish()
        .fallback(no_endpoint)
        .with_state(server)
}

/// What is below an instance.
fn of_instances(table: Table<Shared>) -> Table<Shared> {
    let at = |rest: &str| format!("/instances/{{id}}/{rest}");
    table
        .at(
            &at("_/topology"),
            "gives the subnets",
            look(state::topology),
        )
        .at(
            &at("_/dashboard"),
            "shows the network to people",
            get(dashboard),
        )
        .at(
            &at("read/topology"),
            "gives the subnets",
            look(state::topology),
        )
        .at(
            &at("read/get_time"),
            "gives the time",
            look(state::get_time),
        )
        .at(
            &at("read/get_cycles"),
            "gives a canister's cycles",
            ask(memory::get_cycles),
        )
        .at(
            &at("update/add_cycles"),
            "gives a canister cycles",
            ask(memory::add_cycles),
        )
        .at(
            &at("read/get_stable_memory"),
            "gives a canister's stable memory",
            ask(memory::get_stable),
        )
        .at(
            &at("update/set_stable_memory"),
            "replaces a canister's stable memory",
            post(set_stable_memory),
        )
        .at(
            &at("read/get_canister_http"),
            "lists outcalls that wait",
            look(outcalls::list),
        )
        .at(
            &at("update/mock_canister_http"),
            "answers an outcall",
            ask(outcalls::mock),
        )
        .at(
            &at("update/mock_flexible_canister_http"),
            "answers a flexible outcall",
            ask(outcalls::mock_flexible),
        )
        .at(
            &at("update/canister_snapshot_download"),
            "writes a snapshot to disk",
            ask(snapshots::download),
        )
        .at(
            &at("update/canister_snapshot_upload"),
            "makes a snapshot from disk",
            ask(snapshots::upload),
        )
        .at(
            &at("read/get_controllers"),
            "gives a canister's controllers",
            ask(state::get_controllers),
        )
        .at(
            &at("read/get_subnet"),
            "gives a canister's subnet",
            ask(state::get_subnet),
        )
        .at(
            &at("update/delete_subnet"),
            "deletes a subnet with everything on it",
            ask(state::delete_subnet),
        )
        .at(
            &at("read/pub_key"),
            "gives a subnet's key",
            ask(state::pub_key),
        )
        .at(&at("read/query"), "answers a query", ask(calls::query))
        .at(
            &at("read/ingress_status"),
            "says what became of a call",
            ask(calls::status),
        )
        .at(
            &at("update/set_time"),
            "moves the clock",
            ask(state::set_time),
        )
        .at(
            &at("update/set_certified_time"),
            "moves the clock and certifies it",
            ask(state::set_certified_time),
        )
        .at(&at("update/tick"), "runs a round", ask(state::tick))
        .at(
            &at("update/submit_ingress_message"),
            "takes a call in",
            ask(calls::submit),
        )
        .at(
            &at("update/await_ingress_message"),
            "runs rounds until a call is answered",
            ask(calls::wait),
        )
        .at_both(
            &at("auto_progress"),
            "says whether the network is live",
            look(live::enabled),
        )
        .at_both(
            &at("auto_progress"),
            "lets the network live",
            post(auto_progress),
        )
        .at_both(
            &at("stop_progress"),
            "lets the network stand still",
            tell(live::stop),
        )
        .at(&at("api/{*rest}"), "the IC HTTP interface", get(interface))
        .at(&at("api/{*rest}"), "the IC HTTP interface", post(interface))
}

/// An operation on an instance that needs no argument, for those who read.
fn look<F>(operation: fn(Arc<Instance>) -> F) -> Endpoint<Shared>
where
    F: Future<Output = Outcome> + Send + 'static,
{
    get(move |State(server): State<Shared>, Path(id): Path<String>| run(server, id, operation))
}

/// The same, for those who change something; whatever they send along is not looked at.
fn tell<F>(operation: fn(Arc<Instance>) -> F) -> Endpoint<Shared>
where
    F: Future<Output = Outcome> + Send + 'static,
{
    post(move |State(server): State<Shared>, Path(id): Path<String>| run(server, id, operation))
}

async fn run<F>(server: Shared, id: String, operation: fn(Arc<Instance>) -> F) -> Answer
where
    F: Future<Output = Outcome> + Send + 'static,
{
    match server.instances.get(&id) {
        Ok(instance) => server.operations.run(operation(instance)).await,
        Err(error) => error.into(),
    }
}

/// An operation on an instance with an argument.
fn ask<T, F>(operation: fn(Arc<Instance>, T) -> F) -> Endpoint<Shared>
where
    T: DeserializeOwned + Send + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    post(
        move |State(server): State<Shared>, Path(id): Path<String>, body: Body| async move {
            let asked = server
                .instances
                .get(&id)
                .and_then(|instance| Ok((instance, parse::<T>(body)?)));
            match asked {
                Ok((instance, args)) => server.operations.run(operation(instance, args)).await,
                Err(error) => error.into(),
            }
        },
    )
}

async fn auto_progress(
    State(server): State<Shared>,
    Path(id): Path<String>,
    body: Body,
) -> Outcome {
    let instance = server.instances.get(&id)?;
    let body = bytes(body, REST_BYTES_MAX)?;
    let progress = match body.is_empty() {
        true => AutoProgress::default(),
        false => parse(Ok(body))?,
    };
    Ok(server.operations.run(live::start(instance, progress)).await)
}

async fn set_stable_memory(
    State(server): State<Shared>,
    Path(id): Path<String>,
    body: Body,
) -> Outcome {
    let instance = server.instances.get(&id)?;
    let args = parse(body)?;
    let blobs = server.clone();
    let setting = async move { memory::set_stable(instance, &blobs.blobs, args).await };
    Ok(server.operations.run(setting).await)
}

/// The IC HTTP interface of an instance.
async fn interface(
    State(server): State<Shared>,
    Path((id, _)): Path<(String, String)>,
    request: Request,
) -> Response {
    forward(&server, &id, request).await
}

/// A page for people, which the instance's interface has.
async fn dashboard(
    State(server): State<Shared>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    forward(&server, &id, request).await
}

/// Lets an instance's own interface answer.
async fn forward(server: &Shared, id: &str, request: Request) -> Response {
    let instance = match server.instances.get(id) {
        Ok(instance) => instance,
        Err(error) => return error.into_response(),
    };
    match below(request, &format!("/instances/{id}")) {
        // The router is infallible.
        Ok(request) => match instance.interface.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        Err(error) => error.into_response(),
    }
}

/// The request as it would have been sent to the instance itself.
fn below(request: Request, prefix: &str) -> Result<Request, ApiError> {
    let (mut parts, body) = request.into_parts();
    let address = parts
        .uri
        .path_and_query()
        .and_then(|address| address.as_str().strip_prefix(prefix))
        .ok_or_else(|| ApiError::bad("the instance's number must be written plainly"))?;
    parts.uri = address
        .parse()
        .map_err(|error| ApiError::bad(format!("the address is not understood: {error}")))?;
    // What this router has found out about the address would confuse the next.
    parts.extensions.clear();
    Ok(Request::from_parts(parts, body))
}

/// Keeps a blob. The id is plain text: the one answer that is not JSON.
async fn put_blob(
    State(server): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<String, ApiError> {
    let sent = bytes(body, BLOB_BYTES_MAX)?;
    let gzip = match headers
        .get(header::CONTENT_ENCODING)
        .map(|value| value.as_bytes())
    {
        None => false,
        Some(b"gzip") => true,
        Some(other) => {
            return Err(ApiError::bad(format!(
                "blobs come as they are or as gzip, not as {}",
                String::from_utf8_lossy(other)
            )));
        }
    };
    // Unpacking and hashing take a while.
    let kept = tokio::task::spawn_blocking(move || server.blobs.put(sent, gzip)).await;
    let id = kept
        .map_err(|error| ApiError(StatusCode::INTERNAL_SERVER_ERROR, format!("BUG: {error}")))??;
    Ok(hex::encode(id))
}

async fn get_blob(
    State(server): State<Shared>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let blob = hex::decode(&id)
        .ok()
        .and_then(|id| server.blobs.get(&id))
        .ok_or_else(|| ApiError::missing("there is no such blob"))?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], blob).into_response())
}

async fn read_operation(
    State(server): State<Shared>,
    Path((label, id)): Path<(String, String)>,
) -> Answer {
    server.operations.read(&label, &id)
}

async fn prune_operation(
    State(server): State<Shared>,
    Path((label, id)): Path<(String, String)>,
) -> Answer {
    settle(server.operations.prune(&label, &id))
}

async fn no_endpoint(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::missing(format!(
        "there is no endpoint {method} {path} on this server; it speaks as PocketIC servers do, and not everything \
         that they can"
    ))
}
