//! Generations that stop strings, constraints and penalties steer, and their checks.

use alloc::{format, string::String, vec};

use proptest::{collection::vec as list, prelude::*};

use super::*;
use crate::{forward::Kernels, model::tiny::Mix};

/// Bytes for the tiny models' 307 tokens: all single bytes, some longer pieces, and two tokens without any.
fn pieces() -> Pieces {
    let longer = [
        "ab", "ba", "aba", "\n\n", "END", "EN", "ND", "D!", "{\"", "\":", "\": ", "}}", "true",
        "null", "é", "漢",
    ];
    let mut table: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    table.extend(longer.iter().map(|text| text.as_bytes().to_vec()));
    while table.len() < 305 {
        table.push(format!("t{} ", table.len()).into_bytes());
    }
    table.resize(307, Vec::new());
    Pieces::new(table).unwrap()
}

fn text_of(pieces: &Pieces, output: &[u32]) -> Vec<u8> {
    output
        .iter()
        .flat_map(|token| pieces.get(*token))
        .copied()
        .collect()
}

const WARM: Sampling = Sampling {
    temperature_milli: 1_500,
    seed: 9,
    ..Sampling::GREEDY
};

fn endless(seed: u64) -> Model {
    let mut model = Model::tiny(seed);
    model.end_tokens = vec![];
    model
}

/// The transcript, confirmed however it is generated and checked; every kind of wrong claim about it is caught.
fn confirmed(model: &Model, request: &Request<'_>) -> Transcript {
    let generate = |options: &Options| {
        generate(model, request, options, &mut |_, _| {
            ControlFlow::Continue(())
        })
        .unwrap()
    };
    let transcript = generate(&Options::default());
    let output = &transcript.output;
    for (threads, prefill_chunk, kernels) in [
        (1, 1, Kernels::Auto),
        (2, 3, Kernels::Auto),
        (2, 64, Kernels::Auto),
    ] {
        let options = Options {
            threads,
            prefill_chunk,
            kernels,
        };
        assert_eq!(generate(&options), transcript);
        let checked = check(model, request, output, transcript.finish, &options).unwrap();
        assert_eq!(checked, Checked::Match(transcript.clone()));
        for size in [2, 7] {
            let mut checker = Checker::new(model, request, &options).unwrap();
            for piece in output.chunks(size) {
                assert!(checker.push(piece).unwrap());
            }
            assert_eq!(
                checker.finish(transcript.finish).unwrap(),
                Checked::Match(transcript.clone())
            );
        }
    }
    let few = Options {
        prefill_chunk: 6,
        ..Options::default()
    };
    caught(model, request, &transcript, &few);
    transcript
}

/// Claims that leave the truth are mismatches where they do, with the root of what is true before.
fn caught(model: &Model, request: &Request<'_>, truth: &Transcript, options: &Options) {
    let output = &truth.output;
    let root = |tokens: usize| {
        let mut session = Session::new(model, 400, options).unwrap();
        let mut all = request.input.to_vec();
        all.extend(&output[..tokens]);
        session.prefill(&all).unwrap();
        session.trace().root(all.len())
    };
    let other = match truth.finish {
        Finish::Stop => Finish::Length,
        Finish::Length => Finish::Stop,
    };
    let ended_by_token = truth.finish == Finish::Stop && root(output.len()) == truth.trace_root;
    let run = output.len() - usize::from(!ended_by_token);
    let mut claims = vec![(output.clone(), other, output.len(), None, run)];
    for extra in [output.first().copied().unwrap_or(1), 306, 307, u32::MAX] {
        let longer = [&output[..], &[extra, extra]].concat();
        claims.push((longer, truth.finish, output.len(), None, run));
    }
    for at in (0..output.len()).step_by(1 + output.len() / 4) {
        let expected = Some(output[at]);
        for finish in [Finish::Stop, Finish::Length] {
            claims.push((output[..at].to_vec(), finish, at, expected, at));
        }
        for wrong in [output[at] ^ 1, u32::MAX] {
            let mut claim = output.clone();
            claim[at] = wrong;
            claims.push((claim, truth.finish, at, expected, at));
        }
    }
    for (claim, finish, position, expected, run) in claims {
        let mismatch = Checked::Mismatch {
            position: position as u32,
            expected,
            trace_root: root(run),
        };
        let checked = check(model, request, &claim, finish, options).unwrap();
        assert_eq!(checked, mismatch, "{claim:?} {finish:?}, truly {output:?}");
    }
}

