//! Bias and penalties: what is done to single logits before a draw.
//!
//! Every change is a map over one logit with constants of the job, so the order in which tokens are visited does not matter.

use alloc::{borrow::Cow, vec::Vec};

use super::{
    Bias, LOGIT_BIAS_MAX, LOGIT_BIAS_MILLI_MAX, PENALTY_MILLI_MAX, Past,
    REPETITION_PENALTY_MILLI_MAX, REPETITION_PENALTY_MILLI_NEUTRAL, REPETITION_WINDOW_MAX,
    Sampling, SamplingError,
};
use crate::f32z::{add, cvt, div, mul, sub};

/// The constants of one job.
#[derive(Clone, Debug)]
pub(super) struct Adjust {
    bias: Vec<(u32, f32)>, // ascending by token
    repetition: Option<Repetition>,
    generated: Option<Generated>,
}

#[derive(Clone, Copy, Debug)]
struct Repetition {
    penalty: f32,
    relief: f32, // its reciprocal, so that no logit is divided
    window: usize,
}

#[derive(Clone, Copy, Debug)]
struct Generated {
    presence: f32,
    frequency: f32,
}

impl Adjust {
    /// Checks the parameters.
    pub(super) fn new(sampling: &Sampling, bias: &[Bias]) -> Result<Self, SamplingError> {
        let Sampling {
            repetition_penalty_milli: penalty,
            repetition_window: window,
            presence_penalty_milli: presence,
            frequency_penalty_milli: frequency,
            ..
        } = *sampling;
        if !(1..=REPETITION_PENALTY_MILLI_MAX).contains(&penalty) {
            return Err(SamplingError::RepetitionPenalty(penalty));
        }
        if window > REPETITION_WINDOW_MAX {
            return Err(SamplingError::RepetitionWindow(window));
        }
        if presence.unsigned_abs() > PENALTY_MILLI_MAX {
            return Err(SamplingError::PresencePenalty(presence));
        }
        if frequency.unsigned_abs() > PENALTY_MILLI_MAX {
            return Err(SamplingError::FrequencyPenalty(frequency));
        }
        let repetition = (penalty != REPETITION_PENALTY_MILLI_NEUTRAL).then(|| Repetition {
            penalty: thousandths(penalty as i32),
            relief: div(1_000.0, cvt(penalty as i32)),
            window: match window {
                0 => usize::MAX,
                window => window as usize,
            },
        });
        let generated = (presence != 0 || frequency != 0).then(|| Generated {
            presence: thousandths(presence),
            frequency: thousandths(frequency),
        });
        Ok(Self {
            bias: checked(bias)?,
            repetition,
            generated,
        })
    }

    /// Whether no logit is ever changed.
    pub(super) fn is_neutral(&self) -> bool {
        self.bias.is_empty() && self.repetition.is_none() && self.generated.is_none()
    }

    /// The logits as a draw after `past` sees them. Tokens outside the logits are passed over.
    pub(super) fn apply<'l>(&self, logits: &'l [f32], past: Past<'_>) -> Cow<'l, [f32]> {
        if self.is_neutral() {
            return Cow::Borrowed(logits);
        }
        let mut logits = logits.to_vec();
        let mut change = |token: u32, f: &dyn Fn(f32) -> f32| {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = f(*logit);
            }
        };
        for (token, bias) in &self.bias {
            change(*token, &|l| add(l, *bias));
        }
        if let Some(Repetition {
            penalty,
            relief,
            window,
        }) = self.repetition
        {
            let from = past.tokens.len().saturating_sub(window);
            for (token, _) in counted(&past.tokens[from..]) {
                change(token, &|l| mul(l, if l > 0.0 { relief } else { penalty }));
            }
        }
        if let Some(Generated {
            presence,
            frequency,
        }) = self.generated
        {
            let output = past.tokens.get(past.input..).unwrap_or_default();
            for (token, count) in counted(output) {
                let penalty = add(mul(cvt(count), frequency), presence);
                change(token, &|l| sub(l, penalty));
            }
        }
        Cow::Owned(logits)
    }
}

fn thousandths(milli: i32) -> f32 {
    div(cvt(milli), 1_000.0)
}

fn checked(bias: &[Bias]) -> Result<Vec<(u32, f32)>, SamplingError> {
    if bias.len() > LOGIT_BIAS_MAX {
        return Err(SamplingError::BiasCount(bias.len()));
    }
    let mut constants = Vec::with_capacity(bias.len());
    for Bias { token, milli } in bias.iter().copied() {
        if milli.unsigned_abs() > LOGIT_BIAS_MILLI_MAX {
            return Err(SamplingError::BiasSize { token, milli });
        }
        constants.push((token, thousandths(milli)));
    }
    constants.sort_unstable_by_key(|(token, _)| *token);
    match constants.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(SamplingError::BiasTwice(pair[0].0)),
        None => Ok(constants),
    }
}

/// Each token once, with how often it occurs.
fn counted(tokens: &[u32]) -> impl Iterator<Item = (u32, i32)> {
    let mut sorted = tokens.to_vec();
    sorted.sort_unstable();
    let mut at = 0;
    core::iter::from_fn(move || {
        let token = *sorted.get(at)?;
        let count = sorted[at..].partition_point(|t| *t == token);
        at += count;
        Some((token, count as i32))
    })
}
