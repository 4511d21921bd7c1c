use alloc::{format, string::ToString, vec::Vec};

use super::*;
use crate::model::tiny::Mix;

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

/// Bits of the vector and the root.
fn bits(encoder: &Encoder, tokens: &[u32], options: &Options) -> (Vec<u32>, [u8; 32]) {
    let Embedding { vector, trace_root } = embed(encoder, tokens, options).unwrap();
    (vector.iter().map(|v| v.to_bits()).collect(), trace_root)
}

#[test]
fn every_kernel_equals_the_reference_for_any_threads_and_chunks() {
    for (seed, len) in [(1, 1), (2, 2), (3, 17), (4, 61), (5, 300)] {
        let encoder = Encoder::tiny(seed);
        let tokens = tokens(len, encoder.shape.vocab);
        let expected = bits(&encoder, &tokens, &options(Kernels::Reference, 1, 64));
        for kernels in Kernels::available().into_iter().chain([Kernels::Auto]) {
            for (threads, chunk) in [(1, 1_024), (2, 64), (3, 7), (1, 1)] {
                assert_eq!(
                    bits(&encoder, &tokens, &options(kernels, threads, chunk)),
                    expected,
                    "{kernels:?}, {len} tokens, {threads} threads, chunks of {chunk}"
                );
            }
        }
    }
}

#[test]
fn vectors_have_length_one_and_change_with_every_token_and_order() {
    let encoder = Encoder::tiny(6);
    let base = tokens(9, encoder.shape.vocab);
    let of = |tokens: &[u32]| embed(&encoder, tokens, &Options::default()).unwrap();
    let first = of(&base);
    assert_eq!(first.vector.len(), encoder.shape.dim);
    let square: f64 = first
        .vector
        .iter()
        .map(|v| f64::from(*v) * f64::from(*v))
        .sum();
    assert!((square - 1.0).abs() < 1e-4, "{square}");
    for i in 0..base.len() {
        let mut other = base.clone();
        other[i] = (other[i] + 1) % encoder.shape.vocab as u32;
        let other = of(&other);
        assert_ne!(other.vector, first.vector, "token {i}");
        assert_ne!(other.trace_root, first.trace_root);
    }
    let turned: Vec<u32> = base.iter().rev().copied().collect();
    assert_ne!(of(&turned).vector, first.vector);
    assert_ne!(of(&base[..8]).trace_root, first.trace_root);
}

#[test]
fn the_first_token_sees_the_last() {
    // One layer: what changes in the first state can have come by attention only.
    let mut encoder = Encoder::tiny(7);
    encoder.layers.truncate(1);
    encoder.shape.layers = 1;
    let state = |last: u32| {
        let mut trace = Trace::default();
        reference::mean(&encoder, &[1, 2, last], &mut trace);
        trace.token_roots()[0]
    };
    assert_ne!(state(3), state(4));
}

