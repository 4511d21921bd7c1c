use super::*;

fn decode(data_type: DataType, bytes: &[u8]) -> Vec<f32> {
    let (values, block_bytes) = data_type.block();
    let mut out = vec![f32::NAN; bytes.len() / block_bytes * values];
    data_type.decode(bytes, &mut out);
    out
}

/// 0.5, 2 and -3 as halves.
const HALF: [u8; 2] = [0x00, 0x38];
const TWO: [u8; 2] = [0x00, 0x40];
const MINUS_THREE: [u8; 2] = [0x00, 0xc2];

/// Nibble pair `i` of a block of 32: `i` below, `15 - i` above.
fn nibbles() -> [u8; 16] {
    core::array::from_fn(|i| i as u8 | ((15 - i as u8) << 4))
}

#[test]
fn every_half_widens_to_its_exact_value() {
    for bits in 0..=u16::MAX {
        let (sign, exponent, fraction) = (
            bits >> 15,
            i32::from(bits >> 10 & 31),
            f64::from(bits & 0x3ff),
        );
        let widened = f16_to_f32(bits);
        let magnitude = match exponent {
            31 if fraction != 0.0 => {
                assert!(widened.is_nan());
                continue;
            }
            31 => f64::INFINITY,
            0 => fraction / f64::from(1 << 24),
            exponent => (1024.0 + fraction) * f64::from_bits(((exponent + 998) as u64) << 52),
        };
        assert_eq!(f64::from(widened.abs()), magnitude, "{bits:04x}");
        assert_eq!(widened.is_sign_negative(), sign == 1, "{bits:04x}");
    }
}

#[test]
fn plain_types_are_read_as_they_are() {
    assert_eq!(
        decode(DataType::F32, &[0, 0, 0x20, 0x41, 0, 0, 0x80, 0xbf]),
        [10.0, -1.0]
    );
    assert_eq!(
        decode(DataType::F16, &[HALF, TWO, MINUS_THREE].concat()),
        [0.5, 2.0, -3.0]
    );
    assert_eq!(
        decode(DataType::Bf16, &[0x20, 0x41, 0x80, 0xbf]),
        [10.0, -1.0]
    );
}

#[test]
fn q4_0_is_nibble_minus_eight_times_scale() {
    let out = decode(DataType::Q4_0, &[&HALF[..], &nibbles()].concat());
    for i in 0..16 {
        assert_eq!(out[i], (i as f32 - 8.0) * 0.5);
        assert_eq!(out[i + 16], (7.0 - i as f32) * 0.5);
    }
}

#[test]
fn q4_1_is_nibble_times_scale_plus_least() {
    let out = decode(
        DataType::Q4_1,
        &[&HALF[..], &MINUS_THREE, &nibbles()].concat(),
    );
    for i in 0..16 {
        assert_eq!(out[i], i as f32 * 0.5 - 3.0);
        assert_eq!(out[i + 16], (15.0 - i as f32) * 0.5 - 3.0);
    }
}

#[test]
fn q5_0_and_q5_1_take_the_fifth_bit_from_the_mask() {
    // Fifth bits of values 0, 15, 16 and 31.
    let mask = 0x8001_8001u32.to_le_bytes();
    let fifth = |i: usize| {
        if [0, 15, 16, 31].contains(&i) {
            16.0
        } else {
            0.0
        }
    };
    let low = |i: usize| if i < 16 { i as f32 } else { 31.0 - i as f32 };
    let signed = decode(DataType::Q5_0, &[&TWO[..], &mask, &nibbles()].concat());
    let shifted = decode(
        DataType::Q5_1,
        &[&TWO[..], &HALF, &mask, &nibbles()].concat(),
    );
    for i in 0..32 {
        assert_eq!(signed[i], (low(i) + fifth(i) - 16.0) * 2.0, "{i}");
        assert_eq!(shifted[i], (low(i) + fifth(i)) * 2.0 + 0.5, "{i}");
    }
}

#[test]
fn q8_0_is_signed_byte_times_scale() {
    let bytes: Vec<u8> = (0..32u8)
        .map(|i| i.wrapping_mul(9).wrapping_sub(128))
        .collect();
    let out = decode(DataType::Q8_0, &[&HALF[..], &bytes].concat());
    for (value, byte) in out.iter().zip(&bytes) {
        assert_eq!(*value, f32::from(*byte as i8) * 0.5);
    }
}

/// Eight 6-bit scales and eight 6-bit minima, packed the way the `K` encodings do.
fn pack(scales: [u8; 8], least: [u8; 8]) -> [u8; 12] {
    core::array::from_fn(|i| match i {
        0..4 => scales[i] | (scales[i + 4] >> 4 << 6),
        4..8 => least[i - 4] | (least[i] >> 4 << 6),
        _ => (scales[i - 4] & 15) | (least[i - 4] << 4),
    })
}

