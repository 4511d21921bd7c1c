//! The trace: a commitment to every state that a run passed through.
//!
//! Level 1, computed always: per position and layer a hash of the residual stream after the layer and of the key and value rows
//! that the layer appended. Level 2 (outputs of single operators, see [`level2`]) is not stored: it can be computed again from level 1,
//! which pins both ends of every layer.
//!
//! Exactly, with BLAKE3, `|` for concatenation, integers and F32Z bits little-endian, and 16-byte tags in ASCII:
//!
//! ```text
//! token leaf  = H("CIS-1/trace/tokn" | u32 position | u32 token)
//! layer leaf  = H("CIS-1/trace/leaf" | u32 position | u32 layer
//!                 | f32 residual[dim]
//!                 | i8 keys[kv_heads * head_dim] | f32 key_scales[kv_heads]        (rotated, quantised)
//!                 | i8 values[kv_heads * head_dim] | f32 value_scales[kv_heads])
//! node        = H("CIS-1/trace/node" | left | right)
//! token root  = tree(token leaf, layer leaf 0, .., layer leaf layers - 1)
//! trace root  = H("CIS-1/trace/root" | u32 positions | tree(token root 0, .., token root positions - 1))
//! embedding   = H("CIS-1/trace/embd" | trace root | u32 dim | f32 vector[dim])
//! ```
//!
//! A sentence encoder's leaves have the same form: its residual stream is the state of a token after the layer, and its keys are not
//! rotated. What it commits to is the embedding's hash, which binds the vector to every state that it was made from.
//!
//! `tree` of one hash is that hash; of n > 1 it is the node over the tree of the first k and the tree of the rest, where k is the largest
//! power of two below n. So a prefix of positions has a root of its own, and an opening is a logarithmic path.
//!
//! Invariant: the root depends on tokens and values only, not on decode or prefill, chunk size, threads or kernels.

use alloc::vec::Vec;

pub mod level2;

/// A BLAKE3 hash.
pub type Hash = [u8; 32];

/// The key and value rows that one layer appends at one position, all heads together.
#[derive(Clone, Copy, Debug)]
pub struct KvRows<'a> {
    /// (kv_head, head_dim)
    pub keys: &'a [i8],
    /// (kv_head)
    pub key_scales: &'a [f32],
    /// (kv_head, head_dim)
    pub values: &'a [i8],
    /// (kv_head)
    pub value_scales: &'a [f32],
}

/// Hash of a position's token.
pub fn token_leaf(position: u32, token: u32) -> Hash {
    let mut hasher = tagged(b"CIS-1/trace/tokn");
    hasher
        .update(&position.to_le_bytes())
        .update(&token.to_le_bytes());
    *hasher.finalize().as_bytes()
}

/// Hash of what one layer left behind at one position. `scratch` saves allocations; its content does not matter.
pub fn layer_leaf(
    position: u32,
    layer: u32,
    residual: &[f32],
    rows: &KvRows<'_>,
    scratch: &mut Vec<u8>,
) -> Hash {
    layer_bytes(position, layer, residual, rows, scratch);
    *blake3::hash(scratch).as_bytes()
}

/// The bytes that [`layer_leaf`] hashes.
pub(crate) fn layer_bytes(
    position: u32,
    layer: u32,
    residual: &[f32],
    rows: &KvRows<'_>,
    scratch: &mut Vec<u8>,
) {
    let KvRows {
        keys,
        key_scales,
        values,
        value_scales,
    } = rows;
    scratch.clear();
    scratch.extend_from_slice(b"CIS-1/trace/leaf");
    scratch.extend_from_slice(&position.to_le_bytes());
    scratch.extend_from_slice(&layer.to_le_bytes());
    put_floats(scratch, residual);
    scratch.extend(keys.iter().map(|k| *k as u8));
    put_floats(scratch, key_scales);
    scratch.extend(values.iter().map(|v| *v as u8));
    put_floats(scratch, value_scales);
}

/// What an encoder commits to: the trace of all tokens and the vector made of them.
pub fn embedding_root(trace_root: &Hash, vector: &[f32]) -> Hash {
    let mut bytes = Vec::with_capacity(4 * vector.len());
    put_floats(&mut bytes, vector);
    let mut hasher = tagged(b"CIS-1/trace/embd");
    hasher
        .update(trace_root)
        .update(&(vector.len() as u32).to_le_bytes())
        .update(&bytes);
    *hasher.finalize().as_bytes()
}

/// The token roots of a run, in order of positions.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    token_roots: Vec<Hash>,
}

