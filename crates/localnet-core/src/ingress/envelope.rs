//! Opening an envelope: its form, its time, and who sent it (interface specification, "Authentication").
//!
//! The request id is computed over the map as it came, so that a field which this network does not know is still covered by
//! the signature.

use std::collections::BTreeSet;

use candid::Principal;

use super::{
    cbor::{self, Value},
    error::EnvelopeError,
    hash::hash_of_map,
    keys::PublicKey,
};
use crate::{
    cert::Path,
    types::{RequestId, Time},
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

const REQUEST_DOMAIN: &[u8] = b"\x0Aic-request";
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
    /// What is asked.
    pub content: Content,
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

/// Opens an envelope at a time.
///
/// # Errors
/// Where its form, its expiry or its authentication is not in order.
pub fn open(bytes: &[u8], kind: Kind, now: Time) -> Result<Envelope, EnvelopeError> {
    if bytes.len() > BODY_BYTES_MAX {
        return Err(EnvelopeError::TooLarge {
            length: bytes.len(),
        });
    }
    let Value::Map(fields) = cbor::read(bytes)? else {
        return Err(EnvelopeError::WrongType {
            field: "envelope",
            expected: "a map",
        });
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
    if content.get("sender_info", Fields::map)?.is_some() {
        return Err(EnvelopeError::SenderInfo);
    }
    let expiry = check_expiry(content.need("ingress_expiry", Fields::nat)?, now)?;
    let asked = match kind {
        Kind::Call => Content::Call(read_call(&content)?),
        Kind::Query => Content::Query(read_call(&content)?),
        Kind::ReadState => Content::ReadState(read_paths(&content)?),
    };
    let targets = authenticate(&envelope, &id, sender, kind, now)?;
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
        content: asked,
    })
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
        key.verify(&message, signed.need("signature", Fields::bytes)?)
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
    key.verify(&[REQUEST_DOMAIN, &id.0].concat(), signature)
        .map_err(|error| EnvelopeError::Signature { id: *id, error })?;
    Ok(targets)
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

/// Reads one value as a type.
type As<'a, T> = fn(&'static str, &'a Value<'a>) -> Result<T, EnvelopeError>;

/// The fields of a map, by name.
struct Fields<'a>(&'a [(&'a str, Value<'a>)]);

impl<'a> Fields<'a> {
    fn get<T>(&self, field: &'static str, read: As<'a, T>) -> Result<Option<T>, EnvelopeError> {
        self.0
            .iter()
            .find(|(name, _)| *name == field)
            .map(|(_, value)| read(field, value))
            .transpose()
    }

    fn need<T>(&self, field: &'static str, read: As<'a, T>) -> Result<T, EnvelopeError> {
        self.get(field, read)?
            .ok_or(EnvelopeError::Missing { field })
    }

    fn has(&self, field: &str) -> bool {
        self.0.iter().any(|(name, _)| *name == field)
    }

    fn map(
        field: &'static str,
        value: &'a Value<'a>,
    ) -> Result<&'a [(&'a str, Value<'a>)], EnvelopeError> {
        match value {
            Value::Map(pairs) => Ok(pairs),
            _ => Err(EnvelopeError::WrongType {
                field,
                expected: "a map",
            }),
        }
    }

    fn array(field: &'static str, value: &'a Value<'a>) -> Result<&'a [Value<'a>], EnvelopeError> {
        match value {
            Value::Array(items) => Ok(items),
            _ => Err(EnvelopeError::WrongType {
                field,
                expected: "an array",
            }),
        }
    }

    fn text(field: &'static str, value: &'a Value<'a>) -> Result<&'a str, EnvelopeError> {
        match value {
            Value::Text(text) => Ok(text),
            _ => Err(EnvelopeError::WrongType {
                field,
                expected: "a text",
            }),
        }
    }

    fn bytes(field: &'static str, value: &'a Value<'a>) -> Result<&'a [u8], EnvelopeError> {
        match value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(EnvelopeError::WrongType {
                field,
                expected: "a byte string",
            }),
        }
    }

    fn nat(field: &'static str, value: &'a Value<'a>) -> Result<u128, EnvelopeError> {
        match value {
            Value::Nat(number) => Ok(*number),
            _ => Err(EnvelopeError::WrongType {
                field,
                expected: "a natural number",
            }),
        }
    }

    fn principal(field: &'static str, value: &'a Value<'a>) -> Result<Principal, EnvelopeError> {
        Principal::try_from_slice(Self::bytes(field, value)?).map_err(|_| {
            EnvelopeError::WrongType {
                field,
                expected: "a principal of at most 29 bytes",
            }
        })
    }
}
