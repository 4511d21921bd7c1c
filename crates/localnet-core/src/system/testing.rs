//! A network of numbers, for tests of system canisters.

use std::collections::BTreeMap;

use candid::{CandidType, Principal, decode_one, encode_one};
use ic_management_canister_types::CanisterSettings;
use serde::de::DeserializeOwned;

use super::call::{Answer, Call, Place, Trap, World};
use crate::types::{ErrorCode, Reject};

/// The tests' clock, in nanoseconds.
pub(super) const NOW: u64 = 1_700_000_000_000_000_000;
pub(super) const SECOND: u64 = 1_000_000_000;

/// Where cycles are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) own: u128,
    pub(super) available: u128,
    pub(super) others: BTreeMap<Principal, u128>,
    pub(super) minted: u128,
    pub(super) burned: u128,
    pub(super) created: Vec<(Principal, Principal, Vec<Principal>)>,
}

pub(super) fn user(number: u8) -> Principal {
    Principal::self_authenticating([number])
}

pub(super) fn canister(number: u8) -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0xFF, number, 1, 1])
}

pub(super) fn application() -> Principal {
    user(200)
}

pub(super) fn closed() -> Principal {
    user(201)
}

impl Numbers {
    /// Everything that there is.
    pub(super) fn total(&self) -> u128 {
        self.own + self.available + self.others.values().sum::<u128>() + self.burned - self.minted
    }
}

impl World for Numbers {
    fn available(&self) -> u128 {
        self.available
    }

    fn accept(&mut self, cycles: u128) {
        self.available -= cycles;
        self.own += cycles;
    }

    fn hand_back(&mut self, cycles: u128) {
        self.own -= cycles;
        self.available += cycles;
    }

    fn mint(&mut self, cycles: u128) {
        self.own += cycles;
        self.minted += cycles;
    }

    fn burn(&mut self, cycles: u128) {
        self.own -= cycles;
        self.burned += cycles;
    }

    fn deposit(&mut self, to: &Principal, cycles: u128) -> Result<(), Reject> {
        let balance = self.others.get_mut(to).ok_or_else(|| {
            Reject::of(
                ErrorCode::CanisterNotFound,
                format!("Canister {to} not found"),
            )
        })?;
        *balance += cycles;
        self.own -= cycles;
        Ok(())
    }

    fn create_canister(
        &mut self,
        subnet: &Principal,
        owner: &Principal,
        settings: Option<CanisterSettings>,
        cycles: u128,
    ) -> Result<Principal, Reject> {
        let controllers = settings
            .and_then(|settings| settings.controllers)
            .unwrap_or_else(|| vec![*owner]);
        if controllers.len() > 10 {
            return Err(Reject::of(
                ErrorCode::InvalidManagementPayload,
                "too many controllers",
            ));
        }
        let id = canister(100 + u8::try_from(self.created.len() % 100).unwrap());
        *self.others.entry(id).or_default() += cycles;
        self.own -= cycles;
        self.created.push((id, *subnet, controllers));
        Ok(id)
    }

    fn places(&self) -> Vec<Place> {
        let place = |id, open| Place { id, open };
        vec![place(closed(), false), place(application(), true)]
    }
}

pub(super) fn call(caller: Principal, now: u64, arg: &[u8]) -> Call<'_> {
    Call {
        caller,
        now,
        arg,
        certificate: None,
    }
}

pub(super) fn encode(arg: impl CandidType) -> Vec<u8> {
    encode_one(arg).unwrap()
}

/// A reply as a value, or the text of a trap.
pub(super) fn read<T: CandidType + DeserializeOwned>(answer: Option<Answer>) -> Result<T, String> {
    match answer.expect("there is no such method") {
        Ok(reply) => Ok(decode_one(&reply).unwrap()),
        Err(Trap(text)) => Err(text),
    }
}
