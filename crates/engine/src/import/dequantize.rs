//! The tensor encodings of GGUF, turned into f32.
//!
//! Each formula is written out as separate multiplications and additions in one fixed order, half floats
//! widen exactly, and nothing else is rounded: every machine gets the same bits.

/// An encoding this crate can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

/// Values in one block of the `K` encodings.
const SUPER: usize = 256;

impl DataType {
    /// The encoding with this number in the file format, if it is one of ours.
    pub fn from_id(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// Values and bytes of one block.
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q4K => (SUPER, 144),
            Self::Q5K => (SUPER, 176),
            Self::Q6K => (SUPER, 210),
        }
    }

    /// Decodes whole blocks into `out`.
    ///
    /// # Panics
    /// When `bytes` is not exactly the encoding of `out.len()` values; the file reader has checked that it is.
    pub fn decode(self, bytes: &[u8], out: &mut [f32]) {
        let (values, block_bytes) = self.block();
        assert_eq!(out.len() % values, 0, "BUG: partial block");
        assert_eq!(
            bytes.len(),
            out.len() / values * block_bytes,
            "BUG: wrong row length"
        );
        let decode = match self {
            Self::F32 => f32_block,
            Self::F16 => f16_block,
            Self::Bf16 => bf16_block,
            Self::Q4_0 => q4_0,
            Self::Q4_1 => q4_1,
            Self::Q5_0 => q5_0,
            Self::Q5_1 => q5_1,
            Self::Q8_0 => q8_0,
            Self::Q4K => q4_k,
            Self::Q5K => q5_k,
            Self::Q6K => q6_k,
        };
        for (block, out) in bytes
            .chunks_exact(block_bytes)
            .zip(out.chunks_exact_mut(values))
        {
            decode(block, out);
        }
    }
}

/// Widens an IEEE half exactly; infinities and NaN stay what they are.
pub fn f16_to_f32(half: u16) -> f32 {
    let sign = u32::from(half >> 15) << 31;
    let exponent = u32::from(half >> 10) & 0x1f;
    let fraction = u32::from(half) & 0x3ff;
    let magnitude = match (exponent, fraction) {
        (0, 0) => 0,
        (0, fraction) => {
            // Subnormal: shift the leading one to the hidden place; 2^-24 is the unit.
            let shift = fraction.leading_zeros() - 21;
            ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13)
        }
        (0x1f, fraction) => 0x7f80_0000 | (fraction << 13),
        (exponent, fraction) => ((exponent + 112) << 23) | (fraction << 13),
    };
    f32::from_bits(sign | magnitude)
}

fn half(bytes: &[u8]) -> f32 {
    f16_to_f32(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn f32_block(block: &[u8], out: &mut [f32]) {
    out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]);
}

fn f16_block(block: &[u8], out: &mut [f32]) {
    out[0] = half(block);
}

fn bf16_block(block: &[u8], out: &mut [f32]) {
    out[0] = f32::from_bits(u32::from(u16::from_le_bytes([block[0], block[1]])) << 16);
}

fn q4_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block);
    for (i, byte) in block[2..18].iter().enumerate() {
        out[i] = (i32::from(byte & 15) - 8) as f32 * scale;
        out[i + 16] = (i32::from(byte >> 4) - 8) as f32 * scale;
    }
}

fn q4_1(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half(block), half(&block[2..]));
    for (i, byte) in block[4..20].iter().enumerate() {
        out[i] = f32::from(byte & 15) * scale + least;
        out[i + 16] = f32::from(byte >> 4) * scale + least;
    }
}

/// The five-bit values of a block: low nibbles in `low`, fifth bits in `high`.
fn five_bits(high: &[u8], low: &[u8], mut put: impl FnMut(usize, u8)) {
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    let fifth = |i: usize| ((high >> i) as u8 & 1) << 4;
    for (i, byte) in low.iter().enumerate() {
        put(i, (byte & 15) | fifth(i));
        put(i + 16, (byte >> 4) | fifth(i + 16));
    }
}

fn q5_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block);
    five_bits(&block[2..6], &block[6..22], |i, q| {
        out[i] = (i32::from(q) - 16) as f32 * scale
    });
}

fn q5_1(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half(block), half(&block[2..]));
    five_bits(&block[4..8], &block[8..24], |i, q| {
        out[i] = f32::from(q) * scale + least
    });
}

fn q8_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block);
    for (out, byte) in out.iter_mut().zip(&block[2..34]) {
        *out = f32::from(*byte as i8) * scale;
    }
}

/// The 6-bit scale and minimum of sub-block `j`, packed into twelve bytes.
fn scale_and_least(j: usize, packed: &[u8]) -> (f32, f32) {
    let (scale, least) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (
            (packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4),
            (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4),
        )
    };
    (f32::from(scale), f32::from(least))
}

fn q4_k(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half(block), half(&block[2..]));
    let (packed, nibbles) = (&block[4..16], &block[16..144]);
    for (pair, (nibbles, out)) in nibbles
        .chunks_exact(32)
        .zip(out.chunks_exact_mut(64))
        .enumerate()
    {
        for part in 0..2 {
            let (s, m) = scale_and_least(2 * pair + part, packed);
            let (s, m) = (scale * s, least * m);
            for (i, byte) in nibbles.iter().enumerate() {
                out[32 * part + i] = s * f32::from((byte >> (4 * part)) & 15) - m;
            }
        }
    }
}

fn q5_k(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half(block), half(&block[2..]));
    let (packed, high, nibbles) = (&block[4..16], &block[16..48], &block[48..176]);
    for (pair, (nibbles, out)) in nibbles
        .chunks_exact(32)
        .zip(out.chunks_exact_mut(64))
        .enumerate()
    {
        for part in 0..2 {
            let sub = 2 * pair + part;
            let (s, m) = scale_and_least(sub, packed);
            let (s, m) = (scale * s, least * m);
            for (i, byte) in nibbles.iter().enumerate() {
                let q = ((byte >> (4 * part)) & 15) | (((high[i] >> sub) & 1) << 4);
                out[32 * part + i] = s * f32::from(q) - m;
            }
        }
    }
}

fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half(&block[208..]);
    for (group, out) in out.chunks_exact_mut(128).enumerate() {
        let (low, high) = (&low[64 * group..][..64], &high[32 * group..][..32]);
        for (i, out) in out.iter_mut().enumerate() {
            let (lane, quarter) = (i % 32, i / 32);
            let nibble = (low[lane + 32 * (quarter % 2)] >> (4 * (quarter / 2))) & 15;
            let q = nibble | (((high[lane] >> (2 * quarter)) & 3) << 4);
            let s = scale * f32::from(scales[8 * group + i / 16] as i8);
            *out = s * (i32::from(q) - 32) as f32;
        }
    }
}

#[cfg(test)]
mod tests;