#[test]
fn a_stop_string_ends_the_generation_with_the_token_that_completes_it() {
    let (model, pieces) = (endless(31), pieces());
    let free = Request {
        input: &[5, 6, 7],
        max_tokens: 40,
        sampling: WARM,
        ..Request::default()
    };
    let whole = confirmed(&model, &free);
    let text = text_of(&pieces, &whole.output);
    for (from, to) in [(0, 1), (7, 9), (12, 15), (20, 21)] {
        // Bytes of the true text, so that they come up; valid text, so that they may be asked for.
        let Ok(stop) = core::str::from_utf8(&text[from..to]) else {
            continue;
        };
        let stops = StopStrings::new(&["never to be seen", stop]).unwrap();
        let asked = Request {
            pieces: Some(&pieces),
            stop: Some(&stops),
            ..free
        };
        let transcript = confirmed(&model, &asked);
        let begin = text
            .windows(stop.len())
            .position(|w| w == stop.as_bytes())
            .unwrap();
        assert_eq!(transcript.stop, Some(StopFound { index: 1, begin }));
        assert_eq!(transcript.finish, Finish::Stop);
        let len = transcript.output.len();
        assert_eq!(transcript.output, whole.output[..len]);
        let said = |len: usize| text_of(&pieces, &whole.output[..len]).len();
        assert!(said(len - 1) < begin + stop.len() && begin + stop.len() <= said(len));
    }
}

#[test]
fn a_stop_string_in_the_last_token_is_no_length() {
    let (model, pieces) = (endless(32), pieces());
    let mut asked = Request {
        input: &[9, 9],
        max_tokens: 24,
        sampling: WARM,
        pieces: Some(&pieces),
        ..Request::default()
    };
    let whole = confirmed(&model, &asked);
    let at = (1..24)
        .find(|at| {
            let piece = pieces.get(whole.output[*at]);
            let earlier = &whole.output[..*at];
            piece.is_ascii() && !piece.is_empty() && !text_of(&pieces, earlier).contains(&piece[0])
        })
        .expect("the seed of this test must be changed");
    let stop = String::from_utf8(pieces.get(whole.output[at])[..1].to_vec()).unwrap();
    let stops = StopStrings::new(&[stop]).unwrap();
    asked.stop = Some(&stops);
    asked.max_tokens = at as u32 + 1;
    let transcript = confirmed(&model, &asked);
    assert_eq!(
        (transcript.output.len(), transcript.finish),
        (at + 1, Finish::Stop)
    );
    asked.max_tokens = at as u32;
    let transcript = confirmed(&model, &asked);
    assert_eq!((transcript.finish, transcript.stop), (Finish::Length, None));
}

#[test]
fn penalties_and_bias_take_part_in_every_check() {
    let model = endless(33);
    let bias = [
        Bias {
            token: 11,
            milli: 900,
        },
        Bias {
            token: 12,
            milli: -100_000,
        },
    ];
    for temperature_milli in [0, 900] {
        let sampling = Sampling {
            temperature_milli,
            min_p_ppm: 20_000,
            repetition_penalty_milli: 1_300,
            repetition_window: 16,
            presence_penalty_milli: 300,
            frequency_penalty_milli: 200,
            seed: 5,
            ..Sampling::GREEDY
        };
        let asked = Request {
            input: &[3, 4, 3, 4, 3],
            max_tokens: 50,
            sampling,
            bias: &bias,
            logprobs: Some(3),
            ..Request::default()
        };
        let steered = confirmed(&model, &asked);
        let plain = Request {
            sampling: Sampling {
                temperature_milli,
                seed: 5,
                ..Sampling::GREEDY
            },
            bias: &[],
            ..asked
        };
        assert_ne!(confirmed(&model, &plain).output, steered.output);
        assert_eq!(steered.logprobs.len(), 50);
    }
}

