//! What a canister's cycles were consumed for, since it was created.

use ic_management_canister_types::CyclesConsumed;
use serde::{Deserialize, Serialize};

/// Cycles that are gone, by what they were for. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Consumed {
    /// Holding memory.
    pub(crate) memory: u128,
    /// Keeping processors.
    pub(crate) compute: u128,
    /// Taking in users' messages.
    pub(crate) ingress: u128,
    /// Executing, by the canister's code or by the network on its behalf.
    pub(crate) instructions: u128,
    /// Sending calls and taking in their answers.
    pub(crate) transmission: u128,
    /// Left when the canister could no longer pay for itself.
    pub(crate) uninstall: u128,
    /// Creating the canister.
    pub(crate) creation: u128,
    /// Asking the world.
    pub(crate) outcalls: u128,
    /// Burned by its code.
    pub(crate) burned: u128,
}

impl Consumed {
    /// As clients see it.
    pub(crate) fn shown(self) -> CyclesConsumed {
        let Self {
            memory,
            compute,
            ingress,
            instructions,
            transmission,
            uninstall,
            creation,
            outcalls,
            burned,
        } = self;
        CyclesConsumed {
            memory: memory.into(),
            compute_allocation: compute.into(),
            ingress_induction: ingress.into(),
            instructions: instructions.into(),
            request_and_response_transmission: transmission.into(),
            uninstall: uninstall.into(),
            canister_creation: creation.into(),
            http_outcalls: outcalls.into(),
            burned_cycles: burned.into(),
        }
    }
}
