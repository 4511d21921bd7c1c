//! A second opinion on money: what everybody's balance must be, worked out from receipts and
//! prices by rules written down here again, without the core's code.

use std::collections::BTreeMap;

use assay_protocol::{
    Hash32, JobId, LeaseId, Timestamp,
    job::Verdict,
    lease::{LeaseState, Role},
    receipt::{Receipt, ReceiptLease},
    request::Assurance,
};
use candid::Principal;

/// What a lease was about, as its worker knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worked {
    /// Cycles per 1,000 input tokens when the lease was granted.
    pub ask_input: u128,
    /// Cycles per 1,000 output tokens when the lease was granted.
    pub ask_output: u128,
    /// Input tokens that a generator or replica revealed.
    pub input_tokens: u64,
    /// Output tokens that it revealed.
    pub output_tokens: u64,
    /// Whether it lied.
    pub lied: bool,
}

/// Everybody's balance.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    balances: BTreeMap<Principal, u128>,
    treasury: u128,
    staked: u128,
    deposited: u128,
    held: u128,
    sponsor: Sponsor,
    /// Withdrawals whose end nobody knows, and what they took, by the market's numbers for them.
    leaving: BTreeMap<u64, (Principal, u128)>,
    withdrawn: u128,
}

/// Who pays for people without money.
#[derive(Clone, Debug, Default)]
struct Sponsor {
    held: u128,
    /// What it spends a day for one account, and for all.
    most: (u128, u128),
    /// What it has spent, by day and account, less what came back.
    spent: BTreeMap<(u64, Principal), u128>,
    /// What it gave for a job that has not ended, and on which day.
    gave: BTreeMap<JobId, (u64, u128)>,
}

fn day(at: Timestamp) -> u64 {
    at.0 / 86_400_000_000_000
}

impl Ledger {
    /// Cycles came in.
    pub fn deposit(&mut self, account: Principal, amount: u128) {
        self.deposited += amount;
        *self.balances.entry(account).or_default() += amount;
    }

    /// A job was accepted: gives what had to come from the call.
    pub fn submit(
        &mut self,
        job: JobId,
        requester: Principal,
        (cap, attached): (u128, u128),
        now: Timestamp,
    ) -> Result<u128, String> {
        let balance = self.balances.entry(requester).or_default();
        let from_balance = cap.min(*balance);
        *balance -= from_balance;
        let lacking = cap - from_balance;
        let from_call = lacking.min(attached);
        self.held += cap;
        self.deposited += from_call;
        let from_sponsor = lacking - from_call;
        if from_sponsor > 0 {
            if from_sponsor > self.sponsored_left(requester, now) {
                return Err(format!("{from_sponsor} were paid by nobody"));
            }
            self.sponsor.held -= from_sponsor;
            *self.sponsor.spent.entry((day(now), requester)).or_default() += from_sponsor;
            self.sponsor.gave.insert(job, (day(now), from_sponsor));
        }
        Ok(from_call)
    }

    /// What the sponsor pool spends a day at most: for one account, and for all.
    pub fn limit_sponsor(&mut self, each: u128, all: u128) {
        self.sponsor.most = (each, all);
    }

    /// Cycles went from a balance into the sponsor pool.
    pub fn fund_sponsor(&mut self, account: Principal, amount: u128) {
        *self.balances.entry(account).or_default() -= amount;
        self.sponsor.held += amount;
    }

    /// What the sponsor pool holds.
    pub fn sponsor(&self) -> u128 {
        self.sponsor.held
    }

    /// What the sponsor pool would still pay for an account today.
    pub fn sponsored_left(&self, account: Principal, now: Timestamp) -> u128 {
        let Sponsor {
            held,
            most: (each, all),
            spent,
            ..
        } = &self.sponsor;
        let today = day(now);
        let of_day = spent.iter().filter(|((day, _), _)| *day == today);
        let spent_today: u128 = of_day.map(|(_, spent)| spent).sum();
        let own = spent.get(&(today, account)).copied().unwrap_or(0);
        (*held)
            .min(each.saturating_sub(own))
            .min(all.saturating_sub(spent_today))
    }

