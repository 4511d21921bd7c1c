//! The checkpoint as its makers meant it, in plain binary32: what the quality of a converted model is compared with.
//!
//! Weights are decoded and never quantised, sums are taken in whatever order the compiler likes, and exponentials are the
//! library's. So nothing here is reproducible to the bit, and nothing of it may ever reach a result; it only tells how well a
//! text is predicted.
#![allow(
    clippy::disallowed_methods,
    reason = "the library's functions are what ours are compared with"
)]

use std::{ops::AddAssign, thread, vec::Vec};

use super::{ImportError, convert::plan, plan::rotated};
use crate::{
    forward::{Options, Session, SessionError},
    model::{Activation, Blocks, Model, Rope, Shape, layout::Layout},
};

/// How well a text was predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Surprise {
    /// Sum of the negative natural logarithms of the probabilities of the tokens.
    pub nats: f64,
    /// Tokens that were predicted.
    pub tokens: usize,
}

impl Surprise {
    /// e to the mean surprise per token.
    pub fn perplexity(&self) -> f64 {
        (self.nats / self.tokens as f64).exp()
    }

    fn see(&mut self, logits: &[f32], token: u32) {
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|l| f64::from(l - top).exp()).sum();
        self.nats += sum.ln() - f64::from(logits[token as usize] - top);
        self.tokens += 1;
    }
}

impl AddAssign for Surprise {
    fn add_assign(&mut self, other: Self) {
        self.nats += other.nats;
        self.tokens += other.tokens;
    }
}

/// Predicts every token of a window but the first, by the model as the engine runs it.
pub fn surprise(
    model: &Model,
    window: &[u32],
    options: &Options,
) -> Result<Surprise, SessionError> {
    let mut found = Surprise::default();
    let mut session = Session::new(model, window.len(), options)?;
    session.show_each(window, &mut |i, logits| {
        if let Some(next) = window.get(i + 1) {
            found.see(logits, *next);
        }
    })?;
    Ok(found)
}

/// A decoder in binary32.
#[derive(Debug)]
pub struct FloatModel {
    shape: Shape,
    rope: Rope,
    blocks: Blocks,
    threads: usize,
    embedding: Matrix,
    layers: Vec<Layer>,
    final_norm: Vec<f32>,
    head: Option<Matrix>,
    rope_tables: Tables,
    local_tables: Tables,
}

/// Cosines and sines, (position, pair).
type Tables = (Vec<f32>, Vec<f32>);

fn rotations(turns: &[f64], positions: usize) -> Tables {
    let table = |function: fn(f64) -> f64| {
        let mut values = vec![0.0; positions * turns.len()];
        for (position, row) in values.chunks_exact_mut(turns.len()).enumerate() {
            rotated(turns, position, function, row);
        }
        values
    };
    (table(libm::cos), table(libm::sin))
}

#[derive(Debug)]
struct Matrix {
    cols: usize,
    values: Vec<f32>, // (row, col)
}

#[derive(Debug, Default)]
struct Layer {
    attn_norm: Vec<f32>,
    ffn_norm: Vec<f32>,
    q_bias: Vec<f32>,
    k_bias: Vec<f32>,
    v_bias: Vec<f32>,
    q_norm: Vec<f32>,
    k_norm: Vec<f32>,
    attn_post_norm: Vec<f32>,
    ffn_post_norm: Vec<f32>,
    matrices: Vec<Matrix>, // q, k, v, o, gate, up, down
}

