//! How fast a model runs, by a clock that the caller brings: the engine has none.
//!
//! What is measured is the work of a worker: prefill, decode, a whole generation, its check by prefill, and the hashing of the trace.
//! Nothing here can change a result; a check that does not confirm its generation is a bug and ends the measurement.

use alloc::{vec, vec::Vec};
use core::ops::ControlFlow;

#[cfg(feature = "std")]
use crate::forward::batch::{Batch, BatchError, Work};
use crate::{
    forward::{Options, Session, SessionError},
    model::{Model, Rope, Shape},
    run::{self, Checked, Request, RunError},
    sampler::Sampling,
    trace::{self, KvRows},
};

/// Seconds since any fixed moment.
pub type Clock<'a> = &'a mut dyn FnMut() -> f64;

/// Speed of a prompt and of the tokens after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Prompt tokens per second.
    pub prefill: f64,
    /// Seconds from the prompt to the logits of the first token.
    pub first_token_seconds: f64,
    /// Tokens per second, one after another, behind the prompt.
    pub decode: f64,
}

/// Cost of a check beside the generation that it confirms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Check {
    /// Tokens that were generated.
    pub output: usize,
    /// Seconds of the generation.
    pub generate_seconds: f64,
    /// Seconds of the check.
    pub check_seconds: f64,
}

/// A random model with the shape of SmolLM2-135M, of 30 layers or fewer: no work depends on values, so it measures like the real one.
pub fn stand_in(layers: usize) -> Model {
    let shape = Shape {
        layers,
        dim: 576,
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
        ff: 1_536,
        vocab: 49_152,
        context_max: 4_096,
        norm_eps_bits: 0x3727_c5ac,
    };
    Model::random(shape, Rope::Interleaved, true, 1)
}

/// The prompt of every measurement: any tokens do, since no work depends on which they are.
pub fn prompt(model: &Model, tokens: usize) -> Vec<u32> {
    let vocab = model.shape.vocab as u32;
    (0..tokens as u32)
        .map(|i| (500 + i * 7 % 1_000) % vocab)
        .collect()
}

/// Runs a prompt of `prompt_tokens` and then `output` tokens one by one.
pub fn speed(
    model: &Model,
    prompt_tokens: usize,
    output: usize,
    options: &Options,
    clock: Clock<'_>,
) -> Result<Speed, SessionError> {
    let input = prompt(model, prompt_tokens);
    let mut session = Session::new(model, prompt_tokens + output, options)?;
    let begin = clock();
    session.prefill(&input)?;
    let first_token_seconds = clock() - begin;
    let begin = clock();
    for token in prompt(model, output) {
        session.decode(token)?;
    }
    Ok(Speed {
        prefill: prompt_tokens as f64 / first_token_seconds,
        first_token_seconds,
        decode: output as f64 / (clock() - begin),
    })
}

/// Runs `output` tokens of each of several sequences, one of each in every pass; tokens per second of all together.
#[cfg(feature = "std")]
pub fn together(
    model: &Model,
    sequences: usize,
    output: usize,
    options: &Options,
    clock: Clock<'_>,
) -> Result<f64, BatchError> {
    let mut batch = Batch::new(model, options, 0)?;
    let firsts = prompt(model, sequences);
    let ids = firsts
        .iter()
        .map(|_| Ok(batch.open(output + 1, &[])?.0))
        .collect::<Result<Vec<_>, BatchError>>()?;
    let pass = |batch: &mut Batch<'_>| {
        let work: Vec<_> = ids
            .iter()
            .zip(firsts.chunks(1))
            .map(|(sequence, tokens)| Work {
                sequence: *sequence,
                tokens,
            })
            .collect();
        batch.run(&work)
    };
    pass(&mut batch)?;
    let begin = clock();
    for _ in 0..output {
        pass(&mut batch)?;
    }
    Ok((sequences * output) as f64 / (clock() - begin))
}

/// Generates `output` tokens after a short prompt and checks them.
///
/// # Panics
/// When the check does not confirm the generation.
pub fn check(
    model: &Model,
    output: u32,
    options: &Options,
    clock: Clock<'_>,
) -> Result<Check, RunError> {
    let input = prompt(model, 16);
    let request = Request {
        input: &input,
        max_tokens: output,
        sampling: Sampling::GREEDY,
        ..Request::default()
    };
    let begin = clock();
    let transcript = run::generate(model, &request, options, &mut |_, _| {
        ControlFlow::Continue(())
    })?;
    let generate_seconds = clock() - begin;
    let begin = clock();
    let checked = run::check(
        model,
        &request,
        &transcript.output,
        transcript.finish,
        options,
    )?;
    let check_seconds = clock() - begin;
    let output = transcript.output.len();
    assert_eq!(
        checked,
        Checked::Match(transcript),
        "BUG: a true transcript was not confirmed"
    );
    Ok(Check {
        output,
        generate_seconds,
        check_seconds,
    })
}

/// Seconds per token that one thread hashes for the trace, over `tokens` tokens.
pub fn hashing_seconds(model: &Model, tokens: usize, clock: Clock<'_>) -> f64 {
    let shape = &model.shape;
    let width = shape.kv_heads * shape.head_dim;
    let (residual, row, scales) = (
        vec![1.0; shape.dim],
        vec![1; width],
        vec![1.0; shape.kv_heads],
    );
    let rows = KvRows {
        keys: &row,
        key_scales: &scales,
        values: &row,
        value_scales: &scales,
    };
    let (mut trace, mut scratch) = (trace::Trace::default(), Vec::new());
    let begin = clock();
    for position in 0..tokens as u32 {
        let mut leaves = vec![trace::token_leaf(position, 1)];
        leaves.extend(
            (0..shape.layers as u32)
                .map(|layer| trace::layer_leaf(position, layer, &residual, &rows, &mut scratch)),
        );
        trace.push(&leaves);
    }
    (clock() - begin) / tokens as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_by_the_callers_clock() {
        let model = Model::tiny(1);
        let mut now = 0.0;
        let mut clock = || {
            now += 0.5;
            now
        };
        let found = speed(&model, 20, 4, &Options::default(), &mut clock).unwrap();
        let expected = Speed {
            prefill: 40.0,
            first_token_seconds: 0.5,
            decode: 8.0,
        };
        assert_eq!(found, expected);
        let found = together(&model, 3, 4, &Options::default(), &mut clock);
        assert_eq!(found, Ok(24.0));
        assert_eq!(hashing_seconds(&model, 5, &mut clock), 0.1);
        let check = check(&model, 6, &Options::default(), &mut clock).unwrap();
        assert_eq!((check.generate_seconds, check.check_seconds), (0.5, 0.5));
        assert!(check.output <= 6);
    }
}