    /// Cycles went from one balance to another.
    pub fn move_balance(&mut self, from: Principal, to: Principal, amount: u128) {
        *self.balances.entry(from).or_default() -= amount;
        *self.balances.entry(to).or_default() += amount;
    }

    /// Cycles went from a balance into the treasury.
    pub fn fund_treasury(&mut self, account: Principal, amount: u128) {
        *self.balances.entry(account).or_default() -= amount;
        self.treasury += amount;
    }

    /// Cycles went from a balance into stake.
    pub fn stake(&mut self, account: Principal, amount: u128) {
        *self.balances.entry(account).or_default() -= amount;
        self.staked += amount;
    }

    /// Stake came back.
    pub fn unstake(&mut self, account: Principal, amount: u128) {
        self.staked -= amount;
        *self.balances.entry(account).or_default() += amount;
    }

    /// A bond was lost, and these accounts got their part of it.
    pub fn lose_bond(&mut self, bond: u128, to: &[(Principal, u128)]) -> Result<(), String> {
        let given: u128 = to.iter().map(|(_, amount)| amount).sum();
        self.staked -= bond;
        self.treasury += bond
            .checked_sub(given)
            .ok_or("more was given of a bond than was lost")?;
        for (account, amount) in to {
            *self.balances.entry(*account).or_default() += amount;
        }
        Ok(())
    }

    /// A withdrawal was begun, which takes so much.
    pub fn withdraw(&mut self, transfer: u64, account: Principal, taken: u128) {
        *self.balances.entry(account).or_default() -= taken;
        self.leaving.insert(transfer, (account, taken));
    }

    /// A withdrawal came to its end.
    pub fn end_withdrawal(&mut self, transfer: u64, happened: bool) -> Result<(), String> {
        let (account, taken) = self
            .leaving
            .remove(&transfer)
            .ok_or_else(|| format!("withdrawal {transfer} ended twice"))?;
        if happened {
            self.withdrawn += taken;
        } else {
            *self.balances.entry(account).or_default() += taken;
        }
        Ok(())
    }

    /// What is on its way out, and what has left for good.
    pub fn out(&self) -> (u128, u128) {
        let leaving = self.leaving.values().map(|(_, taken)| taken).sum();
        (leaving, self.withdrawn)
    }

    /// An account's balance.
    pub fn balance(&self, account: Principal) -> u128 {
        self.balances.get(&account).copied().unwrap_or(0)
    }

    /// All accounts that ever had one.
    pub fn accounts(&self) -> impl Iterator<Item = (&Principal, &u128)> {
        self.balances.iter()
    }

