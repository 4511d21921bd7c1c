use proptest::prelude::*;

use super::*;

#[test]
fn every_int8_but_one_has_a_byte_that_means_it() {
    for value in i8::MIN..=i8::MAX {
        let Some(packed) = SignMagnitude::new(value) else {
            assert_eq!(value, -128);
            continue;
        };
        let (sign, magnitude) = (packed.byte() >> 7, (packed.byte() & 0x7F) as i8);
        assert_eq!(if sign == 1 { -magnitude } else { magnitude }, value);
        assert_ne!(packed.byte(), 0x80, "minus zero is never packed");
    }
}

#[test]
fn minus_one_hundred_and_twenty_eight_is_refused_with_its_place() {
    let mut values = vec![1; 6];
    values[4] = -128;
    let refused = OperandError::MinusOneTwentyEight { row: 1, col: 1 };
    assert_eq!(pack_weights(2, 3, &values), Err(refused));
    assert_eq!(pack_activations(2, 3, &values), Err(refused));
    assert_eq!(
        refused.to_string(),
        "row 1, column 1 is -128; quantise to -127..=127"
    );
}

#[test]
fn sums_read_sign_and_magnitude_and_both_zeros() {
    assert_eq!(sum(0), 0);
    assert_eq!(sum(0x8000_0000), 0);
    assert_eq!(sum(5), 5);
    assert_eq!(sum(0x8000_0005), -5);
    assert_eq!(sum(0x7FFF_FFFF), i32::MAX);
    assert_eq!(sum(0xFFFF_FFFF), -i32::MAX);
}

#[test]
fn the_longest_product_cannot_saturate_and_the_next_could() {
    let largest = |terms: usize| terms as i64 * 127 * 127;
    assert!(largest(TERMS_MAX) <= i64::from(i32::MAX));
    assert!(largest(TERMS_MAX + 1) > i64::from(i32::MAX));
    assert_eq!(TERMS_MAX, assay_engine::bounds::TERMS_MAX);
    let long = vec![0; TERMS_MAX + 1];
    let refused = OperandError::Terms {
        terms: TERMS_MAX + 1,
    };
    assert_eq!(pack_weights(1, TERMS_MAX + 1, &long), Err(refused));
    assert_eq!(pack_activations(1, TERMS_MAX + 1, &long), Err(refused));
}

#[test]
fn wrong_lengths_are_refused() {
    for (rows, cols, values) in [(2, 3, 5), (1, 0, 0), (usize::MAX, 2, 4)] {
        let refused = OperandError::Shape { values, rows, cols };
        let values = vec![0; values];
        assert_eq!(pack_weights(rows, cols, &values), Err(refused));
        assert_eq!(pack_activations(rows, cols, &values), Err(refused));
    }
}

#[test]
fn narrow_means_that_no_magnitude_is_above_thirty_one() {
    for (value, narrow) in [
        (0, true),
        (31, true),
        (-31, true),
        (32, false),
        (-127, false),
    ] {
        assert_eq!(pack_weights(1, 1, &[value]).unwrap().narrow, narrow);
    }
}

#[test]
fn places_are_those_of_the_layout() {
    // One weight at (row 65 = column 1, output 1; col 81 = step 1, chunk 1 of it, depth 1).
    let (rows, cols) = (66, 128);
    let mut values = vec![0; rows * cols];
    values[65 * cols + 81] = -3;
    let packed = pack_weights(rows, cols, &values).unwrap().bytes;
    assert_eq!(packed.len(), 2 * 2 * 4096);
    let at = 2 * 4096 + 4096 + 1024 + 16 + 1;
    assert_eq!(packed[at], 0x83);
    assert_eq!(packed.iter().filter(|byte| **byte != 0).count(), 1);

    // One activation at (row 17 = block 1, row 1; col 81 = step 1, group 1, depth 1).
    let mut values = vec![0; 18 * cols];
    values[17 * cols + 81] = 5;
    let packed = pack_activations(18, cols, &values).unwrap();
    assert_eq!(packed.len(), 2 * 2 * 1024);
    assert_eq!(packed[2 * 1024 + 1024 + 256 + 16 + 1], 5);
    assert_eq!(packed.iter().filter(|byte| **byte != 0).count(), 1);
}

/// The product by the layouts alone: what the unit would do with exact multipliers.
fn product_of_packed(
    weights: &[u8],
    activations: &[u8],
    (blocks, columns, steps): (usize, usize, usize),
) -> Vec<u8> {
    let value = |byte: u8| {
        let magnitude = i32::from(byte & 0x7F);
        if byte >> 7 == 1 {
            -magnitude
        } else {
            magnitude
        }
    };
    let mut results = vec![0; columns * blocks * 4096];
    for column in 0..columns {
        for block in 0..blocks {
            let out = &mut results[(column * blocks + block) * 4096..][..4096];
            for (i, word) in out.chunks_exact_mut(4).enumerate() {
                let (group, row, output) = (i / 256, i / 16 % 16, i % 16);
                let mut total = 0;
                for k in 0..steps * 64 {
                    let w = weights
                        [(column * steps * 4 + k / 16) * 1024 + group * 256 + k % 16 * 16 + output];
                    let a = activations[block * steps * 1024
                        + k / 64 * 1024
                        + k / 16 % 4 * 256
                        + row * 16
                        + k % 16];
                    total += value(w) * value(a);
                }
                let packed = total.unsigned_abs() | if total < 0 { 1 << 31 } else { 0 };
                word.copy_from_slice(&packed.to_le_bytes());
            }
        }
    }
    results
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packing_multiplying_and_reading_back_is_the_product(
        rows in 1usize..40, outputs in 1usize..140, cols in 1usize..150, seed in any::<u64>(),
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut values = |count: usize| -> Vec<i8> { (0..count).map(|_| random.i8(-127..=127)).collect() };
        let (a, w) = (values(rows * cols), values(outputs * cols));
        let weights = pack_weights(outputs, cols, &w).unwrap();
        let activations = pack_activations(rows, cols, &a).unwrap();
        prop_assert!(!weights.bytes.contains(&0x80) && !activations.contains(&0x80));
        let shape = (blocks(rows), columns(outputs), steps(cols));
        let results = product_of_packed(&weights.bytes, &activations, shape);
        for row in 0..rows {
            for output in 0..outputs {
                let exact: i32 = a[row * cols..][..cols].iter().zip(&w[output * cols..][..cols])
                    .map(|(a, w)| i32::from(*a) * i32::from(*w)).sum();
                prop_assert_eq!(result_at(&results, blocks(rows), row, output), exact);
            }
        }
    }
}
