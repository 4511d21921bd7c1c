//! What the gateway and a canister say to each other, in Candid (gateway specification, "Canister HTTP Interface").
//!
//! A streaming token is of the canister's own type: it is read and written back as the value that it is.

#[cfg(test)]
mod tests;

use candid::{
    CandidType, Deserialize, Principal,
    de::{DecoderConfig, IDLDeserialize},
    types::{
        Serializer, Type, TypeInner,
        value::{IDLArgs, IDLValue, IDLValueVisitor},
    },
};
use serde::Deserializer;
use serde_bytes::Bytes;

/// Work that reading an answer may take; one byte is one unit at least, so this is far above any reply's size.
const DECODING_QUOTA: usize = 128 << 20;
/// Work that fields which the gateway does not know may take, and values that it does not look into.
const SKIPPING_QUOTA: usize = 1 << 20;

/// The newest form of certificates that this gateway verifies.
const CERTIFICATE_VERSION: u16 = 2;

pub(super) type Header = (String, String);

/// What a browser asks, on its way to a canister.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    /// Path and query, as they came.
    pub(super) url: String,
    pub(super) headers: Vec<Header>,
    pub(super) body: Vec<u8>,
}

#[derive(CandidType)]
struct HttpRequest<'a> {
    method: &'a str,
    url: &'a str,
    headers: &'a [Header],
    body: &'a Bytes,
    certificate_version: Option<u16>,
}

#[derive(CandidType)]
struct HttpUpdateRequest<'a> {
    method: &'a str,
    url: &'a str,
    headers: &'a [Header],
    body: &'a Bytes,
}

/// What a canister answers.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(super) struct HttpResponse {
    pub(super) status_code: u16,
    pub(super) headers: Vec<Header>,
    #[serde(with = "serde_bytes")]
    pub(super) body: Vec<u8>,
    pub(super) upgrade: Option<bool>,
    pub(super) streaming_strategy: Option<StreamingStrategy>,
}

/// How to get the rest of a body.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(super) enum StreamingStrategy {
    Callback(Callback),
}

/// A query to ask next, and what to ask it with.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(super) struct Callback {
    pub(super) callback: Opaque,
    pub(super) token: Opaque,
}

/// A further part of a body.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(super) struct Part {
    #[serde(with = "serde_bytes")]
    pub(super) body: Vec<u8>,
    pub(super) token: Option<Opaque>,
}

/// A value of a type that only the canister knows.
#[derive(Clone, Debug)]
pub(super) struct Opaque(pub(super) IDLValue);

impl CandidType for Opaque {
    fn _ty() -> Type {
        // The one type of which every value is also a value.
        TypeInner::Reserved.into()
    }

    fn idl_serialize<S: Serializer>(&self, serializer: S) -> Result<(), S::Error> {
        self.0.idl_serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Opaque {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // To Candid the value is one to skip; the visitor keeps it.
        deserializer
            .deserialize_ignored_any(IDLValueVisitor)
            .map(Self)
    }
}

impl Opaque {
    /// The argument that is this value alone.
    pub(super) fn as_argument(&self) -> Result<Vec<u8>, candid::Error> {
        IDLArgs::new(std::slice::from_ref(&self.0)).to_bytes()
    }

    /// The method, where the value is a reference to one.
    pub(super) fn as_method(&self) -> Option<(Principal, &str)> {
        match &self.0 {
            IDLValue::Func(canister, method) => Some((*canister, method)),
            _ => None,
        }
    }
}

impl Asked {
    /// The argument of `http_request`.
    pub(super) fn as_query(&self) -> Result<Vec<u8>, candid::Error> {
        candid::encode_one(HttpRequest {
            method: &self.method,
            url: &self.url,
            headers: &self.headers,
            body: Bytes::new(&self.body),
            certificate_version: Some(CERTIFICATE_VERSION),
        })
    }

    /// The argument of `http_request_update`.
    pub(super) fn as_update(&self) -> Result<Vec<u8>, candid::Error> {
        candid::encode_one(HttpUpdateRequest {
            method: &self.method,
            url: &self.url,
            headers: &self.headers,
            body: Bytes::new(&self.body),
        })
    }

    /// Whether a header of this name came; `name` is in lower case.
    pub(super) fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(header, _)| header.eq_ignore_ascii_case(name))
    }
}

/// What is wrong with Candid bytes, without the types that do not fit each other.
pub(super) fn reason(error: &candid::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Reads one value, within limits.
pub(super) fn read<T>(reply: &[u8]) -> Result<T, candid::Error>
where
    T: CandidType + for<'de> Deserialize<'de>,
{
    let mut config = DecoderConfig::new();
    config
        .set_decoding_quota(DECODING_QUOTA)
        .set_skipping_quota(SKIPPING_QUOTA)
        .set_full_error_message(false);
    let mut values = IDLDeserialize::new_with_config(reply, &config)?;
    values.get_value()
}