    /// A job ended: checks its receipt to the cycle and books it.
    pub fn settle(
        &mut self,
        receipt: &Receipt,
        requester: Principal,
        worked: &BTreeMap<LeaseId, Worked>,
        accounts: impl Fn(Principal) -> Principal,
        owner: Principal,
        (fee_bps, royalty_bps): (u128, u128),
    ) -> Result<(), String> {
        let (mut paid, mut subsidy) = (0, 0);
        for lease in &receipt.leases {
            let expected = expected_pay(receipt, lease, worked);
            if lease.paid.0 != expected {
                return Err(format!(
                    "lease {} was paid {}, expected {expected}: {receipt:?}",
                    lease.lease, lease.paid
                ));
            }
            let lied = worked.get(&lease.lease).is_some_and(|worked| worked.lied);
            if lied && expected > 0 && receipt.verdict != Some(Verdict::Unverified) {
                return Err(format!(
                    "lease {} lied and was paid {expected}",
                    lease.lease
                ));
            }
            // The treasury pays who checks a `single` answer.
            if receipt.assurance == Assurance::Single && lease.role == Role::Checker {
                subsidy += expected;
            } else {
                paid += expected;
            }
            *self.balances.entry(accounts(lease.provider)).or_default() += expected;
        }
        let (fee, royalty) = (paid * fee_bps / 10_000, paid * royalty_bps / 10_000);
        let refund = receipt
            .escrow
            .0
            .checked_sub(paid + fee + royalty)
            .ok_or("more was paid than was held")?;
        let told = (receipt.fee.0, receipt.royalty.0, receipt.refund.0);
        if told != (fee, royalty, refund) {
            return Err(format!(
                "fee, royalty and refund are {told:?}, expected {:?}",
                (fee, royalty, refund)
            ));
        }
        if receipt.subsidy.0 != subsidy {
            return Err(format!(
                "the treasury paid {}, expected {subsidy}",
                receipt.subsidy
            ));
        }
        *self.balances.entry(owner).or_default() += royalty;
        // The sponsor pool gets back what it gave before the requester gets anything.
        let (paid_on, gave) = self.sponsor.gave.remove(&receipt.job).unwrap_or((0, 0));
        let returned = refund.min(gave);
        if returned > 0 {
            self.sponsor.held += returned;
            if let Some(spent) = self.sponsor.spent.get_mut(&(paid_on, requester)) {
                *spent -= returned;
            }
        }
        *self.balances.entry(requester).or_default() += refund - returned;
        self.treasury = (self.treasury + fee)
            .checked_sub(subsidy)
            .ok_or("the treasury paid what it did not have")?;
        self.held -= receipt.escrow.0;
        let (leaving, left) = self.out();
        let there = self.balances.values().sum::<u128>()
            + self.held
            + self.treasury
            + self.staked
            + self.sponsor.held
            + leaving
            + left;
        if there != self.deposited {
            return Err(format!(
                "BUG in the model: {} came in, {there} is there",
                self.deposited
            ));
        }
        Ok(())
    }
}

/// What a lease must have been paid, given who revealed what.
fn expected_pay(
    receipt: &Receipt,
    lease: &ReceiptLease,
    worked: &BTreeMap<LeaseId, Worked>,
) -> u128 {
    let Worked {
        ask_input,
        ask_output,
        ..
    } = worked.get(&lease.lease).copied().unwrap_or_default();
    let Some(root) = lease.root.filter(|_| lease.state == LeaseState::Revealed) else {
        return 0;
    };
    let last_round = receipt
        .leases
        .iter()
        .map(|lease| lease.round)
        .max()
        .unwrap_or(0);
    if let Some(result) = receipt.result.filter(|_| lease.round == last_round) {
        if root != result.root {
            return 0;
        }
        let (input, output) = (
            u128::from(result.usage.input_tokens),
            u128::from(result.usage.output_tokens),
        );
        return match lease.role {
            Role::Checker => ask_input * (input + output) / 1_000,
            // Either price is rounded down by itself.
            Role::Generator | Role::Replica => {
                ask_input * input / 1_000 + ask_output * output / 1_000
            }
        };
    }
    // An earlier round, or one without an answer: only checkers that rejected the generation
    // together earned something.
    if lease.role != Role::Checker {
        return 0;
    }
    let round: Vec<&ReceiptLease> = receipt
        .leases
        .iter()
        .filter(|other| other.round == lease.round)
        .collect();
    let revealed = |role: Role| {
        round
            .iter()
            .filter(move |other| other.role == role && other.state == LeaseState::Revealed)
    };
    let Some((generator, generated)) =
        revealed(Role::Generator).find_map(|other| Some((other, other.root?)))
    else {
        return 0;
    };
    let votes = |wanted: Hash32| {
        revealed(Role::Checker)
            .filter(|other| other.root == Some(wanted))
            .count()
    };
    let rejected = root != generated && votes(root) >= 2 && votes(root) > votes(generated);
    if !rejected {
        return 0;
    }
    let work = worked.get(&generator.lease).copied().unwrap_or_default();
    let input = receipt
        .result
        .map_or(u128::from(work.input_tokens), |result| {
            u128::from(result.usage.input_tokens)
        });
    ask_input * (input + u128::from(work.output_tokens)) / 1_000
}
