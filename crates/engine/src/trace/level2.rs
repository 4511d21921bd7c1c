//! Level 2 of the trace: a commitment to the outputs of all operators at one position, made on demand.
//!
//! The operators of a decoder at one position, in order, each with the tiles that its output is cut into:
//!
//! ```text
//! embed                                   whole                              residual
//! for each layer
//!   attn_norm                             whole                              planes of the normed residual
//!   q, k, v                               32 rows                            products, biases added where there are any
//!   query                                 one query head                     normed where the blocks ask for it, rotated
//!   rows                                  one key head                       what the cache keeps of key and value
//!   attend                                one query head                     weighted values
//!   attended                              whole                              planes of all heads
//!   o                                     32 rows                            product
//!   attn_post_norm (if the blocks have)   whole                              vector
//!   attn_add                              whole                              residual
//!   ffn_norm                              whole                              planes of the normed residual
//!   gate, up                              32 rows                            products
//!   gated                                 whole                              planes of the bent gate times up
//!   down                                  32 rows                            product
//!   ffn_post_norm (if the blocks have)    whole                              vector
//!   ffn_add                               whole                              residual
//! final_norm                              whole                              planes of the normed residual
//! logits                                  32 rows                            product
//! ```
//!
//! Bytes of a tile: vectors are F32Z bits; planes are `i8 high[n] | i8 low[n] | f32 scale`; rows are
//! `i8 key[head_dim] | f32 key_scale | i8 value[head_dim] | f32 value_scale`. The last tile of a product may be shorter. With the
//! notation and the tree of level 1:
//!
//! ```text
//! tile leaf     = H("CIS-1/trace/tile" | u32 position | u32 layer | u32 step | u32 tile | bytes)
//! operator      = tree(tile leaf 0, ..)
//! level-2 root  = H("CIS-1/trace/lvl2" | u32 position | token root | tree(operator 0, ..))
//! ```
//!
//! Layer is zero outside of layers; step is the operator's number, [`Step::code`](crate::proof::Step::code). Level 1 pins both ends of
//! every layer: what `ffn_add` and `rows` give is hashed by the layer leaf, and the token after a position by that
//! position's token leaf. Neither is hashed here again; both are operators of their own (`leaf`, `draw`) whose outputs are those leaves.

use super::{Hash, tagged};

/// Rows of a product in one tile.
pub const TILE_ROWS: usize = 32;

/// Hash of one tile of an operator's output.
pub fn tile_leaf(position: u32, layer: u32, step: u32, tile: u32, bytes: &[u8]) -> Hash {
    let mut hasher = tagged(b"CIS-1/trace/tile");
    for number in [position, layer, step, tile] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(bytes);
    *hasher.finalize().as_bytes()
}

/// The level-2 root of a position over the tree of its operators.
pub fn root(position: u32, token_root: &Hash, operators: &Hash) -> Hash {
    let mut hasher = tagged(b"CIS-1/trace/lvl2");
    hasher
        .update(&position.to_le_bytes())
        .update(token_root)
        .update(operators);
    *hasher.finalize().as_bytes()
}
