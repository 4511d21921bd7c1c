//! The root of a model: one BLAKE3 Merkle tree over its manifest, its rows and its tables.
//!
//! Every hash is BLAKE3 in key derivation mode under its own context, so a row can never pass for a node.
//! Numbers are little-endian.
//!
//! ```text
//! weight row  = H("assay 2026 model int8 row",  weights (cols bytes) | scale (f32 bits, 4 bytes))
//! table row   = H("assay 2026 model f32 row",   values (f32 bits, 4 bytes each))
//! manifest    = H("assay 2026 model manifest",  manifest text, byte for byte)
//! node        = H("assay 2026 model node",      left (32) | right (32))
//! tree(1)     = the one leaf
//! tree(n)     = node(tree(first k), tree(rest)), k the largest power of two below n
//! tensor      = H("assay 2026 model tensor",    name length (u32) | name | rows (u64) | cols (u64) | tree(rows of the tensor))
//! model root  = tree(manifest, tensors in file order)
//! ```
//!
//! Tensors in file order: `embedding`, then for each layer `N` from 0 `layers.N.q`, `.k`, `.v`, `.o`, `.gate`, `.up`,
//! `.down`, then `head` if there is one, then `layers.N.attn_norm`, `layers.N.ffn_norm` for each layer, `final_norm`,
//! `rope.cos`, `rope.sin`. The first group has weight rows, the second table rows; a norm is one row.
//!
//! Tensors of a sentence encoder in file order: `embedding`, then for each layer `layers.N.q`, `.k`, `.v`, `.o`, `.up`, `.down`, then
//! `positions`, `embedding_norm.gain`, `embedding_norm.bias`, then for each layer `layers.N.q_bias`, `.k_bias`, `.v_bias`, `.o_bias`,
//! `.attn_norm.gain`, `.attn_norm.bias`, `.up_bias`, `.down_bias`, `.ffn_norm.gain`, `.ffn_norm.bias`.
//!
//! So one row is proved by its bytes and about `log2(rows) + log2(tensors)` hashes, without the rest of the model.

use alloc::vec::Vec;

use blake3::Hasher;

/// A BLAKE3 hash.
pub type Hash = [u8; 32];

/// The hash functions of the tree, each under its own context.
///
/// Holds one prepared state per context: deriving a context key costs more than hashing a short row.
#[derive(Clone, Debug)]
pub struct Hashes {
    weight_row: Hasher,
    table_row: Hasher,
    manifest: Hasher,
    node: Hasher,
    tensor: Hasher,
}

impl Default for Hashes {
    fn default() -> Self {
        Self {
            weight_row: Hasher::new_derive_key("assay 2026 model int8 row"),
            table_row: Hasher::new_derive_key("assay 2026 model f32 row"),
            manifest: Hasher::new_derive_key("assay 2026 model manifest"),
            node: Hasher::new_derive_key("assay 2026 model node"),
            tensor: Hasher::new_derive_key("assay 2026 model tensor"),
        }
    }
}

impl Hashes {
    /// Leaf of one int8 row and its scale.
    pub fn weight_row(&self, weights: &[u8], scale: f32) -> Hash {
        let mut hasher = self.weight_row.clone();
        hasher.update(weights);
        hasher.update(&scale.to_bits().to_le_bytes());
        hasher.finalize().into()
    }

    /// Leaf of one int8 row with its scale behind it, as the bytes are hashed.
    pub fn weight_row_bytes(&self, bytes: &[u8]) -> Hash {
        let mut hasher = self.weight_row.clone();
        hasher.update(bytes);
        hasher.finalize().into()
    }

    /// Leaf of one row of f32 values, given as their little-endian bytes.
    pub fn table_row(&self, bytes: &[u8]) -> Hash {
        let mut hasher = self.table_row.clone();
        hasher.update(bytes);
        hasher.finalize().into()
    }

    /// Leaf of the manifest.
    pub fn manifest(&self, text: &str) -> Hash {
        let mut hasher = self.manifest.clone();
        hasher.update(text.as_bytes());
        hasher.finalize().into()
    }

    /// Hash of two subtrees.
    pub fn node(&self, left: &Hash, right: &Hash) -> Hash {
        let mut hasher = self.node.clone();
        hasher.update(left);
        hasher.update(right);
        hasher.finalize().into()
    }

    /// Hash of a named tensor over the tree of its rows.
    pub fn tensor(&self, name: &str, rows: u64, cols: u64, tree: &Hash) -> Hash {
        let mut hasher = self.tensor.clone();
        hasher.update(&(name.len() as u32).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&rows.to_le_bytes());
        hasher.update(&cols.to_le_bytes());
        hasher.update(tree);
        hasher.finalize().into()
    }

    /// Empties a tree that leaves can be pushed into.
    pub fn tree(&self) -> Tree<'_> {
        Tree {
            hashes: self,
            peaks: Vec::new(),
        }
    }
}

/// A Merkle tree that grows leaf by leaf and keeps only its peaks.
#[derive(Debug)]
pub struct Tree<'a> {
    hashes: &'a Hashes,
    /// Full subtrees from the largest to the smallest, with the number of leaves of each (powers of two, descending).
    peaks: Vec<(u64, Hash)>,
}

impl Tree<'_> {
    /// Adds the next leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut top = (1, leaf);
        while let Some((size, left)) = self
            .peaks
            .last()
            .copied()
            .filter(|(size, _)| *size == top.0)
        {
            top = (2 * size, self.hashes.node(&left, &top.1));
            self.peaks.pop();
        }
        self.peaks.push(top);
    }

    /// The root; `None` of an empty tree.
    pub fn root(&self) -> Option<Hash> {
        let mut peaks = self.peaks.iter().rev();
        let mut root = peaks.next()?.1;
        for (_, left) in peaks {
            root = self.hashes.node(left, &root);
        }
        Some(root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word for word.
    fn plain_tree(hashes: &Hashes, leaves: &[Hash]) -> Hash {
        if let [leaf] = leaves {
            return *leaf;
        }
        let mut k = 1;
        while 2 * k < leaves.len() {
            k *= 2;
        }
        let (left, right) = leaves.split_at(k);
        hashes.node(&plain_tree(hashes, left), &plain_tree(hashes, right))
    }

    #[test]
    fn growing_tree_equals_its_definition() {
        let hashes = Hashes::default();
        let leaves: Vec<Hash> = (0..70u8).map(|i| hashes.table_row(&[i])).collect();
        let mut tree = hashes.tree();
        assert_eq!(tree.root(), None);
        for n in 1..=leaves.len() {
            tree.push(leaves[n - 1]);
            assert_eq!(
                tree.root(),
                Some(plain_tree(&hashes, &leaves[..n])),
                "{n} leaves"
            );
        }
    }

    #[test]
    fn equal_bytes_hash_differently_in_each_place() {
        let hashes = Hashes::default();
        let bytes = [0u8; 64];
        let node = hashes.node(&[0; 32], &[0; 32]);
        assert_ne!(hashes.table_row(&bytes), node);
        assert_ne!(hashes.weight_row(&bytes[..60], 0.0), node);
        assert_ne!(
            hashes.weight_row(&bytes[..60], 0.0),
            hashes.table_row(&bytes)
        );
    }
}
