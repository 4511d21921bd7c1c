//! Deliberate misbehaviour, for demonstrations and tests of how it is caught.
//!
//! Off unless the configuration file says otherwise, absent from flags and environment, and
//! shouted in the log each time it is used. Everything around the lie is done honestly, so that
//! what catches it is the market and not a clumsy liar.

use serde::{Deserialize, Serialize};

/// What the worker does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cheat {
    /// A generator swaps one token and goes on from there as if the model had said it.
    WrongTokens,
    /// A checker reports a mismatch where there is none.
    WrongCheck,
    /// Commits, and never opens the commitment.
    NoReveal,
    /// Runs honestly, but holds its commitment back until after the deadline.
    LateCommit,
}

impl Cheat {
    /// Says it, loudly.
    pub fn shout(self, what: &str) {
        tracing::warn!(mode = ?self, "CHEATING: {what}");
    }
}