impl FloatModel {
    /// Decodes a GGUF file.
    pub fn from_gguf(source: &[u8], threads: usize) -> Result<Self, ImportError> {
        let plan = plan(source)?;
        let layout = Layout::new(&plan.manifest)?;
        let read = |name: &str, rows: usize, cols: usize| {
            let part = &plan.parts[name];
            let mut values = vec![0.0; rows * cols];
            for (row, values) in values.chunks_exact_mut(cols).enumerate() {
                part.read(row, values)?;
            }
            Ok::<_, ImportError>(values)
        };
        let mut matrices = Vec::new();
        for place in &layout.matrices {
            let values = read(&place.name, place.rows, place.cols)?;
            let cols = place.cols;
            matrices.push(Matrix { cols, values });
        }
        let mut tables = Vec::new();
        for place in layout
            .tables
            .iter()
            .filter(|p| !p.name.starts_with("rope."))
        {
            tables.push((place.name.clone(), read(&place.name, 1, place.cols)?));
        }
        let shape = plan.manifest.shape.clone();
        let mut matrices = matrices.into_iter();
        let mut next = || matrices.next().expect("BUG: the layout has every matrix");
        let embedding = next();
        let mut layers: Vec<Layer> = (0..shape.layers)
            .map(|_| Layer {
                matrices: (0..7).map(|_| next()).collect(),
                ..Layer::default()
            })
            .collect();
        let head = (!plan.manifest.tied_head).then(next);
        let mut final_norm = Vec::new();
        for (name, values) in tables {
            let Some((layer, part)) = name
                .strip_prefix("layers.")
                .and_then(|rest| rest.split_once('.'))
            else {
                final_norm = values;
                continue;
            };
            let layer: usize = layer.parse().expect("BUG: layers are numbered");
            let layer = &mut layers[layer];
            *match part {
                "attn_norm" => &mut layer.attn_norm,
                "ffn_norm" => &mut layer.ffn_norm,
                "q_bias" => &mut layer.q_bias,
                "k_bias" => &mut layer.k_bias,
                "v_bias" => &mut layer.v_bias,
                "q_norm" => &mut layer.q_norm,
                "k_norm" => &mut layer.k_norm,
                "attn_post_norm" => &mut layer.attn_post_norm,
                "ffn_post_norm" => &mut layer.ffn_post_norm,
                other => unreachable!("BUG: layers have no table {other}"),
            } = values;
        }
        Ok(Self {
            rope_tables: rotations(&plan.turns, shape.context_max),
            local_tables: match plan.manifest.blocks.window {
                Some(_) => rotations(&plan.local_turns, shape.context_max),
                None => Tables::default(),
            },
            rope: plan.manifest.rope,
            blocks: plan.manifest.blocks.clone(),
            threads: threads.max(1),
            shape,
            embedding,
            layers,
            final_norm,
            head,
        })
    }

    /// Predicts every token of a window but the first.
    ///
    /// # Panics
    /// When a token is outside the vocabulary or the window is longer than the context.
    pub fn surprise(&self, window: &[u32]) -> Surprise {
        let mut found = Surprise::default();
        let x = self.hidden(window);
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        // Some rows at a time: logits of a whole window would take half a gigabyte.
        for (c, x) in x.chunks(64 * self.shape.dim).enumerate() {
            let logits = self.product(head, x);
            for (i, logits) in logits.chunks_exact(self.shape.vocab).enumerate() {
                if let Some(next) = window.get(c * 64 + i + 1) {
                    found.see(logits, *next);
                }
            }
        }
        found
    }

    /// The normed residual stream after the last layer, (token, dim).
    fn hidden(&self, window: &[u32]) -> Vec<f32> {
        let Shape {
            dim,
            head_dim,
            heads,
            kv_heads,
            ..
        } = self.shape;
        let scale = self.blocks.embedding_scale_bits.map_or(1.0, f32::from_bits);
        let mut x: Vec<f32> = window
            .iter()
            .flat_map(|token| &self.embedding.values[*token as usize * dim..][..dim])
            .map(|v| v * scale)
            .collect();
        for (index, layer) in self.layers.iter().enumerate() {
            let [q, k, v, o, gate, up, down] = &layer.matrices[..] else {
                unreachable!("BUG: seven matrices")
            };
            let h = self.norm(&x, &layer.attn_norm, dim);
            let biased = |matrix, bias: &[f32]| {
                let mut y = self.product(matrix, &h);
                if !bias.is_empty() {
                    for row in y.chunks_exact_mut(bias.len()) {
                        row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
                    }
                }
                y
            };
            let (mut queries, mut keys) = (biased(q, &layer.q_bias), biased(k, &layer.k_bias));
            let values = biased(v, &layer.v_bias);
            if self.blocks.qk_norm {
                queries = self.norm(&queries, &layer.q_norm, head_dim);
                keys = self.norm(&keys, &layer.k_norm, head_dim);
            }
            self.rotate(&mut queries, heads, index);
            self.rotate(&mut keys, kv_heads, index);
            let attended = self.attend(&queries, &keys, &values, index);
            self.add(&mut x, self.product(o, &attended), &layer.attn_post_norm);

            let h = self.norm(&x, &layer.ffn_norm, dim);
            let (mut gated, up) = (self.product(gate, &h), self.product(up, &h));
            for (g, u) in gated.iter_mut().zip(up) {
                *g = self.bent(*g) * u;
            }
            self.add(&mut x, self.product(down, &gated), &layer.ffn_post_norm);
        }
        self.norm(&x, &self.final_norm, dim)
    }

