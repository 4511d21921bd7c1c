use alloc::{string::ToString, vec};

use super::*;
use crate::{forward::Kernels, model::tiny::Mix};

const WARM: Sampling = Sampling {
    temperature_milli: 900,
    top_p_ppm: 980_000,
    top_k: 50,
    seed: 77,
    ..Sampling::GREEDY
};

fn request(input: &[u32], max_tokens: u32, sampling: Sampling) -> Request<'_> {
    Request {
        input,
        max_tokens,
        sampling,
        ..Request::default()
    }
}

fn run(model: &Model, request: &Request<'_>, options: &Options) -> Transcript {
    let mut heard = Vec::new();
    let transcript = generate(model, request, options, &mut |index, token| {
        assert_eq!(index as usize, heard.len());
        heard.push(token);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(transcript.output, heard);
    transcript
}

/// A model that ends where the generation of `request` draws its token number `at`, if that token is new there.
fn ending_at(mut model: Model, request: &Request<'_>, at: usize) -> Model {
    model.end_tokens = vec![];
    let output = run(&model, request, &Options::default()).output;
    assert!(
        !output[..at].contains(&output[at]),
        "the seed of this test must be changed"
    );
    model.end_tokens = vec![output[at]];
    model
}

#[test]
fn a_true_transcript_is_confirmed_however_it_is_checked() {
    let input = [5, 6, 7, 8];
    for sampling in [Sampling::GREEDY, WARM] {
        let request = request(&input, 40, sampling);
        let stops = ending_at(Model::tiny(1), &request, 9);
        let mut goes_on = Model::tiny(1);
        goes_on.end_tokens = vec![];
        for (model, finish) in [(stops, Finish::Stop), (goes_on, Finish::Length)] {
            let transcript = run(&model, &request, &Options::default());
            assert_eq!(transcript.finish, finish);
            assert_eq!(
                transcript.output.len(),
                if finish == Finish::Stop { 9 } else { 40 }
            );
            for kernels in Kernels::available() {
                for prefill_chunk in [1, 4, 64] {
                    let options = Options {
                        threads: 2,
                        prefill_chunk,
                        kernels,
                    };
                    assert_eq!(run(&model, &request, &options), transcript);
                    let checked =
                        check(&model, &request, &transcript.output, finish, &options).unwrap();
                    assert_eq!(checked, Checked::Match(transcript.clone()));
                    // Fed in pieces of changing size, as a stream does.
                    let mut checker = Checker::new(&model, &request, &options).unwrap();
                    let mut rest = &transcript.output[..];
                    for size in (1..).map(|i| i % 5) {
                        let (piece, later) = rest.split_at(size.min(rest.len()));
                        assert!(checker.push(piece).unwrap());
                        rest = later;
                        if rest.is_empty() {
                            break;
                        }
                    }
                    let checked = checker.finish(finish).unwrap();
                    assert_eq!(checked, Checked::Match(transcript.clone()));
                }
            }
        }
    }
}

#[test]
fn a_long_job_has_one_root_for_generator_and_checker() {
    let mut model = Model::tiny(2);
    model.end_tokens = vec![];
    let mut mix = Mix::new(1);
    let input: Vec<u32> = (0..700).map(|_| mix.below(307) as u32).collect();
    let request = request(&input, 100, WARM);
    let transcript = run(
        &model,
        &request,
        &Options {
            threads: 1,
            prefill_chunk: 512,
            kernels: Kernels::Auto,
        },
    );
    assert_eq!(
        transcript,
        run(
            &model,
            &request,
            &Options {
                threads: 2,
                prefill_chunk: 33,
                kernels: Kernels::Auto
            }
        )
    );
    for (threads, prefill_chunk) in [(1, 1_024), (2, 1_024), (1, 17), (2, 17)] {
        let options = Options {
            threads,
            prefill_chunk,
            kernels: Kernels::Auto,
        };
        let checked = check(
            &model,
            &request,
            &transcript.output,
            Finish::Length,
            &options,
        )
        .unwrap();
        assert_eq!(
            checked,
            Checked::Match(transcript.clone()),
            "{threads} threads, chunks of {prefill_chunk}"
        );
    }
}

/// What a check of a changed claim says: position, expected token and positions under the root.
struct Lies {
    model: Model,
    input: Vec<u32>,
    truth: Transcript,
}

impl Lies {
    fn new(at: Option<usize>) -> Self {
        let input = vec![9, 8, 7];
        let ask = request(&input, 12, Sampling::GREEDY);
        let mut model = Model::tiny(3);
        model.end_tokens = vec![];
        if let Some(at) = at {
            model = ending_at(model, &ask, at);
        }
        let truth = run(&model, &ask, &Options::default());
        Self {
            model,
            input,
            truth,
        }
    }

    fn check(&self, claimed: &[u32], finish: Finish) -> (u32, Option<u32>) {
        let ask = request(&self.input, 12, Sampling::GREEDY);
        let mut found = Vec::new();
        for (prefill_chunk, threads) in [(1, 1), (5, 2), (64, 1)] {
            let options = Options {
                threads,
                prefill_chunk,
                kernels: Kernels::Auto,
            };
            found.push(check(&self.model, &ask, claimed, finish, &options).unwrap());
            let mut checker = Checker::new(&self.model, &ask, &options).unwrap();
            for piece in claimed.chunks(2) {
                checker.push(piece).unwrap();
            }
            found.push(checker.finish(finish).unwrap());
        }
        assert!(found.iter().all(|f| *f == found[0]), "{found:?}");
        let Checked::Mismatch {
            position,
            expected,
            trace_root,
        } = found[0].clone()
        else {
            panic!("{found:?}")
        };
        // The root is that of the true states before the difference.
        let mut session = Session::new(&self.model, 64, &Options::default()).unwrap();
        session
            .prefill(
                &[
                    &self.input[..],
                    &self.truth.output[..(position as usize).min(11)],
                ]
                .concat(),
            )
            .unwrap();
        assert_eq!(trace_root, session.trace().root(session.positions()));
        (position, expected)
    }
}

#[test]
fn a_wrong_token_is_named_with_the_right_one() {
    let lies = Lies::new(None);
    for at in [0, 1, 5, 10, 11] {
        for wrong in [lies.truth.output[at] ^ 1, 307, u32::MAX] {
            let mut claimed = lies.truth.output.clone();
            claimed[at] = wrong;
            assert_eq!(
                lies.check(&claimed, Finish::Length),
                (at as u32, Some(lies.truth.output[at]))
            );
        }
    }
}

#[test]
fn a_wrong_length_or_finish_is_a_mismatch_where_the_claim_leaves_the_truth() {
    let lies = Lies::new(None);
    let output = &lies.truth.output;
    assert_eq!(lies.check(&output[..0], Finish::Stop), (0, Some(output[0])));
    assert_eq!(lies.check(&output[..7], Finish::Stop), (7, Some(output[7])));
    assert_eq!(
        lies.check(&output[..7], Finish::Length),
        (7, Some(output[7]))
    );
    assert_eq!(lies.check(output, Finish::Stop), (12, None));
    for extra in [1, 30] {
        let longer = [&output[..], &vec![output[0]; extra]].concat();
        assert_eq!(lies.check(&longer, Finish::Length), (12, None));
    }

    let lies = Lies::new(Some(6));
    let (output, end) = (&lies.truth.output, lies.model.end_tokens[0]);
    assert_eq!((lies.truth.finish, output.len()), (Finish::Stop, 6));
    assert_eq!(lies.check(output, Finish::Length), (6, None));
    assert_eq!(lies.check(&output[..5], Finish::Stop), (5, Some(output[5])));
    for extra in [end, output[0], 9_999] {
        assert_eq!(
            lies.check(&[&output[..], &[extra]].concat(), Finish::Stop),
            (6, None)
        );
    }
}

#[test]
fn an_answer_may_be_empty() {
    let input = [1, 2];
    let ask = request(&input, 3, Sampling::GREEDY);
    let model = ending_at(Model::tiny(4), &ask, 0);
    let transcript = run(&model, &ask, &Options::default());
    assert_eq!(
        (transcript.output.len(), transcript.finish),
        (0, Finish::Stop)
    );
    assert_eq!(
        check(&model, &ask, &[], Finish::Stop, &Options::default()),
        Ok(Checked::Match(transcript))
    );
}

#[test]
fn one_token_runs_no_decode_step() {
    let input = [1, 2];
    let ask = request(&input, 1, Sampling::GREEDY);
    let mut model = Model::tiny(5);
    model.end_tokens = vec![];
    let transcript = run(&model, &ask, &Options::default());
    let mut session = Session::new(&model, 2, &Options::default()).unwrap();
    session.prefill(&input).unwrap();
    assert_eq!(transcript.trace_root, session.trace().root(2));
    assert_eq!(
        check(
            &model,
            &ask,
            &transcript.output,
            Finish::Length,
            &Options::default()
        ),
        Ok(Checked::Match(transcript))
    );
}

#[test]
fn requests_are_refused_just_past_their_limits() {
    let model = Model::tiny(6);
    let refuse = |input: &[u32], max_tokens, sampling| {
        let ask = request(input, max_tokens, sampling);
        generate(&model, &ask, &Options::default(), &mut |_, _| {
            ControlFlow::Break(())
        })
        .unwrap_err()
        .to_string()
    };
    assert_eq!(
        refuse(&[], 5, Sampling::GREEDY),
        "input has no tokens; give at least one"
    );
    assert_eq!(
        refuse(&[1], 0, Sampling::GREEDY),
        "max_tokens is 0; ask for at least 1"
    );
    assert_eq!(
        refuse(&[307], 1, Sampling::GREEDY),
        "token 307 is outside the vocabulary of 307; the input was made with another tokenizer"
    );
    assert_eq!(
        refuse(
            &[1],
            5,
            Sampling {
                temperature_milli: 100_001,
                ..WARM
            }
        ),
        "temperature of 100001 thousandths is above 100000; ask for less"
    );
    let full = vec![1; 24];
    assert_eq!(refuse(&full, 1_000, Sampling::GREEDY), "cancelled");
    let past = "24 input tokens and 1001 output tokens exceed the context of 1024; shorten the input or ask for fewer";
    assert_eq!(refuse(&full, 1_001, Sampling::GREEDY), past);
    assert!(refuse(&full, u32::MAX, Sampling::GREEDY).contains("exceed the context"));
}

#[test]
fn breaking_off_cancels_at_once() {
    let mut model = Model::tiny(7);
    model.end_tokens = vec![];
    let mut heard = 0;
    let result = generate(
        &model,
        &request(&[1], 50, Sampling::GREEDY),
        &Options::default(),
        &mut |_, _| {
            heard += 1;
            if heard == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    );
    assert_eq!((result, heard), (Err(RunError::Cancelled), 3));
}
