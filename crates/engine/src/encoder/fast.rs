//! The encoder over kernels: chunks of tokens per pass over the weights, several threads.

use std::{cell::RefCell, ops::Range};

use crate::{
    f32z::{cvt, mul},
    forward::Options,
    kernels::{
        Level,
        attention::{self, Scratch},
        maps::{self, Activations},
        matmul::{Product, Write, multiply},
        pages::{Cache, Rows},
        pool::{Pool, chunks},
    },
    model::{Encoder, EncoderLayer, Matrix, Norm, Shape},
    ops,
    trace::{self, Hash, KvRows, Trace},
};

thread_local! {
    /// Attention's working memory of this thread.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
    /// Bytes of the leaf that this thread hashes.
    static HASHED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The mean of the last states of all tokens.
pub(super) fn mean(
    encoder: &Encoder,
    tokens: &[u32],
    options: &Options,
    level: Level,
    trace: &mut Trace,
) -> Vec<f32> {
    let mut pass = Pass::new(encoder, tokens.len(), options, level);
    pass.embed(tokens);
    for (index, layer) in encoder.layers.iter().enumerate() {
        for chunk in pass.chunks() {
            pass.project(layer, chunk);
        }
        // Keys and values of one layer are all that is ever looked at.
        pass.cache.append(0, 0, &pass.rows, 0, tokens.len());
        for chunk in pass.chunks() {
            pass.attention(layer, chunk.clone());
            pass.feed_forward(layer, chunk);
        }
        pass.hash(index);
    }
    for leaves in pass.leaves.chunks_exact(1 + encoder.shape.layers) {
        trace.push(leaves);
    }
    maps::mean_rows(level, &pass.states, encoder.shape.dim)
}

/// The states of all tokens, and buffers for one chunk of them.
struct Pass<'e> {
    encoder: &'e Encoder,
    level: Level,
    pool: Pool,
    tokens: usize,
    chunk: usize,
    cache: Cache,          // one layer
    rows: Rows,            // (token, head, head_dim)
    states: Vec<f32>,      // (token, dim)
    queries: Vec<f32>,     // (token, head, head_dim)
    keys: Vec<f32>,        // (token of the chunk, head, head_dim)
    values: Vec<f32>,      // (token of the chunk, head, head_dim)
    attended: Vec<f32>,    // (token of the chunk, head, head_dim)
    given: Vec<f32>,       // (token of the chunk, dim)
    bent: Vec<f32>,        // (token of the chunk, ff)
    of_dim: Activations,   // states
    of_heads: Activations, // attended
    of_ff: Activations,    // bent
    leaves: Vec<Hash>,     // (token, 1 + layers)
}

impl<'e> Pass<'e> {
    fn new(encoder: &'e Encoder, tokens: usize, options: &Options, level: Level) -> Self {
        let shape = &encoder.shape;
        let chunk = options.prefill_chunk.min(tokens);
        let heads = shape.heads * shape.head_dim;
        let one_layer = Shape {
            layers: 1,
            ..shape.clone()
        };
        let mut cache = Cache::new(&one_layer);
        cache.reserve(tokens);
        Self {
            encoder,
            level,
            pool: Pool::new(options.threads),
            tokens,
            chunk,
            cache,
            rows: Rows::new(shape, tokens),
            states: vec![0.0; tokens * shape.dim],
            queries: vec![0.0; tokens * heads],
            keys: vec![0.0; chunk * heads],
            values: vec![0.0; chunk * heads],
            attended: vec![0.0; chunk * heads],
            given: vec![0.0; chunk * shape.dim],
            bent: vec![0.0; chunk * shape.ff],
            of_dim: Activations::new(chunk, shape.dim),
            of_heads: Activations::new(chunk, heads),
            of_ff: Activations::new(chunk, shape.ff),
            leaves: vec![[0; 32]; tokens * (1 + shape.layers)],
        }
    }

