use super::*;
use crate::{
    forward::{Kernels, Session},
    model::tiny::{Family, Mix},
};

fn options(threads: usize, prefill_chunk: usize) -> Options {
    Options {
        threads,
        prefill_chunk,
        kernels: Kernels::Auto,
    }
}

fn tokens(seed: u64, n: usize, vocab: usize) -> Vec<u32> {
    let mut mix = Mix::new(seed);
    (0..n).map(|_| mix.below(vocab as u64) as u32).collect()
}

/// Bits of the last logits and the trace root, computed alone.
fn alone(model: &Model, tokens: &[u32]) -> (Vec<f32>, Hash) {
    let mut session = Session::new(model, tokens.len(), &Options::default()).unwrap();
    let logits = session.prefill(tokens).unwrap().to_vec();
    (logits, session.trace().root(tokens.len()))
}

fn found(batch: &Batch<'_>, id: SequenceId) -> (Vec<f32>, Hash) {
    let trace = batch.trace(id).unwrap();
    (
        batch.logits(id).unwrap().to_vec(),
        trace.root(trace.positions()),
    )
}

#[test]
fn every_sequence_gets_what_it_would_get_alone() {
    for model in [Model::tiny(1), Model::tiny_of(Family::Gemma3, 2)] {
        for (members, chunk, threads) in [(1, 64, 1), (3, 5, 2), (16, 7, 2), (16, 1_024, 1)] {
            let mut batch = Batch::new(&model, &options(threads, chunk), 0).unwrap();
            let sequences: Vec<_> = (0..members)
                .map(|i| {
                    let tokens = tokens(i as u64, 20 + 9 * i, model.shape.vocab);
                    (batch.open(tokens.len(), &tokens).unwrap().0, tokens)
                })
                .collect();
            // They get their tokens at different speeds, and end at different times.
            let mut at = vec![0; members];
            while sequences.iter().zip(&at).any(|((_, t), at)| *at < t.len()) {
                let mut work = Vec::new();
                for (i, ((id, tokens), at)) in sequences.iter().zip(&mut at).enumerate() {
                    let more = (1 + i * 3).min(tokens.len() - *at);
                    if more > 0 {
                        work.push(Work {
                            sequence: *id,
                            tokens: &tokens[*at..*at + more],
                        });
                        *at += more;
                    }
                }
                batch.run(&work).unwrap();
            }
            for (id, tokens) in &sequences {
                assert_eq!(
                    found(&batch, *id),
                    alone(&model, tokens),
                    "{members} sequences, passes of {chunk}"
                );
            }
        }
    }
}

#[test]
fn a_known_beginning_is_taken_over_and_changes_nothing() {
    let model = Model::tiny_of(Family::Gemma3, 3);
    let vocab = model.shape.vocab;
    let mut batch = Batch::new(&model, &options(2, 48), 100).unwrap();
    let beginning = tokens(1, 3 * PAGE + 10, vocab);
    let mut shared = Vec::new();
    for (seed, keep) in [(2, beginning.len()), (3, beginning.len()), (4, PAGE + 7)] {
        let input = [&beginning[..keep], &tokens(seed, 40, vocab)[..]].concat();
        let (id, known) = batch.open(input.len() + 5, &input).unwrap();
        shared.push(known);
        let tokens = &input[known..];
        batch
            .run(&[Work {
                sequence: id,
                tokens,
            }])
            .unwrap();
        assert_eq!(found(&batch, id), alone(&model, &input));
        // What the sequence adds to a page that others read stays its own.
        let more = [9, 8, 7];
        batch
            .run(&[Work {
                sequence: id,
                tokens: &more,
            }])
            .unwrap();
        assert_eq!(
            found(&batch, id),
            alone(&model, &[&input[..], &more].concat())
        );
    }
    assert_eq!(shared, [0, 3 * PAGE, PAGE]);
}

#[test]
fn at_least_one_token_is_left_to_run() {
    let model = Model::tiny(4);
    let mut batch = Batch::new(&model, &options(1, 64), 8).unwrap();
    let input = tokens(5, 2 * PAGE, model.shape.vocab);
    for expected in [0, PAGE] {
        let (id, known) = batch.open(input.len(), &input).unwrap();
        assert_eq!(known, expected);
        let tokens = &input[known..];
        batch
            .run(&[Work {
                sequence: id,
                tokens,
            }])
            .unwrap();
        assert_eq!(found(&batch, id), alone(&model, &input));
    }
}

#[test]
fn shared_pages_stay_within_their_limit_and_the_least_used_go_first() {
    let model = Model::tiny(6);
    let vocab = model.shape.vocab;
    let mut batch = Batch::new(&model, &options(1, 1_024), 2).unwrap();
    let texts = [1, 2, 3].map(|seed| tokens(seed, PAGE + 1, vocab));
    let mut known = |text: &[u32]| {
        let (id, known) = batch.open(text.len(), text).unwrap();
        let tokens = &text[known..];
        batch
            .run(&[Work {
                sequence: id,
                tokens,
            }])
            .unwrap();
        batch.close(id).unwrap();
        assert!(batch.shared.pages.len() <= 2);
        assert_eq!(batch.shared.pages.len(), batch.shared.by_use.len());
        known > 0
    };
    assert!(!known(&texts[0]));
    assert!(!known(&texts[1]));
    assert!(known(&texts[0]));
    // The third drives the second out, which was not used since.
    assert!(!known(&texts[2]));
    assert!(known(&texts[0]));
    assert!(!known(&texts[1]));
}

#[test]
fn what_cannot_be_run_is_refused_and_changes_nothing() {
    let model = Model::tiny(7);
    let mut batch = Batch::new(&model, &options(1, 8), 0).unwrap();
    let (id, _) = batch.open(4, &[1, 2]).unwrap();
    let work = |sequence, tokens| Work { sequence, tokens };
    assert_eq!(
        batch.run(&[work(id, &[1]), work(id, &[2])]),
        Err(BatchError::Twice(id))
    );
    assert_eq!(
        batch.run(&[work(id, &[])]),
        Err(SessionError::NoTokens.into())
    );
    assert_eq!(
        batch.run(&[work(id, &[1; 5])]),
        Err(SessionError::Context {
            capacity: 4,
            wanted: 5
        }
        .into())
    );
    assert_eq!(
        batch.run(&[work(id, &[307])]),
        Err(SessionError::Token {
            token: 307,
            vocab: 307
        }
        .into())
    );
    assert_eq!(batch.trace(id).unwrap().positions(), 0);
    assert!(batch.logits(id).unwrap().is_empty());
    batch.close(id).unwrap();
    assert_eq!(batch.close(id), Err(BatchError::NotOpen(id)));
    assert_eq!(batch.run(&[work(id, &[1])]), Err(BatchError::NotOpen(id)));
    assert!(matches!(
        batch.open(model.shape.context_max + 1, &[]),
        Err(BatchError::Session(SessionError::Context { .. }))
    ));
    assert!(matches!(
        Batch::new(&model, &options(1, 8), SHARED_PAGES_MAX + 1),
        Err(BatchError::SharedPages(_))
    ));
    for _ in 0..SEQUENCES_MAX {
        batch.open(1, &[]).unwrap();
    }
    assert_eq!(batch.open(1, &[]).map(|_| ()), Err(BatchError::Full));
}
