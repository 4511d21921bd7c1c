//! Opening an envelope: its form, its time, and who sent it (interface specification, "Authentication").
//!
//! The request id is computed over the map as it came, so that a field which this network does not know is still covered by
//! the signature.

use std::{collections::BTreeSet, sync::Arc};

use candid::Principal;

use super::{
    cbor::{self, Value},
    error::EnvelopeError,
    fields::Fields,
    hash::hash_of_map,
    keys::PublicKey,
};
use crate::{
    cert::Path,
    topology::Topology,
    types::{RequestId, SenderInfo, Time},
};

/// Bytes of a request's body.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Bytes of a call's argument.
pub const ARG_BYTES_MAX: usize = 2 << 20;
/// Bytes of a method's name.
pub const METHOD_BYTES_MAX: usize = 20_000;
/// Bytes of a nonce.
pub const NONCE_BYTES_MAX: usize = 32;
/// Nanoseconds that an expiry may lie ahead: five minutes, and half a minute for clocks that differ.
pub const EXPIRY_NANOS_MAX: u64 = 330_000_000_000;
/// Paths in one read of the state.
pub const PATHS_MAX: usize = 1000;
/// Labels in one path.
pub const LABELS_MAX: usize = 127;
/// Delegations in one envelope.
pub const DELEGATIONS_MAX: usize = 20;
/// Canisters that one delegation names.
pub const TARGETS_MAX: usize = 1000;

const NOT_A_MAP: EnvelopeError = EnvelopeError::WrongType {
    field: "envelope",
    expected: "a map",
};
const REQUEST_DOMAIN: &[u8] = b"\x0Aic-request";
const SENDER_INFO_DOMAIN: &[u8] = b"\x0Eic-sender-info";
const DELEGATION_DOMAIN: &[u8] = b"\x1Aic-request-auth-delegation";

/// What an endpoint takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call that may change state.
    Call,
    /// A query.
    Query,
    /// A read of the state tree.
    ReadState,
}

impl Kind {
    /// As the field `request_type` says it.
    pub const fn as_text(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Query => "query",
            Self::ReadState => "read_state",
        }
    }
}

/// A request whose sender is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Hash of the content.
    pub id: RequestId,
    /// Who sent it.
    pub sender: Principal,
    /// After this time it must not start.
    pub expiry: Time,
    /// The canisters for which the sender's key may speak; `None` for all.
    pub targets: Option<BTreeSet<Principal>>,
    /// What a canister has signed about the sender.
    pub info: Option<Arc<SenderInfo>>,
    /// What is asked.
    pub content: Content,
    /// Bytes of all of it, signatures included.
    pub bytes: u64,
}

/// What a request asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A call that may change state.
    Call(Call),
    /// A query.
    Query(Call),
    /// Parts of the state tree.
    ReadState(Vec<Path>),
}

/// A method and its argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The callee.
    pub canister: Principal,
    /// The method's name.
    pub method: String,
    /// The argument.
    pub arg: Vec<u8>,
}

/// Opens an envelope at a time, on a network with these subnets.
///
/// # Errors
/// Where its form, its expiry or its authentication is not in order.
pub fn open(
    bytes: &[u8],
    kind: Kind,
    now: Time,
    topology: &Topology,
) -> Result<Envelope, EnvelopeError> {
    if bytes.len() > BODY_BYTES_MAX {
        return Err(EnvelopeError::TooLarge {
            length: bytes.len(),
        });
    }
    let Value::Map(fields) = cbor::read(bytes)? else {
        return Err(NOT_A_MAP);
    };
    let envelope = Fields(&fields);
    let pairs = envelope.need("content", Fields::map)?;
    let content = Fields(pairs);
    let id = RequestId(hash_of_map(pairs));

    let request_type = content.need("request_type", Fields::text)?;
    if request_type != kind.as_text() {
        let found = request_type.chars().take(32).collect();
        return Err(EnvelopeError::WrongKind {
            expected: kind.as_text(),
            found,
        });
    }
    let sender = content.need("sender", Fields::principal)?;
    if let Some(nonce) = content.get("nonce", Fields::bytes)? {
        at_most("nonce", nonce.len(), "bytes", NONCE_BYTES_MAX)?;
    }
    let expiry = check_expiry(content.need("ingress_expiry", Fields::nat)?, now)?;
    let asked = match kind {
        Kind::Call => Content::Call(read_call(&content)?),
        Kind::Query => Content::Query(read_call(&content)?),
        Kind::ReadState => Content::ReadState(read_paths(&content)?),
    };
    let targets = authenticate(&envelope, &id, sender, kind, now, topology)?;
    let info = read_info(&envelope, &content, sender, topology)?;
    if let (Content::Call(call) | Content::Query(call), Some(targets)) = (&asked, &targets)
        && !targets.contains(&call.canister)
    {
        return Err(EnvelopeError::NotATarget {
            canister: call.canister,
        });
    }
    Ok(Envelope {
        id,
        sender,
        expiry,
        targets,
        info,
        content: asked,
        bytes: bytes.len() as u64,
    })
}

