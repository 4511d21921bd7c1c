//! Drawing the next token: greedy, or seeded with integer weights.
//!
//! A draw depends on the logits, the parameters and the tokens before it only, so any draw can be repeated alone. First the logits are
//! adjusted, each for itself, by constants that one division per job makes (all F32Z):
//!
//! ```text
//! bias      b[i] = div(cvt(bias_milli[i]), 1000)                                   l = add(l, b[i]) for the tokens listed
//! repeated  p = div(cvt(repetition_penalty_milli), 1000)   r = div(1000, cvt(repetition_penalty_milli))
//!           l = mul(l, r) where l > 0, mul(l, p) elsewhere: once for each token among the last `repetition_window`
//!           of input and output together (0 looks at all of them)
//! generated f = div(cvt(frequency_penalty_milli), 1000)    g = div(cvt(presence_penalty_milli), 1000)
//!           l = sub(l, add(mul(cvt(count), f), g)) for each token that the output holds `count` times, count > 0
//! ```
//!
//! A step whose parameter is neutral (no entry, 1000, both 0) is left out. Then tokens outside the mask, if a constraint gives one, are
//! dropped: they take part in nothing that follows. With temperature T > 0:
//!
//! ```text
//! factor  = mul(div(1000, cvt(temperature_milli)), log2e)                          F32Z
//! u[i]    = rne(mul(min(mul(sub(max logit, logit[i]), factor), 31), 65536))        integer, Q16
//! w[i]    = nearest integer (ties to even) of exp2n(u[i] / 65536) * 2^30
//! order     by (u[i], i); top-k keeps the first k (0 keeps all)
//! top-p     keeps the shortest prefix, at least one, with  sum(w) * 1_000_000 >= top_p_ppm * sum of all w that top-k kept
//! min-p     keeps those with  w * 1_000_000 >= min_p_ppm * 2^30; the first has w = 2^30 and stays
//! r       = first 8 bytes, little-endian, of BLAKE3("cis1-rng" | u64 seed | u64 position)
//! draw      the first whose running sum of w exceeds (r * sum of kept w) >> 64
//! ```
//!
//! `position` is the index of the drawn token in the whole sequence, input included. Temperature 0 means greedy: the highest adjusted
//! logit, the lowest id among equals.

use alloc::vec::Vec;

use crate::f32z::{self, LOG2_E, cvt, div, exp2n, mul, rne, sub};

mod adjust;
pub mod constraint;
pub(crate) mod known;
mod logprobs;
mod mask;
mod pieces;
#[cfg(test)]
mod properties;

use self::adjust::Adjust;
pub use self::{
    logprobs::{LOGPROBS_MAX, Logprob, Logprobs},
    mask::Mask,
    pieces::{PIECE_BYTES_MAX, Pieces, PiecesError},
};

/// Highest temperature, in thousandths.
pub const TEMPERATURE_MILLI_MAX: u32 = 100_000;
/// `top_p_ppm` that keeps everything.
pub const TOP_P_PPM_MAX: u32 = 1_000_000;
/// `min_p_ppm` that keeps only tokens as likely as the first.
pub const MIN_P_PPM_MAX: u32 = 1_000_000;
/// `repetition_penalty_milli` that changes nothing.
pub const REPETITION_PENALTY_MILLI_NEUTRAL: u32 = 1_000;
/// Highest repetition penalty, in thousandths; the lowest is 1.
pub const REPETITION_PENALTY_MILLI_MAX: u32 = 100_000;
/// `repetition_window` that looks at the whole sequence.
pub const REPETITION_WINDOW_ALL: u32 = 0;
/// Longest repetition window, in tokens.
pub const REPETITION_WINDOW_MAX: u32 = 1 << 20;
/// Greatest presence or frequency penalty of either sign, in thousandths.
pub const PENALTY_MILLI_MAX: u32 = 2_000;
/// Most tokens with a bias.
pub const LOGIT_BIAS_MAX: usize = 300;
/// Greatest bias of either sign, in thousandths.
pub const LOGIT_BIAS_MILLI_MAX: u32 = 100_000;

