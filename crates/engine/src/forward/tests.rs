use alloc::{string::ToString, vec, vec::Vec};

use super::*;
use crate::{
    model::tiny::{Family, Mix},
    sampler::{Sampler, Sampling},
    trace::Hash,
};

fn tokens(n: usize, vocab: usize) -> Vec<u32> {
    let mut mix = Mix::new(n as u64);
    (0..n).map(|_| mix.below(vocab as u64) as u32).collect()
}

fn options(kernels: Kernels, threads: usize, prefill_chunk: usize) -> Options {
    Options {
        threads,
        prefill_chunk,
        kernels,
    }
}

/// Bits of the last logits and the trace root.
fn prefill(model: &Model, tokens: &[u32], options: &Options) -> (Vec<u32>, Hash) {
    let mut session = Session::new(model, tokens.len(), options).unwrap();
    let logits = session
        .prefill(tokens)
        .unwrap()
        .iter()
        .map(|l| l.to_bits())
        .collect();
    (logits, session.trace().root(tokens.len()))
}

fn decode(model: &Model, tokens: &[u32], options: &Options) -> (Vec<u32>, Hash) {
    let mut session = Session::new(model, tokens.len(), options).unwrap();
    let mut logits = Vec::new();
    for token in tokens {
        logits = session
            .decode(*token)
            .unwrap()
            .iter()
            .map(|l| l.to_bits())
            .collect();
    }
    (logits, session.trace().root(tokens.len()))
}

#[test]
fn every_kernel_equals_the_reference() {
    let families = Family::ALL.map(|family| Model::tiny_of(family, 9));
    for model in [Model::tiny(1), Model::tiny_half_split(2)]
        .into_iter()
        .chain(families)
    {
        let tokens = tokens(70, model.shape.vocab);
        let expected = prefill(&model, &tokens, &options(Kernels::Reference, 1, 64));
        for kernels in Kernels::available() {
            for chunk in [1, 3, 7, 64, 1_024] {
                assert_eq!(
                    prefill(&model, &tokens, &options(kernels, 2, chunk)),
                    expected,
                    "{kernels:?} in chunks of {chunk}"
                );
            }
            assert_eq!(
                decode(&model, &tokens, &options(kernels, 2, 64)),
                expected,
                "{kernels:?}"
            );
        }
    }
}

#[test]
fn seven_hundred_tokens_give_one_root_however_they_are_run() {
    one_root(&Model::tiny(3));
}

#[test]
fn seven_hundred_tokens_under_windows_give_one_root_however_they_are_run() {
    one_root(&Model::tiny_of(Family::Gemma3, 3));
}

#[test]
fn a_windowed_layer_does_not_see_what_left_its_window() {
    // With windows in all layers but the last, which is cut off, an early token has no way to a late one.
    let mut model = Model::tiny_of(Family::Gemma3, 8);
    model.layers.truncate(1);
    model.shape.layers = 1;
    let mut tokens = tokens(60, model.shape.vocab);
    let logits = |tokens: &[u32]| prefill(&model, tokens, &Options::default()).0;
    let before = logits(&tokens);
    let window = model.blocks.window.unwrap().tokens;
    tokens[60 - window - 1] ^= 1;
    assert_eq!(logits(&tokens), before);
    tokens[60 - window] ^= 1;
    assert_ne!(logits(&tokens), before);
}

fn one_root(model: &Model) {
    let tokens = tokens(750, model.shape.vocab);
    let expected = prefill(model, &tokens, &options(Kernels::Auto, 1, 1_024));
    for threads in [1, 2, 3] {
        for chunk in [5, 64, 749] {
            assert_eq!(
                prefill(model, &tokens, &options(Kernels::Auto, threads, chunk)),
                expected,
                "{threads} threads, chunks of {chunk}"
            );
        }
        assert_eq!(
            decode(model, &tokens, &options(Kernels::Auto, threads, 64)),
            expected,
            "{threads} threads, token by token"
        );
    }
    assert_eq!(
        decode(model, &tokens, &options(Kernels::Reference, 1, 1)),
        expected,
        "reference"
    );
}

