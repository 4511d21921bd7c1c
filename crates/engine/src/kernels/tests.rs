//! Every kernel against the plain operators, bit for bit, on random and adversarial inputs.

use proptest::prelude::*;

use super::{
    attention::{self, Scratch},
    maps::{self, Activations},
    matmul::{Product, Write, multiply},
    pages::{Cache, Rows},
    pool::{Parts, Pool},
    *,
};
use crate::{
    f32z,
    model::{Bytes, Matrix, Rope, Shape, tiny::Mix},
    ops::{self, HeadCache, Planes},
};

fn bits(v: &[f32]) -> Vec<u32> {
    v.iter().map(|x| x.to_bits()).collect()
}

/// How inputs are made: each kind stresses another edge.
#[derive(Clone, Copy, Debug)]
enum Values {
    Ordinary,
    WideRange,
    Outlier,
    Extreme,
    Zero,
}

fn any_values() -> impl Strategy<Value = Values> {
    prop_oneof![
        Just(Values::Ordinary),
        Just(Values::WideRange),
        Just(Values::Outlier),
        Just(Values::Extreme),
        Just(Values::Zero)
    ]
}

fn values(mix: &mut Mix, kind: Values, n: usize) -> Vec<f32> {
    (0..n)
        .map(|i| match kind {
            Values::Ordinary => mix.unit(),
            Values::WideRange => f32z::z(f32::from_bits(
                (mix.bits() as u32 & 0x807f_ffff) | ((27 + mix.below(201)) as u32) << 23,
            )),
            Values::Outlier if i == n / 2 => 24_737.0,
            Values::Outlier => f32z::mul(mix.unit(), 0.01),
            Values::Extreme => f32::from_bits(
                [0x7180_0000, 0xf180_0000, 0x0d80_0000, 0x8d80_0000, 0][mix.below(5) as usize],
            ),
            Values::Zero => 0.0,
        })
        .collect()
}

fn matrix(mix: &mut Mix, rows: usize, cols: usize, full: bool) -> Matrix {
    let weights = (0..rows * cols).map(|_| if full { [127i8, -127][mix.below(2) as usize] } else { mix.weight() } as u8).collect();
    let scales = (0..rows)
        .map(|_| f32::from_bits(0x3a00_0000 + mix.below(1 << 24) as u32))
        .collect();
    Matrix::new(rows, cols, Bytes::Owned(weights), scales).unwrap()
}

/// Fills one token of the activations.
fn put(level: Level, x: &mut Activations, token: usize, v: &[f32]) {
    let rows = x.rows();
    assert!(token < rows.count());
    // SAFETY: a single part is taken.
    maps::quantise(level, v, unsafe { rows.part(token) });
}

