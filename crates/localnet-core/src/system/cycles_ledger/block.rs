//! The cycles ledger's blocks.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::{
    limits,
    system::{account::Account, value::Value},
};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Operation {
    /// Cycles came in.
    Mint {
        to: Account,
        amount: u128,
        fee: u128,
    },
    /// Cycles changed hands.
    Transfer {
        from: Account,
        to: Account,
        spender: Option<Account>,
        amount: u128,
        fee: Option<u128>,
    },
    /// Cycles left.
    Burn {
        from: Account,
        spender: Option<Account>,
        amount: u128,
    },
    /// An allowance was set.
    Approve {
        from: Account,
        spender: Account,
        amount: u128,
        expected_allowance: Option<u128>,
        expires_at: Option<u64>,
        fee: Option<u128>,
    },
}

/// What happened, and what its caller said about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transaction {
    pub(super) operation: Operation,
    pub(super) created_at_time: Option<u64>,
    pub(super) memo: Option<ByteBuf>,
}

/// A transaction in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Block {
    transaction: Transaction,
    timestamp: u64,
    parent: Option<[u8; 32]>,
    /// The fee, where the caller named none.
    effective_fee: Option<u128>,
}

/// The chain of blocks; the oldest are dropped when there are too many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Log {
    blocks: VecDeque<Block>,
    /// The index of the first block that is kept.
    first: u64,
    tip: Option<[u8; 32]>,
}

impl Log {
    /// Blocks that there ever were.
    pub(super) fn len(&self) -> u64 {
        self.first + self.blocks.len() as u64
    }

    /// The block with this index, where it is kept.
    pub(super) fn get(&self, index: u64) -> Option<&Block> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.blocks.get(at)
    }

    /// Appends a transaction; gives the index of its block.
    pub(super) fn append(
        &mut self,
        transaction: Transaction,
        timestamp: u64,
        effective_fee: Option<u128>,
    ) -> u64 {
        let index = self.len();
        let block = Block {
            transaction,
            timestamp,
            parent: self.tip,
            effective_fee,
        };
        self.tip = Some(block.value().hash());
        self.blocks.push_back(block);
        if self.blocks.len() > limits::LEDGER_BLOCKS_KEPT {
            self.blocks.pop_front();
            self.first += 1;
        }
        index
    }
}

impl Transaction {
    /// What tells it from other transactions.
    pub(super) fn hash(&self) -> [u8; 32] {
        self.value().hash()
    }

    fn value(&self) -> Value {
        let mut map = BTreeMap::new();
        if let Some(created) = self.created_at_time {
            map.insert("ts", Value::nat(created));
        }
        if let Some(memo) = &self.memo {
            map.insert("memo", Value::Blob(memo.clone()));
        }
        match &self.operation {
            Operation::Mint { to, amount, fee } => {
                map.insert("op", Value::text("mint"));
                map.insert("to", Value::account(to));
                map.insert("amt", Value::nat(*amount));
                map.insert("fee", Value::nat(*fee));
            }
            Operation::Transfer {
                from,
                to,
                spender,
                amount,
                fee,
            } => {
                map.insert("op", Value::text("xfer"));
                map.insert("from", Value::account(from));
                map.insert("to", Value::account(to));
                map.insert("amt", Value::nat(*amount));
                map.extend(spender.map(|spender| ("spender", Value::account(&spender))));
                map.extend(fee.map(|fee| ("fee", Value::nat(fee))));
            }
            Operation::Burn {
                from,
                spender,
                amount,
            } => {
                map.insert("op", Value::text("burn"));
                map.insert("from", Value::account(from));
                map.insert("amt", Value::nat(*amount));
                map.extend(spender.map(|spender| ("spender", Value::account(&spender))));
            }
            Operation::Approve {
                from,
                spender,
                amount,
                expected_allowance,
                expires_at,
                fee,
            } => {
                map.insert("op", Value::text("approve"));
                map.insert("from", Value::account(from));
                map.insert("spender", Value::account(spender));
                map.insert("amt", Value::nat(*amount));
                map.extend(
                    expected_allowance.map(|expected| ("expected_allowance", Value::nat(expected))),
                );
                map.extend(expires_at.map(|expires| ("expires_at", Value::nat(expires))));
                map.extend(fee.map(|fee| ("fee", Value::nat(fee))));
            }
        }
        Value::map(map)
    }
}

impl Block {
    /// As ICRC-3 shows it.
    pub(super) fn value(&self) -> Value {
        let mut map = BTreeMap::new();
        map.insert("tx", self.transaction.value());
        map.insert("ts", Value::nat(self.timestamp));
        map.extend(self.parent.map(|parent| ("phash", Value::blob(&parent))));
        map.extend(self.effective_fee.map(|fee| ("fee", Value::nat(fee))));
        Value::map(map)
    }
}

#[cfg(test)]
mod tests {
    use candid::Principal;

    use super::*;

    #[test]
    fn the_oldest_blocks_are_dropped_and_indices_stay() {
        let mut log = Log::default();
        let transaction = |amount| Transaction {
            operation: Operation::Mint {
                to: Account::of(Principal::anonymous()),
                amount,
                fee: 0,
            },
            created_at_time: None,
            memo: None,
        };
        log.append(transaction(0), 0, None);
        let first = log.blocks[0].clone();
        log.blocks = std::iter::repeat_n(first, limits::LEDGER_BLOCKS_KEPT - 1).collect();
        let last = limits::LEDGER_BLOCKS_KEPT as u64 - 1;
        assert_eq!(log.append(transaction(7), 0, None), last);
        assert!(log.get(0).is_some());
        assert_eq!(log.append(transaction(8), 0, None), last + 1);
        assert_eq!(log.get(0), None);
        assert_eq!(log.append(transaction(9), 0, None), last + 2);
        assert_eq!(log.len(), last + 3);
        assert_eq!(log.get(1), None);
        let block = log.get(last).unwrap();
        assert_eq!(block.transaction, transaction(7));
        let next = log.get(last + 1).unwrap();
        assert_eq!(next.parent, Some(block.value().hash()));
    }
}
