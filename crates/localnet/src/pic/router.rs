//! Which address does what.

use std::{ops::Deref, path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, post},
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
    server::Activity,
    shapes::AutoProgress,
    state, verify,
};

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
}

impl Deref for Shared {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Shared {
    pub(super) fn new(activity: Arc<Activity>, module_cache: Option<PathBuf>) -> Self {
        Self(Arc::new(Server {
            instances: Instances::default(),
            gateways: Gateways::new(activity),
            blobs: Blobs::default(),
            operations: Operations::default(),
            module_cache,
        }))
    }
}

/// All addresses.
pub(super) fn router(server: Shared) -> Router {
    let blobs = Router::new()
        .route("/blobstore", post(put_blob))
        .route("/blobstore/", post(put_blob))
        .layer(DefaultBodyLimit::max(BLOB_BYTES_MAX));
    let at = |rest: &str| format!("/instances/{{id}}/{rest}");
    Router::new()
        .route("/status", get(|| async { Answer::null() }))
        .route("/instances", get(create::list).post(create::create))
        .route("/instances/", get(create::list).post(create::create))
        .route("/instances/{id}", delete(create::delete))
        .route("/instances/{id}/", delete(create::delete))
        .route("/blobstore/{id}", get(get_blob))
        .route("/verify_signature", post(verify::verify))
        .route("/read_graph/{label}/{operation}", get(read_operation))
        .route("/prune_graph/{label}/{operation}", delete(prune_operation))
        .route("/http_gateway", get(gateways::list).post(gateways::create))
        .route("/http_gateway/", get(gateways::list).post(gateways::create))
        .route("/http_gateway/{id}/stop", post(gateways::stop))
        .route(&at("_/topology"), look(state::topology))
        .route(&at("read/topology"), look(state::topology))
        .route(&at("read/get_time"), look(state::get_time))
        .route(&at("read/get_cycles"), ask(memory::get_cycles))
        .route(&at("update/add_cycles"), ask(memory::add_cycles))
        .route(&at("read/get_stable_memory"), ask(memory::get_stable))
        .route(&at("update/set_stable_memory"), post(set_stable_memory))
        .route(&at("read/get_canister_http"), look(outcalls::list))
        .route(&at("update/mock_canister_http"), ask(outcalls::mock))
        .route(&at("read/get_controllers"), ask(state::get_controllers))
        .route(&at("read/get_subnet"), ask(state::get_subnet))
        .route(&at("read/pub_key"), ask(state::pub_key))
        .route(&at("read/query"), ask(calls::query))
        .route(&at("read/ingress_status"), ask(calls::status))
        .route(&at("update/set_time"), ask(state::set_time))
        .route(
            &at("update/set_certified_time"),
            ask(state::set_certified_time),
        )
        .route(&at("update/tick"), ask(state::tick))
        .route(&at("update/submit_ingress_message"), ask(calls::submit))
        .route(&at("update/await_ingress_message"), ask(calls::wait))
        .route(
            &at("auto_progress"),
            look(live::enabled).merge(post(auto_progress)),
        )
        .route(
            &at("auto_progress/"),
            look(live::enabled).merge(post(auto_progress)),
        )
        .route(&at("stop_progress"), tell(live::stop))
        .route(&at("stop_progress/"), tell(live::stop))
        .route(&at("api/{*rest}"), get(interface).post(interface))
        .fallback(no_endpoint)
        .layer(DefaultBodyLimit::max(REST_BYTES_MAX))
        .merge(blobs)
        .with_state(server)
}

/// An operation on an instance that needs no argument, for those who read.
fn look<F>(operation: fn(Arc<Instance>) -> F) -> MethodRouter<Shared>
where
    F: Future<Output = Outcome> + Send + 'static,
{
    get(move |State(server): State<Shared>, Path(id): Path<String>| run(server, id, operation))
}

/// The same, for those who change something; whatever they send along is not looked at.
fn tell<F>(operation: fn(Arc<Instance>) -> F) -> MethodRouter<Shared>
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
fn ask<T, F>(operation: fn(Arc<Instance>, T) -> F) -> MethodRouter<Shared>
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
    let instance = match server.instances.get(&id) {
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