fn planes(x: &Activations, token: usize) -> Planes {
    let row = token * x.stride..token * x.stride + x.cols;
    let t = x.tokens[token];
    let high_sum: i32 = x.high[row.clone()].iter().map(|h| i32::from(*h)).sum();
    let low_sum: i32 = x.low[row.clone()].iter().map(|l| i32::from(*l)).sum();
    assert_eq!((high_sum, low_sum), (t.high_sum, t.low_sum));
    let joined = x.high[row.clone()]
        .iter()
        .zip(&x.low[row.clone()])
        .map(|(h, l)| 128 * i16::from(*h) + i16::from(*l));
    assert!(joined.eq(x.values[row.clone()].iter().copied()));
    Planes {
        high: x.high[row.clone()].to_vec(),
        low: x.low[row].to_vec(),
        scale: t.scale,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn products_equal_the_operator(
        seed: u64, rows in 1usize..150, cols in 1usize..400, tokens in 1usize..40, threads in 1usize..4,
        kind in any_values(), full: bool, add: bool,
    ) {
        let mut mix = Mix::new(seed);
        let matrix = matrix(&mut mix, rows, cols, full);
        let start = values(&mut mix, kind, tokens * rows);
        let inputs: Vec<Vec<f32>> = (0..tokens).map(|_| values(&mut mix, kind, cols)).collect();
        let expected: Vec<f32> = inputs.iter().zip(start.chunks(rows)).flat_map(|(v, start)| {
            let y = ops::matvec(&matrix, &ops::quantise_a15(v));
            if add { let mut x = start.to_vec(); ops::add_to(&mut x, &y); x } else { y }
        }).collect();
        for level in Level::available() {
            let mut pool = Pool::new(threads);
            let mut x = Activations::new(tokens, cols);
            for (token, v) in inputs.iter().enumerate() {
                put(level, &mut x, token, v);
            }
            let mut out = start.clone();
            let write = if add { Write::Add } else { Write::Store };
            multiply(level, &mut pool, &x, tokens, &mut [Product { matrix: &matrix, out: &mut out }], write);
            prop_assert_eq!(bits(&out), bits(&expected), "{:?}", level);
        }
    }

    #[test]
    fn maps_equal_the_operators(seed: u64, n in 1usize..300, kind in any_values(), gain_kind in any_values()) {
        let mut mix = Mix::new(seed);
        let (v, gain) = (values(&mut mix, kind, n), values(&mut mix, gain_kind, n));
        let eps = f32::from_bits(0x3727_c5ac);
        for level in Level::available() {
            let mut x = Activations::new(1, n);
            put(level, &mut x, 0, &v);
            prop_assert_eq!(planes(&x, 0), ops::quantise_a15(&v));

            let mut scratch = vec![0.0; n];
            // SAFETY: a single part is taken.
            maps::norm_quantise(level, &v, &gain, eps, &mut scratch, unsafe { x.rows().part(0) });
            let normed = ops::rms_norm(&v, &gain, eps);
            prop_assert_eq!(bits(&scratch), bits(&normed));
            prop_assert_eq!(planes(&x, 0), ops::quantise_a15(&normed));

            let mut gate = v.clone();
            // SAFETY: a single part is taken.
            maps::swiglu_quantise(level, &mut gate, &gain, unsafe { x.rows().part(0) });
            let gated = ops::swiglu(&v, &gain);
            prop_assert_eq!(bits(&gate), bits(&gated));
            prop_assert_eq!(planes(&x, 0), ops::quantise_a15(&gated));

            let mut a8 = vec![0; n];
            let scale = maps::quantise_a8(level, &v, &mut a8);
            prop_assert_eq!((a8, scale), ops::quantise_a8(&v));

            for layout in [Rope::Interleaved, Rope::HalfSplit] {
                let even = n / 2 * 2;
                let (cos, sin) = (values(&mut mix, gain_kind, n / 2), values(&mut mix, gain_kind, n / 2));
                let (mut fast, mut plain) = (v[..even].to_vec(), v[..even].to_vec());
                maps::rotate(level, &mut fast, layout, &cos, &sin);
                ops::rotate(&mut plain, layout, &cos, &sin);
                prop_assert_eq!(bits(&fast), bits(&plain));
            }
        }
    }

    #[test]
    fn attention_equals_the_operator(
        seed: u64, half_dim in 1usize..70, positions in 1usize..90, kind in any_values(), query_kind in any_values(),
    ) {
        attention_case(seed, 2 * half_dim, positions, kind, query_kind, &mut Scratch::default());
    }
}

#[test]
fn products_of_many_tokens_equal_the_operator() {
    // Sums of 1,036 products of the greatest operands are the longest that fit 32 bits.
    let lens = [
        (24, 32, 64),
        (25, 70, 1_036),
        (25, 70, 1_037),
        (61, 33, 1_100),
        (96, 97, 50),
    ];
    for (tokens, rows, cols) in lens {
        for kind in [Values::Ordinary, Values::Outlier, Values::Extreme] {
            let mut mix = Mix::new(cols as u64);
            let mut inputs: Vec<Vec<f32>> =
                (0..tokens).map(|_| values(&mut mix, kind, cols)).collect();
            let mut weights: Vec<u8> = (0..rows * cols).map(|_| mix.weight() as u8).collect();
            for (weights, weight) in weights.chunks_mut(cols).zip([127i8, -127]) {
                weights.fill(weight as u8);
            }
            for token in [tokens / 2, tokens - 1] {
                inputs[token].fill(1.0);
            }
            inputs[tokens / 4].fill(-1.0);
            let matrix = Matrix::new(rows, cols, Bytes::Owned(weights), vec![1.0; rows]).unwrap();
            let expected: Vec<f32> = inputs
                .iter()
                .flat_map(|v| ops::matvec(&matrix, &ops::quantise_a15(v)))
                .collect();
            for level in Level::available() {
                let mut x = Activations::new(tokens, cols);
                for (token, v) in inputs.iter().enumerate() {
                    put(level, &mut x, token, v);
                }
                let mut out = vec![0.0; tokens * rows];
                let mut products = [Product {
                    matrix: &matrix,
                    out: &mut out,
                }];
                multiply(
                    level,
                    &mut Pool::new(2),
                    &x,
                    tokens,
                    &mut products,
                    Write::Store,
                );
                assert_eq!(bits(&out), bits(&expected), "{level:?}, {cols} columns");
            }
        }
    }
}

#[test]
fn a_narrower_head_finds_nothing_of_a_wider_one() {
    let mut scratch = Scratch::default();
    for head_dim in [64, 62, 8, 6, 2] {
        attention_case(
            head_dim as u64,
            head_dim,
            20,
            Values::Ordinary,
            Values::Ordinary,
            &mut scratch,
        );
    }
}

fn attention_case(
    seed: u64,
    head_dim: usize,
    positions: usize,
    kind: Values,
    query_kind: Values,
    scratch: &mut Scratch,
) {
    let mut mix = Mix::new(seed);
    let shape = Shape {
        layers: 2,
        dim: 1,
        heads: 3,
        kv_heads: 3,
        head_dim,
        ff: 1,
        vocab: 1,
        context_max: 1,
        norm_eps_bits: 0,
    };
    let mut plain = HeadCache::default();
    // Every key head of the second layer gets its own rows; the middle one is looked at.
    let mut rows = Rows::new(&shape, positions);
    for i in 0..positions * 3 {
        let (k, v) = (
            values(&mut mix, kind, head_dim),
            values(&mut mix, kind, head_dim),
        );
        let ((k, k_scale), (v, v_scale)) = (ops::quantise_a8(&k), ops::quantise_a8(&v));
        rows.keys[i * head_dim..(i + 1) * head_dim].copy_from_slice(&k);
        rows.values[i * head_dim..(i + 1) * head_dim].copy_from_slice(&v);
        (rows.key_scales[i], rows.value_scales[i]) = (k_scale, v_scale);
        if i % 3 == 1 {
            plain.keys.extend(k);
            plain.key_scales.push(k_scale);
            plain.values.extend(v);
            plain.value_scales.push(v_scale);
        }
    }
    let query = values(&mut mix, query_kind, head_dim);
    let factor = ops::score_factor(head_dim);
    for first in [0, positions / 3, positions - 1] {
        let expected = ops::attend_from(&query, &plain, first, factor);
        for level in Level::available() {
            let mut cache = Cache::new(&shape);
            cache.reserve(positions + 5);
            // Whole, and later positions present that this query must not see.
            cache.append(1, 0, &rows, 0, positions);
            cache.append(1, positions, &rows, 0, positions.min(5));
            let mut out = vec![1.0; head_dim];
            attention::attend(
                level,
                &query,
                cache.head(1, 1),
                first..positions,
                factor,
                scratch,
                &mut out,
            );
            assert_eq!(bits(&out), bits(&expected), "{level:?} from {first}");
        }
    }
}

#[test]
fn long_contexts_equal_the_operator() {
    for (seed, positions, head_dim) in [(1, 5_000, 64), (2, 4_097, 12), (3, 1_023, 256)] {
        attention_case(
            seed,
            head_dim,
            positions,
            Values::Ordinary,
            Values::Ordinary,
            &mut Scratch::default(),
        );
        attention_case(
            seed,
            head_dim,
            positions,
            Values::Zero,
            Values::Ordinary,
            &mut Scratch::default(),
        );
    }
}

#[test]
fn every_tile_equals_the_operator() {
    // Counts of tokens and rows around every tile, widths around vectors and around where lanes are emptied; signs such that sums are extreme.
    const ROWS: [usize; 10] = [33, 31, 32, 17, 1, 7, 8, 9, 15, 16];
    for (seed, cols) in [
        1usize, 15, 16, 17, 63, 64, 65, 130, 1_023, 1_024, 1_025, 1_100, 2_049, 4_100, 8_193,
    ]
    .into_iter()
    .enumerate()
    {
        // Wide rows are slow: one count each.
        let counts = match cols {
            ..1_000 => &ROWS[..],
            _ => &ROWS[seed % ROWS.len()..][..1],
        };
        for rows in counts.iter().copied() {
            tiles_case(seed as u64, rows, cols);
        }
    }
}

fn tiles_case(seed: u64, rows: usize, cols: usize) {
    const TOKENS: usize = 33;
    let mut mix = Mix::new(seed);
    let matrix = matrix(&mut mix, rows, cols, true);
    let aligned: Vec<f32> = (0..cols).map(|i| f32::from(matrix.row(0)[i])).collect();
    let inputs: Vec<Vec<f32>> = (0..TOKENS)
        .map(|token| {
            if token % 2 == 0 {
                aligned.clone()
            } else {
                values(&mut mix, Values::Ordinary, cols)
            }
        })
        .collect();
    let expected: Vec<Vec<f32>> = inputs
        .iter()
        .map(|v| ops::matvec(&matrix, &ops::quantise_a15(v)))
        .collect();
    for level in Level::available() {
        let mut pool = Pool::new(1);
        let mut x = Activations::new(TOKENS, cols);
        for (token, v) in inputs.iter().enumerate() {
            put(level, &mut x, token, v);
        }
        for tokens in (1..=20).chain([31, 32, 33]) {
            let mut out = vec![1.0; tokens * rows];
            multiply(
                level,
                &mut pool,
                &x,
                tokens,
                &mut [Product {
                    matrix: &matrix,
                    out: &mut out,
                }],
                Write::Store,
            );
            for (token, out) in out.chunks(rows).enumerate() {
                assert_eq!(
                    bits(out),
                    bits(&expected[token]),
                    "{level:?}, {cols} columns, {rows} rows, {tokens} tokens"
                );
            }
        }
    }
}

#[test]
fn the_widest_rows_do_not_overflow() {
    let mut mix = Mix::new(9);
    let cols = crate::bounds::TERMS_MAX;
    for sign in [1i8, -1] {
        let weights = vec![127i8.wrapping_mul(sign) as u8; 3 * cols];
        let matrix = Matrix::new(3, cols, Bytes::Owned(weights), vec![1.0, 0.5, 2.0]).unwrap();
        for v in [vec![1.0f32; cols], values(&mut mix, Values::Ordinary, cols)] {
            let quantised = ops::quantise_a15(&v);
            let expected: Vec<f32> = (0..3)
                .map(|row| {
                    let exact: i64 = quantised
                        .high
                        .iter()
                        .zip(&quantised.low)
                        .zip(matrix.row(row))
                        .map(|((h, l), w)| (128 * i64::from(*h) + i64::from(*l)) * i64::from(*w))
                        .sum();
                    f32z::mul(
                        f32z::cvt64(exact),
                        f32z::mul(quantised.scale, matrix.scales()[row]),
                    )
                })
                .collect();
            assert_eq!(bits(&ops::matvec(&matrix, &quantised)), bits(&expected));
            for level in Level::available() {
                for tokens in [1, 7, 17] {
                    let mut x = Activations::new(tokens, cols);
                    (0..tokens).for_each(|token| put(level, &mut x, token, &v));
                    let mut out = vec![0.0; 3 * tokens];
                    multiply(
                        level,
                        &mut Pool::new(1),
                        &x,
                        tokens,
                        &mut [Product {
                            matrix: &matrix,
                            out: &mut out,
                        }],
                        Write::Store,
                    );
                    out.chunks(3)
                        .for_each(|out| assert_eq!(bits(out), bits(&expected), "{level:?}"));
                }
            }
        }
    }
}

#[test]
fn the_widest_heads_do_not_overflow() {
    attention_case(
        4,
        crate::bounds::HEAD_DIM_MAX,
        40,
        Values::Extreme,
        Values::Extreme,
        &mut Scratch::default(),
    );
}

#[test]
fn shortened_functions_equal_the_definitions() {
    // A stride that is no multiple of any power of two visits all exponents and low bits.
    for bits in (0..=0x4280_0000u32).step_by(1_009) {
        let t = f32z::z(f32::from_bits(bits));
        assert_eq!(maps::exp2n(t).to_bits(), f32z::exp2n(t).to_bits(), "{t:e}");
    }
    for bits in (0..=u32::MAX).step_by(4_001) {
        let x = f32z::z(f32::from_bits(bits));
        assert_eq!(maps::silu(x).to_bits(), f32z::silu(x).to_bits(), "{x:e}");
        assert_eq!(
            maps::sigmoid(x).to_bits(),
            f32z::sigmoid(x).to_bits(),
            "{x:e}"
        );
    }
}
