//! Balances and allowances of one token, whatever accounts are called.
//!
//! A book knows no blocks, no times of creation and no callers. Every change is checked before it is made, so a refused
//! one leaves the book as it was.
//!
//! Invariants: the supply is the sum of all balances; no balance and no allowance is zero; an allowance that expires is
//! in the queue, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};

use candid::Principal;
use serde::{Deserialize, Serialize};

use crate::limits;

/// Why an operation is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The caller's fee is not the ledger's.
    BadFee {
        /// The ledger's.
        expected: u128,
    },
    /// Too little is burned.
    BadBurn {
        /// What may be.
        min: u128,
    },
    /// The account has too little.
    InsufficientFunds {
        /// What it has.
        balance: u128,
    },
    /// The spender may not spend so much.
    InsufficientAllowance {
        /// What it may.
        allowance: u128,
    },
    /// The spender may no longer spend anything.
    ExpiredAllowance,
    /// The allowance is not the one that the caller expects.
    AllowanceChanged {
        /// What it is.
        current: u128,
    },
    /// The allowance would expire at once.
    Expired {
        /// The ledger's time.
        now: u64,
    },
    /// The transaction was created too long ago.
    TooOld,
    /// The transaction was created in the future.
    CreatedInFuture {
        /// The ledger's time.
        now: u64,
    },
    /// The transaction was executed already.
    Duplicate {
        /// In this block.
        of: u64,
        /// Creating this canister.
        canister: Option<Principal>,
    },
    /// A principal that can have no account.
    Denied(super::account::Account),
    /// Cycles sent to what is no canister.
    InvalidReceiver(Principal),
    /// Nothing is withdrawn.
    Nothing,
    /// More than the ledger can hold.
    Full,
}

/// What a spender may take from an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Allowance {
    /// How much, fees included.
    pub(super) amount: u128,
    /// Until when.
    pub(super) expires: Option<u64>,
}

/// Tokens leaving an account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spending<K> {
    /// Whose.
    pub(super) from: K,
    /// Who spends, where it is not the owner.
    pub(super) spender: Option<K>,
    /// How much.
    pub(super) amount: u128,
    /// And the fee.
    pub(super) fee: u128,
}

/// All accounts and allowances of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Book<K: Ord> {
    balances: BTreeMap<K, u128>,
    supply: u128,
    /// Most tokens that there can be.
    supply_max: u128,
    allowances: BTreeMap<(K, K), Allowance>,
    expiries: BTreeSet<(u64, K, K)>,
}

impl<K: Copy + Ord> Book<K> {
    /// An empty book.
    pub(super) fn new(supply_max: u128) -> Self {
        Self {
            balances: BTreeMap::new(),
            supply: 0,
            supply_max,
            allowances: BTreeMap::new(),
            expiries: BTreeSet::new(),
        }
    }

    pub(super) fn balance(&self, account: &K) -> u128 {
        self.balances.get(account).copied().unwrap_or(0)
    }

    pub(super) fn supply(&self) -> u128 {
        self.supply
    }

    /// What a spender may still take.
    pub(super) fn allowance(&self, owner: &K, spender: &K, now: u64) -> Allowance {
        self.allowances
            .get(&(*owner, *spender))
            .filter(|allowance| allowance.expires.is_none_or(|expires| expires > now))
            .copied()
            .unwrap_or_default()
    }

    /// Allowances in order of owner and spender, after one of them where given.
    pub(super) fn allowances_from(
        &self,
        owner: K,
        after: Option<K>,
        now: u64,
    ) -> impl Iterator<Item = (&K, &K, &Allowance)> {
        self.allowances
            .iter()
            .skip_while(move |((from, spender), _)| {
                *from < owner || (*from == owner && after.is_some_and(|after| *spender <= after))
            })
            .filter(move |(_, allowance)| allowance.expires.is_none_or(|expires| expires > now))
            .map(|((from, spender), allowance)| (from, spender, allowance))
    }

    /// Whether tokens may be spent.
    pub(super) fn check_spending(&self, spending: &Spending<K>, now: u64) -> Result<u128, Refusal> {
        let balance = self.balance(&spending.from);
        let poor = Refusal::InsufficientFunds { balance };
        let Some(total) = spending.amount.checked_add(spending.fee) else {
            return Err(poor);
        };
        if let Some(spender) = spending.other() {
            let missing = Refusal::InsufficientAllowance { allowance: 0 };
            let allowance = self
                .allowances
                .get(&(spending.from, spender))
                .ok_or(missing)?;
            if allowance.expires.is_some_and(|expires| expires <= now) {
                return Err(Refusal::ExpiredAllowance);
            }
            if allowance.amount < total {
                return Err(Refusal::InsufficientAllowance {
                    allowance: allowance.amount,
                });
            }
        }
        if balance < total {
            return Err(poor);
        }
        Ok(total)
    }

    /// Whether an account may get tokens; it may have to be opened for that.
    pub(super) fn check_room(&self, to: &K) -> Result<(), Refusal> {
        if self.balances.len() < limits::LEDGER_ACCOUNTS_MAX || self.balances.contains_key(to) {
            Ok(())
        } else {
            Err(Refusal::Full)
        }
    }

    /// Whether new tokens may be made.
    pub(super) fn check_mint(&self, to: &K, amount: u128) -> Result<(), Refusal> {
        match self.supply.checked_add(amount) {
            Some(supply) if supply <= self.supply_max => self.check_room(to),
            _ => Err(Refusal::Full),
        }
    }