/// How tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Temperature in thousandths; 0 is greedy and makes `top_p_ppm`, `top_k`, `min_p_ppm` and `seed` moot.
    pub temperature_milli: u32,
    /// Share of the weight that nucleus sampling keeps, in millionths; 1,000,000 keeps all.
    pub top_p_ppm: u32,
    /// How many of the best tokens are kept; 0 keeps all.
    pub top_k: u32,
    /// Least weight that is kept, in millionths of the best token's; 0 keeps all.
    pub min_p_ppm: u32,
    /// What logits of tokens seen before are divided by (positive ones) or multiplied by (others), in thousandths; 1,000 changes nothing.
    pub repetition_penalty_milli: u32,
    /// How many of the latest tokens, input included, count as seen before; 0 counts all.
    pub repetition_window: u32,
    /// What is taken from the logit of every generated token, in thousandths.
    pub presence_penalty_milli: i32,
    /// What is taken from the logit of a generated token for each time that it was, in thousandths.
    pub frequency_penalty_milli: i32,
    /// Makes the draws differ between jobs.
    pub seed: u64,
}

impl Sampling {
    /// Always the most likely token.
    pub const GREEDY: Self = Self {
        temperature_milli: 0,
        top_p_ppm: TOP_P_PPM_MAX,
        top_k: 0,
        min_p_ppm: 0,
        repetition_penalty_milli: REPETITION_PENALTY_MILLI_NEUTRAL,
        repetition_window: REPETITION_WINDOW_ALL,
        presence_penalty_milli: 0,
        frequency_penalty_milli: 0,
        seed: 0,
    };
}

/// What is added to the logit of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bias {
    /// The token.
    pub token: u32,
    /// The bias in thousandths.
    pub milli: i32,
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
    /// More than the best token has.
    #[error("min_p of {0} millionths is above {MIN_P_PPM_MAX}; ask for 0 to keep all tokens")]
    MinP(u32),
    /// Zero, or too strong.
    #[error(
        "repetition penalty of {0} thousandths is not between 1 and {REPETITION_PENALTY_MILLI_MAX}; ask for {REPETITION_PENALTY_MILLI_NEUTRAL} to have none"
    )]
    RepetitionPenalty(u32),
    /// Longer than any sequence.
    #[error(
        "repetition window of {0} tokens is above {REPETITION_WINDOW_MAX}; ask for 0 to look at all tokens"
    )]
    RepetitionWindow(u32),
    /// Too strong.
    #[error(
        "presence penalty of {0} thousandths is beyond {PENALTY_MILLI_MAX}; ask for 0 to have none"
    )]
    PresencePenalty(i32),
    /// Too strong.
    #[error(
        "frequency penalty of {0} thousandths is beyond {PENALTY_MILLI_MAX}; ask for 0 to have none"
    )]
    FrequencyPenalty(i32),
    /// Too many tokens with a bias.
    #[error("logit bias for {0} tokens, more than the limit of {LOGIT_BIAS_MAX}; name fewer")]
    BiasCount(usize),
    /// Too strong.
    #[error(
        "logit bias of {milli} thousandths for token {token} is beyond {LOGIT_BIAS_MILLI_MAX}; ask for less"
    )]
    BiasSize {
        /// The token.
        token: u32,
        /// Its bias.
        milli: i32,
    },
    /// Two biases for one token.
    #[error("token {0} has two logit biases; give one")]
    BiasTwice(u32),
}

/// The tokens that a draw may look back at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Past<'a> {
    /// Input and output so far.
    pub tokens: &'a [u32],
    /// How many of them are input.
    pub input: usize,
}

/// Anything that draws from the logits of one position; positions may be drawn in any order and at the same time.
pub trait Draw: Sync {
    /// What comes of a draw.
    type Drawn: Clone + Default + Send;

    /// Draws for `position` of the sequence.
    fn draw(&self, logits: &[f32], position: u64) -> Self::Drawn;

