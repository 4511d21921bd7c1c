//! Creating, starting, stopping, deleting and paying canisters; random bytes.

use std::sync::Arc;

use candid::{Nat, Principal};
use ic_management_canister_types::{
    CanisterIdRecord, CreateCanisterArgs, ProvisionalCreateCanisterWithCyclesArgs,
    ProvisionalTopUpCanisterArgs,
};

use super::{Call, Method, Outcome, decode, done, existing, reply};
use crate::{
    canister::{Canister, CanisterId, Input, Settings, StopWaiter},
    cycles, limits,
    network::{Network, RunState},
    sysapi::SubnetFacts,
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
    let (id, home) = match args.specified_id {
        Some(id) => network.claim_id(network.subnet_of_origin(&call.origin), id)?,
        None => network.allocate_id(network.subnet_of_origin(&call.origin))?,
    };
    network.totals.minted += amount;
    insert(network, id, home, settings, amount);
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
    let at = network.subnet_of_origin(&call.origin);
    let fee = network.homes[at].facts.prices.create_canister();
    if call.cycles < fee {
        return Err(Reject::of(
            ErrorCode::InsufficientCyclesForCreateCanister,
            format!(
                "Creating a canister requires a fee of {} that is deducted from the canister's initial balance but \
                 only {} cycles were received with the create_canister request.",
                cycles::grouped(fee),
                cycles::grouped(call.cycles)
            ),
        ));
    }
    let (id, home) = network.allocate_id(at)?;
    let balance = std::mem::take(&mut call.cycles) - fee;
    network.spend(fee);
    insert(network, id, home, settings, balance);
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
    let balance = canister.balance + canister.reserved;
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

fn insert(
    network: &mut Network,
    id: CanisterId,
    home: Arc<SubnetFacts>,
    settings: Settings,
    balance: u128,
) {
    let created = network.time;
    network
        .canisters
        .insert(id, Canister::new(id, home, settings, balance, created));
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
