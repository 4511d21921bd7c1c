//! The network as the gateway knows it: its HTTP interface, asked anonymously, in this process.
//!
//! Whoever serves that interface can have a gateway before it. Answers to update calls are read out of certificates, whose
//! signatures are not checked: they come from within this process.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use assay_localnet_core::{
    cert::cbor::Writer,
    ingress::{
        BODY_BYTES_MAX, Kind,
        cbor::{self, Value},
        request_id,
    },
    types::{RequestId, Time},
};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use candid::Principal;
use ic_certification::{Certificate, LookupResult};
use thiserror::Error;
use tower::ServiceExt;

use super::limits::UPDATE_SECONDS_MAX;

/// How long a request to the interface stays valid.
const EXPIRY_NANOS: u64 = 240_000_000_000;
/// Between two looks at what became of an update call.
const POLL: Duration = Duration::from_millis(250);
/// Bytes of an answer of the interface, its certificates included.
const ANSWER_BYTES_MAX: usize = BODY_BYTES_MAX * 2;

/// Tells a network's present time.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// A network behind a gateway.
#[derive(Clone)]
pub struct Upstream {
    interface: Router,
    root_key: Arc<[u8]>,
    clock: Clock,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("root_key", &hex::encode(&self.root_key))
            .finish_non_exhaustive()
    }
}

/// Why the network gave no reply.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum UpstreamError {
    #[error("{message}")]
    Rejected {
        code: u64,
        error: Option<String>,
        message: String,
    },
    #[error("{reason}")]
    Refused { status: u16, reason: String },
    #[error("the network's answer {0}")]
    Malformed(&'static str),
    #[error("the update call was taken in, but not answered within {UPDATE_SECONDS_MAX} seconds")]
    NotAnswered,
}

impl Upstream {
    /// A network by its HTTP interface (`/api/…`, and what else it serves beside it), its root key as DER, and its clock.
    pub fn new(interface: Router, root_key: &[u8], clock: Clock) -> Self {
        Self {
            interface,
            root_key: root_key.into(),
            clock,
        }
    }

    pub(super) fn root_key(&self) -> &[u8] {
        &self.root_key
    }

    pub(super) fn now(&self) -> Time {
        (self.clock)()
    }

