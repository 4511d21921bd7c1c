//! Small random models, so that operators and kernels can be tested without any file.
//!
//! Everything comes from integers: the same seed gives the same model on every machine.

use alloc::{vec, vec::Vec};

use super::{
    Activation, Blocks, Bytes, Encoder, EncoderLayer, Layer, Matrix, Model, Norm, Rope, Shape,
    Window,
};
use crate::f32z;

/// A counter-based generator of well-mixed integers (SplitMix64): quick, portable, not for secrets.
#[derive(Clone, Debug)]
pub struct Mix(u64);

impl Mix {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// An integer in `0..bound`, nearly even.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A weight in `-127..=127`.
    pub fn weight(&mut self) -> i8 {
        (self.below(255) as i16 - 127) as i8
    }

    /// An F32Z value in (-1, 1) with 20 significant bits.
    pub fn unit(&mut self) -> f32 {
        let numerator = self.below(1 << 21) as i32 - (1 << 20);
        f32z::mul(f32z::cvt(numerator), f32::from_bits(0x3580_0000)) // 2^-20
    }
}

impl Model {
    /// A model with random weights whose activations neither vanish nor blow up.
    ///
    /// `tied` says whether the embedding also makes the logits. The root is not a hash of anything: such a model is never published.
    pub fn random(shape: Shape, rope: Rope, tied: bool, seed: u64) -> Self {
        Self::random_of(shape, rope, Blocks::default(), tied, seed)
    }

    /// [`Model::random`] with blocks of any kind.
    pub fn random_of(shape: Shape, rope: Rope, blocks: Blocks, tied: bool, seed: u64) -> Self {
        let mut mix = Mix::new(seed);
        let Shape {
            layers,
            dim,
            heads,
            kv_heads,
            head_dim,
            ff,
            vocab,
            context_max,
            norm_eps_bits: _,
        } = shape;
        let embedding = matrix(&mut mix, vocab, dim, 127);
        let mut layers = (0..layers)
            .map(|_| Layer {
                attn_norm: gains(&mut mix, dim),
                q: matrix(&mut mix, heads * head_dim, dim, dim),
                k: matrix(&mut mix, kv_heads * head_dim, dim, dim),
                v: matrix(&mut mix, kv_heads * head_dim, dim, dim),
                o: matrix(&mut mix, dim, heads * head_dim, heads * head_dim),
                ffn_norm: gains(&mut mix, dim),
                gate: matrix(&mut mix, ff, dim, dim),
                up: matrix(&mut mix, ff, dim, dim),
                down: matrix(&mut mix, dim, ff, ff),
                q_bias: Vec::new(),
                k_bias: Vec::new(),
                v_bias: Vec::new(),
                q_norm: Vec::new(),
                k_norm: Vec::new(),
                attn_post_norm: Vec::new(),
                ffn_post_norm: Vec::new(),
            })
            .collect::<Vec<_>>();
        let final_norm = gains(&mut mix, dim);
        let head = (!tied).then(|| matrix(&mut mix, vocab, dim, dim));
        let (rope_cos, rope_sin) = rotations(context_max, head_dim / 2, 2);
        let (local_cos, local_sin) = match blocks.window {
            Some(_) => rotations(context_max, head_dim / 2, 1),
            None => Default::default(),
        };
        let mut root = [0; 32];
        for part in root.chunks_mut(8) {
            part.copy_from_slice(&mix.bits().to_le_bytes());
        }
        // After everything that a plain model has, so that its numbers stay what they were.
        for layer in &mut layers {
            if blocks.qkv_bias {
                layer.q_bias = units(&mut mix, heads * head_dim);
                layer.k_bias = units(&mut mix, kv_heads * head_dim);
                layer.v_bias = units(&mut mix, kv_heads * head_dim);
            }
            if blocks.qk_norm {
                layer.q_norm = gains(&mut mix, head_dim);
                layer.k_norm = gains(&mut mix, head_dim);
            }
            if blocks.post_norms {
                layer.attn_post_norm = gains(&mut mix, dim);
                layer.ffn_post_norm = gains(&mut mix, dim);
            }
        }
        Self {
            shape,
            rope,
            blocks,
            embedding,
            layers,
            final_norm,
            head,
            rope_cos,
            rope_sin,
            local_cos,
            local_sin,
            end_tokens: vec![0],
            root,
            #[cfg(feature = "std")]
            package: None,
        }
    }

    /// The smallest model that has every feature: grouped heads, odd widths, more than one layer.
    pub fn tiny(seed: u64) -> Self {
        Self::random(tiny_shape(), Rope::Interleaved, true, seed)
    }

    /// Like [`Model::tiny`] with the other rotation layout and a logits matrix of its own.
    pub fn tiny_half_split(seed: u64) -> Self {
        Self::random(tiny_shape(), Rope::HalfSplit, false, seed)
    }

    /// The smallest model with the blocks of a family.
    pub fn tiny_of(family: Family, seed: u64) -> Self {
        let (blocks, shape) = match family {
            Family::Qwen2 => (
                Blocks {
                    qkv_bias: true,
                    ..Blocks::default()
                },
                tiny_shape(),
            ),
            Family::Qwen3 => (
                Blocks {
                    qk_norm: true,
                    ..Blocks::default()
                },
                tiny_shape(),
            ),
            // Three layers, so that a windowed one follows one that sees everything.
            Family::Gemma3 => (
                Blocks {
                    qk_norm: true,
                    post_norms: true,
                    activation: Activation::GeluTanh,
                    score_width: Some(20),
                    embedding_scale_bits: Some(f32z::sqrt(72.0).to_bits()),
                    window: Some(Window {
                        tokens: 21,
                        global_every: 2,
                    }),
                    ..Blocks::default()
                },
                Shape {
                    layers: 3,
                    ..tiny_shape()
                },
            ),
        };
        Self::random_of(shape, Rope::HalfSplit, blocks, true, seed)
    }
}

