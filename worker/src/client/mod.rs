//! Typed calls to the market's canisters.
//!
//! It refuses to know what the answers mean. Answers to queries are signed by one node only and
//! so are hints; answers to updates are certified by the subnet.

mod error;
mod jobs;
mod registry;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use candid::{CandidType, Principal, utils::ArgumentEncoder};
use ic_agent::{Agent, AgentError};
use serde::de::DeserializeOwned;

pub use error::{CallError, CallFault, Outcome};
pub use jobs::{Jobs, SyncError};
pub use registry::Registry;

use crate::{config::RootKey, identity::Key};

/// How long a query may take.
const QUERY_SECONDS: u64 = 15;
/// How long an update may take, polling included.
const UPDATE_SECONDS: u64 = 90;
/// Bytes of the longest answer that is read.
const RESPONSE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A connection to one network under one identity.
#[derive(Clone, Debug)]
pub struct Network {
    agent: Agent,
    url: String,
    me: Principal,
}

impl Network {
    /// Prepares a connection; `None` is the anonymous caller. Says nothing to the network unless the
    /// root key must be fetched.
    pub async fn connect(
        url: &str,
        key: Option<&Key>,
        root_key: &RootKey,
    ) -> Result<Self, CallError> {
        let fault = |error| CallError::new(url, "connect", error);
        let mut builder = Agent::builder()
            .with_url(url)
            .with_max_response_body_size(RESPONSE_BYTES_MAX)
            .with_verify_query_signatures(true);
        if let Some(key) = key {
            builder = builder.with_arc_identity(key.identity.clone());
        }
        let agent = builder.build().map_err(fault)?;
        match root_key {
            RootKey::Mainnet => {}
            RootKey::Given(key) => agent.set_root_key(key.clone()),
            RootKey::Fetch => within(url, "status", QUERY_SECONDS, agent.fetch_root_key()).await?,
        }
        let me = key.map_or_else(Principal::anonymous, |key| key.principal);
        Ok(Self {
            agent,
            url: url.to_owned(),
            me,
        })
    }

    /// Who the canisters see.
    pub fn me(&self) -> Principal {
        self.me
    }

    /// Where the network answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The agent below.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Asks whether the network answers at all.
    pub async fn ping(&self) -> Result<(), CallError> {
        within(&self.url, "status", QUERY_SECONDS, self.agent.status())
            .await
            .map(|_| ())
    }

    /// The network's certified time, in nanoseconds since the Unix epoch, as seen by `canister`.
    pub async fn time(&self, canister: Principal) -> Result<u64, CallError> {
        let read = self
            .agent
            .read_state_raw(vec![vec!["time".into()]], canister);
        let certificate = within(&self.url, "read_state", QUERY_SECONDS, read).await?;
        let mut time = ic_agent::lookup_value(&certificate, ["time".as_bytes()])
            .map_err(|error| CallError::new(&self.url, "read_state", error))?;
        leb128::read::unsigned(&mut time).map_err(|error| {
            CallError::new(&self.url, "read_state", AgentError::Leb128ReadError(error))
        })
    }

    /// How far this machine's clock is from the network's.
    pub async fn skew(&self, canister: Principal) -> Result<Duration, CallError> {
        let time = Duration::from_nanos(self.time(canister).await?);
        Ok(now().abs_diff(time))
    }

    /// Calls a query: a hint.
    pub async fn query<A, R>(
        &self,
        canister: Principal,
        method: &'static str,
        args: A,
    ) -> Result<R, CallError>
    where
        A: ArgumentEncoder,
        R: CandidType + DeserializeOwned,
    {
        let arg = encode(&self.url, method, args)?;
        let call = self.agent.query(&canister, method).with_arg(arg);
        let reply = within(&self.url, method, QUERY_SECONDS, call.call()).await?;
        decode(&self.url, method, &reply)
    }

    /// Calls an update, and waits for the certified answer.
    pub async fn update<A, R>(
        &self,
        canister: Principal,
        method: &'static str,
        args: A,
    ) -> Result<R, CallError>
    where
        A: ArgumentEncoder,
        R: CandidType + DeserializeOwned,
    {
        self.update_as(canister, canister, method, args).await
    }

    /// Calls an update of the management canister on behalf of `effective`, and waits for the certified answer.
    pub async fn manage<A, R>(
        &self,
        effective: Principal,
        method: &'static str,
        args: A,
    ) -> Result<R, CallError>
    where
        A: ArgumentEncoder,
        R: CandidType + DeserializeOwned,
    {
        self.update_as(Principal::management_canister(), effective, method, args)
            .await
    }

    async fn update_as<A, R>(
        &self,
        canister: Principal,
        effective: Principal,
        method: &'static str,
        args: A,
    ) -> Result<R, CallError>
    where
        A: ArgumentEncoder,
        R: CandidType + DeserializeOwned,
    {
        let arg = encode(&self.url, method, args)?;
        let call = self
            .agent
            .update(&canister, method)
            .with_effective_canister_id(effective)
            .with_arg(arg);
        let reply = within(&self.url, method, UPDATE_SECONDS, call.call_and_wait()).await?;
        // An answer without values reads as the empty tuple.
        decode(&self.url, method, &reply)
    }
}

/// This machine's clock, since the Unix epoch.
pub(crate) fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

async fn within<T>(
    url: &str,
    method: &'static str,
    seconds: u64,
    call: impl Future<Output = Result<T, AgentError>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(Duration::from_secs(seconds), call).await {
        Ok(answer) => answer.map_err(|error| CallError::new(url, method, error)),
        Err(_) => Err(CallError {
            url: url.to_owned(),
            method,
            fault: CallFault::Timeout { seconds },
        }),
    }
}

fn encode<A: ArgumentEncoder>(
    url: &str,
    method: &'static str,
    args: A,
) -> Result<Vec<u8>, CallError> {
    candid::encode_args(args).map_err(|error| CallError {
        url: url.to_owned(),
        method,
        fault: CallFault::Encoding(error.to_string()),
    })
}

/// Reads one value; an answer with none reads as `()` where `R` is `()`.
fn decode<R: CandidType + DeserializeOwned>(
    url: &str,
    method: &'static str,
    reply: &[u8],
) -> Result<R, CallError> {
    let undecodable = |error: candid::Error| CallError {
        url: url.to_owned(),
        method,
        fault: CallFault::Encoding(error.to_string()),
    };
    let mut values = candid::de::IDLDeserialize::new(reply).map_err(undecodable)?;
    // Reading past the last value gives null, which is what `()` is.
    values.get_value().map_err(undecodable)
}
