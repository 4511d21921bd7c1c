//! One request to one server, and its response.
//!
//! What is sent is what the canister gave, as the public network's nodes send it: no redirects, no cookies, no
//! compression, no proxies, one connection for one request.

use std::{net::IpAddr, pin::pin, sync::Arc, time::Duration};

use assay_localnet_core::{
    limits as network,
    network::access::{Outcall, OutcallAnswer, OutcallMethod},
};
use axum::{
    body::Bytes,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri,
        header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, USER_AGENT},
    },
};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, crypto::aws_lc_rs, pki_types::ServerName};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OnceCell,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    failure::{Failure, chain},
    limits,
    policy::{OutcallPolicy, Target},
};

/// Who asks, where the canister does not say.
const AGENT: &str = "ic/1.0";

/// How servers prove who they are, or why this machine cannot check that.
pub(super) type Tls = Result<Arc<ClientConfig>, String>;

/// The authorities that this machine trusts.
fn authorities() -> Tls {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_platform_verifier())
        .map_err(|error| chain(&error))?
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Makes an outcall, if it takes no longer than this.
pub(super) async fn exchange(
    outcall: &Outcall,
    policy: OutcallPolicy,
    tls: &OnceCell<Tls>,
    time: Duration,
) -> Result<OutcallAnswer, Failure> {
    let target = Target::parse(&outcall.url)?;
    let request = request(outcall, &target)?;
    let answer = async {
        let addresses = target.resolve(policy).await?;
        let stream = connect(&target, &addresses).await?;
        if target.tls {
            let stream = secure(&target, stream, tls).await?;
            talk(outcall, &target, stream, request).await
        } else {
            talk(outcall, &target, stream, request).await
        }
    };
    timeout(time, answer).await.unwrap_or_else(|_| {
        Err(Failure::Slow {
            host: target.host.clone(),
            time,
        })
    })
}

fn request(outcall: &Outcall, target: &Target) -> Result<Request<Full<Bytes>>, Failure> {
    let failed = |part: &'static str, reason: String| Failure::Header { part, reason };
    let mut headers = HeaderMap::new();
    for (name, value) in &outcall.headers {
        let name = name
            .parse::<HeaderName>()
            .map_err(|error| failed("name", chain(&error)))?;
        let value = value
            .parse::<HeaderValue>()
            .map_err(|error| failed("value", chain(&error)))?;
        // How long the body is follows from the body; a second opinion would let one request look like two.
        if name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
            headers.append(name, value);
        }
    }
    headers
        .entry(USER_AGENT)
        .or_insert(HeaderValue::from_static(AGENT));
    if !headers.contains_key(HOST) {
        let host = HeaderValue::from_str(&target.authority)
            .map_err(|error| failed("value", chain(&error)))?;
        headers.insert(HOST, host);
    }
    let mut request = Request::new(Full::new(Bytes::from(outcall.body.clone())));
    *request.method_mut() = method(outcall.method);
    *request.uri_mut() = target
        .path
        .parse::<Uri>()
        .map_err(|error| Failure::Url(format!("Failed to parse URL: {}", chain(&error))))?;
    *request.headers_mut() = headers;
    Ok(request)
}

const fn method(method: OutcallMethod) -> Method {
    match method {
        OutcallMethod::Get => Method::GET,
        OutcallMethod::Head => Method::HEAD,
        OutcallMethod::Post => Method::POST,
        OutcallMethod::Put => Method::PUT,
        OutcallMethod::Delete => Method::DELETE,
        OutcallMethod::Patch => Method::PATCH,
    }
}

/// A connection to the first of these addresses that accepts one.
async fn connect(target: &Target, addresses: &[IpAddr]) -> Result<TcpStream, Failure> {
    let mut reasons = Vec::new();
    for address in addresses.iter().take(limits::ADDRESSES_TRIED_MAX) {
        let connecting = TcpStream::connect((*address, target.port));
        let reason = match timeout(limits::CONNECT_TIME_MAX, connecting).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!(
                "no connection within {} seconds",
                limits::CONNECT_TIME_MAX.as_secs()
            ),
        };
        reasons.push(format!("{address} port {}: {reason}", target.port));
    }
    Err(Failure::Connect {
        host: target.host.clone(),
        reason: reasons.join("; "),
    })
}

async fn secure(
    target: &Target,
    stream: TcpStream,
    tls: &OnceCell<Tls>,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
    let host = || target.host.clone();
    let read = || async {
        let reading = tokio::task::spawn_blocking(authorities);
        reading.await.unwrap_or_else(|error| Err(error.to_string()))
    };
    let config = tls.get_or_init(read).await.clone();
    let config = config.map_err(|reason| Failure::NoAuthorities {
        host: host(),
        reason,
    })?;
    let failed = |reason: String| Failure::Tls {
        host: host(),
        reason,
    };
    let name = ServerName::try_from(target.host.clone()).map_err(|error| failed(chain(&error)))?;
    TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(|error| failed(chain(&error)))
}

/// Sends the request over a connection and reads the response.
async fn talk(
    outcall: &Outcall,
    target: &Target,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<OutcallAnswer, Failure> {
    let failed = |error: hyper::Error| Failure::Http {
        host: target.host.clone(),
        reason: chain(&error),
    };
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(limits::HEADERS_READ_MAX)
        .max_buf_size(limits::BUFFER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let (status, headers) = head(&response)?;
        let body = body(outcall, &headers, response).await.map_err(failed)?;
        Ok(OutcallAnswer::Reply {
            status,
            headers,
            body,
        })
    };
    // What goes wrong with the connection shows in the exchange; that it ends before all is read is no fault.
    let driven = async {
        let _ = connection.await;
        std::future::pending().await
    };
    let exchange = pin!(exchange);
    let driven = pin!(driven);
    tokio::select! {
        answer = exchange => answer,
        never = driven => never,
    }
}

type Head = (u16, Vec<(String, String)>);

fn head(response: &Response<Incoming>) -> Result<Head, Failure> {
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| match value.to_str() {
            Ok(value) => Ok((name.to_string(), value.to_owned())),
            Err(_) => Err(Failure::ResponseHeader {
                name: name.to_string(),
            }),
        })
        .collect::<Result<_, _>>()?;
    Ok((response.status().as_u16(), headers))
}

/// The body, as far as the canister takes it and one byte more: the network says that it is too large.
async fn body(
    outcall: &Outcall,
    headers: &[(String, String)],
    response: Response<Incoming>,
) -> Result<Vec<u8>, hyper::Error> {
    let max = outcall
        .max_response_bytes
        .unwrap_or(network::OUTCALL_RESPONSE_BYTES_MAX);
    let head: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let room = usize::try_from(max)
        .unwrap_or(usize::MAX)
        .saturating_sub(head);
    let mut incoming = response.into_body();
    let mut body = Vec::new();
    while body.len() <= room
        && let Some(frame) = incoming.frame().await
    {
        if let Ok(data) = frame?.into_data() {
            body.extend_from_slice(&data);
        }
    }
    body.truncate(room.saturating_add(1));
    Ok(body)
}