#[test]
fn prefill_and_decode_mix_freely() {
    let model = Model::tiny(4);
    let tokens = tokens(40, model.shape.vocab);
    let (logits, root) = prefill(&model, &tokens, &Options::default());
    let mut session = Session::new(&model, 40, &options(Kernels::Auto, 2, 6)).unwrap();
    session.prefill(&tokens[..10]).unwrap();
    session.decode(tokens[10]).unwrap();
    session
        .draw_each(&tokens[11..30], &Sampler::new(Sampling::GREEDY).unwrap())
        .unwrap();
    let last: Vec<u32> = session
        .prefill(&tokens[30..])
        .unwrap()
        .iter()
        .map(|l| l.to_bits())
        .collect();
    assert_eq!((last, session.trace().root(40)), (logits, root));
}

#[test]
fn draws_of_a_prefill_equal_draws_one_by_one() {
    let model = Model::tiny(5);
    let tokens = tokens(30, model.shape.vocab);
    let sampling = Sampling {
        temperature_milli: 800,
        top_p_ppm: 950_000,
        top_k: 40,
        seed: 3,
        ..Sampling::GREEDY
    };
    let sampler = Sampler::new(sampling).unwrap();
    let mut session = Session::new(&model, 30, &Options::default()).unwrap();
    let expected: Vec<u32> = tokens
        .iter()
        .enumerate()
        .map(|(i, token)| sampler.draw(session.decode(*token).unwrap(), i as u64 + 1))
        .collect();
    for kernels in Kernels::available() {
        for chunk in [1, 8, 30] {
            let mut session = Session::new(&model, 30, &options(kernels, 2, chunk)).unwrap();
            assert_eq!(session.draw_each(&tokens, &sampler).unwrap(), expected);
        }
    }
}

#[test]
fn draws_may_begin_anywhere_in_a_prefill() {
    let model = Model::tiny(5);
    let tokens = tokens(30, model.shape.vocab);
    let warm = Sampling {
        temperature_milli: 800,
        seed: 3,
        ..Sampling::GREEDY
    };
    for sampling in [Sampling::GREEDY, warm] {
        let sampler = Sampler::new(sampling).unwrap();
        let session = |kernels, chunk| Session::new(&model, 30, &options(kernels, 2, chunk));
        let mut plain = session(Kernels::Reference, 30).unwrap();
        let expected = plain.draw_each(&tokens, &sampler).unwrap();
        for kernels in Kernels::available() {
            for chunk in [1, 8, 30] {
                for start in [1, 7, 8, 9, 29, 30, 31] {
                    let mut session = session(kernels, chunk).unwrap();
                    let drawn = session.draw_from(start, &tokens, &sampler).unwrap();
                    let expected = expected.get(start..).unwrap_or_default();
                    assert_eq!(
                        drawn, expected,
                        "{kernels:?} in chunks of {chunk} from {start}"
                    );
                    assert_eq!(session.trace().root(30), plain.trace().root(30));
                }
            }
        }
    }
}

