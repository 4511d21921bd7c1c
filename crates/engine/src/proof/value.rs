//! Outputs of operators, and their bytes.

use alloc::vec::Vec;

use crate::{
    f32z,
    ops::{self, Planes},
};

/// What an operator gives, or a tile of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A vector.
    Vector(Vec<f32>),
    /// A quantised vector.
    Planes(Planes),
    /// What the cache keeps of one head.
    Rows(Rows),
}

/// Key and value of one head at one position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// (head_dim)
    pub key: Vec<i8>,
    /// Scale of the key.
    pub key_scale: f32,
    /// (head_dim)
    pub value: Vec<i8>,
    /// Scale of the value.
    pub value_scale: f32,
}

/// Which kind of [`Value`], and how many elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Vector(usize),
    Planes(usize),
    Rows(usize),
}

impl Form {
    /// Bytes of such a value.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Vector(n) => 4 * n,
            Self::Planes(n) => 2 * n + 4,
            Self::Rows(n) => 2 * (n + 4),
        }
    }

    /// Reads a value; none when the bytes are not what an operator can give.
    pub(crate) fn read(self, bytes: &[u8]) -> Option<Value> {
        if bytes.len() != self.bytes() {
            return None;
        }
        Some(match self {
            Self::Vector(_) => Value::Vector(floats(bytes)?),
            Self::Planes(n) => {
                let planes = Planes {
                    high: integers(&bytes[..n]),
                    low: integers(&bytes[n..2 * n]),
                    scale: float(&bytes[2 * n..])?,
                };
                let limit = ops::A15_MAX;
                let fits = planes.high.iter().zip(&planes.low).all(|(high, low)| {
                    let value = 128 * i32::from(*high) + i32::from(*low);
                    (-64..=63).contains(low) && (-limit..=limit).contains(&value)
                });
                (fits && planes.scale.is_sign_positive()).then_some(Value::Planes(planes))?
            }
            Self::Rows(n) => {
                let (key, value) = bytes.split_at(n + 4);
                let rows = Rows {
                    key: integers(&key[..n]),
                    key_scale: float(&key[n..])?,
                    value: integers(&value[..n]),
                    value_scale: float(&value[n..])?,
                };
                let fits = !rows.key.contains(&-128)
                    && !rows.value.contains(&-128)
                    && rows.key_scale.is_sign_positive()
                    && rows.value_scale.is_sign_positive();
                fits.then_some(Value::Rows(rows))?
            }
        })
    }
}

impl Value {
    /// The bytes that are hashed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Vector(values) => put_floats(&mut out, values),
            Self::Planes(planes) => {
                out.extend(planes.high.iter().chain(&planes.low).map(|q| *q as u8));
                put_floats(&mut out, &[planes.scale]);
            }
            Self::Rows(rows) => {
                out.extend(rows.key.iter().map(|q| *q as u8));
                put_floats(&mut out, &[rows.key_scale]);
                out.extend(rows.value.iter().map(|q| *q as u8));
                put_floats(&mut out, &[rows.value_scale]);
            }
        }
        out
    }
}

/// F32Z values from their bits; none when one is not F32Z.
pub(crate) fn floats(bytes: &[u8]) -> Option<Vec<f32>> {
    bytes.chunks_exact(4).map(float).collect()
}

fn float(bytes: &[u8]) -> Option<f32> {
    let value = f32::from_bits(u32::from_le_bytes(bytes.try_into().ok()?));
    (f32z::z(value).to_bits() == value.to_bits()).then_some(value)
}

fn integers(bytes: &[u8]) -> Vec<i8> {
    bytes.iter().map(|byte| *byte as i8).collect()
}

fn put_floats(out: &mut Vec<u8>, values: &[f32]) {
    out.extend(values.iter().flat_map(|v| v.to_bits().to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn values_read_from_their_bytes_are_the_same() {
        let planes = ops::quantise_a15(&[1.0, -0.5, 0.25]);
        let rows = Rows {
            key: vec![127, -127],
            key_scale: 0.5,
            value: vec![0, 1],
            value_scale: 0.0,
        };
        for (form, value) in [
            (Form::Vector(2), Value::Vector(vec![0.0, -3.5])),
            (Form::Planes(3), Value::Planes(planes)),
            (Form::Rows(2), Value::Rows(rows)),
        ] {
            let bytes = value.to_bytes();
            assert_eq!(bytes.len(), form.bytes());
            assert_eq!(form.read(&bytes), Some(value));
            assert_eq!(form.read(&bytes[1..]), None);
        }
    }

    #[test]
    fn bytes_that_no_operator_gives_are_refused() {
        let refused = |form: Form, bytes: &[u8]| assert_eq!(form.read(bytes), None, "{bytes:?}");
        for bits in [0x8000_0000u32, 0x7fc0_0000, 0x7180_0001, 0x0000_0001] {
            refused(Form::Vector(1), &bits.to_le_bytes());
        }
        assert!(Form::Planes(1).read(&[127, 63, 0, 0, 0, 0]).is_some());
        refused(Form::Planes(1), &[127, 64, 0, 0, 0, 0]);
        refused(Form::Planes(1), &[0, 191, 0, 0, 0, 0]); // low of -65
        refused(Form::Planes(1), &[128, 0, 0, 0, 0, 0]); // high of -128
        refused(Form::Planes(1), &[0, 0, 0, 0, 128, 191]); // scale of -1
        refused(Form::Rows(1), &[128, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        refused(Form::Rows(1), &[0, 0, 0, 128, 191, 0, 0, 0, 0, 0]);
    }
}