#[test]
fn log_probabilities_come_with_each_token_and_change_none() {
    let model = endless(34);
    let mut asked = Request {
        input: &[1, 2, 3],
        max_tokens: 20,
        ..Request::default()
    };
    let silent = confirmed(&model, &asked);
    assert!(silent.logprobs.is_empty());
    asked.logprobs = Some(2);
    let mut heard = Vec::new();
    let transcript = generate_steps(&model, &asked, &Options::default(), &mut |step| {
        assert_eq!(step.index as usize, heard.len());
        heard.push(step.logprobs.unwrap().clone());
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(
        (&transcript.output, &transcript.logprobs),
        (&silent.output, &heard)
    );
    for (token, Logprobs { drawn, top }) in transcript.output.iter().zip(&heard) {
        // Greedy: the drawn token is the most likely one.
        assert_eq!((drawn.token, top[0], top.len()), (*token, *drawn, 2));
        assert!(top[1].micro_nats <= drawn.micro_nats);
    }
    asked.logprobs = Some(0);
    assert!(
        confirmed(&model, &asked)
            .logprobs
            .iter()
            .all(|l| l.top.is_empty())
    );
}

#[test]
fn constrained_output_follows_its_schema_to_the_end() {
    let pieces = pieces();
    let schema = r#"{"type":"object","properties":{"n":{"type":"integer","minimum":0,"maximum":999},
        "s":{"type":"string","maxLength":6},"l":{"type":"array","items":{"type":"boolean"},"maxItems":3}},
        "required":["n","s","l"],"additionalProperties":false}"#;
    let constraint = Constraint::json_schema(schema).unwrap();
    // A random model would fill every gap with white space.
    let bias = b" \n\r\t".map(|byte| Bias {
        token: u32::from(byte),
        milli: -20_000,
    });
    for seed in 40..42 {
        for temperature_milli in [0, 1_000] {
            for model in [Model::tiny(seed), endless(seed)] {
                let asked = Request {
                    input: &[1, 2, 3],
                    max_tokens: 200,
                    sampling: Sampling {
                        temperature_milli,
                        seed,
                        ..Sampling::GREEDY
                    },
                    bias: &bias,
                    pieces: Some(&pieces),
                    constraint: Some(&constraint),
                    ..Request::default()
                };
                let transcript = confirmed(&model, &asked);
                assert_eq!(transcript.finish, Finish::Stop);
                let text = text_of(&pieces, &transcript.output);
                let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
                assert!(value["n"].as_u64().unwrap() <= 999);
                assert!(value["s"].as_str().unwrap().chars().count() <= 6);
                assert!(
                    value["l"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .all(serde_json::Value::is_boolean)
                );
            }
        }
    }
}

#[test]
fn a_constraint_that_may_go_on_ends_by_an_end_token_or_by_length() {
    let pieces = pieces();
    let constraint = Constraint::json_schema(r#"{"type":"integer","minimum":1}"#).unwrap();
    let mut asked = Request {
        input: &[8],
        max_tokens: 30,
        pieces: Some(&pieces),
        constraint: Some(&constraint),
        ..Request::default()
    };
    // Without end tokens there are digits only.
    let transcript = confirmed(&endless(50), &asked);
    assert_eq!(
        (transcript.finish, transcript.output.len()),
        (Finish::Length, 30)
    );
    // An end token that the model is made to like is drawn as soon as the number may end, and not before.
    let bias = [Bias {
        token: 0,
        milli: 100_000,
    }];
    asked.bias = &bias;
    let transcript = confirmed(&Model::tiny(50), &asked);
    assert_eq!(transcript.finish, Finish::Stop);
    assert!((1..10).contains(&transcript.output.len()), "{transcript:?}");
    let text = text_of(&pieces, &transcript.output);
    assert!(serde_json::from_slice::<i64>(&text).is_ok());
}

#[test]
fn a_vocabulary_that_cannot_go_on_is_named() {
    let mut table = vec![Vec::new(); 307];
    table[7] = b"[".to_vec();
    let pieces = Pieces::new(table).unwrap();
    let constraint = Constraint::json_schema(r#"{"const":[1]}"#).unwrap();
    let model = endless(51);
    let asked = Request {
        input: &[1],
        max_tokens: 5,
        pieces: Some(&pieces),
        constraint: Some(&constraint),
        ..Request::default()
    };
    let result = generate(&model, &asked, &Options::default(), &mut |_, _| {
        ControlFlow::Continue(())
    });
    assert_eq!(result, Err(RunError::Stuck { position: 1 }));
    // No claim about it is true.
    for claim in [&[][..], &[7], &[7, 7], &[7, 1, 1, 1, 1]] {
        for finish in [Finish::Stop, Finish::Length] {
            let checked = check(&model, &asked, claim, finish, &Options::default()).unwrap();
            let Checked::Mismatch {
                position, expected, ..
            } = checked
            else {
                panic!("{checked:?}")
            };
            match claim.len() {
                0 => assert_eq!((position, expected), (0, Some(7))),
                _ => assert_eq!((position, expected), (1, None)),
            }
        }
    }
}

#[test]
fn requests_that_cannot_be_followed_are_refused() {
    let (model, pieces) = (endless(52), pieces());
    let stops = StopStrings::new(&["x"]).unwrap();
    let constraint = Constraint::json_object();
    let base = Request {
        input: &[1],
        max_tokens: 1,
        ..Request::default()
    };
    let refuse = |asked: Request<'_>| {
        generate(&model, &asked, &Options::default(), &mut |_, _| {
            ControlFlow::Continue(())
        })
        .expect_err("refused")
    };
    let stop = Some(&stops);
    assert_eq!(refuse(Request { stop, ..base }), RunError::NoPieces);
    let steered = Request {
        constraint: Some(&constraint),
        ..base
    };
    assert_eq!(refuse(steered), RunError::NoPieces);
    let fewer = Pieces::new((0..306).map(|token| pieces.get(token))).unwrap();
    let mixed = Request {
        pieces: Some(&fewer),
        ..base
    };
    assert_eq!(
        refuse(mixed),
        RunError::Pieces {
            found: 306,
            vocab: 307
        }
    );
    let bias = [Bias {
        token: 307,
        milli: 1,
    }];
    assert_eq!(
        refuse(Request {
            bias: &bias,
            ..base
        }),
        RunError::BiasToken {
            token: 307,
            vocab: 307
        }
    );
    let logprobs = Some(LOGPROBS_MAX + 1);
    assert_eq!(refuse(Request { logprobs, ..base }), RunError::Logprobs(21));
    assert_eq!(refuse(Request::default()), RunError::EmptyInput);
    // No stop strings need no pieces.
    let none = StopStrings::default();
    let idle = Request {
        stop: Some(&none),
        logprobs: Some(LOGPROBS_MAX),
        ..base
    };
    assert_eq!(confirmed(&model, &idle).output.len(), 1);
}

#[test]
fn stop_strings_are_refused_just_past_their_limits() {
    let many = vec!["x"; STOP_STRINGS_MAX + 1];
    assert!(StopStrings::new(&many[1..]).is_ok());
    assert_eq!(StopStrings::new(&many), Err(StopError::Count(17)));
    let long = "é".repeat(STOP_BYTES_MAX / 2);
    assert!(StopStrings::new(&[&long]).is_ok());
    let index = 1;
    assert_eq!(
        StopStrings::new(&["a", &(long + "b")]),
        Err(StopError::Length { index, found: 257 })
    );
    assert_eq!(StopStrings::new(&["a", ""]), Err(StopError::Empty(1)));
}

#[test]
fn of_stop_strings_completed_together_the_longest_counts() {
    let stops = StopStrings::new(&["b", "ab", "cab", "x"]).unwrap();
    let mut scanner = stops.scan();
    assert!(!scanner.push(&stops, b"ca"));
    assert_eq!(scanner.settled(), 0);
    assert!(scanner.push(&stops, b"bx"));
    assert_eq!(scanner.found(), Some(StopFound { index: 2, begin: 0 }));
    assert!(scanner.push(&stops, b"x"), "nothing more is looked at");
    assert_eq!(scanner.found(), Some(StopFound { index: 2, begin: 0 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn stop_strings_are_found_where_a_plain_search_finds_them(
        text in list(prop::sample::select(&b"ab\n"[..]), 0..40),
        stops in list("[ab\n]{1,5}", 0..4),
        cuts in list(0usize..40, 0..6),
    ) {
        let strings = StopStrings::new(&stops).unwrap();
        // The first end of any of them; of those that end there, the one that begins first.
        let plain = (0..=text.len()).find_map(|end| {
            let here = stops.iter().enumerate().filter(|(_, stop)| text[..end].ends_with(stop.as_bytes()));
            here.map(|(index, stop)| (end - stop.len(), index)).min()
        });
        let found = plain.map(|(begin, index)| StopFound { index, begin });
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let mut scanner = strings.scan();
        for pair in cuts.windows(2) {
            let before = scanner.settled();
            scanner.push(&strings, &text[pair[0]..pair[1]]);
            prop_assert!(scanner.settled() >= before, "what is settled stays settled");
            if let Some(found) = found {
                prop_assert!(scanner.settled() <= found.begin, "nothing of a stop string is let out");
            }
        }
        prop_assert_eq!(scanner.found(), found);
        if found.is_none() {
            // What is held back is the beginning of a stop string.
            let held = &text[scanner.settled()..];
            prop_assert!(held.is_empty() || stops.iter().any(|stop| stop.as_bytes().starts_with(held)));
        }
    }

    #[test]
    fn pieces_are_kept_and_sorted(table in list(list(any::<u8>(), 0..6), 0..40), token in 0u32..50) {
        let pieces = Pieces::new(&table).unwrap();
        prop_assert_eq!(pieces.len(), table.len());
        prop_assert_eq!(pieces.get(token), table.get(token as usize).map_or(&[][..], |piece| piece));
        let sorted: Vec<u32> = pieces.sorted().map(|(token, _)| token).collect();
        let mut expected: Vec<u32> = (0..table.len() as u32).filter(|t| !table[*t as usize].is_empty()).collect();
        expected.sort_by_key(|token| (table[*token as usize].clone(), *token));
        prop_assert_eq!(sorted, expected);
    }
}

#[test]
fn pieces_are_refused_just_past_their_limit() {
    use crate::sampler::{PIECE_BYTES_MAX, PiecesError};
    let piece = vec![0; PIECE_BYTES_MAX + 1];
    assert!(Pieces::new([&piece[1..]]).is_ok());
    let (token, found) = (1, PIECE_BYTES_MAX + 1);
    assert_eq!(
        Pieces::new([&piece[1..], &piece]),
        Err(PiecesError::Length { token, found })
    );
}

#[test]
fn a_long_constrained_job_is_confirmed_with_masks_that_come_back() {
    let (model, pieces) = (endless(53), pieces());
    let constraint =
        Constraint::json_schema(r#"{"type":"array","items":{"type":"string"}}"#).unwrap();
    let mut mix = Mix::new(2);
    let input: Vec<u32> = (0..20).map(|_| mix.below(307) as u32).collect();
    let asked = Request {
        input: &input,
        max_tokens: 120,
        sampling: Sampling {
            presence_penalty_milli: 500,
            ..WARM
        },
        pieces: Some(&pieces),
        constraint: Some(&constraint),
        ..Request::default()
    };
    let transcript = confirmed(&model, &asked);
    assert!(transcript.output.len() > 20, "{transcript:?}");
}
