//! What canisters pay for being there, and what users' messages cost them.
//!
//! Memory and processors are charged for whole seconds, every few of them. A canister that cannot pay loses its code and
//! its memory, and what is kept for it; whoever waits for an answer is told.

use std::sync::Arc;

use candid::Principal;

use super::Network;
use crate::{
    canister::{Canister, CanisterId, Settings},
    cycles::{CHARGE_SECONDS, SUBNET_BYTES, grouped},
    exec, help, mgmt,
    types::{ErrorCode, Ingress, Reject},
};

/// Percent of processors that the canisters of one subnet may keep together: all but one of four, and never all.
const SUBNET_COMPUTE_PERCENT: u64 = 299;

/// Settings that come in so short an argument are paid for after they have changed, so that a frozen canister can be
/// thawed by them.
const SETTINGS_BYTES_PAID_LATER: usize = 338;
/// The method by which they come.
const UPDATE_SETTINGS: &str = "update_settings";

impl Network {
    /// Charges canisters for the time since they were last charged.
    pub(crate) fn charge_idle(&mut self) {
        let now = self.time;
        let mut broke: Vec<CanisterId> = Vec::new();
        let mut spent: Vec<(usize, u128)> = Vec::new();
        for canister in self.canisters.values_mut() {
            let seconds = now.0.saturating_sub(canister.charged.0) / 1_000_000_000;
            if seconds < CHARGE_SECONDS {
                continue;
            }
            canister.charged = canister.charged.plus_nanos(seconds * 1_000_000_000);
            let (bytes, percent) = (canister.paid_bytes(), canister.settings.compute_allocation);
            let prices = canister.home.prices;
            let memory = prices.idle(bytes, 0, seconds);
            let cost = prices.idle(bytes, percent, seconds);
            if canister.take_idle(cost) {
                canister.consumed.memory += memory;
                canister.consumed.compute += cost - memory;
                spent.push((canister.home.index, cost));
            } else {
                broke.push(canister.id);
            }
        }
        for (at, cost) in spent {
            self.spend_at(at, cost);
        }
        for id in broke {
            self.run_dry(&id);
        }
    }

    /// Ends what a canister can no longer pay for; what it still has is not enough for anything, and is lost.
    fn run_dry(&mut self, id: &CanisterId) {
        tracing::info!(canister = %id, "uninstalled because it ran out of cycles");
        // It exists, so this cannot fail.
        let _ = mgmt::run_dry(self, id);
        if let Some(canister) = self.canisters.get_mut(id) {
            let mut settings = Settings::clone(&canister.settings);
            settings.compute_allocation = 0;
            settings.memory_allocation = 0;
            canister.settings = Arc::new(settings);
            let rest =
                std::mem::take(&mut canister.balance) + std::mem::take(&mut canister.reserved);
            canister.consumed.uninstall += rest;
            let at = canister.home.index;
            self.spend_at(at, rest);
        }
    }

    /// Gives a canister new settings, if it can pay for what they keep for it; what a full subnet wants ahead is set
    /// aside.
    pub(crate) fn change_settings(&mut self, id: &CanisterId, new: Settings) -> Result<(), Reject> {
        let canister = self.canisters.get(id).ok_or_else(|| exec::not_found(id))?;
        let (before, after) = (
            canister.paid_bytes(),
            canister.memory_bytes().max(new.memory_allocation),
        );
        let at = canister.home.index;
        let others = self.compute_percent_on(at) - canister.settings.compute_allocation;
        let left = SUBNET_COMPUTE_PERCENT.saturating_sub(others);
        let (asked, had) = (new.compute_allocation, canister.settings.compute_allocation);
        if asked > had && asked > left {
            return Err(help::COMPUTE_OVERSUBSCRIBED.reject(
                ErrorCode::SubnetOversubscribed,
                format!(
                    "Canister requested a compute allocation of {asked}% which cannot be satisfied because the \
                     Subnet's remaining compute capacity is {left}%."
                ),
            ));
        }
        let used = self.paid_bytes_on(at);
        let added = after.saturating_sub(before);
        if added > SUBNET_BYTES.saturating_sub(used) {
            return Err(help::MEMORY_OVERSUBSCRIBED.reject(
                ErrorCode::SubnetOversubscribed,
                format!(
                    "Canister requested {} of memory but only {} are available in the subnet.",
                    size(added),
                    size(SUBNET_BYTES.saturating_sub(used))
                ),
            ));
        }
        let reserved = canister.home.prices.reservation(used, added);
        check_reserved(canister, &new, reserved)?;
        check_allocations(canister, &new, reserved)?;
        if let Some(canister) = self.canisters.get_mut(id) {
            canister.balance -= reserved;
            canister.reserved += reserved;
            canister.settings = Arc::new(new);
        }
        Ok(())
    }

    /// Percent of processors that the canisters of a subnet keep.
    fn compute_percent_on(&self, at: usize) -> u64 {
        self.canisters
            .values()
            .filter(|canister| canister.home.index == at)
            .map(|canister| canister.settings.compute_allocation)
            .sum()
    }

    /// Bytes that the canisters of a subnet pay for.
    fn paid_bytes_on(&self, at: usize) -> u64 {
        self.canisters
            .values()
            .filter(|canister| canister.home.index == at)
            .map(Canister::paid_bytes)
            .fold(0, u64::saturating_add)
    }

    /// Refuses a message that its callee, or the canister that it is about, cannot pay for.
    pub(super) fn check_ingress_fee(&self, message: &Ingress) -> Result<(), Reject> {
        match self.payer(message) {
            Some(canister) if !pays_later(message) => {
                let fee = exec::ingress_fee(canister, message);
                exec::affordable(canister, fee, &message.sender)
            }
            _ => Ok(()),
        }
    }

