//! Stake: cycles of a worker's owner that stand behind the leases of its workers.
//!
//! A lease locks [`Rules::stake_factor`](crate::config::Rules::stake_factor) times its greatest reward, and the reveal bond. What a lease
//! has locked is free again when it ends; only the bond of a commitment that was never opened is lost. Stake leaves in
//! two steps, so that it stands behind whatever was begun with it.

use assay_protocol::{
    Cycles, Moment, Timestamp,
    lease::{LeaseState, Role},
    limits,
    money::{Holdings, MoneyError},
    price::Rates,
    store::Table,
};
use candid::Principal;

use crate::{
    event::{Event, Payout},
    leases::is_active,
    market::Jobs,
    pricing::size_max,
    record::{Account, Job, Lease},
    store::Backend,
};

/// What one lease locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Locked {
    /// In all.
    pub(crate) stake: Cycles,
    /// How much of it is lost when the commitment is never opened.
    pub(crate) bond: Cycles,
}

impl<B: Backend> Jobs<B> {
    /// What an account holds.
    pub fn holdings(&self, owner: Principal, now: Timestamp) -> Holdings {
        let Account {
            free,
            stake,
            locked,
            unbonding,
            ..
        } = self.store.accounts.get(&owner).unwrap_or_default();
        Holdings {
            free,
            stake,
            locked,
            unbonding: unbonding.map_or(Cycles::ZERO, |unbonding| unbonding.amount),
            unbonding_until: unbonding.map(|unbonding| self.real(unbonding.until)),
            sponsored: self.sponsored_left(owner, now),
        }
    }

    /// Moves cycles from the caller's balance into its stake.
    pub fn stake(&mut self, at: &Moment, amount: Cycles) -> Result<Holdings, MoneyError> {
        self.check_funds(at.caller, amount)?;
        self.touch(at.now);
        let account = at.caller;
        self.record(at.now, Event::Staked { account, amount });
        self.wake_matching();
        Ok(self.holdings(account, at.now))
    }

    /// Begins to take stake out that stands behind no lease: after [`limits::UNBONDING_SECONDS`] `release_stake` moves
    /// it into the balance. More on the way restarts the time for all of it.
    pub fn unstake(&mut self, at: &Moment, amount: Cycles) -> Result<Holdings, MoneyError> {
        if at.caller == Principal::anonymous() {
            return Err(MoneyError::Anonymous);
        }
        if amount == Cycles::ZERO {
            return Err(MoneyError::Nothing);
        }
        let live = self.touch(at.now);
        let free = self.free_stake(at.caller);
        if free < amount {
            return Err(MoneyError::StakeLocked {
                needed: amount,
                free,
            });
        }
        let account = at.caller;
        let until = live.plus_seconds(limits::UNBONDING_SECONDS);
        self.record(
            at.now,
            Event::Unstaking {
                account,
                amount,
                until,
            },
        );
        Ok(self.holdings(account, at.now))
    }

    /// Moves stake that has been on its way out for long enough into the caller's balance.
    pub fn release_stake(&mut self, at: &Moment) -> Result<Holdings, MoneyError> {
        if at.caller == Principal::anonymous() {
            return Err(MoneyError::Anonymous);
        }
        let live = self.touch(at.now);
        let account = self.store.accounts.get(&at.caller).unwrap_or_default();
        let Some(unbonding) = account.unbonding.filter(|unbonding| unbonding.until < live) else {
            return Err(match account.unbonding {
                Some(unbonding) => MoneyError::NotUnbonded {
                    until: self.real(unbonding.until),
                },
                None => MoneyError::NothingUnbonding,
            });
        };
        self.record(
            at.now,
            Event::Unstaked {
                account: at.caller,
                amount: unbonding.amount,
            },
        );
        Ok(self.holdings(at.caller, at.now))
    }

    /// Gives cycles of the caller's balance to the treasury, which pays for audits.
    pub fn fund_treasury(&mut self, at: &Moment, amount: Cycles) -> Result<Cycles, MoneyError> {
        self.check_funds(at.caller, amount)?;
        self.touch(at.now);
        let account = at.caller;
        self.record(at.now, Event::TreasuryFunded { account, amount });
        self.wake_matching();
        Ok(self.meta().treasury)
    }

    /// Stake of an owner that stands behind no lease.
    pub(crate) fn free_stake(&self, owner: Principal) -> Cycles {
        let Account { stake, locked, .. } = self.store.accounts.get(&owner).unwrap_or_default();
        Cycles(stake.0 - locked.0)
    }

    /// What a lease of this job at these asks locks.
    pub(crate) fn locked_by(&self, job: &Job, role: Role, rates: Rates) -> Locked {
        let rules = self.config().rules;
        let size = size_max(job);
        let reward = match role {
            Role::Generator | Role::Replica => rates.generation(size),
            Role::Checker => rates.check(size),
        };
        let reward = reward.expect("BUG: asks and sizes have limits");
        Locked {
            stake: Cycles(reward.0 * u128::from(rules.stake_factor) + rules.reveal_bond.0),
            bond: rules.reveal_bond,
        }
    }

    /// Takes the bond of a commitment that was not opened. The checkers that waited for a silent generator, their own
    /// commitments open, get it in equal parts; else the treasury does.
    pub(crate) fn lose_bond(&mut self, now: Timestamp, lease: &Lease) {
        if lease.bond == Cycles::ZERO {
            return;
        }
        let job = self.stored_job(lease.job);
        let round = self.round(&job);
        let done = |other: &&Lease| {
            lease.role == Role::Generator
                && other.role == Role::Checker
                && is_active(other)
                && other.state == LeaseState::Revealed
        };
        let checkers: Vec<&Lease> = round.iter().filter(done).collect();
        let share = Cycles(lease.bond.0 / (checkers.len() as u128).max(1));
        let to = checkers.iter().map(|checker| Payout {
            lease: checker.id,
            account: self.payout_account(checker.provider),
            amount: share,
        });
        let to = to.filter(|payout| payout.amount > Cycles::ZERO).collect();
        self.record(
            now,
            Event::BondLost {
                lease: lease.id,
                to,
            },
        );
    }

    /// The account that a provider's payouts go to: the one that it named, or its own where nothing could be taken out of
    /// that again.
    pub(crate) fn payout_account(&self, provider: Principal) -> Principal {
        let named = self.store.payouts.get(&provider);
        named
            .filter(|payout| self.cannot_hold(*payout).is_none())
            .unwrap_or(provider)
    }

    pub(crate) fn check_funds(&self, caller: Principal, amount: Cycles) -> Result<(), MoneyError> {
        if caller == Principal::anonymous() {
            return Err(MoneyError::Anonymous);
        }
        if amount == Cycles::ZERO {
            return Err(MoneyError::Nothing);
        }
        let balance = self.balance(caller);
        if balance < amount {
            return Err(MoneyError::InsufficientFunds {
                needed: amount,
                balance,
            });
        }
        Ok(())
    }
}
