//! The forward pass over kernels: several tokens of several sequences per pass over the weights, several threads.
//!
//! A pass is made of spans, each some tokens that follow what one sequence has seen. Rows of different spans never meet but in products,
//! where each is summed for itself; so what a sequence gets does not depend on its company.

use std::cell::RefCell;

use super::{Wanted, Watch};
use crate::{
    f32z::{cvt, mul},
    kernels::{
        Level,
        attention::{self, Scratch},
        maps::{self, Activations},
        matmul::{Product, Write, multiply},
        pages::{Cache, Rows},
        pool::{Pool, chunks},
    },
    model::{Activation, Layer, Matrix, Model, Shape},
    trace::{self, Hash, KvRows, Trace},
};

mod draws;

thread_local! {
    /// Attention's working memory of this thread.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
    /// Bytes of the leaf that this thread hashes.
    static HASHED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One sequence: what it has seen.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) cache: Cache,
    pub(crate) trace: Trace,
}

impl Sequence {
    pub(crate) fn new(model: &Model) -> Self {
        Self {
            cache: Cache::new(&model.shape),
            trace: Trace::default(),
        }
    }
}

/// Some tokens that follow what a sequence has seen.
pub(crate) struct Span<'a> {
    pub(crate) sequence: &'a mut Sequence,
    pub(crate) tokens: &'a [u32],
    pub(crate) wanted: Wanted,
}

/// Where a row of a pass belongs.
#[derive(Clone, Copy, Debug)]
struct Place {
    span: usize,
    position: usize,
}

