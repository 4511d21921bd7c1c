//! What a system canister is told about a call, and all that it can do to the network.

use candid::{CandidType, DecoderConfig, Principal, decode_args_with_config, encode_args};
use ic_management_canister_types::CanisterSettings;
use serde::de::DeserializeOwned;

use super::book::Refusal;
use crate::{limits, types::Reject};

/// One call, as its callee sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// Who called.
    pub(super) caller: Principal,
    /// The clock, in nanoseconds.
    pub(super) now: u64,
    /// The Candid argument.
    pub(super) arg: &'a [u8],
    /// A certificate over the callee's certified data, in a query that a user has sent.
    pub(super) certificate: Option<&'a [u8]>,
}

/// A message that ends without effect. Whoever raises one has changed nothing yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trap(pub(super) String);

/// An encoded reply, or a trap.
pub(super) type Answer = Result<Vec<u8>, Trap>;

/// A subnet that may host canisters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its id.
    pub(super) id: Principal,
    /// Whether anybody may create canisters there without asking for it by name.
    pub(super) open: bool,
}

/// The network, as far as the canister that executes may change it. Cycles move between its balance and elsewhere.
pub(super) trait World {
    /// Cycles that came with the call and were not accepted yet.
    fn available(&self) -> u128;
    /// Takes cycles out of the call; no more than are available.
    fn accept(&mut self, cycles: u128);
    /// Gives accepted cycles back to the call.
    fn hand_back(&mut self, cycles: u128);
    /// Makes cycles out of nothing.
    fn mint(&mut self, cycles: u128);
    /// Destroys cycles.
    fn burn(&mut self, cycles: u128);
    /// Gives cycles to another canister, if there is such a canister.
    fn deposit(&mut self, to: &Principal, cycles: u128) -> Result<(), Reject>;
    /// Creates a canister and gives it cycles, less what creation costs. Unless the settings say otherwise, `owner`
    /// controls it.
    fn create_canister(
        &mut self,
        subnet: &Principal,
        owner: &Principal,
        settings: Option<CanisterSettings>,
        cycles: u128,
    ) -> Result<Principal, Reject>;
    /// Subnets that may host canisters of users, in order.
    fn places(&self) -> Vec<Place>;
}

impl Call<'_> {
    /// The only argument.
    pub(super) fn one<T: CandidType + DeserializeOwned>(&self) -> Result<T, Trap> {
        let mut config = DecoderConfig::new();
        config
            .set_decoding_quota(limits::LEDGER_DECODING_QUOTA)
            .set_skipping_quota(limits::LEDGER_SKIPPING_QUOTA)
            .set_full_error_message(false);
        decode_args_with_config::<(T,)>(self.arg, &config)
            .map(|(value,)| value)
            .map_err(|error| Trap(format!("failed to decode call arguments: {error}")))
    }
}

/// A reply with one value.
pub(super) fn one<T: CandidType>(value: T) -> Answer {
    Ok(encode_args((value,)).expect("BUG: replies of system canisters are plain data"))
}

/// Splits what a caller can correct, and gets as a value, from a trap.
pub(super) fn settle<T, E: From<Refusal>>(result: Result<T, Stop>) -> Result<Result<T, E>, Trap> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Refused(refusal)) => Ok(Err(refusal.into())),
        Err(Stop::Trapped(trap)) => Err(trap),
    }
}

/// Why an operation has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// With an error that the interface has a name for.
    Refused(Refusal),
    /// With a trap.
    Trapped(Trap),
}

impl From<Trap> for Stop {
    fn from(trap: Trap) -> Self {
        Self::Trapped(trap)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
