//! Messages between canisters, and what a canister remembers of them.

use std::sync::Arc;

use candid::Principal;
use serde::{Deserialize, Serialize};

use super::CanisterId;
use crate::{
    sysapi::TableCall,
    types::{Reject, RequestId, SenderInfo, Time},
};

/// Who waits for the answer to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Origin {
    /// A user.
    Ingress {
        /// The request.
        id: RequestId,
        /// What a canister has signed about its sender.
        #[serde(with = "crate::image::shared")]
        info: Option<Arc<SenderInfo>>,
    },
    /// A canister's callback.
    Canister {
        /// Whose.
        caller: CanisterId,
        /// Which.
        callback: u64,
        /// When the caller stops waiting.
        deadline: Option<Time>,
    },
    /// Nobody: the network itself runs the code.
    System,
}

/// What the network itself runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TaskKind {
    /// `canister_heartbeat`.
    Heartbeat,
    /// `canister_global_timer`.
    GlobalTimer,
    /// `canister_on_low_wasm_memory`.
    LowMemory,
}

/// A call on its way to its callee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Who waits.
    pub(crate) origin: Origin,
    /// Who called.
    pub(crate) caller: Principal,
    /// The method's name.
    pub(crate) method: String,
    /// The argument.
    #[serde(with = "serde_bytes")]
    pub(crate) arg: Vec<u8>,
    /// Cycles that go with it.
    pub(crate) cycles: u128,
}

/// An answer on its way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Response {
    /// Which callback it is for.
    pub(crate) callback: u64,
    /// What was answered.
    #[serde(with = "crate::image::answer")]
    pub(crate) answer: Result<Vec<u8>, Reject>,
    /// Cycles that come back.
    pub(crate) refund: u128,
}

/// Something for a canister to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Input {
    /// Run code of the canister's own.
    Task(TaskKind),
    /// Answer a call.
    Request(Request),
    /// Run a callback.
    Response(Response),
}

/// A call that a canister is answering, over as many messages as it takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CallContext {
    /// Who waits.
    pub(crate) origin: Origin,
    /// Who called.
    pub(crate) caller: Principal,
    /// Cycles that came with the call and were not accepted yet.
    pub(crate) available: u128,
    /// Whether the answer was given.
    pub(crate) answered: bool,
    /// Whether the code that this context belongs to is gone.
    pub(crate) deleted: bool,
    /// Callbacks that are still to run.
    pub(crate) open_calls: usize,
    /// Instructions used so far.
    pub(crate) instructions: u64,
}

/// What to do when a call comes back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Callback {
    /// The call context that it belongs to.
    pub(crate) context: u64,
    /// Who was called.
    pub(crate) callee: CanisterId,
    /// What runs when a reply comes.
    pub(crate) reply: TableCall,
    /// What runs when a reject comes.
    pub(crate) reject: TableCall,
    /// What runs when either of them traps.
    pub(crate) cleanup: Option<TableCall>,
    /// Cycles set aside for the answer and for running the callback.
    pub(crate) prepaid: u128,
    /// When to stop waiting.
    pub(crate) deadline: Option<Time>,
    /// Whether an answer is on its way; later ones do not count.
    pub(crate) resolved: bool,
}

impl Origin {
    /// What a canister has signed about the caller.
    pub(crate) fn info(&self) -> Option<Arc<SenderInfo>> {
        match self {
            Self::Ingress { info, .. } => info.clone(),
            Self::Canister { .. } | Self::System => None,
        }
    }

    /// When the caller stops waiting.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            Self::Canister { deadline, .. } => *deadline,
            Self::Ingress { .. } | Self::System => None,
        }
    }
}
