//! What whoever runs a network may read and change without asking any canister.

use candid::Principal;
use thiserror::Error;

use super::Network;
pub use crate::mgmt::{Outcall, OutcallAnswer, OutcallError, OutcallMethod, Replication};
use crate::{
    limits::{STABLE_PAGES_MAX, WASM_PAGE_BYTES},
    mem::Stable,
};

/// Why a canister cannot be read or changed so.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AccessError {
    /// No such canister.
    #[error("Canister {id} not found")]
    NotFound {
        /// Its id.
        id: Principal,
    },
    /// It has no code, and so no stable memory.
    #[error("canister {id} has no code and so no stable memory; install a module first")]
    Empty {
        /// Its id.
        id: Principal,
    },
    /// More cycles than a balance holds.
    #[error("{amount} cycles do not fit into the balance of canister {id}")]
    Cycles {
        /// Its id.
        id: Principal,
        /// What was to be added.
        amount: u128,
    },
    /// More bytes than a stable memory holds.
    #[error("{bytes} bytes do not fit into a stable memory")]
    StableBytes {
        /// How many.
        bytes: usize,
    },
}

impl Network {
    /// Who controls a canister, sorted.
    ///
    /// # Errors
    /// Where there is no such canister.
    pub fn controllers(&self, id: &Principal) -> Result<&[Principal], AccessError> {
        match self.canisters.get(id) {
            Some(canister) => Ok(&canister.settings.controllers),
            None => Err(AccessError::NotFound { id: *id }),
        }
    }

    /// Makes cycles and gives them to a canister; gives its new balance.
    ///
    /// # Errors
    /// Where there is no such canister, or its balance cannot hold so many.
    pub fn add_cycles(&mut self, id: &Principal, amount: u128) -> Result<u128, AccessError> {
        let id = *id;
        let canister = self
            .canisters
            .get_mut(&id)
            .ok_or(AccessError::NotFound { id })?;
        let too_many = AccessError::Cycles { id, amount };
        let minted = self.totals.minted.checked_add(amount);
        match (canister.balance.checked_add(amount), minted) {
            (Some(balance), Some(minted)) => {
                canister.balance = balance;
                self.totals.minted = minted;
                Ok(balance)
            }
            _ => Err(too_many),
        }
    }

    /// All of a canister's stable memory.
    ///
    /// # Errors
    /// Where there is no such canister, or it has no code.
    pub fn stable_memory(&self, id: &Principal) -> Result<Vec<u8>, AccessError> {
        let id = *id;
        let canister = self
            .canisters
            .get(&id)
            .ok_or(AccessError::NotFound { id })?;
        if canister.code.is_none() {
            return Err(AccessError::Empty { id });
        }
        let stable = &canister.stable;
        let mut bytes = vec![0; stable.wasm_pages() as usize * WASM_PAGE_BYTES];
        stable
            .session(u64::MAX)
            .read(0, &mut bytes)
            .expect("BUG: a memory can be read from its first byte to its last");
        Ok(bytes)
    }

    /// Replaces a canister's stable memory by these bytes and zeros up to the next page.
    ///
    /// # Errors
    /// Where there is no such canister, it has no code, or the bytes are too many.
    pub fn set_stable_memory(&mut self, id: &Principal, bytes: &[u8]) -> Result<(), AccessError> {
        let id = *id;
        let canister = self
            .canisters
            .get_mut(&id)
            .ok_or(AccessError::NotFound { id })?;
        if canister.code.is_none() {
            return Err(AccessError::Empty { id });
        }
        let too_large = || AccessError::StableBytes { bytes: bytes.len() };
        let mut stable = Stable::default();
        let mut session = stable.session(u64::MAX);
        session
            .grow(
                bytes.len().div_ceil(WASM_PAGE_BYTES) as u64,
                STABLE_PAGES_MAX,
            )
            .ok_or_else(too_large)?;
        session.write(0, bytes).map_err(|_| too_large())?;
        session.commit_to(&mut stable);
        canister.stable = stable;
        self.executor.forget(&id);
        Ok(())
    }
}