#[test]
fn greedy_draws_of_a_prefill_take_the_first_of_equals() {
    let mut model = Model::tiny(8);
    let (vocab, dim) = (model.shape.vocab, model.shape.dim);
    let tokens = tokens(40, vocab);
    // Every row comes again and again, then with the other sign, then all logits are zero.
    let repeated = |row: usize| model.embedding.row_bytes(row % 37).to_vec();
    let scales = model.embedding.scales()[..37].to_vec();
    let repeated: Vec<u8> = (0..vocab).flat_map(repeated).collect();
    let signed = |sign: f32| (0..vocab).map(|row| sign * scales[row % 37]).collect();
    for (weights, scales) in [
        (repeated.clone(), signed(1.0)),
        (repeated, signed(-1.0)),
        (vec![0; vocab * dim], vec![1.0; vocab]),
    ] {
        model.head =
            crate::model::Matrix::new(vocab, dim, crate::model::Bytes::Owned(weights), scales);
        let sampler = Sampler::new(Sampling::GREEDY).unwrap();
        let mut session = Session::new(&model, 40, &Options::default()).unwrap();
        let expected: Vec<u32> = tokens
            .iter()
            .map(|token| sampler.draw(session.decode(*token).unwrap(), 0))
            .collect();
        assert!(expected.iter().all(|token| *token < 37));
        for kernels in Kernels::available() {
            for chunk in [1, 13, 40] {
                let mut session = Session::new(&model, 40, &options(kernels, 2, chunk)).unwrap();
                assert_eq!(
                    session.draw_each(&tokens, &sampler).unwrap(),
                    expected,
                    "{kernels:?} in chunks of {chunk}"
                );
            }
        }
    }
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_is_computed() {
    let model = Model::tiny(6);
    let context = model.shape.context_max;
    let new = |capacity, options: &Options| {
        Session::new(&model, capacity, options)
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    let threads = |threads| options(Kernels::Auto, threads, 8);
    assert_eq!(new(context, &Options::default()), Ok(()));
    assert_eq!(
        new(context + 1, &Options::default()),
        Err(
            "context of 1024 tokens cannot take 1025; shorten the input or ask for fewer tokens"
                .into()
        )
    );
    assert_eq!(
        new(4, &threads(0)),
        Err("threads is 0, must be 1 to 256".into())
    );
    assert_eq!(
        new(4, &threads(THREADS_MAX + 1)),
        Err("threads is 257, must be 1 to 256".into())
    );
    assert_eq!(
        new(4, &options(Kernels::Auto, 1, 0)),
        Err("prefill_chunk is 0, must be 1 to 1024".into())
    );
    assert_eq!(
        new(4, &options(Kernels::Auto, 1, PREFILL_CHUNK_MAX + 1)),
        Err("prefill_chunk is 1025, must be 1 to 1024".into())
    );

    let mut session = Session::new(&model, 3, &Options::default()).unwrap();
    assert_eq!(
        session.prefill(&[]).map(|_| ()),
        Err(SessionError::NoTokens)
    );
    assert_eq!(
        session.prefill(&[1, 307]).map(|_| ()),
        Err(SessionError::Token {
            token: 307,
            vocab: 307
        })
    );
    assert_eq!(
        session.prefill(&[1; 4]).map(|_| ()),
        Err(SessionError::Context {
            capacity: 3,
            wanted: 4
        })
    );
    assert_eq!(session.positions(), 0);
    session.prefill(&[1, 2]).unwrap();
    session.decode(306).unwrap();
    assert_eq!(
        session.decode(1).map(|_| ()),
        Err(SessionError::Context {
            capacity: 3,
            wanted: 4
        })
    );

    let mut broken = model.clone();
    broken.shape.ff += 1;
    assert!(matches!(
        Session::new(&broken, 3, &Options::default()),
        Err(SessionError::Model(BoundsError::Tensor { .. }))
    ));
}

#[test]
fn zero_embeddings_run_through() {
    let mut model = Model::tiny(7);
    let zero = vec![0u8; model.shape.vocab * model.shape.dim];
    let scales = vec![0.0; model.shape.vocab];
    model.embedding = crate::model::Matrix::new(
        model.shape.vocab,
        model.shape.dim,
        crate::model::Bytes::Owned(zero),
        scales,
    )
    .unwrap();
    let expected = prefill(&model, &[1, 2, 3], &options(Kernels::Reference, 1, 1));
    for kernels in Kernels::available() {
        assert_eq!(
            prefill(&model, &[1, 2, 3], &options(kernels, 1, 2)),
            expected
        );
    }
}