impl Encoder {
    /// An encoder with random weights whose activations neither vanish nor blow up; its root is not a hash of anything.
    pub fn random(shape: Shape, seed: u64) -> Self {
        let mut mix = Mix::new(seed);
        let (dim, ff, heads) = (shape.dim, shape.ff, shape.heads * shape.head_dim);
        let embedding = matrix(&mut mix, shape.vocab, dim, 127);
        let positions = units(&mut mix, shape.context_max * dim);
        let norm = |mix: &mut Mix| Norm {
            gain: gains(mix, dim),
            bias: units(mix, dim),
        };
        let embedding_norm = norm(&mut mix);
        let layers = (0..shape.layers)
            .map(|_| EncoderLayer {
                q: matrix(&mut mix, heads, dim, dim),
                k: matrix(&mut mix, heads, dim, dim),
                v: matrix(&mut mix, heads, dim, dim),
                o: matrix(&mut mix, dim, heads, heads),
                up: matrix(&mut mix, ff, dim, dim),
                down: matrix(&mut mix, dim, ff, ff),
                q_bias: units(&mut mix, heads),
                k_bias: units(&mut mix, heads),
                v_bias: units(&mut mix, heads),
                o_bias: units(&mut mix, dim),
                attn_norm: norm(&mut mix),
                up_bias: units(&mut mix, ff),
                down_bias: units(&mut mix, dim),
                ffn_norm: norm(&mut mix),
            })
            .collect();
        let mut root = [0; 32];
        for part in root.chunks_mut(8) {
            part.copy_from_slice(&mix.bits().to_le_bytes());
        }
        Self {
            shape,
            embedding,
            positions,
            embedding_norm,
            layers,
            root,
            #[cfg(feature = "std")]
            package: None,
        }
    }

    /// The smallest encoder that has every feature: odd widths, more than one head and layer.
    pub fn tiny(seed: u64) -> Self {
        let shape = Shape {
            kv_heads: 6,
            vocab: 211,
            context_max: 300,
            norm_eps_bits: 0x2b8c_bccc, // 1e-12
            ..tiny_shape()
        };
        Self::random(shape, seed)
    }
}

/// Families of decoders beside the plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Biases on queries, keys and values.
    Qwen2,
    /// Norms on query and key heads.
    Qwen3,
    /// Norms everywhere, windows, scaled embeddings.
    Gemma3,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Qwen2, Self::Qwen3, Self::Gemma3];

    /// As GGUF names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 => "gemma3",
        }
    }
}

/// Widths are no multiples of a vector length, so that every tail is exercised.
fn tiny_shape() -> Shape {
    Shape {
        layers: 2,
        dim: 72,
        heads: 6,
        kv_heads: 2,
        head_dim: 12,
        ff: 100,
        vocab: 307,
        context_max: 1024,
        norm_eps_bits: 0x3727_c5ac,
    }
}

/// Rows of random weights; the scale keeps a product of unit inputs near one.
fn matrix(mix: &mut Mix, rows: usize, cols: usize, fan_in: usize) -> Matrix {
    let weights = (0..rows * cols).map(|_| mix.weight() as u8).collect();
    let base = f32z::div(1.0, f32z::mul(f32z::sqrt(f32z::cvt(fan_in as i32)), 73.0));
    let scales = (0..rows)
        .map(|_| f32z::mul(base, f32z::add(1.0, f32z::mul(mix.unit(), 0.25))))
        .collect();
    Matrix::new(rows, cols, Bytes::Owned(weights), scales)
        .expect("BUG: lengths are computed from the shape")
}

fn gains(mix: &mut Mix, n: usize) -> Vec<f32> {
    (0..n)
        .map(|_| f32z::add(1.0, f32z::mul(mix.unit(), 0.5)))
        .collect()
}

fn units(mix: &mut Mix, n: usize) -> Vec<f32> {
    (0..n).map(|_| mix.unit()).collect()
}

/// Rotation tables from rational angles: pair `i` turns by the angle whose half has the tangent `1 / (slowness + 3i)`, in Q30 integers.
fn rotations(positions: usize, pairs: usize, slowness: i64) -> (Vec<f32>, Vec<f32>) {
    const ONE: i64 = 1 << 30;
    let steps: Vec<(i64, i64)> = (0..pairs as i64)
        .map(|i| {
            let n = slowness + 3 * i;
            (ONE * (n * n - 1) / (n * n + 1), ONE * (2 * n) / (n * n + 1))
        })
        .collect();
    let mut now = vec![(ONE, 0i64); pairs];
    let (mut cos, mut sin) = (
        Vec::with_capacity(positions * pairs),
        Vec::with_capacity(positions * pairs),
    );
    let unit = f32::from_bits(0x3080_0000); // 2^-30
    for _ in 0..positions {
        for ((c, s), (dc, ds)) in now.iter_mut().zip(&steps) {
            cos.push(f32z::mul(f32z::cvt(*c as i32), unit));
            sin.push(f32z::mul(f32z::cvt(*s as i32), unit));
            (*c, *s) = ((*c * dc - *s * ds) >> 30, (*s * dc + *c * ds) >> 30);
        }
    }
    (cos, sin)
}
