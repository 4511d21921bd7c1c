//! The forward pass over kernels: several tokens per pass over the weights, several threads.

use std::cell::RefCell;

use super::{Wanted, Watch};
use crate::{
    f32z::{cvt, mul},
    kernels::{
        Level,
        attention::{self, Cache, Rows, Scratch},
        maps::{self, Activations},
        matmul::{Product, Write, multiply},
        pool::{Pool, chunks},
    },
    model::{Activation, Layer, Matrix, Model, Shape},
    sampler::Sampler,
    trace::{self, Hash, KvRows, Trace},
};

thread_local! {
    /// Attention's working memory of this thread.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
    /// Bytes of the leaf that this thread hashes.
    static HASHED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The state between passes, and buffers for one pass of up to `tokens` tokens.
#[derive(Debug)]
pub(crate) struct FastPass {
    level: Level,
    pool: Pool,
    cache: Cache,
    residual: Vec<f32>,    // (token, dim)
    normed: Vec<f32>,      // (token, dim); also what a part gives before its own norm
    queries: Vec<f32>,     // (token, head, head_dim)
    keys: Vec<f32>,        // (token, kv_head, head_dim)
    values: Vec<f32>,      // (token, kv_head, head_dim)
    attended: Vec<f32>,    // (token, head, head_dim)
    gate: Vec<f32>,        // (token, ff)
    up: Vec<f32>,          // (token, ff)
    of_dim: Activations,   // normed residual
    of_heads: Activations, // attended
    of_ff: Activations,    // gated
    rows: Rows,
    leaves: Vec<Hash>, // (token, 1 + layers)
}

/// What a product that ends a part of a block reads.
#[derive(Clone, Copy)]
enum Source {
    Heads,
    FeedForward,
}

impl FastPass {
    pub(crate) fn new(
        model: &Model,
        capacity: usize,
        chunk: usize,
        threads: usize,
        level: Level,
    ) -> Self {
        let shape = &model.shape;
        let tokens = chunk.min(capacity.max(1));
        let (q_dim, kv_dim) = (
            shape.heads * shape.head_dim,
            shape.kv_heads * shape.head_dim,
        );
        Self {
            level,
            pool: Pool::new(threads),
            cache: Cache::new(shape, capacity),
            residual: vec![0.0; tokens * shape.dim],
            normed: vec![0.0; tokens * shape.dim],
            queries: vec![0.0; tokens * q_dim],
            keys: vec![0.0; tokens * kv_dim],
            values: vec![0.0; tokens * kv_dim],
            attended: vec![0.0; tokens * q_dim],
            gate: vec![0.0; tokens * shape.ff],
            up: vec![0.0; tokens * shape.ff],
            of_dim: Activations::new(tokens, shape.dim),
            of_heads: Activations::new(tokens, q_dim),
            of_ff: Activations::new(tokens, shape.ff),
            rows: Rows::new(shape, tokens),
            leaves: vec![[0; 32]; tokens * (1 + shape.layers)],
        }
    }

    /// Runs one pass over tokens that follow the `trace.positions()` already seen; leaves the wanted logits, (token, vocab), in `logits`.
    pub(crate) fn advance(
        &mut self,
        model: &Model,
        tokens: &[u32],
        wanted: Wanted,
        logits: &mut Vec<f32>,
        trace: &mut Trace,
        mut watch: Option<&mut dyn Watch>,
    ) {
        let position = trace.positions();
        self.embed(model, position, tokens);
        for (index, layer) in model.layers.iter().enumerate() {
            self.attention(model, layer, index, position, tokens.len());
            self.feed_forward(model, layer, tokens.len());
            self.leaves(model, index, position, tokens.len());
            if let Some(watch) = watch.as_deref_mut() {
                for token in 0..tokens.len() {
                    let (residual, rows) = self.left(model, token);
                    watch.layer(position + token, index, residual, &rows);
                }
            }
        }
        for leaves in self
            .leaves
            .chunks_exact(1 + model.shape.layers)
            .take(tokens.len())
        {
            trace.push(leaves);
        }
        self.logits(model, tokens.len(), wanted, logits);
    }

    /// Draws from every row of logits, the first for position `first`.
    pub(crate) fn draw_all(
        &mut self,
        logits: &[f32],
        vocab: usize,
        sampler: &Sampler,
        first: u64,
        drawn: &mut Vec<u32>,
    ) {
        let (from, rows) = (drawn.len(), logits.len() / vocab);
        drawn.resize(from + rows, 0);
        self.pool
            .for_each(rows, chunks(&mut drawn[from..], 1), |i, out| {
                out[0] = sampler.draw(&logits[i * vocab..(i + 1) * vocab], first + i as u64);
            });
    }

    /// Fills the residual stream and the token leaves.
    fn embed(&mut self, model: &Model, position: usize, tokens: &[u32]) {
        let leaves = self.leaves.chunks_exact_mut(1 + model.shape.layers);
        let rows = self.residual.chunks_exact_mut(model.shape.dim);
        for (i, ((token, x), leaves)) in tokens.iter().zip(rows).zip(leaves).enumerate() {
            let scale = model.embedding_factor(*token);
            for (x, w) in x.iter_mut().zip(model.embedding.row(*token as usize)) {
                *x = mul(cvt(i32::from(*w)), scale);
            }
            leaves[0] = trace::token_leaf((position + i) as u32, *token);
        }
    }

    /// Adds a layer's attention to the residual stream and appends to the cache.
    fn attention(
        &mut self,
        model: &Model,
        layer: &Layer,
        index: usize,
        position: usize,
        tokens: usize,
    ) {
        let (level, shape) = (self.level, &model.shape);
        let (heads, kv_heads, head_dim) = (shape.heads, shape.kv_heads, shape.head_dim);
        let (q_len, kv_len) = (tokens * heads * head_dim, tokens * kv_heads * head_dim);
        self.norm(model, &layer.attn_norm, tokens);
        let mut products = [
            Product {
                matrix: &layer.q,
                out: &mut self.queries[..q_len],
            },
            Product {
                matrix: &layer.k,
                out: &mut self.keys[..kv_len],
            },
            Product {
                matrix: &layer.v,
                out: &mut self.values[..kv_len],
            },
        ];
        multiply(
            level,
            &mut self.pool,
            &self.of_dim,
            tokens,
            &mut products,
            Write::Store,
        );

        if model.blocks.qkv_bias {
            let parts = (
                chunks(&mut self.queries, heads * head_dim),
                chunks(&mut self.keys, kv_heads * head_dim),
                chunks(&mut self.values, kv_heads * head_dim),
            );
            self.pool
                .for_each(tokens, parts, |_, (queries, keys, values)| {
                    maps::add_to(level, queries, &layer.q_bias);
                    maps::add_to(level, keys, &layer.k_bias);
                    maps::add_to(level, values, &layer.v_bias);
                });
        }
        let eps = f32::from_bits(shape.norm_eps_bits);
        // Norms the head where the blocks ask for it, and rotates it.
        let place = |head: &mut [f32], gain: &[f32], token: usize| {
            if model.blocks.qk_norm {
                maps::norm_head(level, head, gain, eps);
            }
            let (cos, sin) = model.rotation(index, position + token);
            maps::rotate(level, head, model.rope, cos, sin);
        };
        let keys = chunks(&mut self.keys, head_dim);
        let key_rows = (
            chunks(&mut self.rows.keys, head_dim),
            chunks(&mut self.rows.key_scales, 1),
        );
        let value_rows = (
            chunks(&mut self.rows.values, head_dim),
            chunks(&mut self.rows.value_scales, 1),
        );
        let values = &self.values;
        self.pool.for_each(
            tokens * kv_heads,
            (keys, key_rows, value_rows),
            |i, (key, (k, k_scale), (v, v_scale))| {
                place(key, &layer.k_norm, i / kv_heads);
                k_scale[0] = maps::quantise_a8(level, key, k);
                v_scale[0] = maps::quantise_a8(level, &values[i * head_dim..(i + 1) * head_dim], v);
            },
        );
        self.cache
            .append(&mut self.pool, index, position, tokens, &self.rows);

        let (cache, group, factor) = (&self.cache, heads / kv_heads, model.score_factor());
        let parts = (
            chunks(&mut self.queries, head_dim),
            chunks(&mut self.attended, head_dim),
        );
        self.pool
            .for_each(tokens * heads, parts, |i, (query, out)| {
                let (token, head) = (i / heads, i % heads);
                place(query, &layer.q_norm, token);
                let last = position + token;
                SCRATCH.with_borrow_mut(|scratch| {
                    attention::attend(
                        level,
                        query,
                        cache.head(index, head / group),
                        model.blocks.first_seen(index, last)..last + 1,
                        factor,
                        scratch,
                        out,
                    );
                });
            });

        let attended = &self.attended;
        self.pool.for_each(tokens, self.of_heads.rows(), |i, row| {
            maps::quantise(
                level,
                &attended[i * heads * head_dim..(i + 1) * heads * head_dim],
                row,
            );
        });
        self.give(
            model,
            &layer.o,
            &layer.attn_post_norm,
            Source::Heads,
            tokens,
        );
    }

    /// Adds a product to the residual stream, normed first where the blocks ask for it.
    fn give(&mut self, model: &Model, matrix: &Matrix, gain: &[f32], of: Source, tokens: usize) {
        let (level, dim) = (self.level, model.shape.dim);
        let x = match of {
            Source::Heads => &self.of_heads,
            Source::FeedForward => &self.of_ff,
        };
        let (out, write) = match model.blocks.post_norms {
            true => (&mut self.normed, Write::Store),
            false => (&mut self.residual, Write::Add),
        };
        let mut products = [Product {
            matrix,
            out: &mut out[..tokens * dim],
        }];
        multiply(level, &mut self.pool, x, tokens, &mut products, write);
        if model.blocks.post_norms {
            let (given, eps) = (&self.normed, f32::from_bits(model.shape.norm_eps_bits));
            self.pool
                .for_each(tokens, chunks(&mut self.residual, dim), |i, x| {
                    maps::norm_add(level, x, &given[i * dim..(i + 1) * dim], gain, eps);
                });
        }
    }

    /// Adds a layer's gated feed-forward part to the residual stream.
    fn feed_forward(&mut self, model: &Model, layer: &Layer, tokens: usize) {
        let (level, ff) = (self.level, model.shape.ff);
        self.norm(model, &layer.ffn_norm, tokens);
        let mut products = [
            Product {
                matrix: &layer.gate,
                out: &mut self.gate[..tokens * ff],
            },
            Product {
                matrix: &layer.up,
                out: &mut self.up[..tokens * ff],
            },
        ];
        multiply(
            level,
            &mut self.pool,
            &self.of_dim,
            tokens,
            &mut products,
            Write::Store,
        );
        let up = &self.up;
        self.pool.for_each(
            tokens,
            (chunks(&mut self.gate, ff), self.of_ff.rows()),
            |i, (gate, row)| {
                let up = &up[i * ff..(i + 1) * ff];
                match model.blocks.activation {
                    Activation::Silu => maps::swiglu_quantise(level, gate, up, row),
                    Activation::GeluTanh => maps::geglu_quantise(level, gate, up, row),
                }
            },
        );
        let source = Source::FeedForward;
        self.give(model, &layer.down, &layer.ffn_post_norm, source, tokens);
    }

    /// Norms the residual stream and quantises the result.
    fn norm(&mut self, model: &Model, gain: &[f32], tokens: usize) {
        let (level, dim, eps) = (
            self.level,
            model.shape.dim,
            f32::from_bits(model.shape.norm_eps_bits),
        );
        let residual = &self.residual;
        self.pool.for_each(
            tokens,
            (chunks(&mut self.normed, dim), self.of_dim.rows()),
            |i, (normed, row)| {
                maps::norm_quantise(
                    level,
                    &residual[i * dim..(i + 1) * dim],
                    gain,
                    eps,
                    normed,
                    row,
                );
            },
        );
    }

    /// Hashes what a layer left behind.
    fn leaves(&mut self, model: &Model, index: usize, position: usize, tokens: usize) {
        let shape = &model.shape;
        let (residual, rows) = (&self.residual, &self.rows);
        self.pool.for_each(
            tokens,
            chunks(&mut self.leaves, 1 + shape.layers),
            |i, leaves| {
                let (x, rows) = left(shape, residual, rows, i);
                HASHED.with_borrow_mut(|scratch| {
                    leaves[1 + index] =
                        trace::layer_leaf((position + i) as u32, index as u32, x, &rows, scratch)
                });
            },
        );
    }

    /// What the layer that ran last left behind of a token.
    fn left(&self, model: &Model, token: usize) -> (&[f32], KvRows<'_>) {
        left(&model.shape, &self.residual, &self.rows, token)
    }

    /// Logits of all tokens or of the last one.
    fn logits(&mut self, model: &Model, tokens: usize, wanted: Wanted, logits: &mut Vec<f32>) {
        let dim = model.shape.dim;
        let count = match wanted {
            Wanted::None => return logits.clear(),
            Wanted::Last => {
                self.residual
                    .copy_within((tokens - 1) * dim..tokens * dim, 0);
                1
            }
            Wanted::All => tokens,
        };
        self.norm(model, &model.final_norm, count);
        logits.resize(count * model.shape.vocab, 0.0);
        let mut products = [Product {
            matrix: model.logits_matrix(),
            out: logits,
        }];
        multiply(
            self.level,
            &mut self.pool,
            &self.of_dim,
            count,
            &mut products,
            Write::Store,
        );
    }
}

/// One token's part of the residual stream and of the appended rows.
fn left<'a>(
    shape: &Shape,
    residual: &'a [f32],
    rows: &'a Rows,
    token: usize,
) -> (&'a [f32], KvRows<'a>) {
    let heads = token * shape.kv_heads..(token + 1) * shape.kv_heads;
    let elements = heads.start * shape.head_dim..heads.end * shape.head_dim;
    let rows = KvRows {
        keys: &rows.keys[elements.clone()],
        key_scales: &rows.key_scales[heads.clone()],
        values: &rows.values[elements],
        value_scales: &rows.value_scales[heads],
    };
    (&residual[token * shape.dim..(token + 1) * shape.dim], rows)
}