    /// Where every draw takes the token with the highest logit, the lowest id among equals, and needs nothing else of the logits: what
    /// comes of drawing that token.
    fn of_best(&self) -> Option<fn(u32) -> Self::Drawn> {
        None
    }
}

impl Draw for Sampler {
    type Drawn = u32;

    fn draw(&self, logits: &[f32], position: u64) -> u32 {
        Self::draw(self, logits, position)
    }

    fn of_best(&self) -> Option<fn(u32) -> u32> {
        self.takes_best().then_some(|token| token)
    }
}

/// Draws tokens by checked parameters.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    factor: f32, // thousandths and base two folded together; 0 when greedy
    adjust: Adjust,
}

impl Sampler {
    /// Checks the parameters.
    pub fn new(sampling: Sampling) -> Result<Self, SamplingError> {
        Self::with_bias(sampling, &[])
    }

    /// Checks the parameters and the biases of single tokens.
    pub fn with_bias(sampling: Sampling, bias: &[Bias]) -> Result<Self, SamplingError> {
        if sampling.temperature_milli > TEMPERATURE_MILLI_MAX {
            return Err(SamplingError::Temperature(sampling.temperature_milli));
        }
        if sampling.top_p_ppm > TOP_P_PPM_MAX {
            return Err(SamplingError::TopP(sampling.top_p_ppm));
        }
        if sampling.min_p_ppm > MIN_P_PPM_MAX {
            return Err(SamplingError::MinP(sampling.min_p_ppm));
        }
        let factor = match sampling.temperature_milli {
            0 => 0.0,
            milli => mul(div(1_000.0, cvt(milli as i32)), LOG2_E),
        };
        Ok(Self {
            sampling,
            factor,
            adjust: Adjust::new(&sampling, bias)?,
        })
    }

    /// The token for `position` of a sequence whose other tokens do not matter: repetition, presence and frequency are not looked at.
    pub fn draw(&self, logits: &[f32], position: u64) -> u32 {
        let logits = self.adjust.apply(logits, Past::default());
        self.choose(&logits, None, position)
            .expect("BUG: without a mask there is a token to draw")
    }

    /// The token that follows `past`; none when the mask leaves nothing to draw.
    pub fn draw_after(&self, logits: &[f32], past: Past<'_>, mask: Option<&Mask>) -> Option<u32> {
        let logits = self.adjust.apply(logits, past);
        self.choose(&logits, mask, past.tokens.len() as u64)
    }

    /// Whether draws without a mask take the highest logit as the model gives it, the lowest id among equals.
    pub(crate) fn takes_best(&self) -> bool {
        self.sampling.temperature_milli == 0 && self.adjust.is_neutral()
    }

    /// Draws from adjusted logits.
    fn choose(&self, logits: &[f32], mask: Option<&Mask>, position: u64) -> Option<u32> {
        if self.sampling.temperature_milli == 0 {
            return best(logits, mask);
        }
        let mut candidates = self.candidates(logits, mask)?;
        let total = self.kept(&mut candidates);
        let target =
            ((u128::from(random(self.sampling.seed, position)) * u128::from(total)) >> 64) as u64;
        let mut sum = 0;
        for at in 0.. {
            let (token, weight) = candidates.get(at)?;
            sum += u64::from(weight);
            if sum > target {
                return Some(token);
            }
        }
        None
    }

    /// What mask and top-k leave. Tokens of weight zero can never be drawn and are left out.
    fn candidates(&self, logits: &[f32], mask: Option<&Mask>) -> Option<Candidates> {
        let top = logits[best(logits, mask)? as usize];
        let distance = |logit: f32| {
            let t = mul(sub(top, logit), self.factor);
            rne(mul(
                if f32z::order(t) > f32z::order(31.0) {
                    31.0
                } else {
                    t
                },
                65_536.0,
            ))
        };
        // All at once first, and without branches.
        let distances: Vec<i32> = logits.iter().map(|logit| distance(*logit)).collect();
        let near = |(token, u): (usize, &i32)| {
            // 2^-31 * 2^30 rounds to zero.
            (*u < 31 << 16).then_some((*u as u64) << 32 | token as u64)
        };
        let tokens = distances.iter().enumerate();
        let mut keys: Vec<u64> = match mask {
            None => tokens.filter_map(near).collect(),
            Some(mask) => tokens
                .filter(|(token, _)| mask.allows(*token as u32))
                .filter_map(near)
                .collect(),
        };
        if (1..keys.len()).contains(&(self.sampling.top_k as usize)) {
            keys.select_nth_unstable(self.sampling.top_k as usize - 1);
            keys.truncate(self.sampling.top_k as usize);
        }
        Some(Candidates { keys, sorted: 0 })
    }

