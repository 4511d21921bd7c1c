//! Creating, starting, stopping, deleting and paying canisters; random bytes.

use std::sync::Arc;

use candid::{Nat, Principal};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterSettings, ChangeOrigin, CreateCanisterArgs, FromCanisterRecord,
    ProvisionalCreateCanisterWithCyclesArgs, ProvisionalTopUpCanisterArgs,
};

use super::{Call, Method, Outcome, done, existing, history, reply, settings::invalid};
use crate::{
    canister::{Canister, CanisterId, Input, Settings, StopWaiter},
    cycles, help, limits,
    network::{Network, RunState},
    sysapi::SubnetFacts,
    types::{ErrorCode, Reject},
};

pub(super) fn provisional_create(
    network: &mut Network,
    call: &mut Call,
) -> Result<Outcome, Reject> {
    let args: ProvisionalCreateCanisterWithCyclesArgs = call.decode()?;
    let amount = match args.amount {
        Some(amount) => to_cycles(call.method, amount)?,
        None => cycles::PROVISIONAL,
    };
    let new = NewCanister::plan(network, call, args.settings, args.sender_canister_version)?;
    let at = network.subnet_of_origin(&call.origin);
    let (id, home) = match args.specified_id {
        Some(id) => network.claim_id(at, id)?,
        None => network.allocate_id(at)?,
    };
    new.insert(network, id, home, amount)?;
    network.totals.minted += amount;
    Ok(Outcome::Reply(reply(&CanisterIdRecord { canister_id: id })))
}

pub(super) fn provisional_top_up(
    network: &mut Network,
    call: &mut Call,
) -> Result<Outcome, Reject> {
    let ProvisionalTopUpCanisterArgs {
        canister_id,
        amount,
    } = call.decode()?;
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
    let args: CreateCanisterArgs = call.decode()?;
    let new = NewCanister::plan(network, call, args.settings, args.sender_canister_version)?;
    let at = network.subnet_of_origin(&call.origin);
    let id = new.create(network, at, call.cycles)?;
    call.cycles = 0;
    Ok(Outcome::Reply(reply(&CanisterIdRecord { canister_id: id })))
}

/// Creates a canister on the subnet with this place, as if the system canister `by` had asked for it with so many
/// cycles; `owner` controls it where the settings say nothing else.
pub(crate) fn create_for(
    network: &mut Network,
    by: CanisterId,
    at: usize,
    owner: Principal,
    changes: CanisterSettings,
    cycles: u128,
) -> Result<CanisterId, Reject> {
    let variables = changes.environment_variables.is_some();
    let version = network.canisters.get(&by).map(|canister| canister.version);
    let new = NewCanister {
        settings: Settings::new(vec![owner]).with(changes).map_err(invalid)?,
        origin: ChangeOrigin::FromCanister(FromCanisterRecord {
            canister_id: by,
            canister_version: version,
        }),
        variables,
    };
    new.create(network, at, cycles)
}

pub(super) fn start(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let CanisterIdRecord { canister_id: id } = call.decode()?;
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
    let CanisterIdRecord { canister_id: id } = call.decode()?;
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
    let CanisterIdRecord { canister_id: id } = call.decode()?;
    if call.caller == id {
        return Err(help::DELETE_SELF.reject(
            ErrorCode::CanisterInvalidController,
            format!("Canister {id} cannot delete itself."),
        ));
    }
    let canister = existing(network, &id)?;
    if canister.state != RunState::Stopped {
        return Err(help::DELETE_NOT_STOPPED.reject(
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
    let CanisterIdRecord { canister_id: id } = call.decode()?;
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

/// A canister before it has an id.
struct NewCanister {
    settings: Settings,
    origin: ChangeOrigin,
    /// Whether variables were given, even if none.
    variables: bool,
}

impl NewCanister {
    fn plan(
        network: &Network,
        call: &Call,
        changes: Option<CanisterSettings>,
        sender_version: Option<u64>,
    ) -> Result<Self, Reject> {
        let changes = changes.unwrap_or_default();
        let variables = changes.environment_variables.is_some();
        Ok(Self {
            settings: Settings::new(vec![call.caller])
                .with(changes)
                .map_err(invalid)?,
            origin: history::origin(network, call, sender_version)?,
            variables,
        })
    }

    /// Creates it on the subnet with this place, with what is left of so many cycles after the fee.
    fn create(self, network: &mut Network, at: usize, cycles: u128) -> Result<CanisterId, Reject> {
        // Whoever rents a subnet has paid for its canisters.
        let rented = !network.topology.subnets()[at].admins.is_empty();
        let fee = if rented {
            0
        } else {
            network.homes[at].facts.prices.create_canister()
        };
        if cycles < fee {
            return Err(help::CREATION_UNPAID.reject(
                ErrorCode::InsufficientCyclesForCreateCanister,
                format!(
                    "Creating a canister requires a fee of {} that is deducted from the canister's initial balance \
                     but only {} cycles were received with the create_canister request.",
                    cycles::grouped(fee),
                    cycles::grouped(cycles)
                ),
            ));
        }
        let (id, home) = network.allocate_id(at)?;
        self.insert(network, id, home, cycles - fee)?;
        existing(network, &id)?.consumed.creation += fee;
        network.spend(fee);
        Ok(id)
    }

    /// Puts it there, if so many cycles are enough for what its settings keep for it.
    fn insert(
        self,
        network: &mut Network,
        id: CanisterId,
        home: Arc<SubnetFacts>,
        balance: u128,
    ) -> Result<(), Reject> {
        let now = network.time;
        let plain = Settings::new(Vec::new());
        let canister = Canister::new(id, home, plain, balance, now);
        network.canisters.insert(id, canister);
        if let Err(reject) = network.change_settings(&id, self.settings) {
            network.canisters.remove(&id);
            return Err(reject);
        }
        let canister = existing(network, &id)?;
        let log_bytes = canister.settings.log_bytes_max;
        canister.log.set_limit(log_bytes);
        history::created(canister, self.origin, now, self.variables);
        Ok(())
    }
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
