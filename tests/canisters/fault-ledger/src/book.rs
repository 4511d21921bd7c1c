//! Who has what, and what was moved already.

use std::collections::{BTreeMap, VecDeque};

use candid::Nat;
use serde_bytes::ByteBuf;

use crate::types::{Account, Conduct, Refusal};

/// Nanoseconds in which a repeated transfer is known for the same, clocks that differ by a minute included.
const WINDOW: u64 = (24 * 3_600 + 60) * 1_000_000_000;

/// A transfer, whoever orders it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Order {
    pub(crate) spender: Option<Account>,
    pub(crate) from: Account,
    pub(crate) to: Account,
    pub(crate) amount: Nat,
    pub(crate) fee: Option<Nat>,
    pub(crate) memo: Option<ByteBuf>,
    pub(crate) created_at_time: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) script: VecDeque<Conduct>,
    pub(crate) fee: Nat,
    pub(crate) blocks: u64,
    balances: BTreeMap<Account, Nat>,
    allowances: BTreeMap<(Account, Account), Nat>,
    known: BTreeMap<Order, u64>,
}

impl Book {
    pub(crate) fn balance(&self, account: &Account) -> Nat {
        self.balances.get(account).cloned().unwrap_or_default()
    }

    pub(crate) fn allowance(&self, from: &Account, spender: &Account) -> Nat {
        let key = (from.clone(), spender.clone());
        self.allowances.get(&key).cloned().unwrap_or_default()
    }

    pub(crate) fn give(&mut self, to: &Account, amount: Nat) {
        *self.balances.entry(to.clone()).or_default() += amount;
    }

    pub(crate) fn approve(
        &mut self,
        from: &Account,
        spender: &Account,
        amount: Nat,
    ) -> Result<Nat, Refusal> {
        let balance = self.balance(from);
        if balance < self.fee {
            return Err(Refusal::InsufficientFunds { balance });
        }
        self.take(from, self.fee.clone());
        self.allowances
            .insert((from.clone(), spender.clone()), amount);
        self.blocks += 1;
        Ok(self.blocks.into())
    }

    pub(crate) fn execute(&mut self, order: &Order, now: u64) -> Result<Nat, Refusal> {
        let created = order.created_at_time.unwrap_or(now);
        if created.saturating_add(WINDOW) < now {
            return Err(Refusal::TooOld);
        }
        if let Some(&block) = self.known.get(order) {
            return Err(Refusal::Duplicate {
                duplicate_of: block.into(),
            });
        }
        if order.fee.as_ref().is_some_and(|fee| *fee != self.fee) {
            return Err(Refusal::BadFee {
                expected_fee: self.fee.clone(),
            });
        }
        let needed = order.amount.clone() + self.fee.clone();
        if let Some(spender) = &order.spender {
            let allowance = self.allowance(&order.from, spender);
            if allowance < needed {
                return Err(Refusal::InsufficientAllowance { allowance });
            }
        }
        let balance = self.balance(&order.from);
        if balance < needed {
            return Err(Refusal::InsufficientFunds { balance });
        }
        if let Some(spender) = &order.spender {
            let key = (order.from.clone(), spender.clone());
            *self.allowances.entry(key).or_default() -= needed.clone();
        }
        self.take(&order.from, needed);
        self.give(&order.to, order.amount.clone());
        self.blocks += 1;
        if order.created_at_time.is_some() {
            self.known.insert(order.clone(), self.blocks);
        }
        Ok(self.blocks.into())
    }

    fn take(&mut self, from: &Account, amount: Nat) {
        *self.balances.entry(from.clone()).or_default() -= amount;
    }
}
