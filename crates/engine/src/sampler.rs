//! Drawing the next token: greedy, or seeded with integer weights.
//!
//! A draw depends on the logits, the parameters and the position only, so any draw can be repeated alone. With temperature T > 0:
//!
//! ```text
//! factor  = mul(div(1000, cvt(temperature_milli)), log2e)                          F32Z
//! u[i]    = rne(mul(min(mul(sub(max logit, logit[i]), factor), 31), 65536))        integer, Q16
//! w[i]    = nearest integer (ties to even) of exp2n(u[i] / 65536) * 2^30
//! order     by (u[i], i); top-k keeps the first k (0 keeps all)
//! top-p     keeps the shortest prefix, at least one, with  sum(w) * 1_000_000 >= top_p_ppm * sum of all w that top-k kept
//! r       = first 8 bytes, little-endian, of BLAKE3("cis1-rng" | u64 seed | u64 position)
//! draw      the first whose running sum of w exceeds (r * sum of kept w) >> 64
//! ```
//!
//! `position` is the index of the drawn token in the whole sequence, input included. Temperature 0 means greedy: the highest logit, the
//! lowest id among equals.

use alloc::vec::Vec;

use crate::{
    f32z::{self, LOG2_E, cvt, div, exp2n, mul, rne, round_u32, sub},
    ops,
};

/// Highest temperature, in thousandths.
pub const TEMPERATURE_MILLI_MAX: u32 = 100_000;
/// `top_p_ppm` that keeps everything.
pub const TOP_P_PPM_MAX: u32 = 1_000_000;

/// How tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Temperature in thousandths; 0 is greedy and makes the other fields moot.
    pub temperature_milli: u32,
    /// Share of the weight that nucleus sampling keeps, in millionths; 1,000,000 keeps all.
    pub top_p_ppm: u32,
    /// How many of the best tokens are kept; 0 keeps all.
    pub top_k: u32,
    /// Makes the draws differ between jobs.
    pub seed: u64,
}

impl Sampling {
    /// Always the most likely token.
    pub const GREEDY: Self = Self {
        temperature_milli: 0,
        top_p_ppm: TOP_P_PPM_MAX,
        top_k: 0,
        seed: 0,
    };
}

/// Parameters out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SamplingError {
    /// Too hot.
    #[error("temperature of {0} thousandths is above {TEMPERATURE_MILLI_MAX}; ask for less")]
    Temperature(u32),
    /// More than everything.
    #[error(
        "top_p of {0} millionths is above {TOP_P_PPM_MAX}; ask for {TOP_P_PPM_MAX} to keep all tokens"
    )]
    TopP(u32),
}

/// Draws tokens by checked parameters.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    sampling: Sampling,
    factor: f32, // thousandths and base two folded together; 0 when greedy
}

impl Sampler {
    /// Checks the parameters.
    pub fn new(sampling: Sampling) -> Result<Self, SamplingError> {
        if sampling.temperature_milli > TEMPERATURE_MILLI_MAX {
            return Err(SamplingError::Temperature(sampling.temperature_milli));
        }
        if sampling.top_p_ppm > TOP_P_PPM_MAX {
            return Err(SamplingError::TopP(sampling.top_p_ppm));
        }
        let factor = match sampling.temperature_milli {
            0 => 0.0,
            milli => mul(div(1_000.0, cvt(milli as i32)), LOG2_E),
        };
        Ok(Self { sampling, factor })
    }

    /// The token for `position` of the sequence.
    pub fn draw(&self, logits: &[f32], position: u64) -> u32 {
        if self.sampling.temperature_milli == 0 {
            return ops::greedy(logits);
        }
        let kept = self.candidates(logits);
        let total: u64 = kept.iter().map(|c| u64::from(c.weight)).sum();
        let target =
            ((u128::from(random(self.sampling.seed, position)) * u128::from(total)) >> 64) as u64;
        let mut sum = 0;
        for candidate in &kept {
            sum += u64::from(candidate.weight);
            if sum > target {
                return candidate.token;
            }
        }
        unreachable!("BUG: the target is below the total weight")
    }

    /// What top-k and top-p leave, best first. Tokens of weight zero can never be drawn and are left out.
    fn candidates(&self, logits: &[f32]) -> Vec<Candidate> {
        let top = f32z::from_order(logits.iter().map(|l| f32z::order(*l)).max().unwrap_or(0));
        let distances: Vec<i32> = logits
            .iter()
            .map(|l| {
                let t = mul(sub(top, *l), self.factor);
                rne(mul(
                    if f32z::order(t) > f32z::order(31.0) {
                        31.0
                    } else {
                        t
                    },
                    65_536.0,
                ))
            })
            .collect();
        let mut order: Vec<u64> = distances
            .iter()
            .enumerate()
            .filter(|(_, u)| **u < 31 << 16) // 2^-31 * 2^30 rounds to zero
            .map(|(token, u)| (*u as u64) << 32 | token as u64)
            .collect();
        let k = match self.sampling.top_k {
            0 => order.len(),
            k => order.len().min(k as usize),
        };
        if k < order.len() {
            order.select_nth_unstable(k - 1);
            order.truncate(k);
        }
        order.sort_unstable();
        let mut kept: Vec<Candidate> = order
            .into_iter()
            .map(|key| Candidate {
                token: key as u32,
                weight: weight((key >> 32) as i32),
            })
            .collect();
        let total: u64 = kept.iter().map(|c| u64::from(c.weight)).sum();
        let wanted = u128::from(self.sampling.top_p_ppm) * u128::from(total);
        let mut sum = 0u64;
        let reached = kept.iter().position(|c| {
            sum += u64::from(c.weight);
            u128::from(sum) * u128::from(TOP_P_PPM_MAX) >= wanted
        });
        kept.truncate(reached.map_or(kept.len(), |last| last + 1));
        kept
    }
}

struct Candidate {
    token: u32,
    weight: u32,
}

/// 2^30 * 2^(-u / 65536), to the nearest integer.
fn weight(u: i32) -> u32 {
    const PER_STEP: f32 = f32::from_bits(0x3780_0000); // 2^-16
    const ONE: f32 = f32::from_bits(0x4e80_0000); // 2^30
    round_u32(mul(exp2n(mul(cvt(u), PER_STEP)), ONE))
}

/// The random number of one position.
fn random(seed: u64, position: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(b"cis1-rng")
        .update(&seed.to_le_bytes())
        .update(&position.to_le_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests;
