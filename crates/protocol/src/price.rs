//! Prices: exact integers, rounded down to whole cycles in the requester's favour.

use serde::{Deserialize, Serialize};

use crate::{Cycles, result::Usage};

/// Asks, in cycles per 1,000 tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// Per 1,000 input tokens.
    pub input: Cycles,
    /// Per 1,000 generated tokens.
    pub output: Cycles,
}

impl Rates {
    /// What a generation of this size costs; nothing past `u128`.
    pub fn generation(&self, usage: Usage) -> Option<Cycles> {
        per_thousand(self.input, usage.input_tokens)?
            .checked_add(per_thousand(self.output, usage.output_tokens)?)
    }

    /// What a check of this size costs: every token is read, none is generated.
    pub fn check(&self, usage: Usage) -> Option<Cycles> {
        per_thousand(
            self.input,
            usage.input_tokens.checked_add(usage.output_tokens)?,
        )
    }
}

/// Basis points of an amount, rounded down; nothing past `u128`.
pub fn basis_points(amount: Cycles, bps: u16) -> Option<Cycles> {
    Some(Cycles(amount.0.checked_mul(u128::from(bps))? / 10_000))
}

fn per_thousand(rate: Cycles, tokens: u32) -> Option<Cycles> {
    Some(Cycles(rate.0.checked_mul(u128::from(tokens))? / 1_000))
}
