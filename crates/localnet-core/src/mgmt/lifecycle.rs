//! Creating, starting, stopping, deleting and paying canisters; random bytes.

use candid::{Nat, Principal};
use ic_management_canister_types::{
    CanisterIdRecord, CreateCanisterArgs, ProvisionalCreateCanisterWithCyclesArgs,
    ProvisionalTopUpCanisterArgs,
};

use super::{Call, Method, Outcome, decode, done, existing, reply};
use crate::{
    canister::{Canister, CanisterId, Input, Settings, StopWaiter},
    cycles, limits,
    network::{Network, RunState, canister_id, canister_number},
    types::{ErrorCode, Reject},
};

pub(super) fn provisional_create(
    network: &mut Network,
    call: &mut Call,
) -> Result<Outcome, Reject> {
    let args: ProvisionalCreateCanisterWithCyclesArgs = decode(call.method, &call.arg)?;
    let amount = match args.amount {
        Some(amount) => to_cycles(call.method, amount)?,
        None => cycles::PROVISIONAL,
    };
    let settings = new_settings(&call.caller, args.settings)?;
    let id = match args.specified_id {
        Some(id) => claim(network, id)?,
        None => allocate(network)?,
    };
    network.totals.minted += amount;
    insert(network, id, settings, amount);
    Ok(Outcome::Reply(reply(&CanisterIdRecord { canister_id: id })))
}

pub(super) fn provisional_top_up(
    network: &mut Network,
    call: &mut Call,
) -> Result<Outcome, Reject> {
    let ProvisionalTopUpCanisterArgs {
        canister_id,
        amount,
    } = decode(call.method, &call.arg)?;
    let amount = to_cycles(call.method, amount)?;
    let canister = existing(network, &canister_id)?;
    canister.balance = canister
        .balance
        .checked_add(amount)
        .ok_or_else(|| too_many(call.method))?;
    network.totals.minted += amount;
    done()
}

pub(super) fn create(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let args: CreateCanisterArgs = decode(call.method, &call.arg)?;
    let settings = new_settings(&call.caller, args.settings)?;
    if call.cycles < cycles::CREATE_CANISTER {
        return Err(Reject::of(
            ErrorCode::InsufficientCyclesForCreateCanister,
            format!(
                "Creating a canister requires a fee of {} that is deducted from the canister's initial balance but \
                 only {} cycles were received with the create_canister request.",
                cycles::CREATE_CANISTER,
                call.cycles
            ),
        ));
    }
    let id = allocate(network)?;
    let balance = std::mem::take(&mut call.cycles) - cycles::CREATE_CANISTER;
    network.spend(cycles::CREATE_CANISTER);
    insert(network, id, settings, balance);
    Ok(Outcome::Reply(reply(&CanisterIdRecord { canister_id: id })))
}

pub(super) fn start(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let CanisterIdRecord { canister_id: id } = decode(call.method, &call.arg)?;
    let canister = existing(network, &id)?;
    if canister.state == RunState::Running {
        return done();
    }
    canister.state = RunState::Running;
    canister.version += 1;
    for waiter in std::mem::take(&mut canister.stop_waiters) {
        let reject = Reject::of(
            ErrorCode::CanisterStoppingCancelled,
            format!(
                "Canister {id}'s stop request was cancelled because the canister was started again"
            ),
        );
        network.respond(waiter.origin, Err(reject), waiter.cycles);
    }
    done()
}

pub(super) fn stop(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let CanisterIdRecord { canister_id: id } = decode(call.method, &call.arg)?;
    let until = network
        .time
        .plus_nanos(limits::STOP_SECONDS_MAX * 1_000_000_000);
    let canister = existing(network, &id)?;
    if canister.state == RunState::Stopped {
        return done();
    }
    if canister.state == RunState::Running {
        canister.state = RunState::Stopping;
        canister.version += 1;
    }
    let waiter = StopWaiter {
        origin: call.origin.clone(),
        cycles: std::mem::take(&mut call.cycles),
        until,
    };
    canister.stop_waiters.push(waiter);
    network.finish_stopping(&id);
    Ok(Outcome::Later)
}

