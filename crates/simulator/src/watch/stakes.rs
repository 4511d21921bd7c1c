//! Stake: what every provider must have behind its workers, who lost a bond and who got it.

use std::collections::BTreeMap;

use assay_jobs_core::{event::Payout, record::Lease, testing::Market};
use assay_protocol::{
    Cycles, LeaseId, Timestamp,
    lease::{LeaseState, Role},
    money::MoneyError,
    store::Table,
};
use candid::Principal;

use super::{Watch, ensure};
use crate::{
    host::Host,
    kind::Kind,
    message::{Call, Reply},
};

/// The second opinion on stake.
#[derive(Debug, Default)]
pub(super) struct Stakes {
    /// Behind workers, and on its way out, by owner.
    accounts: BTreeMap<Principal, (u128, u128)>,
    /// From then on everybody honest can open in time what it has committed to.
    quiet_from: Option<Timestamp>,
}

impl Watch {
    /// Nothing goes wrong any more, and what went wrong before is over at this time.
    pub(crate) fn expect_quiet(&mut self, from: Timestamp) {
        self.stakes.quiet_from = Some(from);
    }

    /// Books what a call about stake or the treasury has changed; objects to a refusal without a reason.
    pub(super) fn book_stake(
        &mut self,
        caller: Principal,
        call: &Call,
        reply: &Reply,
    ) -> Result<(), String> {
        let Reply::Holdings(told) = reply else {
            return Ok(());
        };
        let account = self.stakes.accounts.entry(caller).or_default();
        let fits = match (call, told) {
            (Call::Stake(amount), Ok(_)) => {
                account.0 += amount.0;
                self.ledger.stake(caller, amount.0);
                true
            }
            (Call::FundTreasury(amount), Ok(_)) => {
                self.ledger.fund_treasury(caller, amount.0);
                true
            }
            (Call::FundSponsor(amount), Ok(_)) => {
                self.ledger.fund_sponsor(caller, amount.0);
                true
            }
            (Call::Unstake(amount), Ok(_)) => {
                account.0 -= amount.0;
                account.1 += amount.0;
                true
            }
            (Call::Unstake(amount), Err(MoneyError::StakeLocked { needed, free })) => {
                needed == amount && free < needed && free.0 <= account.0
            }
            (Call::ReleaseStake, Ok(_)) => {
                let out = std::mem::take(&mut account.1);
                self.ledger.unstake(caller, out);
                out > 0
            }
            (Call::ReleaseStake, Err(MoneyError::NothingUnbonding)) => account.1 == 0,
            (Call::ReleaseStake, Err(MoneyError::NotUnbonded { .. })) => account.1 > 0,
            _ => false,
        };
        ensure(fits, || format!("{call:?} of {caller} gave {told:?}"))
    }

    /// Books a bond that was lost.
    pub(super) fn bond_lost(
        &mut self,
        host: &mut Host,
        lease: LeaseId,
        to: &[Payout],
    ) -> Result<(), String> {
        let now = host.market.now();
        let store = host.market.jobs.store();
        let lost = store.leases.get(&lease).ok_or("a bond without a lease")?;
        let job = store.jobs.get(&lost.job).ok_or("a lease without a job")?;
        let round = job.leases.iter().filter_map(|id| store.leases.get(id));
        let round: Vec<Lease> = round.filter(|other| other.round == lost.round).collect();
        self.note_bond(now, &lost, &round, to)
            .map_err(|what| format!("the bond of lease {lease}: {what}"))
    }

    fn note_bond(
        &mut self,
        now: Timestamp,
        lost: &Lease,
        round: &[Lease],
        to: &[Payout],
    ) -> Result<(), String> {
        let bond = self.rules.reveal_bond;
        ensure(
            lost.state == LeaseState::Silent && bond > Cycles::ZERO,
            || format!("it is {:?} and {bond} was at stake", lost.state),
        )?;
        let kind = self.people[&lost.worker].kind;
        let quiet = self.stakes.quiet_from.is_some_and(|from| now > from);
        ensure(kind != Kind::Honest || !quiet, || {
            "an honest worker lost it though nothing kept it from opening".into()
        })?;
        let waited = |other: &&Lease| {
            lost.role == Role::Generator
                && other.role == Role::Checker
                && other.state == LeaseState::Revealed
        };
        let share = bond.0 / (round.iter().filter(waited).count() as u128).max(1);
        let expected: BTreeMap<LeaseId, (Principal, u128)> = round
            .iter()
            .filter(waited)
            .map(|other| {
                let payout = self.payouts.get(&other.provider);
                let account = payout.copied().unwrap_or(other.provider);
                (other.id, (account, share))
            })
            .filter(|(_, (_, share))| *share > 0)
            .collect();
        let told: BTreeMap<LeaseId, (Principal, u128)> = to
            .iter()
            .map(|payout| (payout.lease, (payout.account, payout.amount.0)))
            .collect();
        ensure(told == expected && told.len() == to.len(), || {
            format!("{to:?} got it, expected {expected:?}")
        })?;
        let given: Vec<(Principal, u128)> = expected.into_values().collect();
        self.ledger.lose_bond(bond.0, &given)?;
        self.lose(lost.provider, bond.0)
    }

    /// Stake that stands behind workers is lost before that on its way out.
    fn lose(&mut self, owner: Principal, bond: u128) -> Result<(), String> {
        let (staked, _) = self.stakes.accounts.entry(owner).or_default();
        *staked = staked
            .checked_sub(bond)
            .ok_or("more was lost than staked")?;
        Ok(())
    }

    /// Compares everybody's stake.
    pub(super) fn look_at_stakes(&self, host: &mut Host) -> Result<(), String> {
        for (owner, (staked, leaving)) in &self.stakes.accounts {
            let holdings = host.market.holdings(*owner);
            let same = holdings.stake.0 == *staked && holdings.unbonding.0 == *leaving;
            ensure(same && holdings.locked <= holdings.stake, || {
                format!(
                    "{owner} has {holdings:?}, expected a stake of {staked} and {leaving} on its way out"
                )
            })?;
        }
        Ok(())
    }
}