    /// Whether an allowance may be given.
    pub(super) fn check_approval(
        &self,
        owner: &K,
        spender: &K,
        allowance: &Allowance,
        expected: Option<u128>,
        now: u64,
    ) -> Result<(), Refusal> {
        let current = self.allowance(owner, spender, now).amount;
        if expected.is_some_and(|expected| expected != current) {
            return Err(Refusal::AllowanceChanged { current });
        }
        if allowance.expires.is_some_and(|expires| expires <= now) {
            return Err(Refusal::Expired { now });
        }
        let is_new = !self.allowances.contains_key(&(*owner, *spender));
        if is_new && self.allowances.len() >= limits::LEDGER_ALLOWANCES_MAX {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// Takes tokens out of an account, after [`Self::check_spending`]. They are gone, unless they are then given.
    pub(super) fn spend(&mut self, spending: &Spending<K>) {
        let total = spending.amount + spending.fee;
        if let Some(spender) = spending.other() {
            let mut left = self
                .allowances
                .get(&(spending.from, spender))
                .copied()
                .unwrap_or_default();
            left.amount -= total;
            self.set_allowance(spending.from, spender, left);
        }
        let balance = self.balance(&spending.from) - total;
        self.set_balance(spending.from, balance);
        self.supply -= total;
    }

    /// Gives tokens to an account, after [`Self::check_mint`], or of those that were spent.
    pub(super) fn give(&mut self, to: K, amount: u128) {
        let balance = self.balance(&to) + amount;
        self.set_balance(to, balance);
        self.supply += amount;
    }

    /// Sets what a spender may take; nothing ends the allowance.
    pub(super) fn set_allowance(&mut self, owner: K, spender: K, allowance: Allowance) {
        let old = if allowance.amount == 0 {
            self.allowances.remove(&(owner, spender))
        } else {
            self.allowances.insert((owner, spender), allowance)
        };
        if let Some(expires) = old.and_then(|old| old.expires) {
            self.expiries.remove(&(expires, owner, spender));
        }
        if let Some(expires) = allowance.expires.filter(|_| allowance.amount > 0) {
            self.expiries.insert((expires, owner, spender));
        }
    }

    /// Forgets some of the allowances that have expired.
    pub(super) fn prune(&mut self, now: u64) {
        for _ in 0..limits::LEDGER_PRUNED_MAX {
            match self.expiries.first().copied() {
                Some(entry @ (expires, owner, spender)) if expires <= now => {
                    self.expiries.remove(&entry);
                    self.allowances.remove(&(owner, spender));
                }
                _ => break,
            }
        }
    }

    fn set_balance(&mut self, account: K, balance: u128) {
        if balance == 0 {
            self.balances.remove(&account);
        } else {
            self.balances.insert(account, balance);
        }
    }

    /// Panics where an invariant is broken.
    #[cfg(test)]
    pub(super) fn audit(&self) {
        assert_eq!(self.supply, self.balances.values().sum::<u128>());
        assert!(self.balances.values().all(|balance| *balance > 0));
        assert!(
            self.allowances
                .values()
                .all(|allowance| allowance.amount > 0)
        );
        let expiring: BTreeSet<_> = self
            .allowances
            .iter()
            .filter_map(|((owner, spender), allowance)| {
                Some((allowance.expires?, *owner, *spender))
            })
            .collect();
        assert!(expiring == self.expiries, "the queue of expiries is wrong");
    }
}

impl<K: Copy + Ord> Spending<K> {
    /// The spender, where it needs an allowance.
    fn other(&self) -> Option<K> {
        self.spender.filter(|spender| *spender != self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_limited() {
        let mut book = Book::new(u128::MAX);
        book.balances = (1..limits::LEDGER_ACCOUNTS_MAX)
            .map(|account| (account, 1))
            .collect();
        assert_eq!(book.check_mint(&0, 1), Ok(()));
        book.give(0, 1);
        assert_eq!(
            book.check_mint(&limits::LEDGER_ACCOUNTS_MAX, 1),
            Err(Refusal::Full)
        );
        assert_eq!(book.check_mint(&0, 1), Ok(()), "it is open already");
    }

    #[test]
    fn allowances_are_limited() {
        let mut book: Book<usize> = Book::new(u128::MAX);
        let allowance = Allowance {
            amount: 1,
            expires: Some(10),
        };
        let check =
            |book: &Book<usize>, spender| book.check_approval(&0, &spender, &allowance, None, 1);
        let others = 1..limits::LEDGER_ALLOWANCES_MAX;
        book.allowances = others.clone().map(|to| ((0, to), allowance)).collect();
        book.expiries = others.map(|to| (10, 0, to)).collect();
        assert_eq!(check(&book, 0), Ok(()));
        book.set_allowance(0, 0, allowance);
        assert_eq!(
            check(&book, limits::LEDGER_ALLOWANCES_MAX),
            Err(Refusal::Full)
        );
        assert_eq!(check(&book, 0), Ok(()), "it is there already");
        book.prune(10);
        assert_eq!(
            book.allowances.len(),
            limits::LEDGER_ALLOWANCES_MAX - limits::LEDGER_PRUNED_MAX
        );
        book.audit();
    }

    #[test]
    fn the_supply_is_limited() {
        let mut book = Book::new(100);
        assert_eq!(book.check_mint(&1, 100), Ok(()));
        assert_eq!(book.check_mint(&1, 101), Err(Refusal::Full));
        book.give(1, 60);
        assert_eq!(book.check_mint(&2, 41), Err(Refusal::Full));
        assert_eq!(book.check_mint(&2, u128::MAX), Err(Refusal::Full));
    }
}