pub(super) fn delete(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let CanisterIdRecord { canister_id: id } = decode(call.method, &call.arg)?;
    if call.caller == id {
        return Err(Reject::of(
            ErrorCode::CanisterInvalidController,
            format!("Canister {id} cannot delete itself."),
        ));
    }
    let canister = existing(network, &id)?;
    if canister.state != RunState::Stopped {
        return Err(Reject::of(
            ErrorCode::CanisterNotStopped,
            format!("Canister {id} must be stopped before it is deleted."),
        ));
    }
    let inbox = std::mem::take(&mut canister.inbox);
    let balance = canister.balance;
    network.canisters.remove(&id);
    network.ready.remove(&id);
    network.executor.forget(&id);
    network.spend(balance);
    for input in inbox {
        if let Input::Request(request) = input {
            network.respond(
                request.origin,
                Err(crate::exec::not_found(&id)),
                request.cycles,
            );
        }
    }
    done()
}

pub(super) fn deposit_cycles(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let CanisterIdRecord { canister_id: id } = decode(call.method, &call.arg)?;
    let canister = existing(network, &id)?;
    canister.balance += std::mem::take(&mut call.cycles);
    done()
}

pub(super) fn raw_rand(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    // Bytes that are decided after the call, so that nobody can know them when calling.
    network.random.push_back((
        network.round,
        call.origin.clone(),
        std::mem::take(&mut call.cycles),
    ));
    Ok(Outcome::Later)
}

fn new_settings(
    caller: &Principal,
    changes: Option<ic_management_canister_types::CanisterSettings>,
) -> Result<Settings, Reject> {
    Settings::new(vec![*caller])
        .with(changes.unwrap_or_default())
        .map_err(|error| Reject::of(ErrorCode::InvalidManagementPayload, error.to_string()))
}

fn insert(network: &mut Network, id: CanisterId, settings: Settings, balance: u128) {
    let created = network.time;
    network
        .canisters
        .insert(id, Canister::new(id, settings, balance, created));
}

/// The next free id.
fn allocate(network: &mut Network) -> Result<CanisterId, Reject> {
    while network.next_canister <= network.last_canister {
        let id = canister_id(network.next_canister);
        network.next_canister += 1;
        if !network.canisters.contains_key(&id) {
            return Ok(id);
        }
    }
    Err(Reject::of(
        ErrorCode::MaxNumberOfCanistersReached,
        "all canister ids of this network are taken",
    ))
}

/// An id that the caller asks for.
fn claim(network: &Network, id: CanisterId) -> Result<CanisterId, Reject> {
    let in_range = canister_number(&id)
        .is_some_and(|number| (network.first_canister..=network.last_canister).contains(&number));
    if !in_range {
        return Err(Reject::of(
            ErrorCode::InvalidManagementPayload,
            format!(
                "specified_id {id} is outside this network's canister ids, {} to {}",
                canister_id(network.first_canister),
                canister_id(network.last_canister)
            ),
        ));
    }
    if network.canisters.contains_key(&id) {
        return Err(Reject::of(
            ErrorCode::CanisterIdAlreadyExists,
            format!("Canister {id} is already installed"),
        ));
    }
    Ok(id)
}

fn to_cycles(method: Method, amount: Nat) -> Result<u128, Reject> {
    // Half of what fits is more than anybody needs, and sums of balances stay sums.
    u128::try_from(&amount.0)
        .ok()
        .filter(|amount| *amount <= u128::MAX >> 8)
        .ok_or_else(|| too_many(method))
}

fn too_many(method: Method) -> Reject {
    Reject::of(
        ErrorCode::InvalidManagementPayload,
        format!(
            "amount of {} is too large, at most {} cycles are allowed",
            method.name(),
            u128::MAX >> 8
        ),
    )
}
