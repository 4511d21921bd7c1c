//! A ledger with its own book, whose checks come in any order, and the management canister beside it.
//!
//! What it answers is what happened, except that it may name another block, or ask for a fee in vain. What is lost on
//! the way to it or back is not its matter.

use std::collections::BTreeMap;

use assay_protocol::{Cycles, Timestamp, TransferId, limits, money::LedgerAccount};
use candid::Principal;
use fastrand::Rng;
use serde_bytes::ByteBuf;

use crate::vault::{Move, Outcome, TransferCall};

/// Seconds in which a ledger knows a repeated transfer for the same.
const WINDOW_SECONDS: u64 = 24 * 3_600;
/// Seconds by which a ledger lets clocks differ.
const DRIFT_SECONDS: u64 = 60;

/// What a ledger checks. Standards do not say in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Time,
    Known,
    Fee,
    Funds,
}

/// A ledger, and what canisters were given.
#[derive(Debug)]
pub struct FaultLedger {
    rng: Rng,
    order: [Check; 4],
    /// Seconds by which its clock is ahead, less a minute.
    skew: u64,
    /// What it takes for a transfer.
    pub fee: u128,
    balances: BTreeMap<LedgerAccount, u128>,
    allowances: BTreeMap<LedgerAccount, u128>,
    known: BTreeMap<String, u64>,
    canisters: BTreeMap<Principal, u128>,
    blocks: u64,
    executed: BTreeMap<TransferId, u32>,
}

impl FaultLedger {
    /// A ledger of a kind that the seed decides.
    pub fn new(seed: u64, fee: u128) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut order = [Check::Time, Check::Known, Check::Fee, Check::Funds];
        rng.shuffle(&mut order);
        let skew = rng.u64(0..=2 * DRIFT_SECONDS);
        Self {
            rng,
            order,
            skew,
            fee,
            balances: BTreeMap::new(),
            allowances: BTreeMap::new(),
            known: BTreeMap::new(),
            canisters: BTreeMap::new(),
            blocks: 0,
            executed: BTreeMap::new(),
        }
    }

    /// Gives an account more, and lets the market take all of it.
    pub fn fund(&mut self, account: &LedgerAccount, amount: u128) {
        let account = same(account);
        *self.balances.entry(account.clone()).or_default() += amount;
        *self.allowances.entry(account).or_default() += amount;
    }

    /// Lets the market take no more from an account.
    pub fn forbid(&mut self, account: &LedgerAccount) {
        self.allowances.remove(&same(account));
    }

    /// What an account holds.
    pub fn balance(&self, account: &LedgerAccount) -> u128 {
        self.balances.get(&same(account)).copied().unwrap_or(0)
    }

    /// What a canister was given.
    pub fn given(&self, canister: Principal) -> u128 {
        self.canisters.get(&canister).copied().unwrap_or(0)
    }

    /// How often a transfer happened.
    pub fn executed(&self, transfer: TransferId) -> u32 {
        self.executed.get(&transfer).copied().unwrap_or(0)
    }

    /// Executes a call, or does not; gives its answer.
    pub fn execute(&mut self, now: Timestamp, call: &TransferCall) -> Outcome {
        let (from, to, spender, amount, fee, created) = match &call.call {
            Move::Attach { canister, amount } => {
                if self.rng.u8(..8) == 0 {
                    return Outcome::Refused("no such canister".into());
                }
                *self.canisters.entry(*canister).or_default() += amount.0;
                *self.executed.entry(call.transfer).or_default() += 1;
                return Outcome::Done { block: None };
            }
            Move::Collect {
                from,
                to,
                amount,
                created_at,
                ..
            } => (same(from), same(to), true, amount.0, None, *created_at),
            Move::Send {
                to,
                amount,
                fee,
                created_at,
                ..
            } => {
                let market = super::canister().into();
                (
                    same(&market),
                    same(to),
                    false,
                    amount.0,
                    Some(fee.0),
                    *created_at,
                )
            }
        };
        if self.rng.u8(..40) == 0 {
            // It wants more than it may, or says so.
            let expected = match self.rng.bool() {
                true => Cycles(limits::LEDGER_FEE_CYCLES_MAX + 1),
                false => Cycles(self.fee),
            };
            return Outcome::BadFee { expected };
        }
        if self.rng.u8(..40) == 0 {
            return Outcome::Refused("temporarily unavailable".into());
        }
        // What it has forgotten it refuses as too old, in whatever order it looks.
        let clock = now.0 + self.skew * 1_000_000_000;
        let seconds = |seconds: u64| seconds * 1_000_000_000;
        let key = format!("{:?}", call.call);
        for check in self.order {
            let refused = match check {
                Check::Time if created.0 + seconds(WINDOW_SECONDS + 2 * DRIFT_SECONDS) < clock => {
                    Some(Outcome::Refused("too old".into()))
                }
                Check::Known => self
                    .known
                    .get(&key)
                    .map(|&block| Outcome::Duplicate { block: Some(block) }),
                Check::Fee => fee.filter(|&fee| fee != self.fee).map(|_| Outcome::BadFee {
                    expected: Cycles(self.fee),
                }),
                Check::Funds => {
                    let needed = amount + self.fee;
                    let allowed = self.allowances.get(&from).copied().unwrap_or(0);
                    let short = self.balance(&from) < needed || (spender && allowed < needed);
                    short.then(|| Outcome::Refused("insufficient funds or allowance".into()))
                }
                Check::Time => None,
            };
            if let Some(refused) = refused {
                return refused;
            }
        }
        let needed = amount + self.fee;
        *self.balances.entry(from.clone()).or_default() -= needed;
        if spender {
            *self.allowances.entry(from).or_default() -= needed;
        }
        *self.balances.entry(to).or_default() += amount;
        *self.executed.entry(call.transfer).or_default() += 1;
        self.blocks += 1;
        self.known.insert(key, self.blocks);
        let block = match self.rng.u8(..10) {
            0 => Some(self.rng.u64(..)),
            1 => None,
            _ => Some(self.blocks),
        };
        Outcome::Done { block }
    }
}

/// The account under one name: all zeros are the first one.
fn same(account: &LedgerAccount) -> LedgerAccount {
    let zeros = |bytes: &ByteBuf| bytes.iter().all(|&byte| byte == 0);
    LedgerAccount {
        owner: account.owner,
        subaccount: account.subaccount.clone().filter(|bytes| !zeros(bytes)),
    }
}