/// The id of the request in an envelope, which is not looked at further.
///
/// # Errors
/// Where it is no envelope.
pub fn request_id(bytes: &[u8]) -> Result<RequestId, EnvelopeError> {
    let Value::Map(fields) = cbor::read(bytes)? else {
        return Err(NOT_A_MAP);
    };
    let content = Fields(&fields).need("content", Fields::map)?;
    Ok(RequestId(hash_of_map(content)))
}

fn check_expiry(expiry: u128, now: Time) -> Result<Time, EnvelopeError> {
    let max = now.plus_nanos(EXPIRY_NANOS_MAX).0;
    match u64::try_from(expiry) {
        Ok(time) if (now.0..=max).contains(&time) => Ok(Time(time)),
        _ => Err(EnvelopeError::Expiry {
            expiry,
            now: now.0,
            max,
        }),
    }
}

fn read_call(content: &Fields<'_>) -> Result<Call, EnvelopeError> {
    let method = content.need("method_name", Fields::text)?;
    at_most("method_name", method.len(), "bytes", METHOD_BYTES_MAX)?;
    let arg = content.need("arg", Fields::bytes)?;
    at_most("arg", arg.len(), "bytes", ARG_BYTES_MAX)?;
    let canister = content.need("canister_id", Fields::principal)?;
    Ok(Call {
        canister,
        method: method.to_owned(),
        arg: arg.to_vec(),
    })
}

fn read_paths(content: &Fields<'_>) -> Result<Vec<Path>, EnvelopeError> {
    let paths = content.need("paths", Fields::array)?;
    at_most("paths", paths.len(), "paths", PATHS_MAX)?;
    paths
        .iter()
        .map(|path| match path {
            Value::Array(labels) => {
                at_most("paths", labels.len(), "labels in one path", LABELS_MAX)?;
                labels
                    .iter()
                    .map(|label| Fields::bytes("paths", label).map(<[u8]>::to_vec))
                    .collect()
            }
            _ => Err(EnvelopeError::WrongType {
                field: "paths",
                expected: "an array of arrays of byte strings",
            }),
        })
        .collect()
}

