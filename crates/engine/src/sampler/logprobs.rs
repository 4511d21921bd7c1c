//! Log-probabilities: how likely the model itself found a token, before bias, penalties, constraints and temperature.
//!
//! ```text
//! t[i]    = mul(sub(max logit, logit[i]), log2e)                                     F32Z
//! w[i]    = floor(exp2n(t[i]) * 2^40), the product being exact; 0 where t[i] >= 41
//! S       = sum of w                                                                 u64, the best token has 2^40
//! log2 S  = k + fraction, S = m * 2^k with m in [1, 2): 32 fraction bits, each by squaring m in 64-bit fixed point, truncated
//! norm    = floor(((log2 S in Q32) - 40 * 2^32) * 693_147_180_560 / (2^32 * 10^6))    micro-nats
//! d[i]    = nearest integer (ties to even) of mul(sub(max logit, logit[i]), 1_000_000), at most 2^32 - 1
//! logprob = -(d[i] + norm)                                                           micro-nats
//! ```
//!
//! Alternatives come by logit, highest first, the lowest id among equals. The result is within 4 + d / 2^22 micro-nats of the true
//! logarithm of the softmax of the same logits, d being the distance from the best token in micro-nats: 4 micro-nats for every token
//! that matters.

use alloc::vec::Vec;

use crate::f32z::{self, LOG2_E, exp2n, mul, round_u32, sub};

/// Most alternatives.
pub const LOGPROBS_MAX: u8 = 20;

/// The unit of weights: 2^40, so that a vocabulary of 2^20 tokens stays below 2^60.
const UNIT: u32 = 40;
/// ln 2 in units of 10^-12.
const LN2_PICO: u128 = 693_147_180_560;

/// A token and its log-probability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logprob {
    /// The token.
    pub token: u32,
    /// Natural logarithm of its probability, in millionths; zero or negative.
    pub micro_nats: i64,
}

/// Log-probabilities at one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logprobs {
    /// The drawn token.
    pub drawn: Logprob,
    /// The most likely tokens, best first, as many as were asked for.
    pub top: Vec<Logprob>,
}

impl Logprobs {
    /// The log-probability of `token` under `logits`, and those of the `count` most likely tokens. A token outside the logits counts as the first.
    pub fn new(logits: &[f32], token: u32, count: u8) -> Self {
        let top = f32z::from_order(logits.iter().map(|l| f32z::order(*l)).max().unwrap_or(0));
        let norm = norm(logits.iter().map(|l| weight(sub(top, *l))).sum());
        let logprob = |token: u32| {
            let logit = logits.get(token as usize).copied().unwrap_or(top);
            let distance = round_u32(mul(sub(top, logit), 1_000_000.0));
            Logprob {
                token,
                micro_nats: -(i64::from(distance) + norm),
            }
        };
        Self {
            drawn: logprob(token),
            top: best(logits, usize::from(count.min(LOGPROBS_MAX)))
                .into_iter()
                .map(logprob)
                .collect(),
        }
    }
}

/// The tokens with the highest logits, the lower id first among equals.
fn best(logits: &[f32], count: usize) -> Vec<u32> {
    let mut best: Vec<(i32, u32)> = Vec::with_capacity(count + 1);
    for (token, logit) in logits.iter().enumerate() {
        let order = f32z::order(*logit);
        let full = best.len() == count;
        if full && best.last().is_none_or(|(last, _)| order <= *last) {
            continue;
        }
        let at = best.partition_point(|(other, _)| *other >= order);
        best.insert(at, (order, token as u32));
        best.truncate(count);
    }
    best.into_iter().map(|(_, token)| token).collect()
}

/// 2^40 * e^-distance, rounded down.
#[inline(always)]
fn weight(distance: f32) -> u64 {
    const UNITS: f32 = f32::from_bits(0x5380_0000); // 2^40
    let t = mul(distance, LOG2_E);
    let far = f32z::order(t) >= f32z::order(41.0);
    let e = exp2n(if far { 41.0 } else { t });
    // The product is exact, and the conversion takes the whole part.
    (if far { 0.0 } else { mul(e, UNITS) }) as u64
}

/// The logarithm of a sum of weights that is at least one unit, in micro-nats.
fn norm(sum: u64) -> i64 {
    let sum = sum.max(1 << UNIT);
    let whole = sum.ilog2();
    let mut m = u128::from(sum) << (63 - whole); // Q63, in [1, 2)
    let mut log2 = u64::from(whole - UNIT);
    for _ in 0..32 {
        m = (m * m) >> 63;
        log2 <<= 1;
        if m >> 64 != 0 {
            m >>= 1;
            log2 |= 1;
        }
    }
    (u128::from(log2) * LN2_PICO / (1_000_000 << 32)) as i64
}