    /// Passes a request on as it is.
    pub(super) async fn pass(&self, request: Request<Body>) -> axum::response::Response {
        match self.interface.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// What a query replies.
    pub(super) async fn query(
        &self,
        canister: &Principal,
        method: &str,
        arg: &[u8],
    ) -> Result<Vec<u8>, UpstreamError> {
        let path = format!("/api/v3/canister/{canister}/query");
        let envelope = self.call_envelope(Kind::Query, canister, method, arg);
        let (_, answer) = self.post(&path, envelope).await?;
        let fields = Fields::read(&answer)?;
        match fields.text("status") {
            Some("replied") => Ok(fields
                .map("reply")
                .and_then(|reply| reply.bytes("arg"))
                .ok_or(UpstreamError::Malformed("has no reply"))?
                .to_vec()),
            _ => Err(fields.reject()),
        }
    }

    /// What an update call replies, once it is answered.
    pub(super) async fn update(
        &self,
        canister: &Principal,
        method: &str,
        arg: &[u8],
    ) -> Result<Vec<u8>, UpstreamError> {
        let path = format!("/api/v4/canister/{canister}/call");
        let envelope = self.call_envelope(Kind::Call, canister, method, arg);
        let id = request_id(&envelope).map_err(|error| UpstreamError::Refused {
            status: StatusCode::BAD_REQUEST.as_u16(),
            reason: error.to_string(),
        })?;
        let (status, answer) = self.post(&path, envelope).await?;
        if status == StatusCode::ACCEPTED {
            return self.poll(canister, &id).await;
        }
        let fields = Fields::read(&answer)?;
        match fields.bytes("certificate") {
            Some(certificate) => {
                outcome(certificate, &id)?.ok_or(UpstreamError::Malformed("has no outcome"))
            }
            None => Err(fields.reject()),
        }
    }

    /// A public metadata section of a canister, where it has one.
    pub(super) async fn metadata(
        &self,
        canister: &Principal,
        name: &str,
    ) -> Result<Option<Vec<u8>>, UpstreamError> {
        let path = [
            b"canister".as_slice(),
            canister.as_slice(),
            b"metadata",
            name.as_bytes(),
        ];
        let certificate = self.read_state(canister, &path).await?;
        let certificate = decode(&certificate)?;
        Ok(match certificate.tree.lookup_path(path) {
            LookupResult::Found(section) => Some(section.to_vec()),
            _ => None,
        })
    }

    async fn poll(&self, canister: &Principal, id: &RequestId) -> Result<Vec<u8>, UpstreamError> {
        let looking = async {
            loop {
                let certificate = self
                    .read_state(canister, &[b"request_status", &id.0])
                    .await?;
                if let Some(reply) = outcome(&certificate, id)? {
                    return Ok(reply);
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(UPDATE_SECONDS_MAX), looking)
            .await
            .unwrap_or(Err(UpstreamError::NotAnswered))
    }

    async fn read_state(
        &self,
        canister: &Principal,
        path: &[&[u8]],
    ) -> Result<Vec<u8>, UpstreamError> {
        let mut envelope = Writer::self_described();
        envelope.map(1).text("content").map(4);
        envelope.text("request_type").text("read_state");
        self.sign_nobody(&mut envelope);
        envelope.text("paths").array(1).array(path.len());
        for label in path {
            envelope.bytes(label);
        }
        let url = format!("/api/v3/canister/{canister}/read_state");
        let (_, answer) = self.post(&url, envelope.finish()).await?;
        Fields::read(&answer)?
            .bytes("certificate")
            .map(<[u8]>::to_vec)
            .ok_or(UpstreamError::Malformed("has no certificate"))
    }

    fn call_envelope(&self, kind: Kind, canister: &Principal, method: &str, arg: &[u8]) -> Vec<u8> {
        /// Makes two equal calls at the same moment two calls.
        static NONCE: AtomicU64 = AtomicU64::new(0);
        let mut out = Writer::self_described();
        out.map(1).text("content").map(7);
        out.text("request_type").text(kind.as_text());
        self.sign_nobody(&mut out);
        let nonce = NONCE.fetch_add(1, Ordering::Relaxed);
        out.text("nonce").bytes(&nonce.to_be_bytes());
        out.text("canister_id").bytes(canister.as_slice());
        out.text("method_name").text(method);
        out.text("arg").bytes(arg);
        out.finish()
    }

    /// Writes the two fields that say who asks, and until when.
    fn sign_nobody(&self, out: &mut Writer) {
        out.text("sender").bytes(Principal::anonymous().as_slice());
        out.text("ingress_expiry")
            .nat(self.now().plus_nanos(EXPIRY_NANOS).0);
    }

    async fn post(
        &self,
        path: &str,
        envelope: Vec<u8>,
    ) -> Result<(StatusCode, Vec<u8>), UpstreamError> {
        let request = Request::post(path)
            .header("content-type", "application/cbor")
            .body(Body::from(envelope))
            .map_err(|_| UpstreamError::Malformed("cannot be asked for"))?;
        let response = self.pass(request).await;
        let status = response.status();
        let answer = to_bytes(response.into_body(), ANSWER_BYTES_MAX)
            .await
            .map_err(|_| UpstreamError::Malformed("is too long"))?
            .to_vec();
        if status.is_success() {
            return Ok((status, answer));
        }
        Err(UpstreamError::Refused {
            status: status.as_u16(),
            reason: String::from_utf8_lossy(&answer).into_owned(),
        })
    }
}

/// A decoded map.
struct Fields<'a>(Vec<(&'a str, Value<'a>)>);

impl<'a> Fields<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, UpstreamError> {
        match cbor::read(bytes) {
            Ok(Value::Map(fields)) => Ok(Self(fields)),
            Ok(_) | Err(_) => Err(UpstreamError::Malformed("is not a CBOR map")),
        }
    }

    fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0
            .iter()
            .find_map(|(field, value)| (*field == name).then_some(value))
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn bytes(&self, name: &str) -> Option<&'a [u8]> {
        match self.get(name)? {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn map(&self, name: &str) -> Option<Self> {
        match self.get(name)? {
            Value::Map(fields) => Some(Self(fields.clone())),
            _ => None,
        }
    }

    fn reject(&self) -> UpstreamError {
        let code = match self.get("reject_code") {
            Some(Value::Nat(code)) => u64::try_from(*code).unwrap_or_default(),
            _ => return UpstreamError::Malformed("is neither a reply nor a reject"),
        };
        UpstreamError::Rejected {
            code,
            error: self.text("error_code").map(str::to_owned),
            message: self.text("reject_message").unwrap_or_default().to_owned(),
        }
    }
}

fn decode(certificate: &[u8]) -> Result<Certificate, UpstreamError> {
    serde_cbor::from_slice(certificate)
        .map_err(|_| UpstreamError::Malformed("holds a certificate that cannot be read"))
}

/// What a certificate says of a call; nothing while it is under way.
fn outcome(certificate: &[u8], id: &RequestId) -> Result<Option<Vec<u8>>, UpstreamError> {
    let certificate = decode(certificate)?;
    let field = |name: &str| {
        let path = [b"request_status".as_slice(), &id.0, name.as_bytes()];
        match certificate.tree.lookup_path(path) {
            LookupResult::Found(value) => Some(value),
            _ => None,
        }
    };
    let text = |name| field(name).map(|value| String::from_utf8_lossy(value).into_owned());
    match field("status") {
        None | Some(b"received" | b"processing" | b"unknown") => Ok(None),
        Some(b"replied") => field("reply")
            .map(|reply| Some(reply.to_vec()))
            .ok_or(UpstreamError::Malformed("has no reply")),
        Some(b"rejected") => {
            let mut code = field("reject_code").unwrap_or_default();
            Err(UpstreamError::Rejected {
                code: leb128::read::unsigned(&mut code).unwrap_or_default(),
                error: text("error_code"),
                message: text("reject_message").unwrap_or_default(),
            })
        }
        Some(_) => Err(UpstreamError::Malformed("no longer has the reply")),
    }
}
