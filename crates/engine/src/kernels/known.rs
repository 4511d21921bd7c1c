//! Single operators through the kernels, for the known answers.

use super::{
    Level,
    attention::{self, Scratch},
    maps::{self, Activations},
    matmul::{Product, Write, multiply},
    pages::{Cache, Rows},
    pool::Pool,
};
use crate::{
    forward::Kernels,
    kat::Operators,
    model::{Matrix, Rope, Shape},
    ops::{HeadCache, Planes},
};

/// The operators of one level.
pub(crate) struct Fast {
    level: Level,
    pool: Pool,
}

impl Fast {
    /// None when this machine lacks the kernels.
    pub(crate) fn new(kernels: Kernels) -> Option<Self> {
        Some(Self {
            level: Level::choose(kernels)?,
            pool: Pool::new(2),
        })
    }

    /// A vector repeated for several tokens, so that kernels for many tokens run too.
    fn repeated(
        &mut self,
        tokens: usize,
        len: usize,
        fill: impl Fn(Level, maps::RowParts<'_>) + Sync,
    ) -> Activations {
        let (level, mut x) = (self.level, Activations::new(tokens, len));
        self.pool
            .for_each(tokens, x.rows(), |_, row| fill(level, row));
        x
    }
}

/// The first token's planes.
fn first(x: &Activations) -> Planes {
    Planes {
        high: x.high[..x.cols].to_vec(),
        low: x.low[..x.cols].to_vec(),
        scale: x.tokens[0].scale,
    }
}

impl Operators for Fast {
    fn quantise_a15(&mut self, v: &[f32]) -> Planes {
        first(&self.repeated(1, v.len(), |level, row| maps::quantise(level, v, row)))
    }

    fn quantise_a8(&mut self, v: &[f32]) -> (Vec<i8>, f32) {
        let mut out = vec![0; v.len()];
        let scale = maps::quantise_a8(self.level, v, &mut out);
        (out, scale)
    }

    fn norm_quantise(&mut self, v: &[f32], gain: &[f32], eps: f32) -> Planes {
        first(&self.repeated(1, v.len(), |level, row| {
            maps::norm_quantise(level, v, gain, eps, &mut vec![0.0; v.len()], row)
        }))
    }

    fn swiglu_quantise(&mut self, gate: &[f32], up: &[f32]) -> Planes {
        first(&self.repeated(1, gate.len(), |level, row| {
            maps::swiglu_quantise(level, &mut gate.to_vec(), up, row)
        }))
    }

    fn geglu_quantise(&mut self, gate: &[f32], up: &[f32]) -> Planes {
        first(&self.repeated(1, gate.len(), |level, row| {
            maps::geglu_quantise(level, &mut gate.to_vec(), up, row)
        }))
    }

    fn norm_head(&mut self, head: &[f32], gain: &[f32], eps: f32) -> Vec<f32> {
        let mut head = head.to_vec();
        maps::norm_head(self.level, &mut head, gain, eps);
        head
    }

    fn norm_add(&mut self, x: &[f32], given: &[f32], gain: &[f32], eps: f32) -> Vec<f32> {
        let mut x = x.to_vec();
        maps::norm_add(self.level, &mut x, given, gain, eps);
        x
    }

    fn layer_norm(&mut self, x: &[f32], gain: &[f32], bias: &[f32], eps: f32) -> Vec<f32> {
        let mut x = x.to_vec();
        maps::layer_norm(self.level, &mut x, gain, bias, eps);
        x
    }

    fn gelu_quantise(&mut self, v: &[f32], bias: &[f32]) -> Planes {
        first(&self.repeated(1, v.len(), |level, row| {
            maps::gelu_quantise(level, &mut v.to_vec(), bias, row)
        }))
    }

    fn mean_rows(&mut self, rows: &[f32], dim: usize) -> Vec<f32> {
        maps::mean_rows(self.level, rows, dim)
    }

    fn rotate(&mut self, head: &[f32], layout: Rope, cos: &[f32], sin: &[f32]) -> Vec<f32> {
        let mut head = head.to_vec();
        maps::rotate(self.level, &mut head, layout, cos, sin);
        head
    }

    /// For one token and for seven; a difference between them shows as NaN, which no answer holds.
    fn product(&mut self, matrix: &Matrix, v: &[f32]) -> Vec<f32> {
        let [one, many] = [1, 7].map(|tokens| {
            let x = self.repeated(tokens, v.len(), |level, row| maps::quantise(level, v, row));
            let mut out = vec![0.0; tokens * matrix.rows()];
            multiply(
                self.level,
                &mut self.pool,
                &x,
                tokens,
                &mut [Product {
                    matrix,
                    out: &mut out,
                }],
                Write::Store,
            );
            out
        });
        let agree = many.chunks_exact(matrix.rows()).all(|row| row == one);
        if agree {
            one
        } else {
            vec![f32::NAN; one.len()]
        }
    }

    fn attend_from(
        &mut self,
        query: &[f32],
        cache: &HeadCache,
        first: usize,
        factor: f32,
    ) -> Vec<f32> {
        let positions = cache.key_scales.len();
        let shape = Shape {
            layers: 1,
            dim: 1,
            heads: 1,
            kv_heads: 1,
            head_dim: query.len(),
            ff: 1,
            vocab: 1,
            context_max: positions,
            norm_eps_bits: 0,
        };
        let HeadCache {
            keys,
            key_scales,
            values,
            value_scales,
        } = cache.clone();
        let mut fast = Cache::new(&shape);
        fast.reserve(positions);
        let rows = Rows {
            keys,
            key_scales,
            values,
            value_scales,
        };
        fast.append(0, 0, &rows, 0, positions);
        let mut out = vec![0.0; query.len()];
        attention::attend(
            self.level,
            query,
            fast.head(0, 0),
            first..positions,
            factor,
            &mut Scratch::default(),
            &mut out,
        );
        out
    }
}
