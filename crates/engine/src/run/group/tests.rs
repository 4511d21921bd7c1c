use core::ops::ControlFlow;
use std::{string::ToString as _, vec};

use proptest::{collection::vec as list, prelude::*};

use super::*;
use crate::{
    forward::{
        SessionError,
        batch::{BatchError, SEQUENCES_MAX},
    },
    model::tiny::{Family, Mix},
    run::{StopStrings, generate},
    sampler::{Pieces, Sampling, constraint::Constraint},
};

fn options(threads: usize, prefill_chunk: usize) -> Options {
    Options {
        threads,
        prefill_chunk,
        ..Options::default()
    }
}

fn tokens(seed: u64, count: usize) -> Vec<u32> {
    let mut mix = Mix::new(seed);
    (0..count).map(|_| mix.below(250) as u32).collect()
}

fn alone(model: &Model, request: &Request<'_>) -> Transcript {
    generate(model, request, &Options::default(), &mut |_, _| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

/// Steps until all are done; what was told of each on the way is what its transcript says.
fn finish(
    group: &mut Group<'_>,
    heard: &mut BTreeMap<SequenceId, Vec<u32>>,
    done: &mut BTreeMap<SequenceId, Transcript>,
    steps: usize,
) {
    for _ in 0..steps {
        if group.is_empty() {
            break;
        }
        for (id, event) in group.step().unwrap() {
            let heard = heard.entry(id).or_default();
            match event {
                Event::Token { index, token, .. } => {
                    assert_eq!(index as usize, heard.len());
                    heard.push(token);
                }
                Event::Done(transcript) => {
                    assert_eq!(&transcript.output, heard);
                    assert_eq!(done.insert(id, *transcript), None);
                }
                Event::Failed(error) => panic!("{error}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn in_company_every_generation_gives_what_it_gives_alone(
        seed in 0u64..1_000,
        members in list((1usize..90, 1u32..30, any::<bool>(), 0usize..6), 1..9),
        threads in 1usize..3,
        chunk in 1usize..80,
        shared in prop_oneof![Just(0), Just(16)],
    ) {
        let model = match seed % 2 {
            0 => Model::tiny(seed),
            _ => Model::tiny_of(Family::Gemma3, seed),
        };
        let common = tokens(seed, 70);
        let inputs: Vec<Vec<u32>> = members
            .iter()
            .enumerate()
            .map(|(i, (len, _, begins_alike, _))| match begins_alike {
                true => [&common[..], &tokens(i as u64, *len)].concat(),
                false => tokens(i as u64, *len),
            })
            .collect();
        let requests: Vec<Request<'_>> = members
            .iter()
            .zip(&inputs)
            .map(|((_, max_tokens, warm, _), input)| Request {
                input,
                max_tokens: *max_tokens,
                logprobs: warm.then_some(2),
                sampling: Sampling {
                    temperature_milli: if *warm { 1_000 } else { 0 },
                    seed,
                    ..Sampling::GREEDY
                },
                ..Request::default()
            })
            .collect();
        let mut group = Group::new(&model, &options(threads, chunk), shared).unwrap();
        let (mut heard, mut done, mut ids) = Default::default();
        let ids: &mut Vec<SequenceId> = &mut ids;
        // They come at different times.
        for (request, (.., pause)) in requests.iter().zip(&members) {
            ids.push(group.join(request).unwrap());
            finish(&mut group, &mut heard, &mut done, *pause);
        }
        finish(&mut group, &mut heard, &mut done, usize::MAX);
        for (request, id) in requests.iter().zip(ids) {
            prop_assert_eq!(&done[id], &alone(&model, request));
        }
    }
}

#[test]
fn stop_strings_and_constraints_end_members_as_they_end_them_alone() {
    let mut model = Model::tiny(7);
    model.end_tokens = vec![];
    let pieces = Pieces::new((0..307u32).map(|id| vec![id as u8])).unwrap();
    let schema = r#"{"type":"array","items":{"type":"boolean"},"maxItems":2}"#;
    let constraint = Constraint::json_schema(schema).unwrap();
    let input = tokens(1, 20);
    let plain = Request {
        input: &input,
        max_tokens: 60,
        pieces: Some(&pieces),
        sampling: Sampling {
            temperature_milli: 1_500,
            ..Sampling::GREEDY
        },
        ..Request::default()
    };
    let said = alone(&model, &plain).output;
    let letter = said[3..].iter().find(|id| **id < 128).unwrap();
    let stop = StopStrings::new(&[char::from(*letter as u8).to_string()]).unwrap();
    let requests = [
        plain,
        Request {
            stop: Some(&stop),
            ..plain
        },
        Request {
            constraint: Some(&constraint),
            ..plain
        },
    ];
    let mut group = Group::new(&model, &options(2, 16), 4).unwrap();
    let ids = requests.map(|request| group.join(&request).unwrap());
    let (mut heard, mut done) = Default::default();
    finish(&mut group, &mut heard, &mut done, usize::MAX);
    for (request, id) in requests.iter().zip(ids) {
        assert_eq!(done[&id], alone(&model, request));
    }
    assert!(done[&ids[1]].stop.is_some());
    assert_eq!(done[&ids[2]].finish, Finish::Stop);
}

#[test]
fn who_leaves_is_not_heard_of_again_and_the_others_go_on() {
    let model = Model::tiny(3);
    let (first, second) = (tokens(1, 30), tokens(2, 30));
    let request = |input| Request {
        input,
        max_tokens: 20,
        ..Request::default()
    };
    let mut group = Group::new(&model, &options(1, 8), 0).unwrap();
    let gone = group.join(&request(&first)).unwrap();
    let stays = group.join(&request(&second)).unwrap();
    group.step().unwrap();
    group.leave(gone);
    group.leave(gone);
    assert_eq!(group.len(), 1);
    let (mut heard, mut done) = Default::default();
    finish(&mut group, &mut heard, &mut done, usize::MAX);
    assert_eq!(done.keys().collect::<Vec<_>>(), [&stays]);
    assert_eq!(done[&stays], alone(&model, &request(&second)));
}

#[test]
fn an_input_does_not_hold_up_those_who_are_past_theirs() {
    let mut model = Model::tiny(3);
    model.end_tokens = vec![];
    let (short, long) = (tokens(1, 2), tokens(2, 200));
    let request = |input, max_tokens| Request {
        input,
        max_tokens,
        ..Request::default()
    };
    let mut group = Group::new(&model, &options(1, 16), 0).unwrap();
    let talks = group.join(&request(&short, 100)).unwrap();
    group.step().unwrap();
    let reads = group.join(&request(&long, 5)).unwrap();
    // 15 tokens of the input in a pass, one of who talks.
    for pass in 1..=14 {
        let events = group.step().unwrap();
        let who: Vec<_> = events.iter().map(|(id, _)| *id).collect();
        let expected = if pass < 14 {
            vec![talks]
        } else {
            vec![talks, reads]
        };
        assert_eq!(who, expected, "{pass}");
    }
}

#[test]
fn a_group_takes_as_many_as_its_batch_and_refuses_what_a_session_refuses() {
    let model = Model::tiny(3);
    let mut group = Group::new(&model, &Options::default(), 0).unwrap();
    let request = Request {
        input: &[1, 2],
        max_tokens: 2,
        ..Request::default()
    };
    for _ in 0..SEQUENCES_MAX {
        group.join(&request).unwrap();
    }
    assert_eq!(group.join(&request), Err(RunError::Batch(BatchError::Full)));
    let (mut heard, mut done) = Default::default();
    finish(&mut group, &mut heard, &mut done, usize::MAX);
    assert_eq!(done.len(), SEQUENCES_MAX);
    let empty = Request {
        input: &[],
        ..request
    };
    assert_eq!(group.join(&empty), Err(RunError::EmptyInput));
    let unknown = Request {
        input: &[1, 400],
        ..request
    };
    let error = group.join(&unknown).unwrap_err();
    assert!(error.to_string().contains("token 400"), "{error}");
    let none = options(0, 1);
    assert!(matches!(
        Group::new(&model, &none, 0),
        Err(RunError::Batch(BatchError::Session(
            SessionError::Option { .. }
        )))
    ));
}