    /// Takes the fee for an ingress message, unless it is paid for later.
    pub(super) fn charge_ingress(&mut self, message: &Ingress) {
        if pays_later(message) {
            return;
        }
        let Some(canister) = self.payer(message) else {
            return;
        };
        let fee = exec::ingress_fee(canister, message).min(canister.balance);
        let (id, at) = (canister.id, canister.home.index);
        if let Some(canister) = self.canisters.get_mut(&id) {
            canister.balance -= fee;
            canister.consumed.ingress += fee;
            self.spend_at(at, fee);
        }
    }

    /// Takes the fee for new settings that are paid for after they have changed, where the canister can still pay. Only
    /// their argument and the method's name count then.
    pub(crate) fn charge_settings(&mut self, id: &CanisterId, arg: &[u8]) {
        if arg.len() > SETTINGS_BYTES_PAID_LATER {
            return;
        }
        let Some(canister) = self.canisters.get_mut(id) else {
            return;
        };
        let bytes = UPDATE_SETTINGS.len() + arg.len();
        let fee = canister.home.prices.ingress(bytes as u64);
        if canister.liquid() >= fee {
            canister.balance -= fee;
            canister.consumed.ingress += fee;
            self.spend(fee);
        }
    }

    /// Who pays for an ingress message.
    fn payer(&self, message: &Ingress) -> Option<&Canister> {
        if message.canister != Principal::management_canister() {
            self.canisters.get(&message.canister)
        } else if matches!(
            message.method.as_str(),
            "create_canister" | "provisional_create_canister_with_cycles"
        ) {
            None
        } else {
            self.canisters.get(&message.effective_canister)
        }
    }

    /// Cycles that are gone, outside of any message.
    fn spend_at(&mut self, at: usize, cycles: u128) {
        self.spend(cycles);
        self.homes[at].spent += cycles;
    }
}

fn pays_later(message: &Ingress) -> bool {
    message.canister == Principal::management_canister()
        && message.method == UPDATE_SETTINGS
        && message.arg.len() <= SETTINGS_BYTES_PAID_LATER
}

/// Refuses settings that keep so much for a canister that its cycles would not last for its freezing threshold.
fn check_allocations(canister: &Canister, new: &Settings, reserved: u128) -> Result<(), Reject> {
    let old = &canister.settings;
    let missing = |memory: u64, compute: u64, reserved: u128| {
        let needed = canister.home.prices.freezing(
            canister.memory_bytes().max(memory),
            compute,
            new.freezing_threshold,
        );
        let kept = needed.saturating_sub(canister.reserved.saturating_add(reserved));
        kept.saturating_add(reserved)
            .checked_sub(canister.balance)
            .filter(|missing| *missing > 0)
            .map(grouped)
    };
    if new.compute_allocation > old.compute_allocation
        && let Some(missing) = missing(old.memory_allocation, new.compute_allocation, 0)
    {
        return Err(help::COMPUTE_UNPAID.reject(
            ErrorCode::InsufficientCyclesInComputeAllocation,
            format!(
                "Cannot increase compute allocation to {}% due to insufficient cycles. At least {missing} additional \
                 cycles are required.",
                new.compute_allocation
            ),
        ));
    }
    if new.memory_allocation > old.memory_allocation
        && let Some(missing) = missing(new.memory_allocation, new.compute_allocation, reserved)
    {
        return Err(help::ALLOCATION_UNPAID.reject(
            ErrorCode::InsufficientCyclesInMemoryAllocation,
            format!(
                "Cannot increase memory allocation to {} due to insufficient cycles. At least {missing} additional \
                 cycles are required.",
                new.memory_allocation
            ),
        ));
    }
    Ok(())
}

/// Refuses settings that do not go together with what is set aside for memory.
fn check_reserved(canister: &Canister, new: &Settings, added: u128) -> Result<(), Reject> {
    let limit = new.reserved_cycles_limit;
    if limit < canister.settings.reserved_cycles_limit && limit < canister.reserved {
        return Err(help::RESERVATION_LIMIT_TOO_LOW.reject(
            ErrorCode::ReservedCyclesLimitIsTooLow,
            format!(
                "Cannot set the reserved cycles limit {} below the reserved cycles balance of the canister {}.",
                grouped(limit),
                grouped(canister.reserved)
            ),
        ));
    }
    let reserved = canister.reserved.saturating_add(added);
    if added > 0 && reserved > limit {
        return Err(help::RESERVATION_OVER_LIMIT.reject(
            ErrorCode::ReservedCyclesLimitExceededInMemoryAllocation,
            format!(
                "Cannot increase memory allocation to {} due to its reserved cycles limit. The current limit ({}) \
                 would be exceeded by {}.",
                new.memory_allocation,
                grouped(limit),
                grouped(reserved - limit)
            ),
        ));
    }
    Ok(())
}

/// A number of bytes as the Internet Computer writes it in its messages, such as `1.50 GiB`.
fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let Some(power) = (1..=units.len())
        .rev()
        .find(|power| bytes >> (10 * power) > 0)
    else {
        return format!("{bytes} B");
    };
    let half = 1 << (10 * power - 1);
    let hundredths = (u128::from(bytes) * 100 + half) >> (10 * power);
    format!(
        "{}.{:02} {}",
        hundredths / 100,
        hundredths % 100,
        units[power - 1]
    )
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_written_in_the_largest_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1 << 10, "1.00 KiB"),
            (3 << 29, "1.50 GiB"),
            ((3 << 40) - 1, "3.00 TiB"),
            (3 << 40, "3.00 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
