//! The management canister `aaaaa-aa`: canisters as things to be made, changed and ended.
//!
//! It is not a canister; its methods run here, as messages of their own between those of canisters.

mod chunks;
mod code;
mod lifecycle;
mod settings;

pub(crate) use code::uninstall_code;

use candid::{CandidType, Principal, decode_one, encode_args, encode_one};
use ic_management_canister_types::StatusVisibility;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    canister::{Canister, CanisterId, Origin, Request},
    network::Network,
    types::{ErrorCode, Ingress, Reject},
};

/// One call to the management canister.
struct Call {
    caller: Principal,
    method: Method,
    arg: Vec<u8>,
    /// Cycles that came with it; what is left goes back.
    cycles: u128,
    origin: Origin,
}

/// How a method ends.
enum Outcome {
    /// With this reply.
    Reply(Vec<u8>),
    /// Later; the origin and the cycles are kept by whoever answers.
    Later,
}

/// Who may call a method.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Users and canisters that control the canister in the argument.
    Controllers,
    /// Any user or canister; only test networks have these methods.
    Anybody,
    /// Canisters only.
    Canisters,
}

macro_rules! methods {
    ($($variant:ident $name:literal $access:ident;)*) => {
        /// The methods that there are.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Method { $($variant),* }

        impl Method {
            fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            fn access(self) -> Access {
                match self { $(Self::$variant => Access::$access),* }
            }
        }
    };
}

methods! {
    ProvisionalCreate "provisional_create_canister_with_cycles" Anybody;
    ProvisionalTopUp "provisional_top_up_canister" Anybody;
    Create "create_canister" Canisters;
    InstallCode "install_code" Controllers;
    InstallChunkedCode "install_chunked_code" Controllers;
    UninstallCode "uninstall_code" Controllers;
    UpdateSettings "update_settings" Controllers;
    Start "start_canister" Controllers;
    Stop "stop_canister" Controllers;
    Status "canister_status" Controllers;
    Info "canister_info" Canisters;
    Delete "delete_canister" Controllers;
    DepositCycles "deposit_cycles" Canisters;
    RawRand "raw_rand" Canisters;
    UploadChunk "upload_chunk" Controllers;
    StoredChunks "stored_chunks" Controllers;
    ClearChunkStore "clear_chunk_store" Controllers;
}

/// Methods of the Internet Computer that this network does not have yet.
const NOT_YET: &[&str] = &[
    "bitcoin_get_balance",
    "bitcoin_get_block_headers",
    "bitcoin_get_current_fee_percentiles",
    "bitcoin_get_utxos",
    "bitcoin_send_transaction",
    "canister_metadata",
    "canister_metrics",
    "delete_canister_snapshot",
    "ecdsa_public_key",
    "fetch_canister_logs",
    "flexible_http_request",
    "http_request",
    "list_canister_snapshots",
    "list_canisters",
    "load_canister_snapshot",
    "node_metrics_history",
    "read_canister_snapshot_data",
    "read_canister_snapshot_metadata",
    "rename_canister",
    "schnorr_public_key",
    "sign_with_ecdsa",
    "sign_with_schnorr",
    "subnet_info",
    "subnet_metrics",
    "take_canister_snapshot",
    "upload_canister_snapshot_data",
    "upload_canister_snapshot_metadata",
    "vetkd_derive_key",
    "vetkd_public_key",
];

/// Executes one call and answers it, or sees to it that it will be answered.
pub(crate) fn execute(network: &mut Network, request: Request) {
    let Request {
        origin,
        caller,
        method,
        arg,
        cycles,
    } = request;
    if let Origin::Ingress { id } = &origin
        && !network.begin_ingress(id)
    {
        return;
    }
    let result = match find(&method) {
        Ok(method) => {
            let mut call = Call {
                caller,
                method,
                arg,
                cycles,
                origin: origin.clone(),
            };
            let result = dispatch(network, &mut call);
            (result, call.cycles)
        }
        Err(reject) => (Err(reject), cycles),
    };
    match result {
        (Ok(Outcome::Reply(reply)), left) => network.respond(origin, Ok(reply), left),
        (Ok(Outcome::Later), _) => {}
        (Err(reject), left) => network.respond(origin, Err(reject), left),
    }
}

/// Whether a user may call a method with this argument.
pub(crate) fn check_ingress(network: &Network, ingress: &Ingress) -> Result<(), Reject> {
    let method = find(&ingress.method)?;
    match method.access() {
        Access::Canisters => Err(Reject::of(
            ErrorCode::CanisterRejectedMessage,
            format!(
                "ic00 method {} can be called only by a canister",
                method.name()
            ),
        )),
        Access::Anybody => Ok(()),
        Access::Controllers => {
            let target = target(method, &ingress.arg)?;
            if target != ingress.effective_canister {
                return Err(Reject::of(
                    ErrorCode::CanisterRejectedMessage,
                    format!(
                        "effective canister id {} is not canister {target} in the argument of {}",
                        ingress.effective_canister,
                        method.name()
                    ),
                ));
            }
            permitted(network, &target, &ingress.sender, method)
        }
    }
}