    /// The weight of what top-p and min-p keep: the candidates up to where it is reached.
    fn kept(&self, candidates: &mut Candidates) -> u64 {
        let total = candidates.total();
        if self.sampling.top_p_ppm == TOP_P_PPM_MAX && self.sampling.min_p_ppm == 0 {
            return total;
        }
        let wanted = u128::from(self.sampling.top_p_ppm) * u128::from(total);
        let least = u64::from(self.sampling.min_p_ppm) << 30;
        let mut sum = 0u64;
        for at in 0.. {
            // Weights fall along the order, so what min-p keeps is a prefix too.
            match candidates.get(at) {
                Some((_, w)) if u64::from(w) * u64::from(MIN_P_PPM_MAX) >= least => {
                    sum += u64::from(w);
                }
                _ => break,
            }
            if u128::from(sum) * u128::from(TOP_P_PPM_MAX) >= wanted {
                break;
            }
        }
        sum
    }
}

/// Tokens by distance and id, sorted as far as they are looked at: most draws end among the first.
struct Candidates {
    keys: Vec<u64>,
    sorted: usize,
}

impl Candidates {
    fn total(&self) -> u64 {
        let (groups, rest) = self.keys.as_chunks::<8>();
        let mut sums = [0u64; 8];
        for group in groups {
            let weights = group.map(|key| weight((key >> 32) as i32));
            for (sum, w) in sums.iter_mut().zip(weights) {
                *sum += u64::from(w);
            }
        }
        let rest = rest.iter().map(|key| u64::from(weight((key >> 32) as i32)));
        sums.into_iter().chain(rest).sum()
    }

    /// The token at a place in the order, and its weight.
    fn get(&mut self, at: usize) -> Option<(u32, u32)> {
        if at >= self.sorted {
            let end = (64 + 4 * self.sorted).min(self.keys.len());
            let rest = &mut self.keys[self.sorted..];
            let take = end - self.sorted;
            if (1..rest.len()).contains(&take) {
                rest.select_nth_unstable(take - 1);
            }
            rest[..take].sort_unstable();
            self.sorted = end;
        }
        let key = self.keys.get(at)?;
        Some((*key as u32, weight((key >> 32) as i32)))
    }
}

/// The allowed token with the highest logit, the lowest id among equals.
fn best(logits: &[f32], mask: Option<&Mask>) -> Option<u32> {
    let allowed = |token: usize| mask.is_none_or(|mask| mask.allows(token as u32));
    let top = logits
        .iter()
        .enumerate()
        .filter(|(token, _)| allowed(*token))
        .map(|(_, l)| f32z::order(*l))
        .max()?;
    let first = logits
        .iter()
        .enumerate()
        .position(|(token, l)| f32z::order(*l) == top && allowed(token));
    first.map(|token| token as u32)
}

/// 2^30 * 2^(-u / 65536), to the nearest integer, ties to even. Without branches, so that many are made at once.
#[inline(always)]
fn weight(u: i32) -> u32 {
    const PER_STEP: f32 = f32::from_bits(0x3780_0000); // 2^-16
    const ONE: f32 = f32::from_bits(0x4e80_0000); // 2^30
    const FINE: f32 = f32::from_bits(0x4b00_0000); // 2^23: from here on every number is an integer
    let w = mul(exp2n(mul(cvt(u), PER_STEP)), ONE);
    let rounded = (w + FINE) - FINE; // the sum is rounded to an integer
    (if w < FINE { rounded } else { w }) as u32
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