#[test]
fn what_cannot_be_embedded_is_refused_before_anything_is_computed() {
    let encoder = Encoder::tiny(8);
    let refused = |tokens: &[u32], options: &Options| {
        embed(&encoder, tokens, options)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let auto = Options::default();
    assert_eq!(refused(&[1; 300], &auto), Ok(()));
    assert_eq!(
        refused(&[1; 301], &auto),
        Err(
            "context of 300 tokens cannot take 301; shorten the input or ask for fewer tokens"
                .into()
        )
    );
    assert_eq!(
        refused(&[], &auto),
        Err("no tokens; give at least one".into())
    );
    assert_eq!(refused(&[210], &auto), Ok(()));
    assert_eq!(
        refused(&[211], &auto),
        Err(
            "token 211 is outside the vocabulary of 211; the input was made with another tokenizer"
                .into()
        )
    );
    for (bad, what, max) in [
        (options(Kernels::Auto, 0, 8), "threads is 0", 256),
        (options(Kernels::Auto, 257, 8), "threads is 257", 256),
        (options(Kernels::Auto, 1, 0), "prefill_chunk is 0", 1_024),
        (
            options(Kernels::Auto, 1, 1_025),
            "prefill_chunk is 1025",
            1_024,
        ),
    ] {
        let message = format!("{what}, must be 1 to {max}");
        assert_eq!(refused(&[1], &bad), Err(message));
    }
    let mut broken = encoder.clone();
    broken.positions.pop();
    assert!(matches!(
        embed(&broken, &[1], &auto),
        Err(SessionError::Model(bounds::BoundsError::Tensor { .. }))
    ));
}

#[test]
fn an_encoder_of_zeros_gives_zeros() {
    let mut encoder = Encoder::tiny(9);
    for layer in &mut encoder.layers {
        layer.ffn_norm.gain.fill(0.0);
        layer.ffn_norm.bias.fill(0.0);
    }
    for kernels in Kernels::available() {
        let found = embed(&encoder, &[1, 2, 3], &options(kernels, 1, 2)).unwrap();
        assert!(found.vector.iter().all(|v| v.to_bits() == 0), "{kernels:?}");
    }
}

#[cfg(feature = "std")]
mod maps {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        f32z,
        kernels::{
            Level,
            maps::{self, Activations},
        },
        ops::Planes,
    };

    /// Vectors that stress different edges.
    fn values(mix: &mut Mix, kind: u64, n: usize) -> Vec<f32> {
        (0..n)
            .map(|i| match kind {
                0 => mix.unit(),
                1 => f32z::mul(mix.unit(), 12.0),
                2 => f32z::z(f32::from_bits(
                    (mix.bits() as u32 & 0x807f_ffff) | ((27 + mix.below(201)) as u32) << 23,
                )),
                3 if i == n / 2 => 24_737.0,
                3 => f32z::mul(mix.unit(), 0.01),
                4 => f32::from_bits(
                    [0x7180_0000, 0xf180_0000, 0x0d80_0000, 0x8d80_0000, 0][mix.below(5) as usize],
                ),
                _ => 0.0,
            })
            .collect()
    }

    fn bits(v: &[f32]) -> Vec<u32> {
        v.iter().map(|x| x.to_bits()).collect()
    }

    fn planes(x: &Activations) -> Planes {
        Planes {
            high: x.high[..x.cols].to_vec(),
            low: x.low[..x.cols].to_vec(),
            scale: x.tokens[0].scale,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn maps_equal_the_operators(seed: u64, n in 1usize..300, kind in 0u64..6, other in 0u64..6) {
            let mut mix = Mix::new(seed);
            let (v, gain) = (values(&mut mix, kind, n), values(&mut mix, other, n));
            let bias = values(&mut mix, other, n);
            let eps = f32::from_bits(0x2b8c_bccc);
            let mut bent = v.clone();
            ops::add_to(&mut bent, &bias);
            let bent = ops::gelu(&bent);
            let rows = values(&mut mix, kind, n * 5);
            for level in Level::available() {
                let mut x = v.clone();
                maps::layer_norm(level, &mut x, &gain, &bias, eps);
                prop_assert_eq!(bits(&x), bits(&ops::layer_norm(&v, &gain, &bias, eps)), "{:?}", level);

                let (mut x, mut row) = (v.clone(), Activations::new(1, n));
                // SAFETY: a single part is taken.
                #[allow(unsafe_code, reason = "one row is taken as a task would")]
                let part = unsafe { crate::kernels::pool::Parts::part(&row.rows(), 0) };
                maps::gelu_quantise(level, &mut x, &bias, part);
                prop_assert_eq!(bits(&x), bits(&bent), "{:?}", level);
                prop_assert_eq!(planes(&row), ops::quantise_a15(&bent));

                prop_assert_eq!(bits(&maps::mean_rows(level, &rows, n)), bits(&ops::mean_rows(&rows, n)));
            }
        }
    }

    #[test]
    fn the_shortened_function_equals_the_definition() {
        // A stride that is no multiple of any power of two visits all exponents and low bits.
        for bits in (0..=u32::MAX).step_by(4_001) {
            let x = f32z::z(f32::from_bits(bits));
            let (fast, plain) = (maps::normal(x), f32z::normal(x));
            assert_eq!(fast.to_bits(), plain.to_bits(), "{x:e}");
        }
        for step in 0..200_000u32 {
            let x = f32::from_bits(0x3e00_0000 + step * 300);
            for x in [x, -x] {
                assert_eq!(
                    maps::normal(x).to_bits(),
                    f32z::normal(x).to_bits(),
                    "{x:e}"
                );
            }
        }
    }
}
