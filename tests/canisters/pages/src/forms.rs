//! What a gateway and this canister say to each other.

use candid::{CandidType, Nat, define_function};
use serde::Deserialize;

#[derive(Clone, Debug, CandidType, Deserialize)]
pub(crate) struct HttpRequest {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    #[serde(with = "serde_bytes")]
    pub(crate) body: Vec<u8>,
    pub(crate) certificate_version: Option<u16>,
}

impl HttpRequest {
    pub(crate) fn path(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Clone, Debug, CandidType, Deserialize)]
pub(crate) struct HttpResponse {
    pub(crate) status_code: u16,
    pub(crate) headers: Vec<(String, String)>,
    #[serde(with = "serde_bytes")]
    pub(crate) body: Vec<u8>,
    pub(crate) upgrade: Option<bool>,
    pub(crate) streaming_strategy: Option<StreamingStrategy>,
}

impl HttpResponse {
    pub(crate) fn of(status_code: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        Self {
            status_code,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.into(),
            upgrade: None,
            streaming_strategy: None,
        }
    }
}

/// Which part comes next; of a type that only this canister knows.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(crate) struct Token {
    pub(crate) path: String,
    pub(crate) index: Nat,
    pub(crate) kind: Kind,
    pub(crate) hash: Option<Vec<u8>>,
}

#[derive(Clone, Debug, CandidType, Deserialize)]
pub(crate) enum Kind {
    Plain,
    Packed(u64),
}

define_function!(pub(crate) Callback : (Token) -> (Part) query);

#[derive(Clone, Debug, CandidType, Deserialize)]
pub(crate) enum StreamingStrategy {
    Callback { callback: Callback, token: Token },
}

#[derive(Clone, Debug, CandidType, Deserialize)]
pub(crate) struct Part {
    #[serde(with = "serde_bytes")]
    pub(crate) body: Vec<u8>,
    pub(crate) token: Option<Token>,
}
