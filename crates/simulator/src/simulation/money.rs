//! Stake and the treasury: what providers put behind their workers, and what pays for audits.

use assay_jobs_core::{
    config::Rules,
    testing::{funder, provider, random_request, right_root, stranger},
};
use assay_protocol::{Cycles, Hash32, canary::Canary, request::Assurance, store::Table};
use candid::Principal;

use super::{Event, Simulation};
use crate::{kind::Kind, message::Call, plan::AMPLE};

/// Canaries that are given at once.
const CANARIES: usize = 5;

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

    /// Something happens to money that comes from the ledger or leaves for it.
    pub(super) fn transfer(&mut self) -> Result<(), String> {
        if !self.plan.vault {
            return Ok(());
        }
        let delay = self.rng.u64(2_000..30_000);
        self.schedule.after(delay, Event::Transfer);
        if self.schedule.now() < self.frozen.0 {
            return Ok(());
        }
        self.vault
            .go(&mut self.host.market, self.watch.books())
            .map_err(|what| format!("vault: {what}"))?;
        self.stepped()
    }

    /// Every transfer comes to its end, whatever time it takes.
    pub(super) fn end_transfers(&mut self) -> Result<(), String> {
        self.vault
            .finish(&mut self.host.market, self.watch.books())
            .map_err(|what| format!("vault, in peace: {what}"))?;
        self.check()
    }

    /// Somebody gives to the sponsor pool.
    pub(super) fn sponsor(&mut self, amount: u128) -> Result<(), String> {
        match amount {
            0 => Ok(()),
            _ => self.pay(stranger(), amount, Call::FundSponsor),
        }
    }

    /// A controller gives canaries, of whose answers it knows one in ten wrongly.
    pub(super) fn give_canaries(&mut self) -> Result<(), String> {
        let heard = self.host.market.jobs.store().models.len() as usize;
        if self.plan.rules.canary_ppm == 0 || heard < self.models() {
            return Ok(());
        }
        let mut canaries = Vec::new();
        for _ in 0..CANARIES {
            let mut request = random_request(&mut self.rng, &self.host.fixture);
            request.assurance = Assurance::Single;
            request.seed = Some(self.rng.u64(..));
            let root = match self.rng.u8(..10) {
                0 => Hash32([0; 32]),
                _ => right_root(self.host.fixture.model_of(&request), &request),
            };
            canaries.push(Canary {
                request,
                root,
                price_cap: Cycles(self.rng.u128(100_000..10_000_000)),
            });
        }
        let needed = canaries.iter().map(|canary| canary.price_cap.0).sum();
        self.call(funder(), &Call::Deposit(Cycles(needed)))?;
        let at = self.host.market.at(funder());
        let told = self.host.market.jobs.add_canaries(&at, &canaries);
        told.map_err(|error| format!("giving canaries: {error}"))
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
