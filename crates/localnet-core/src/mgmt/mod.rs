//! The management canister: how canisters are made, changed and ended, and what they may ask of the network.
//!
//! Every call is executed as one message between those of canisters, wholly or not at all. It knows who called and
//! with which cycles, never over which connection. Invariant: cycles that come with a call are either taken for a
//! stated purpose or go back with the answer.

mod absent;
mod chunks;
mod code;
mod history;
mod info;
mod ingress;
mod lifecycle;
mod logs;
mod methods;
mod outcalls;
mod queries;
mod settings;
mod snapshot_data;
mod snapshots;
mod status;
mod subnet;

use candid::{CandidType, Principal, decode_one, encode_args, encode_one};
use serde::{Deserialize, de::DeserializeOwned};

use self::methods::{Access, Method};
pub use self::outcalls::{Outcall, OutcallAnswer, OutcallError, OutcallMethod, Replication};
pub(crate) use self::{
    code::{run_dry, uninstall_code},
    ingress::check_ingress,
    lifecycle::create_for,
    outcalls::Outcalls,
    queries::query,
};
use crate::{
    canister::{Canister, CanisterId, Origin, Request},
    cycles, help,
    network::Network,
    types::{ErrorCode, Reject},
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

impl Call {
    fn decode<T: CandidType + DeserializeOwned>(&self) -> Result<T, Reject> {
        decode(&self.arg)
    }

    fn is_from_user(&self) -> bool {
        matches!(self.origin, Origin::Ingress { .. })
    }
}

/// How a method ends.
enum Outcome {
    /// With this reply.
    Reply(Vec<u8>),
    /// Later; the origin and the cycles are kept by whoever answers.
    Later,
}

/// Executes one call and answers it, or sees to it that it will be answered.
pub(crate) fn execute(network: &mut Network, request: Request) {
    let Request {
        origin,
        caller,
        method,
        arg,
        cycles,
    } = request;
    if let Origin::Ingress { id, .. } = &origin
        && !network.begin_ingress(id)
    {
        return;
    }
    let result = match Method::find(&method, &arg) {
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

fn dispatch(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let method = call.method;
    if let Some(target) = method.target(&call.arg)? {
        permitted(network, &target, &call.caller, method)?;
    }
    match method.access() {
        Access::Canisters if call.is_from_user() => return Err(ingress::canisters_only(method)),
        Access::CanistersOrAdmins if call.is_from_user() => {
            let at = network.subnet_of_origin(&call.origin);
            ingress::check_admin(network, at, &call.caller, method)?;
        }
        Access::Queries => return Err(ingress::queries_only(method)),
        _ => {}
    }
    match method {
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
        Method::Status => status::reply_for(network, &call.arg).map(Outcome::Reply),
        Method::Metrics => status::metrics_for(network, &call.arg).map(Outcome::Reply),
        Method::Info => info::info(network, &call.arg).map(Outcome::Reply),
        Method::Metadata => info::metadata(network, call),
        Method::UploadChunk => chunks::upload(network, call),
        Method::StoredChunks => chunks::stored(network, call),
        Method::ClearChunkStore => chunks::clear(network, call),
        Method::TakeSnapshot => snapshots::take(network, call),
        Method::LoadSnapshot => snapshots::load(network, call),
        Method::ListSnapshots => snapshots::list(network, call),
        Method::DeleteSnapshot => snapshots::delete(network, call),
        Method::ReadSnapshotMetadata => snapshot_data::read_metadata(network, call),
        Method::ReadSnapshotData => snapshot_data::read_data(network, call),
        Method::UploadSnapshotMetadata => snapshot_data::upload_metadata(network, call),
        Method::UploadSnapshotData => snapshot_data::upload_data(network, call),
        Method::HttpRequest => outcalls::request(network, call),
        Method::FlexibleHttpRequest => outcalls::flexible_request(network, call),
        Method::SubnetInfo => subnet::info(network, call),
        Method::SubnetMetrics => subnet::metrics(network, call),
        Method::NodeMetricsHistory => subnet::node_metrics(network, call),
        Method::FetchLogs | Method::ListCanisters => Err(ingress::queries_only(method)),
    }
}

fn decode<T: CandidType + DeserializeOwned>(arg: &[u8]) -> Result<T, Reject> {
    decode_one(arg).map_err(|error| {
        Reject::of(
            ErrorCode::InvalidManagementPayload,
            format!("Error decoding candid: {error}"),
        )
    })
}

/// Accepts an empty argument, or one with values that nobody asked for.
fn decode_nothing(arg: &[u8]) -> Result<(), Reject> {
    candid::decode_args::<()>(arg).map_err(|error| {
        Reject::of(
            ErrorCode::InvalidManagementPayload,
            format!("Error decoding candid: {error}"),
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
    let canister = network.canisters.get(id).ok_or_else(|| missing(id))?;
    let settings = &canister.settings;
    let controls = canister.is_controlled_by(caller);
    let admins = &network.topology.subnets()[canister.home.index].admins;
    match method.access() {
        Access::Controllers if !controls => Err(not_a_controller(canister, caller)),
        Access::ControllersOrAdmins if !controls && admins.is_empty() => {
            Err(not_a_controller(canister, caller))
        }
        Access::ControllersOrAdmins if !controls && !admins.contains(caller) => {
            Err(neither_controller_nor_admin(canister, admins, caller))
        }
        Access::ControllersOrSelf if !controls && caller != id => {
            Err(not_a_controller(canister, caller))
        }
        Access::StatusViewers
            if !controls
                && caller != id
                && !admins.contains(caller)
                && !queries::shows(&settings.status_visibility, caller) =>
        {
            Err(Reject::of(
                ErrorCode::CanisterStatusAccessDenied,
                format!("Caller {caller} is not allowed to read the canister status"),
            ))
        }
        Access::SnapshotViewers
            if !controls && !queries::shows(&settings.snapshot_visibility, caller) =>
        {
            Err(not_a_controller(canister, caller))
        }
        _ => Ok(()),
    }
}

/// What canisters are told that manage what they do not control.
fn not_a_controller(canister: &Canister, caller: &Principal) -> Reject {
    let controllers: Vec<_> = canister
        .settings
        .controllers
        .iter()
        .map(Principal::to_text)
        .collect();
    help::INVALID_CONTROLLER.reject(
        ErrorCode::CanisterInvalidController,
        format!(
            "Only the controllers of the canister {} can control it.\nCanister's controllers: {}\nSender's ID: {caller}",
            canister.id,
            controllers.join(" ")
        ),
    )
}

/// The same where those who administer the subnet could have done it as well.
fn neither_controller_nor_admin(
    canister: &Canister,
    admins: &[Principal],
    caller: &Principal,
) -> Reject {
    let list = |principals: &[Principal]| {
        let texts: Vec<_> = principals.iter().map(Principal::to_text).collect();
        texts.join(" ")
    };
    help::INVALID_CONTROLLER.reject(
        ErrorCode::CanisterInvalidController,
        format!(
            "Only the controllers of the canister {} or subnet admins can control it.\nCanister's controllers: {}\n\
             Subnet admins: {}\nSender's ID: {caller}",
            canister.id,
            list(&canister.settings.controllers),
            list(admins)
        ),
    )
}

/// The canister, to be changed.
fn existing<'a>(network: &'a mut Network, id: &CanisterId) -> Result<&'a mut Canister, Reject> {
    network.canisters.get_mut(id).ok_or_else(|| missing(id))
}

/// There is no such canister.
fn missing(id: &CanisterId) -> Reject {
    help::CANISTER_NOT_FOUND.reject(
        ErrorCode::CanisterNotFound,
        format!("Canister {id} not found."),
    )
}

/// Makes a canister pay for what the network executes on its behalf; it must not freeze by that.
fn charge(
    network: &mut Network,
    id: &CanisterId,
    instructions: u64,
    caller: &Principal,
) -> Result<(), Reject> {
    let canister = existing(network, id)?;
    let cost = canister
        .home
        .prices
        .execution(instructions, canister.wide());
    crate::exec::affordable(canister, cost, caller)?;
    canister.balance -= cost;
    canister.consumed.instructions += cost;
    network.spend(cost);
    Ok(())
}

/// Refuses more memory than a canister can hold without freezing.
fn check_growth(canister: &Canister, bytes: u64) -> Result<(), Reject> {
    let needed = canister.frozen_holding(canister.memory_bytes().saturating_add(bytes));
    if canister.balance >= needed {
        return Ok(());
    }
    Err(help::GROWTH_UNPAID.reject(
        ErrorCode::InsufficientCyclesInMemoryGrow,
        format!(
            "Canister cannot grow memory by {bytes} bytes due to insufficient cycles. \
             At least {} additional cycles are required.",
            cycles::grouped(needed - canister.balance)
        ),
    ))
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

/// The field by which most arguments name their canister.
#[derive(CandidType, Deserialize)]
struct Target {
    canister_id: Principal,
}

/// The field by which `install_chunked_code` names it.
#[derive(CandidType, Deserialize)]
struct ChunkedTarget {
    target_canister: Principal,
}
