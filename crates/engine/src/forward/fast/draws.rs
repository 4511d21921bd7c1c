//! Draws from the logits of many tokens.

use std::ops::Range;

use super::FastPass;
use crate::{
    f32z::order,
    kernels::{matmul::multiply_rows, pool::chunks},
    model::Model,
    sampler::Draw,
};

/// Rows of logits that are made before any is drawn from: bounds the memory that long passes take.
const LOGIT_ROWS: usize = 96;
/// Logits that are made at once where only the highest counts: they stay in a core's cache. Tests have small vocabularies.
const LOGITS_AT_ONCE: usize = if cfg!(test) { 1 << 12 } else { 1 << 16 };
/// Rows of the vocabulary that are taken together at least.
const STEP_ROWS: usize = 256;

impl FastPass {
    /// Draws after each of the tokens `range` of those that ran last, the first for position `first`.
    pub(crate) fn draw_all<D: Draw>(
        &mut self,
        model: &Model,
        range: Range<usize>,
        sampler: &D,
        first: u64,
        logits: &mut Vec<f32>,
        drawn: &mut Vec<D::Drawn>,
    ) {
        let (dim, vocab, rows) = (model.shape.dim, model.shape.vocab, range.len());
        if rows == 0 {
            return;
        }
        self.residual
            .copy_within(range.start * dim..range.end * dim, 0);
        // A device makes all logits at once; there is nothing to gain from parts.
        let resident = model.logits_matrix().resident();
        let in_parts = resident.is_none_or(|resident| !resident.is_usable());
        if let Some(of_best) = sampler.of_best().filter(|_| in_parts) {
            let best = self.best(model, rows, logits);
            drawn.extend(best.into_iter().map(of_best));
            return;
        }
        for from in (0..rows).step_by(LOGIT_ROWS) {
            let rows = LOGIT_ROWS.min(rows - from);
            self.residual
                .copy_within(from * dim..(from + rows) * dim, 0);
            self.product(model, rows, logits);
            let (known, first) = (drawn.len(), first + from as u64);
            drawn.resize(known + rows, D::Drawn::default());
            self.pool
                .for_each(rows, chunks(&mut drawn[known..], 1), |i, out| {
                    out[0] = sampler.draw(&logits[i * vocab..(i + 1) * vocab], first + i as u64);
                });
        }
    }

    /// The tokens with the highest logit in each of the first rows of the residual stream, the lowest id among equals. Logits are made of a
    /// part of the vocabulary at a time and looked at while they are still in the cache.
    fn best(&mut self, model: &Model, rows: usize, logits: &mut Vec<f32>) -> Vec<u32> {
        let (level, matrix) = (self.level, model.logits_matrix());
        self.norm(model, &model.final_norm, rows);
        let mut best = vec![(i32::MIN, 0); rows];
        let step = (LOGITS_AT_ONCE / rows)
            .next_multiple_of(STEP_ROWS)
            .min(matrix.rows());
        logits.resize(rows * step, 0.0);
        for first in (0..matrix.rows()).step_by(step) {
            let part = first..matrix.rows().min(first + step);
            let len = part.len();
            let out = &mut logits[..rows * len];
            multiply_rows(level, &mut self.pool, &self.of_dim, rows, matrix, part, out);
            self.pool.for_each(rows, chunks(&mut best, 1), |i, best| {
                best[0] = better(best[0], &logits[i * len..(i + 1) * len], first);
            });
        }
        best.into_iter().map(|(_, token)| token).collect()
    }
}

/// The better of what is known, by its order, and the highest of the logits of tokens from `first` on; of equals the first.
fn better(known: (i32, u32), logits: &[f32], first: usize) -> (i32, u32) {
    let top = logits.iter().map(|l| order(*l)).fold(i32::MIN, i32::max);
    if top <= known.0 {
        return known;
    }
    match logits.iter().position(|l| order(*l) == top) {
        Some(at) => (top, (first + at) as u32),
        None => known,
    }
}