    /// The tokens in pieces.
    fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (tokens, chunk) = (self.tokens, self.chunk);
        (0..tokens)
            .step_by(chunk)
            .map(move |begin| begin..tokens.min(begin + chunk))
    }

    fn eps(&self) -> f32 {
        f32::from_bits(self.encoder.shape.norm_eps_bits)
    }

    /// Fills the states and the token leaves.
    fn embed(&mut self, tokens: &[u32]) {
        let (level, encoder, eps) = (self.level, self.encoder, self.eps());
        let parts = (
            chunks(&mut self.states, encoder.shape.dim),
            chunks(&mut self.leaves, 1 + encoder.shape.layers),
        );
        self.pool.for_each(tokens.len(), parts, |i, (x, leaves)| {
            let token = tokens[i] as usize;
            let scale = encoder.embedding.scales()[token];
            for (x, w) in x.iter_mut().zip(encoder.embedding.row(token)) {
                *x = mul(cvt(i32::from(*w)), scale);
            }
            maps::add_to(level, x, encoder.position(i));
            let Norm { gain, bias } = &encoder.embedding_norm;
            maps::layer_norm(level, x, gain, bias, eps);
            leaves[0] = trace::token_leaf(i as u32, tokens[i]);
        });
    }

    /// Queries of a chunk, and the rows kept of its keys and values.
    fn project(&mut self, layer: &EncoderLayer, chunk: Range<usize>) {
        let (level, shape) = (self.level, &self.encoder.shape);
        let (tokens, head_dim) = (chunk.len(), shape.head_dim);
        let width = shape.heads * head_dim;
        self.quantise_states(chunk.clone());
        let queries = &mut self.queries[chunk.start * width..chunk.end * width];
        let mut products = [
            (&layer.q, &mut *queries),
            (&layer.k, &mut self.keys[..tokens * width]),
            (&layer.v, &mut self.values[..tokens * width]),
        ]
        .map(|(matrix, out)| Product { matrix, out });
        multiply(
            level,
            &mut self.pool,
            &self.of_dim,
            tokens,
            &mut products,
            Write::Store,
        );
        let of_chunk = |per_token: usize| chunk.start * per_token..chunk.end * per_token;
        let key_rows = (
            chunks(&mut self.rows.keys[of_chunk(width)], width),
            chunks(
                &mut self.rows.key_scales[of_chunk(shape.heads)],
                shape.heads,
            ),
        );
        let value_rows = (
            chunks(&mut self.rows.values[of_chunk(width)], width),
            chunks(
                &mut self.rows.value_scales[of_chunk(shape.heads)],
                shape.heads,
            ),
        );
        let products = (
            chunks(queries, width),
            chunks(&mut self.keys, width),
            chunks(&mut self.values, width),
        );
        let keep = |from: &mut [f32], bias: &[f32], rows: &mut [i8], scales: &mut [f32]| {
            maps::add_to(level, from, bias);
            let heads = from
                .chunks_exact(head_dim)
                .zip(rows.chunks_exact_mut(head_dim));
            for ((from, row), scale) in heads.zip(scales) {
                *scale = maps::quantise_a8(level, from, row);
            }
        };
        self.pool.for_each(
            tokens,
            (products, key_rows, value_rows),
            |_, ((query, key, value), (k, k_scales), (v, v_scales))| {
                maps::add_to(level, query, &layer.q_bias);
                keep(key, &layer.k_bias, k, k_scales);
                keep(value, &layer.v_bias, v, v_scales);
            },
        );
    }

    /// Adds a layer's attention to the states of a chunk and norms them.
    fn attention(&mut self, layer: &EncoderLayer, chunk: Range<usize>) {
        let (level, shape) = (self.level, &self.encoder.shape);
        let (heads, head_dim) = (shape.heads, shape.head_dim);
        let (cache, queries, seen) = (&self.cache, &self.queries, self.tokens);
        let factor = ops::score_factor(head_dim);
        self.pool.for_each(
            chunk.len() * heads,
            chunks(&mut self.attended, head_dim),
            |i, out| {
                let at = chunk.start * heads + i;
                SCRATCH.with_borrow_mut(|scratch| {
                    attention::attend(
                        level,
                        &queries[at * head_dim..(at + 1) * head_dim],
                        cache.head(0, i % heads),
                        0..seen,
                        factor,
                        scratch,
                        out,
                    );
                });
            },
        );
        let (attended, width) = (&self.attended, heads * head_dim);
        self.pool
            .for_each(chunk.len(), self.of_heads.rows(), |i, row| {
                maps::quantise(level, &attended[i * width..(i + 1) * width], row);
            });
        self.give(
            &layer.o,
            &layer.o_bias,
            &layer.attn_norm,
            Part::Heads,
            chunk,
        );
    }

    /// Adds a layer's feed-forward part to the states of a chunk and norms them.
    fn feed_forward(&mut self, layer: &EncoderLayer, chunk: Range<usize>) {
        let (level, ff, tokens) = (self.level, self.encoder.shape.ff, chunk.len());
        self.quantise_states(chunk.clone());
        let mut products = [Product {
            matrix: &layer.up,
            out: &mut self.bent[..tokens * ff],
        }];
        multiply(
            level,
            &mut self.pool,
            &self.of_dim,
            tokens,
            &mut products,
            Write::Store,
        );
        let parts = (chunks(&mut self.bent, ff), self.of_ff.rows());
        self.pool.for_each(tokens, parts, |_, (bent, row)| {
            maps::gelu_quantise(level, bent, &layer.up_bias, row);
        });
        self.give(
            &layer.down,
            &layer.down_bias,
            &layer.ffn_norm,
            Part::FeedForward,
            chunk,
        );
    }

    /// Adds a product and its bias to the states of a chunk and norms them.
    fn give(&mut self, matrix: &Matrix, bias: &[f32], norm: &Norm, of: Part, chunk: Range<usize>) {
        let (level, dim, eps) = (self.level, self.encoder.shape.dim, self.eps());
        let x = match of {
            Part::Heads => &self.of_heads,
            Part::FeedForward => &self.of_ff,
        };
        let mut products = [Product {
            matrix,
            out: &mut self.given[..chunk.len() * dim],
        }];
        multiply(
            level,
            &mut self.pool,
            x,
            chunk.len(),
            &mut products,
            Write::Store,
        );
        let parts = (
            chunks(&mut self.states[chunk.start * dim..chunk.end * dim], dim),
            chunks(&mut self.given, dim),
        );
        self.pool.for_each(chunk.len(), parts, |_, (x, given)| {
            maps::add_to(level, given, bias);
            maps::add_to(level, x, given);
            maps::layer_norm(level, x, &norm.gain, &norm.bias, eps);
        });
    }

    fn quantise_states(&mut self, chunk: Range<usize>) {
        let (level, dim, states) = (self.level, self.encoder.shape.dim, &self.states);
        self.pool
            .for_each(chunk.len(), self.of_dim.rows(), |i, row| {
                let at = chunk.start + i;
                maps::quantise(level, &states[at * dim..(at + 1) * dim], row);
            });
    }

    /// Hashes what a layer left behind.
    fn hash(&mut self, index: usize) {
        let shape = &self.encoder.shape;
        let (dim, heads) = (shape.dim, shape.heads);
        let width = heads * shape.head_dim;
        let (states, rows) = (&self.states, &self.rows);
        let leaves = chunks(&mut self.leaves, 1 + shape.layers);
        self.pool.for_each(self.tokens, leaves, |i, leaves| {
            let rows = KvRows {
                keys: &rows.keys[i * width..(i + 1) * width],
                key_scales: &rows.key_scales[i * heads..(i + 1) * heads],
                values: &rows.values[i * width..(i + 1) * width],
                value_scales: &rows.value_scales[i * heads..(i + 1) * heads],
            };
            let x = &states[i * dim..(i + 1) * dim];
            HASHED.with_borrow_mut(|scratch| {
                leaves[1 + index] = trace::layer_leaf(i as u32, index as u32, x, &rows, scratch);
            });
        });
    }
}

/// What a product that ends a part of a block reads.
#[derive(Clone, Copy)]
enum Part {
    Heads,
    FeedForward,
}
