//! What comes from outside and changes a network, as values: what a journal is made of.
//!
//! The network is deterministic, so a network and the inputs that it was given since are as good as the network that
//! they have made of it. Whoever keeps a journal writes each input down once the network has taken it, and gives
//! them to [`Network::apply`] to begin where it ended.

use candid::Principal;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::{Network, access::OutcallAnswer};
use crate::{
    canister::{CanisterId, QueryCounts},
    types::{Ingress, Time},
};

/// Something that changed a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// The clock was moved: [`Network::set_time`].
    Clock(Time),
    /// A message was taken in: [`Network::submit`].
    Message(Ingress),
    /// A round was run: [`Network::round`]. What it made of the network is sealed.
    Round(Seal),
    /// Queries were answered, which canisters' statuses count: [`Network::queried`].
    Queries(Vec<Queried>),
    /// Cycles were given: [`Network::add_cycles`].
    Cycles {
        /// To whom.
        canister: Principal,
        /// How many.
        amount: u128,
    },
    /// A stable memory was replaced: [`Network::set_stable_memory`].
    Stable {
        /// Whose.
        canister: Principal,
        /// By what.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// An outcall was answered: [`Network::answer_outcall`].
    Outcall {
        /// Which.
        id: u64,
        /// What every node saw.
        answer: OutcallAnswer,
    },
    /// An outcall was answered: [`Network::answer_outcall_by_node`].
    OutcallByNode {
        /// Which.
        id: u64,
        /// One answer for all nodes, or one for each.
        answers: Vec<OutcallAnswer>,
    },
    /// A flexible outcall was answered: [`Network::answer_flexible_outcall`].
    FlexibleOutcall {
        /// Which.
        id: u64,
        /// One answer for each node that has one.
        answers: Vec<OutcallAnswer>,
    },
    /// A subnet was deleted: [`Network::delete_subnet`].
    DeleteSubnet(Principal),
}

/// What queries have asked of a canister in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queried {
    canister: CanisterId,
    counts: QueryCounts,
}

/// Tells one state from another with hardly any work: a few counters of the whole network, hashed. It is not a root of
/// the state, only what a program that executes differently could not hit by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal(u64);

/// Why an input that was taken once is not taken again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InputError {
    /// The network refused it.
    #[error("the network now refuses what it took before: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// It led to another state.
    #[error("round {round} now gives another result than it gave before")]
    Diverged {
        /// The number of the round.
        round: u64,
    },
}

impl Network {
    /// Does again what an input did.
    ///
    /// # Errors
    /// Where the network does not do what it did before; its state is then of no use. That happens where another
    /// version of this program wrote the journal.
    pub fn apply(&mut self, input: Input) -> Result<(), InputError> {
        let refused = |reason: String| InputError::Refused { reason };
        match input {
            Input::Clock(time) => self.set_time(time),
            Input::Message(message) => self
                .submit(message)
                .map_err(|reject| refused(reject.message))?,
            Input::Round(seal) => {
                self.round();
                if self.seal() != seal {
                    return Err(InputError::Diverged { round: self.round });
                }
            }
            Input::Queries(all) => {
                for Queried { canister, counts } in all {
                    if let Some(canister) = self.canisters.get_mut(&canister) {
                        canister.queries = counts;
                    }
                }
            }
            Input::Cycles { canister, amount } => {
                self.add_cycles(&canister, amount)
                    .map_err(|error| refused(error.to_string()))?;
            }
            Input::Stable { canister, bytes } => self
                .set_stable_memory(&canister, &bytes)
                .map_err(|error| refused(error.to_string()))?,
            Input::Outcall { id, answer } => self
                .answer_outcall(id, answer)
                .map_err(|error| refused(error.to_string()))?,
            Input::OutcallByNode { id, answers } => self
                .answer_outcall_by_node(id, answers)
                .map_err(|error| refused(error.to_string()))?,
            Input::FlexibleOutcall { id, answers } => self
                .answer_flexible_outcall(id, answers)
                .map_err(|error| refused(error.to_string()))?,
            Input::DeleteSubnet(subnet) => self
                .delete_subnet(&subnet)
                .map_err(|error| refused(error.to_string()))?,
        }
        Ok(())
    }

    /// The present state's seal.
    pub fn seal(&self) -> Seal {
        let mut hash = Sha256::new();
        let mut note = |number: u128| hash.update(number.to_le_bytes());
        note(self.time.0.into());
        note(self.round.into());
        note(self.totals.minted);
        note(self.totals.spent);
        for home in &self.homes {
            note(home.next.into());
            note(home.transactions.into());
            note(home.spent);
        }
        note(self.canisters.len() as u128);
        note(self.history.iter().len() as u128);
        let digest: [u8; 32] = hash.finalize().into();
        let (first, _) = digest
            .split_first_chunk()
            .expect("BUG: 32 bytes begin with 8");
        Seal(u64::from_le_bytes(*first))
    }

    /// What queries have counted since this was asked last; nothing where there were none.
    pub fn queried(&mut self) -> Option<Input> {
        let queried = std::mem::take(&mut self.queried);
        let all: Vec<_> = queried
            .into_iter()
            .filter_map(|canister| {
                let counts = self.canisters.get(&canister)?.queries;
                Some(Queried { canister, counts })
            })
            .collect();
        (!all.is_empty()).then_some(Input::Queries(all))
    }
}