fn find(name: &str) -> Result<Method, Reject> {
    Method::parse(name).ok_or_else(|| {
        let why = if NOT_YET.contains(&name) {
            "is not available on this network yet"
        } else {
            "does not exist"
        };
        Reject::of(
            ErrorCode::CanisterMethodNotFound,
            format!("Method '{name}' of the management canister aaaaa-aa {why}"),
        )
    })
}

fn dispatch(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let from_canister = matches!(call.origin, Origin::Canister { .. });
    match call.method.access() {
        Access::Canisters if !from_canister => {
            return Err(Reject::of(
                ErrorCode::CanisterRejectedMessage,
                format!(
                    "ic00 method {} can be called only by a canister",
                    call.method.name()
                ),
            ));
        }
        Access::Controllers => {
            let target = target(call.method, &call.arg)?;
            permitted(network, &target, &call.caller, call.method)?;
        }
        Access::Anybody | Access::Canisters => {}
    }
    match call.method {
        Method::ProvisionalCreate => lifecycle::provisional_create(network, call),
        Method::ProvisionalTopUp => lifecycle::provisional_top_up(network, call),
        Method::Create => lifecycle::create(network, call),
        Method::Start => lifecycle::start(network, call),
        Method::Stop => lifecycle::stop(network, call),
        Method::Delete => lifecycle::delete(network, call),
        Method::DepositCycles => lifecycle::deposit_cycles(network, call),
        Method::RawRand => lifecycle::raw_rand(network, call),
        Method::InstallCode => code::install(network, call),
        Method::InstallChunkedCode => code::install_chunked(network, call),
        Method::UninstallCode => code::uninstall(network, call),
        Method::UpdateSettings => settings::update(network, call),
        Method::Status => settings::status(network, call),
        Method::Info => settings::info(network, call),
        Method::UploadChunk => chunks::upload(network, call),
        Method::StoredChunks => chunks::stored(network, call),
        Method::ClearChunkStore => chunks::clear(network, call),
    }
}

/// The canister that a call is about.
fn target(method: Method, arg: &[u8]) -> Result<CanisterId, Reject> {
    #[derive(CandidType, Deserialize)]
    struct Target {
        canister_id: Principal,
    }
    #[derive(CandidType, Deserialize)]
    struct ChunkedTarget {
        target_canister: Principal,
    }
    if method == Method::InstallChunkedCode {
        decode(method, arg).map(|ChunkedTarget { target_canister }| target_canister)
    } else {
        decode(method, arg).map(|Target { canister_id }| canister_id)
    }
}

fn decode<T: CandidType + DeserializeOwned>(method: Method, arg: &[u8]) -> Result<T, Reject> {
    decode_one(arg).map_err(|error| {
        Reject::of(
            ErrorCode::InvalidManagementPayload,
            format!("Error decoding candid for {}: {error}", method.name()),
        )
    })
}

/// Refuses callers that neither control the canister nor were let in by those who do.
fn permitted(
    network: &Network,
    id: &CanisterId,
    caller: &Principal,
    method: Method,
) -> Result<(), Reject> {
    let Some(canister) = network.canisters.get(id) else {
        return Err(crate::exec::not_found(id));
    };
    let sees_status = match &canister.settings.status_visibility {
        StatusVisibility::Controllers => caller == id,
        StatusVisibility::Public => true,
        StatusVisibility::AllowedViewers(viewers) => caller == id || viewers.contains(caller),
    };
    if method == Method::Status && sees_status {
        return Ok(());
    }
    controlled(network, id, caller, method).map(|_| ())
}

/// The canister, if the caller controls it.
fn controlled<'a>(
    network: &'a Network,
    id: &CanisterId,
    caller: &Principal,
    method: Method,
) -> Result<&'a Canister, Reject> {
    let canister = network
        .canisters
        .get(id)
        .ok_or_else(|| crate::exec::not_found(id))?;
    if canister.settings.controllers.contains(caller) {
        Ok(canister)
    } else {
        Err(Reject::of(
            ErrorCode::CanisterInvalidController,
            format!(
                "Only controllers of canister {id} can call ic00 method {}; {caller} is not one of them",
                method.name()
            ),
        ))
    }
}

/// The canister, to be changed.
fn existing<'a>(network: &'a mut Network, id: &CanisterId) -> Result<&'a mut Canister, Reject> {
    network
        .canisters
        .get_mut(id)
        .ok_or_else(|| crate::exec::not_found(id))
}

/// A reply with one value.
pub(crate) fn reply<T: CandidType>(value: &T) -> Vec<u8> {
    encode_one(value).expect("BUG: replies of the management canister are plain data")
}

/// A reply without values.
pub(crate) fn nothing() -> Vec<u8> {
    encode_args(()).expect("BUG: nothing can be encoded")
}

fn done() -> Result<Outcome, Reject> {
    Ok(Outcome::Reply(nothing()))
}