/// Checks who sent it, and returns the canisters to which its delegations are limited.
fn authenticate(
    envelope: &Fields<'_>,
    id: &RequestId,
    sender: Principal,
    kind: Kind,
    now: Time,
    topology: &Topology,
) -> Result<Option<BTreeSet<Principal>>, EnvelopeError> {
    if sender == Principal::anonymous() {
        return match ["sender_pubkey", "sender_sig", "sender_delegation"]
            .into_iter()
            .find(|field| envelope.has(field))
        {
            Some(field) => Err(EnvelopeError::AnonymousWith { field }),
            None => Ok(None),
        };
    }
    let first_key = envelope.need("sender_pubkey", Fields::bytes)?;
    let owner = Principal::self_authenticating(first_key);
    if sender != owner {
        return Err(EnvelopeError::WrongSender { sender, owner });
    }
    let signature = envelope.need("sender_sig", Fields::bytes)?;
    let delegations = envelope
        .get("sender_delegation", Fields::array)?
        .unwrap_or_default();
    at_most(
        "sender_delegation",
        delegations.len(),
        "delegations",
        DELEGATIONS_MAX,
    )?;

    let mut targets: Option<BTreeSet<Principal>> = None;
    let mut seen = vec![first_key];
    let mut key = PublicKey::from_der(first_key)?;
    for (index, delegation) in delegations.iter().enumerate() {
        let signed = Fields(Fields::map("sender_delegation", delegation)?);
        let pairs = signed.need("delegation", Fields::map)?;
        let message = [DELEGATION_DOMAIN, &hash_of_map(pairs)].concat();
        key.verify(&message, signed.need("signature", Fields::bytes)?, topology)
            .map_err(|error| EnvelopeError::DelegationSignature { index, error })?;

        let delegation = Fields(pairs);
        let expiration = delegation.need("expiration", Fields::nat)?;
        if expiration < u128::from(now.0) {
            return Err(EnvelopeError::DelegationExpired {
                index,
                expiration,
                now: now.0,
            });
        }
        if !permits(&delegation, kind)? {
            return Err(EnvelopeError::QueriesOnly { index });
        }
        if let Some(named) = read_targets(&delegation)? {
            targets = Some(match targets {
                None => named,
                Some(before) => before.intersection(&named).copied().collect(),
            });
        }
        let next = delegation.need("pubkey", Fields::bytes)?;
        if seen.contains(&next) {
            return Err(EnvelopeError::DelegationCycle { index });
        }
        seen.push(next);
        key = PublicKey::from_der(next)?;
    }
    key.verify(&[REQUEST_DOMAIN, &id.0].concat(), signature, topology)
        .map_err(|error| EnvelopeError::Signature { id: *id, error })?;
    Ok(targets)
}

/// What the canister that signs for the sender says about it, where it says something.
fn read_info(
    envelope: &Fields<'_>,
    content: &Fields<'_>,
    sender: Principal,
    topology: &Topology,
) -> Result<Option<Arc<SenderInfo>>, EnvelopeError> {
    let Some(pairs) = content.get("sender_info", Fields::map)? else {
        return Ok(None);
    };
    if sender == Principal::anonymous() {
        return Err(EnvelopeError::AnonymousWith {
            field: "sender_info",
        });
    }
    let key = PublicKey::from_der(envelope.need("sender_pubkey", Fields::bytes)?)?;
    let PublicKey::Canister(canister) = &key else {
        return Err(EnvelopeError::SenderInfo);
    };
    let (expected, fields) = (canister.signer(), Fields(pairs));
    let found = fields.need("signer", Fields::principal)?;
    if found != expected {
        return Err(EnvelopeError::SenderInfoSigner { expected, found });
    }
    let data = fields.need("info", Fields::bytes)?;
    let message = [SENDER_INFO_DOMAIN, data].concat();
    key.verify(&message, fields.need("sig", Fields::bytes)?, topology)
        .map_err(|error| EnvelopeError::SenderInfoSignature { error })?;
    Ok(Some(Arc::new(SenderInfo {
        data: data.to_vec(),
        signer: found,
    })))
}

fn permits(delegation: &Fields<'_>, kind: Kind) -> Result<bool, EnvelopeError> {
    match delegation.get("permissions", Fields::text)? {
        None | Some("all") => Ok(true),
        Some("queries") => Ok(kind != Kind::Call),
        Some(_) => Err(EnvelopeError::WrongType {
            field: "permissions",
            expected: "`all` or `queries`",
        }),
    }
}

fn read_targets(delegation: &Fields<'_>) -> Result<Option<BTreeSet<Principal>>, EnvelopeError> {
    let Some(targets) = delegation.get("targets", Fields::array)? else {
        return Ok(None);
    };
    at_most("targets", targets.len(), "canisters", TARGETS_MAX)?;
    targets
        .iter()
        .map(|target| Fields::principal("targets", target))
        .collect::<Result<_, _>>()
        .map(Some)
}

fn at_most(
    field: &'static str,
    length: usize,
    unit: &'static str,
    max: usize,
) -> Result<(), EnvelopeError> {
    if length > max {
        Err(EnvelopeError::TooLong {
            field,
            length,
            unit,
            max,
        })
    } else {
        Ok(())
    }
}
