//! The ICP ledger: accounts are identifiers, and tokens come from and go to a minting account.
//!
//! Its own interface and ICRC-1 and ICRC-2 work on the same accounts.

mod methods;
#[cfg(test)]
mod tests;
mod types;

use std::collections::VecDeque;

use candid::{Int, Principal, encode_one};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};

use self::types::tokens;
pub(super) use self::types::{Block, Operation, TimeStamp, Transaction};
use super::{
    account::{Account, AccountId},
    book::{Allowance, Book, Refusal, Spending},
    call::{Stop, Trap},
    icrc,
    window::Window,
};
use crate::limits;

/// What every transfer costs, in e8s.
pub(super) const FEE: u128 = 10_000;
/// The canister that may mint: governance, which this network does not have.
const GOVERNANCE: Principal = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);

/// The ledger's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IcpLedger {
    book: Book<AccountId>,
    blocks: VecDeque<Block>,
    /// The index of the first block that is kept.
    first: u64,
    window: Window,
}

/// Tokens that go from an account to another.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) from: AccountId,
    pub(super) to: AccountId,
    pub(super) spender: Option<AccountId>,
    pub(super) amount: u128,
    /// The fee that the caller names.
    pub(super) fee: Option<u128>,
    pub(super) memo: u64,
    pub(super) icrc1_memo: Option<ByteBuf>,
    pub(super) created_at_time: Option<u64>,
}

/// An allowance to be set.
struct Approval {
    from: AccountId,
    spender: AccountId,
    allowance: Allowance,
    expected: Option<u128>,
    memo: Option<ByteBuf>,
    created_at_time: Option<u64>,
}

impl IcpLedger {
    pub(super) fn new() -> Self {
        Self {
            book: Book::new(u64::MAX.into()),
            blocks: VecDeque::new(),
            first: 0,
            window: Window::default(),
        }
    }

    /// The account that tokens come from and go to.
    pub(super) fn minting_account() -> Account {
        Account::of(GOVERNANCE)
    }

    /// The block with this index, where it is kept.
    pub(super) fn block(&self, index: u64) -> Option<&Block> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.blocks.get(at)
    }

    /// Moves tokens: from the minting account they are new, and to it they are gone; neither costs a fee.
    pub(super) fn pay(&mut self, payment: Payment, now: u64) -> Result<u64, Stop> {
        let Payment {
            from,
            to,
            spender,
            amount,
            fee,
            memo,
            icrc1_memo,
            created_at_time,
        } = payment;
        let minter = Self::minting_account().id();
        let mints = from == minter;
        let burns = to == minter;
        if mints && (burns || spender.is_some()) {
            return Err(Trap(
                "the minting account cannot delegate mints, nor transfer to itself".to_owned(),
            )
            .into());
        }
        let expected = if mints || burns { 0 } else { FEE };
        let hash = Sha256::digest(
            encode_one((
                (from, to, spender, amount, fee),
                (memo, &icrc1_memo, created_at_time),
            ))
            .expect("BUG: payments are plain data"),
        );
        self.window.check_new(&hash.into())?;
        if fee.is_some_and(|fee| fee != expected) {
            return Err(Refusal::BadFee { expected }.into());
        }
        let spending = Spending {
            from,
            spender,
            amount,
            fee: expected,
        };
        if mints {
            self.book.check_mint(&to, amount)?;
        } else {
            if burns && amount < FEE {
                return Err(Refusal::BadBurn { min: FEE }.into());
            }
            self.book.check_spending(&spending, now)?;
            if !burns {
                self.book.check_room(&to)?;
            }
        }
        icrc::check_memo(icrc1_memo.as_ref())?;
        self.window.check_time(created_at_time, now)?;
        let operation = if mints {
            self.book.give(to, amount);
            Operation::Mint {
                to,
                amount: tokens(amount),
            }
        } else {
            self.book.spend(&spending);
            if burns {
                Operation::Burn {
                    from,
                    spender,
                    amount: tokens(amount),
                }
            } else {
                self.book.give(to, amount);
                Operation::Transfer {
                    from,
                    to,
                    amount: tokens(amount),
                    fee: tokens(expected),
                    spender,
                }
            }
        };
        let transaction = Transaction {
            memo,
            icrc1_memo,
            operation: Some(operation),
            created_at_time: TimeStamp {
                timestamp_nanos: created_at_time.unwrap_or(now),
            },
        };
        Ok(self.record(transaction, created_at_time, hash.into(), now))
    }

    fn approve(&mut self, approval: Approval, fee: Option<u128>, now: u64) -> Result<u64, Stop> {
        let Approval {
            from,
            spender,
            allowance,
            expected,
            memo,
            created_at_time,
        } = approval;
        if from == Self::minting_account().id() {
            return Err(Trap("the minting account cannot delegate mints".to_owned()).into());
        }
        let hash = Sha256::digest(
            encode_one((
                (from, spender, allowance.amount, allowance.expires),
                (expected, fee, &memo, created_at_time),
            ))
            .expect("BUG: approvals are plain data"),
        );
        self.window.check_new(&hash.into())?;
        self.book
            .check_approval(&from, &spender, &allowance, expected, now)?;
        if fee.is_some_and(|fee| fee != FEE) {
            return Err(Refusal::BadFee { expected: FEE }.into());
        }
        let spending = Spending {
            from,
            spender: None,
            amount: 0,
            fee: FEE,
        };
        self.book.check_spending(&spending, now)?;
        icrc::check_memo(memo.as_ref())?;
        self.window.check_time(created_at_time, now)?;
        self.book.set_allowance(from, spender, allowance);
        self.book.spend(&spending);
        let time = |timestamp_nanos| TimeStamp { timestamp_nanos };
        let operation = Operation::Approve {
            from,
            spender,
            allowance_e8s: Int::from(allowance.amount),
            allowance: tokens(allowance.amount),
            fee: tokens(FEE),
            expires_at: allowance.expires.map(time),
            expected_allowance: expected.map(tokens),
        };
        let transaction = Transaction {
            memo: 0,
            icrc1_memo: memo,
            operation: Some(operation),
            created_at_time: time(created_at_time.unwrap_or(now)),
        };
        Ok(self.record(transaction, created_at_time, hash.into(), now))
    }

    /// Writes a transaction down, after it was made.
    fn record(
        &mut self,
        transaction: Transaction,
        created: Option<u64>,
        hash: [u8; 32],
        now: u64,
    ) -> u64 {
        let index = self.len();
        let parent_hash = self.blocks.back().map(|parent| {
            let encoded = encode_one(parent).expect("BUG: blocks are plain data");
            ByteBuf::from(Sha256::digest(encoded).to_vec())
        });
        self.blocks.push_back(Block {
            parent_hash,
            transaction,
            timestamp: TimeStamp {
                timestamp_nanos: now,
            },
        });
        if self.blocks.len() > limits::LEDGER_BLOCKS_KEPT {
            self.blocks.pop_front();
            self.first += 1;
        }
        self.window.remember(created, hash, index, now);
        self.book.prune(now);
        index
    }

    fn len(&self) -> u64 {
        self.first + self.blocks.len() as u64
    }
}
