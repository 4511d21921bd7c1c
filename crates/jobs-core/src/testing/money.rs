//! A second opinion on money: what everybody's balance must be, worked out from receipts and
//! prices by rules written down here again, without the core's code.

use std::collections::BTreeMap;

use assay_protocol::{
    Hash32, LeaseId,
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
    /// Withdrawals whose end nobody knows, and what they took, by the market's numbers for them.
    leaving: BTreeMap<u64, (Principal, u128)>,
    withdrawn: u128,
}

impl Ledger {
    /// Cycles came in.
    pub fn deposit(&mut self, account: Principal, amount: u128) {
        self.deposited += amount;
        *self.balances.entry(account).or_default() += amount;
    }

    /// A job was accepted: gives what had to come from the call.
    pub fn submit(&mut self, requester: Principal, cap: u128) -> u128 {
        let balance = self.balances.entry(requester).or_default();
        let from_balance = cap.min(*balance);
        *balance -= from_balance;
        self.held += cap;
        self.deposited += cap - from_balance;
        cap - from_balance
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
        *self.balances.entry(requester).or_default() += refund;
        self.treasury = (self.treasury + fee)
            .checked_sub(subsidy)
            .ok_or("the treasury paid what it did not have")?;
        self.held -= receipt.escrow.0;
        let (leaving, left) = self.out();
        let there = self.balances.values().sum::<u128>()
            + self.held
            + self.treasury
            + self.staked
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