    fn bent(&self, g: f32) -> f32 {
        match self.blocks.activation {
            Activation::Silu => g / (1.0 + (-g).exp()),
            Activation::GeluTanh => {
                let inner = (2.0 / core::f32::consts::PI).sqrt() * (g + 0.044_715 * g * g * g);
                g / 2.0 * (1.0 + inner.tanh())
            }
        }
    }

    fn add(&self, x: &mut [f32], given: Vec<f32>, gain: &[f32]) {
        let given = match self.blocks.post_norms {
            true => self.norm(&given, gain, self.shape.dim),
            false => given,
        };
        x.iter_mut().zip(given).for_each(|(x, y)| *x += y);
    }

    /// RMSNorm of every piece of this length.
    fn norm(&self, x: &[f32], gain: &[f32], len: usize) -> Vec<f32> {
        let eps = f32::from_bits(self.shape.norm_eps_bits);
        x.chunks_exact(len)
            .flat_map(|piece| {
                let mean = piece.iter().map(|v| v * v).sum::<f32>() / len as f32;
                let inverse = 1.0 / (mean + eps).sqrt();
                piece.iter().zip(gain).map(move |(v, g)| v * inverse * g)
            })
            .collect()
    }

    fn rotate(&self, x: &mut [f32], heads: usize, layer: usize) {
        let (head_dim, half) = (self.shape.head_dim, self.shape.head_dim / 2);
        let (cos, sin) = match self.blocks.is_local(layer) {
            true => &self.local_tables,
            false => &self.rope_tables,
        };
        for (i, head) in x.chunks_exact_mut(head_dim).enumerate() {
            let at = i / heads * half;
            for pair in 0..half {
                let (a, b) = match self.rope {
                    Rope::Interleaved => (2 * pair, 2 * pair + 1),
                    Rope::HalfSplit => (pair, pair + half),
                };
                let (c, s) = (cos[at + pair], sin[at + pair]);
                (head[a], head[b]) = (head[a] * c - head[b] * s, head[a] * s + head[b] * c);
            }
        }
    }

    fn attend(&self, queries: &[f32], keys: &[f32], values: &[f32], layer: usize) -> Vec<f32> {
        let Shape {
            head_dim,
            heads,
            kv_heads,
            ..
        } = self.shape;
        let width = self.blocks.score_width.unwrap_or(head_dim) as f32;
        let (group, stride) = (heads / kv_heads, kv_heads * head_dim);
        let mut out = vec![0.0f32; queries.len()];
        for (i, (query, out)) in queries
            .chunks_exact(head_dim)
            .zip(out.chunks_exact_mut(head_dim))
            .enumerate()
        {
            let (token, head) = (i / heads, i % heads / group);
            let seen = self.blocks.first_seen(layer, token)..token + 1;
            let row = |p: usize| p * stride + head * head_dim..p * stride + (head + 1) * head_dim;
            let scores: Vec<f32> = seen
                .clone()
                .map(|p| dot(query, &keys[row(p)]) / width.sqrt())
                .collect();
            let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let weights: Vec<f32> = scores.iter().map(|s| (s - top).exp()).collect();
            let total: f32 = weights.iter().sum();
            for (p, w) in seen.zip(weights) {
                for (out, v) in out.iter_mut().zip(&values[row(p)]) {
                    *out += w / total * v;
                }
            }
        }
        out
    }

    /// Product of every row of `x` with the matrix, (token, row).
    fn product(&self, matrix: &Matrix, x: &[f32]) -> Vec<f32> {
        let cols = matrix.cols;
        let rows = matrix.values.len() / cols;
        let tokens = x.len() / cols;
        let per_thread = rows.div_ceil(self.threads);
        // (row, token) first: a thread owns rows.
        let mut turned = vec![0.0f32; rows * tokens];
        thread::scope(|scope| {
            for (out, weights) in turned
                .chunks_mut(per_thread * tokens)
                .zip(matrix.values.chunks(per_thread * cols))
            {
                scope.spawn(move || {
                    for (out, w) in out.chunks_exact_mut(tokens).zip(weights.chunks_exact(cols)) {
                        for (out, x) in out.iter_mut().zip(x.chunks_exact(cols)) {
                            *out = dot(w, x);
                        }
                    }
                });
            }
        });
        let mut out = vec![0.0; turned.len()];
        for (row, values) in turned.chunks_exact(tokens.max(1)).enumerate() {
            for (token, value) in values.iter().enumerate() {
                out[token * rows + row] = *value;
            }
        }
        out
    }
}

/// Sixteen running sums, so that it becomes vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (a_whole, b_whole) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a_whole
        .remainder()
        .iter()
        .zip(b_whole.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a_whole.zip(b_whole) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest
}