/// Threads, and buffers for one pass of up to `tokens` tokens.
#[derive(Debug)]
pub(crate) struct FastPass {
    level: Level,
    pool: Pool,
    tokens_max: usize,
    places: Vec<Place>,    // (token)
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
    pub(crate) fn new(model: &Model, tokens: usize, threads: usize, level: Level) -> Self {
        let shape = &model.shape;
        let (q_dim, kv_dim) = (
            shape.heads * shape.head_dim,
            shape.kv_heads * shape.head_dim,
        );
        Self {
            level,
            pool: Pool::new(threads),
            tokens_max: tokens,
            places: Vec::with_capacity(tokens),
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

    /// Tokens that one pass takes.
    pub(crate) fn tokens_max(&self) -> usize {
        self.tokens_max
    }

    /// Runs one pass; leaves the wanted logits in `logits`, (token, vocab), span after span.
    ///
    /// # Panics
    /// When there are more tokens than a pass takes.
    pub(crate) fn advance(
        &mut self,
        model: &Model,
        spans: &mut [Span<'_>],
        logits: &mut Vec<f32>,
        mut watch: Option<&mut dyn Watch>,
    ) {
        self.places.clear();
        for (index, span) in spans.iter_mut().enumerate() {
            let first = span.sequence.trace.positions();
            span.sequence.cache.reserve(first + span.tokens.len());
            self.places.extend((0..span.tokens.len()).map(|i| Place {
                span: index,
                position: first + i,
            }));
        }
        let tokens = self.places.len();
        assert!(
            tokens <= self.tokens_max,
            "BUG: more tokens than a pass takes"
        );
        self.embed(model, spans);
        for (index, layer) in model.layers.iter().enumerate() {
            self.attention(model, layer, index, spans);
            self.feed_forward(model, layer, tokens);
            self.leaves(model, index, tokens);
            if let Some(watch) = watch.as_deref_mut() {
                for (token, place) in self.places.iter().enumerate() {
                    let (residual, rows) = self.left(model, token);
                    watch.layer(place.position, index, residual, &rows);
                }
            }
        }
        let leaves = self.leaves.chunks_exact(1 + model.shape.layers);
        for (leaves, place) in leaves.zip(&self.places) {
            spans[place.span].sequence.trace.push(leaves);
        }
        self.logits(model, spans, logits);
    }

    /// Fills the residual stream and the token leaves.
    fn embed(&mut self, model: &Model, spans: &[Span<'_>]) {
        let leaves = self.leaves.chunks_exact_mut(1 + model.shape.layers);
        let rows = self.residual.chunks_exact_mut(model.shape.dim);
        let tokens = spans.iter().flat_map(|span| span.tokens);
        for (((token, place), x), leaves) in tokens.zip(&self.places).zip(rows).zip(leaves) {
            let scale = model.embedding_factor(*token);
            for (x, w) in x.iter_mut().zip(model.embedding.row(*token as usize)) {
                *x = mul(cvt(i32::from(*w)), scale);
            }
            leaves[0] = trace::token_leaf(place.position as u32, *token);
        }
    }

    /// Adds a layer's attention to the residual stream and appends to the caches.
    fn attention(&mut self, model: &Model, layer: &Layer, index: usize, spans: &mut [Span<'_>]) {
        let (level, shape, tokens) = (self.level, &model.shape, self.places.len());
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
        let (eps, places) = (f32::from_bits(shape.norm_eps_bits), &self.places);
        // Norms the head where the blocks ask for it, and rotates it.
        let place = |head: &mut [f32], gain: &[f32], token: usize| {
            if model.blocks.qk_norm {
                maps::norm_head(level, head, gain, eps);
            }
            let (cos, sin) = model.rotation(index, places[token].position);
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
        // Small beside the products: not worth a region of the pool.
        let mut from = 0;
        for span in spans.iter_mut() {
            let Sequence { cache, trace } = &mut *span.sequence;
            let count = span.tokens.len();
            cache.append(index, trace.positions(), &self.rows, from, count);
            from += count;
        }

        let caches: Vec<&Cache> = spans.iter().map(|span| &span.sequence.cache).collect();
        let (group, factor) = (heads / kv_heads, model.score_factor());
        let parts = (
            chunks(&mut self.queries, head_dim),
            chunks(&mut self.attended, head_dim),
        );
        self.pool
            .for_each(tokens * heads, parts, |i, (query, out)| {
                let (token, head) = (i / heads, i % heads);
                place(query, &layer.q_norm, token);
                let Place { span, position } = places[token];
                SCRATCH.with_borrow_mut(|scratch| {
                    attention::attend(
                        level,
                        query,
                        caches[span].head(index, head / group),
                        model.blocks.first_seen(index, position)..position + 1,
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
    fn leaves(&mut self, model: &Model, index: usize, tokens: usize) {
        let shape = &model.shape;
        let (residual, rows, places) = (&self.residual, &self.rows, &self.places);
        self.pool.for_each(
            tokens,
            chunks(&mut self.leaves, 1 + shape.layers),
            |i, leaves| {
                let (x, rows) = left(shape, residual, rows, i);
                HASHED.with_borrow_mut(|scratch| {
                    leaves[1 + index] = trace::layer_leaf(
                        places[i].position as u32,
                        index as u32,
                        x,
                        &rows,
                        scratch,
                    )
                });
            },
        );
    }

    /// What the layer that ran last left behind of a token.
    fn left(&self, model: &Model, token: usize) -> (&[f32], KvRows<'_>) {
        left(&model.shape, &self.residual, &self.rows, token)
    }

    /// The wanted logits, span after span.
    fn logits(&mut self, model: &Model, spans: &[Span<'_>], logits: &mut Vec<f32>) {
        let dim = model.shape.dim;
        // Wanted rows move to the front; none moves behind where it was.
        let (mut count, mut from) = (0, 0);
        for span in spans {
            let rows = match span.wanted {
                Wanted::None => 0..0,
                Wanted::Last => from + span.tokens.len() - 1..from + span.tokens.len(),
                Wanted::All => from..from + span.tokens.len(),
            };
            self.residual
                .copy_within(rows.start * dim..rows.end * dim, count * dim);
            count += rows.len();
            from += span.tokens.len();
        }
        if count == 0 {
            return logits.clear();
        }
        self.product(model, count, logits);
    }

    /// The logits of the first `count` rows of the residual stream.
    fn product(&mut self, model: &Model, count: usize, logits: &mut Vec<f32>) {
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
