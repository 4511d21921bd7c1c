//! A deliberately wrong answer, for demonstrations of how such an answer is caught.

use std::ops::ControlFlow;

use assay_engine::{run, sampler};
use assay_protocol::result::ResultBody;

use super::{Job, OnToken, Prepared, RunFault, TextModel, Token, VectorModel};

/// Which output token is swapped, if the answer is long enough.
const SWAPPED_TOKEN: usize = 5;

impl TextModel {
    /// Generates an answer in which one token is not the model's; everything after it honestly follows from it, and
    /// the trace is that of the tokens as they stand.
    pub(crate) fn generate_swapped(
        &self,
        job: &Job,
        on_token: OnToken<'_>,
    ) -> Result<ResultBody, RunFault> {
        let prepared = self.prepare(job)?;
        let (asked, options) = (prepared.request(&self.tokenizer), job.options());
        let run = |input: &[u32], max_tokens, on_token: &mut dyn FnMut(u32) -> ControlFlow<()>| {
            let request = run::Request {
                input,
                max_tokens,
                ..asked
            };
            run::generate(&self.model, &request, &options, &mut |_, id| on_token(id))
        };
        let silent = &mut |_| ControlFlow::Continue(());
        let few = asked.max_tokens.min(SWAPPED_TOKEN as u32 + 1);
        let honest = run(&prepared.input, few, silent)?.output;
        let kept = honest.len().saturating_sub(1);
        let mut output = honest[..kept].to_vec();
        output.push(self.another_token(&prepared, &output, honest.last().copied(), job)?);

        let mut detokenizer = self.detokenizer(&prepared);
        let mut tell = |id| {
            on_token(Token {
                id,
                text: detokenizer.push(id).into(),
            })
        };
        if output.iter().any(|id| tell(*id).is_break()) {
            return Err(RunFault::Cancelled);
        }
        let left = asked.max_tokens.saturating_sub(output.len() as u32);
        let as_input = [&prepared.input[..], &output].concat();
        let transcript = if left == 0 {
            // Nothing comes after the swapped token, so its own position is never computed.
            let transcript = run(&as_input[..as_input.len() - 1], 1, silent)?;
            run::Transcript {
                output,
                finish: run::Finish::Length,
                ..transcript
            }
        } else {
            let mut transcript = run(&as_input, left, &mut tell)?;
            output.append(&mut transcript.output);
            run::Transcript {
                output,
                ..transcript
            }
        };
        // What lies about tokens need not be right about their probabilities, but there must be as many.
        let mut logprobs = transcript.logprobs;
        if let Some(first) = logprobs.first().cloned() {
            let missing = transcript.output.len().saturating_sub(logprobs.len());
            logprobs.splice(0..0, vec![first; missing]);
        }
        let transcript = run::Transcript {
            stop: None,
            logprobs,
            ..transcript
        };
        let asked = job.parameters.logprobs;
        Ok(self.body(prepared.input, asked, transcript))
    }

    /// A plausible token that is not `honest`.
    fn another_token(
        &self,
        prepared: &Prepared,
        told: &[u32],
        honest: Option<u32>,
        job: &Job,
    ) -> Result<u32, RunFault> {
        let prefix = [&prepared.input[..], told].concat();
        for seed in 0..32 {
            let request = run::Request {
                input: &prefix,
                max_tokens: 1,
                sampling: sampler::Sampling {
                    temperature_milli: 1_500,
                    top_p_ppm: 950_000,
                    top_k: 40,
                    seed,
                    ..sampler::Sampling::GREEDY
                },
                ..run::Request::default()
            };
            let drawn = run::generate(&self.model, &request, &job.options(), &mut |_, _| {
                ControlFlow::Continue(())
            })?;
            if let Some(token) = drawn.output.first()
                && Some(*token) != honest
            {
                return Ok(*token);
            }
        }
        // The model is very sure; then any other token will do.
        let wanted = honest.map_or(1, |token| token ^ 1);
        Ok(wanted.min(self.manifest().shape.vocab as u32 - 1))
    }
}

impl VectorModel {
    /// Makes a vector of the text with one token swapped, and tells it as that of the text itself.
    pub(crate) fn embed_swapped(&self, job: &Job) -> Result<ResultBody, RunFault> {
        let input = self.input(job)?;
        let mut read = input.clone();
        let vocab = self.manifest().shape.vocab as u32;
        // What the tokenizer puts around a text stays.
        if let Some(token) = read.get_mut(1) {
            *token = if *token + 1 < vocab { *token + 1 } else { 0 };
        }
        self.body(job, &read, input)
    }
}