const SCALES: [u8; 8] = [1, 63, 7, 32, 16, 48, 63, 5];
const LEAST: [u8; 8] = [0, 5, 63, 17, 33, 62, 1, 40];

#[test]
fn q4_k_has_eight_scales_and_minima() {
    let qs: Vec<u8> = (0..128u8)
        .map(|i| i.wrapping_mul(37).wrapping_add(11))
        .collect();
    let out = decode(
        DataType::Q4K,
        &[&HALF[..], &TWO, &pack(SCALES, LEAST), &qs].concat(),
    );
    for (i, value) in out.iter().enumerate() {
        let (sub, lane) = (i / 32, i % 32);
        let byte = qs[32 * (sub / 2) + lane];
        let q = if sub % 2 == 0 { byte & 15 } else { byte >> 4 };
        assert_eq!(
            *value,
            0.5 * f32::from(SCALES[sub]) * f32::from(q) - 2.0 * f32::from(LEAST[sub]),
            "{i}"
        );
    }
}

#[test]
fn q5_k_takes_bit_j_of_the_mask_for_sub_block_j() {
    let qs: Vec<u8> = (0..128u8)
        .map(|i| i.wrapping_mul(37).wrapping_add(11))
        .collect();
    let qh: Vec<u8> = (0..32u8)
        .map(|i| i.wrapping_mul(73).wrapping_add(5))
        .collect();
    let out = decode(
        DataType::Q5K,
        &[&HALF[..], &TWO, &pack(SCALES, LEAST), &qh, &qs].concat(),
    );
    for (i, value) in out.iter().enumerate() {
        let (sub, lane) = (i / 32, i % 32);
        let byte = qs[32 * (sub / 2) + lane];
        let q = (if sub % 2 == 0 { byte & 15 } else { byte >> 4 }) + 16 * (qh[lane] >> sub & 1);
        assert_eq!(
            *value,
            0.5 * f32::from(SCALES[sub]) * f32::from(q) - 2.0 * f32::from(LEAST[sub]),
            "{i}"
        );
    }
}

#[test]
fn q6_k_joins_low_nibbles_and_high_pairs() {
    let low: Vec<u8> = (0..128u8)
        .map(|i| i.wrapping_mul(37).wrapping_add(11))
        .collect();
    let high: Vec<u8> = (0..64u8)
        .map(|i| i.wrapping_mul(73).wrapping_add(5))
        .collect();
    let scales: Vec<u8> = (0..16u8)
        .map(|i| i.wrapping_mul(29).wrapping_sub(100))
        .collect();
    let out = decode(DataType::Q6K, &[&low[..], &high, &scales, &HALF].concat());
    for (i, value) in out.iter().enumerate() {
        let (half, within) = (i / 128, i % 128);
        let (quarter, lane) = (within / 32, within % 32);
        let nibble = match quarter {
            0 => low[64 * half + lane] & 15,
            1 => low[64 * half + 32 + lane] & 15,
            2 => low[64 * half + lane] >> 4,
            _ => low[64 * half + 32 + lane] >> 4,
        };
        let q =
            i32::from(nibble) + 16 * i32::from(high[32 * half + lane] >> (2 * quarter) & 3) - 32;
        assert_eq!(
            *value,
            0.5 * f32::from(scales[i / 16] as i8) * q as f32,
            "{i}"
        );
    }
}

#[test]
fn random_blocks_decode_to_the_recorded_bits() {
    let mut report = String::new();
    for id in [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 30] {
        let data_type = DataType::from_id(id).expect("known");
        let mut state = 0x1234_5678u32 ^ id;
        let bytes: Vec<u8> = (0..64 * data_type.block().1)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Without this bit no half, nor any other float at the same place, is infinite.
                (state >> 24) as u8 & 0xbf
            })
            .collect();
        let bits: Vec<u8> = decode(data_type, &bytes)
            .iter()
            .flat_map(|value| value.to_bits().to_le_bytes())
            .collect();
        report += &format!("{data_type:?} {}\n", &blake3::hash(&bits).to_hex()[..16]);
    }
    expect_test::expect![[r#"
        F32 db88b606ab3b9e70
        F16 3dc2ef5566a6aacd
        Q4_0 a198ab1acf646642
        Q4_1 e380f32c4559d1a6
        Q5_0 68500af988f1b8e2
        Q5_1 1194e9d97504c0aa
        Q8_0 9ec98d56c1ca466b
        Q4K 86a73ec90678ee15
        Q5K 521b301388f3e918
        Q6K 78d8a64b850f9ac9
        Bf16 6eb0bbc419a51648
    "#]]
    .assert_eq(&report);
}