impl Trace {
    /// Appends the next position from its leaves: the token leaf, then one leaf per layer.
    pub fn push(&mut self, leaves: &[Hash]) {
        self.token_roots.push(tree(leaves));
    }

    /// One that goes on behind positions whose roots are known.
    #[cfg(feature = "std")]
    pub(crate) fn behind(token_roots: Vec<Hash>) -> Self {
        Self { token_roots }
    }

    /// Positions covered.
    pub fn positions(&self) -> usize {
        self.token_roots.len()
    }

    /// The root of each position.
    pub fn token_roots(&self) -> &[Hash] {
        &self.token_roots
    }

    /// The trace root over the first `positions` positions.
    ///
    /// # Panics
    /// When `positions` is zero or beyond [`Trace::positions`].
    pub fn root(&self, positions: usize) -> Hash {
        root(positions as u32, &tree(&self.token_roots[..positions]))
    }
}

/// The trace root over the tree of that many token roots.
pub(crate) fn root(positions: u32, tree: &Hash) -> Hash {
    let mut hasher = tagged(b"CIS-1/trace/root");
    hasher.update(&positions.to_le_bytes()).update(tree);
    *hasher.finalize().as_bytes()
}

/// The tree of at least one hash.
pub(crate) fn tree(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => panic!("BUG: the tree of no hashes"),
        [one] => *one,
        many => {
            let split = 1 << (many.len() - 1).ilog2();
            node(&tree(&many[..split]), &tree(&many[split..]))
        }
    }
}

/// Hash of two subtrees.
pub(crate) fn node(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = tagged(b"CIS-1/trace/node");
    hasher.update(left).update(right);
    *hasher.finalize().as_bytes()
}

fn tagged(tag: &[u8; 16]) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(tag);
    hasher
}

fn put_floats(out: &mut Vec<u8>, values: &[f32]) {
    out.extend(values.iter().flat_map(|v| v.to_bits().to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_root_equals_the_root_of_a_shorter_run() {
        let leaves = |i: u32| [token_leaf(i, 7), token_leaf(i, 8), token_leaf(i, 9)];
        let mut long = Trace::default();
        let mut roots = Vec::new();
        for i in 0..20 {
            long.push(&leaves(i));
            roots.push(long.root(i as usize + 1));
        }
        for (i, root) in roots.iter().enumerate() {
            assert_eq!(long.root(i + 1), *root);
            assert!(!roots[..i].contains(root));
        }
    }

    #[test]
    fn every_part_of_a_layer_leaf_counts() {
        let leaf = |position, layer, x: f32, k: i8, ks: f32, v: i8, vs: f32| {
            let rows = KvRows {
                keys: &[1, k],
                key_scales: &[ks],
                values: &[v, 2],
                value_scales: &[vs],
            };
            layer_leaf(position, layer, &[x, 1.0], &rows, &mut Vec::new())
        };
        let base = leaf(0, 0, 1.0, 1, 1.0, 1, 1.0);
        for other in [
            leaf(1, 0, 1.0, 1, 1.0, 1, 1.0),
            leaf(0, 1, 1.0, 1, 1.0, 1, 1.0),
            leaf(0, 0, 2.0, 1, 1.0, 1, 1.0),
            leaf(0, 0, 1.0, 2, 1.0, 1, 1.0),
            leaf(0, 0, 1.0, 1, 2.0, 1, 1.0),
            leaf(0, 0, 1.0, 1, 1.0, 2, 1.0),
            leaf(0, 0, 1.0, 1, 1.0, 1, 2.0),
        ] {
            assert_ne!(other, base);
        }
    }

    #[test]
    fn every_part_of_an_embedding_counts() {
        let base = embedding_root(&[1; 32], &[1.0, 2.0]);
        assert_ne!(base, embedding_root(&[2; 32], &[1.0, 2.0]));
        assert_ne!(base, embedding_root(&[1; 32], &[1.0, 2.5]));
        assert_ne!(base, embedding_root(&[1; 32], &[1.0]));
    }

    #[test]
    fn tree_splits_at_the_largest_power_of_two() {
        let h = |i| token_leaf(i, 0);
        let node = |a: Hash, b: Hash| {
            let mut hasher = tagged(b"CIS-1/trace/node");
            hasher.update(&a).update(&b);
            *hasher.finalize().as_bytes()
        };
        assert_eq!(tree(&[h(0), h(1), h(2)]), node(node(h(0), h(1)), h(2)));
        assert_eq!(
            tree(&[h(0), h(1), h(2), h(3), h(4)]),
            node(node(node(h(0), h(1)), node(h(2), h(3))), h(4))
        );
    }
}
