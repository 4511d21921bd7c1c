//! Stake and the treasury: what providers put behind their workers, and what pays for audits.

use assay_jobs_core::{
    config::Rules,
    testing::{provider, stranger},
};
use assay_protocol::Cycles;
use candid::Principal;

use super::Simulation;
use crate::{kind::Kind, message::Call, plan::AMPLE};

impl Simulation {
    /// A provider stakes: ample if it is honest, perhaps little if it is not.
    pub(super) fn back(&mut self, number: u8, kind: Kind) -> Result<(), String> {
        if self.plan.rules == Rules::LAX {
            return Ok(());
        }
        let amount = match kind.is_adversary() && self.rng.bool() {
            true => self.rng.u128(1..10_000_000),
            false => AMPLE,
        };
        self.pay(provider(number), amount, Call::Stake)
    }

    /// Somebody gives to the treasury.
    pub(super) fn fund(&mut self, amount: u128) -> Result<(), String> {
        match amount {
            0 => Ok(()),
            _ => self.pay(stranger(), amount, Call::FundTreasury),
        }
    }

    /// A provider changes its stake a little: never so much that nothing stands behind its workers any more.
    pub(super) fn change_stake(&mut self, number: u8) -> Result<(), String> {
        let owner = provider(number);
        match self.rng.u8(..3) {
            0 => {
                let amount = self.rng.u128(1..1_000_000);
                self.pay(owner, amount, Call::Stake)
            }
            1 => {
                let amount = Cycles(self.rng.u128(1..1_000));
                self.call(owner, &Call::Unstake(amount))
            }
            _ => self.call(owner, &Call::ReleaseStake),
        }
    }

    /// Somebody deposits an amount and spends it at once.
    fn pay(
        &mut self,
        account: Principal,
        amount: u128,
        how: impl Fn(Cycles) -> Call,
    ) -> Result<(), String> {
        self.call(account, &Call::Deposit(Cycles(amount)))?;
        self.call(account, &how(Cycles(amount)))
    }

    /// A call that arrives at once: what faults do to it, they do to others, too.
    fn call(&mut self, account: Principal, call: &Call) -> Result<(), String> {
        self.watch
            .execute(&mut self.host, &self.truths, account, call)?;
        Ok(())
    }
}
