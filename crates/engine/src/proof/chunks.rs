//! Parts of a level-1 layer leaf, opened without the rest of it.
//!
//! BLAKE3 is a tree over chunks of 1,024 bytes, so the rows of one head are proved by the chunks that hold them and the chaining values of
//! the others; the residual stream, most of a leaf, stays out.

use alloc::vec::Vec;
use core::ops::Range;

use blake3::{
    CHUNK_LEN,
    hazmat::{HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root},
};

use super::tree;
use crate::{model::Shape, trace::Hash};

/// Where everything lies in the bytes that a layer leaf hashes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeafForm {
    head_dim: usize,
    keys: usize,
    key_scales: usize,
    values: usize,
    value_scales: usize,
    len: usize,
}

impl LeafForm {
    pub(crate) fn new(shape: &Shape) -> Self {
        const RESIDUAL: usize = 24; // tag, position, layer
        let (rows, scales) = (shape.kv_heads * shape.head_dim, 4 * shape.kv_heads);
        let keys = RESIDUAL + 4 * shape.dim;
        let key_scales = keys + rows;
        let values = key_scales + scales;
        let value_scales = values + rows;
        Self {
            head_dim: shape.head_dim,
            keys,
            key_scales,
            values,
            value_scales,
            len: value_scales + scales,
        }
    }

    /// Key, key scale, value and value scale of a head.
    fn parts(&self, head: usize) -> [Range<usize>; 4] {
        let row = |begin: usize| begin + head * self.head_dim..begin + (head + 1) * self.head_dim;
        let scale = |begin: usize| begin + 4 * head..begin + 4 * (head + 1);
        [
            row(self.keys),
            scale(self.key_scales),
            row(self.values),
            scale(self.value_scales),
        ]
    }

    /// The chunks that hold the rows of a head, ascending.
    pub(crate) fn chunks(&self, head: usize) -> Vec<u64> {
        let mut chunks: Vec<u64> = self
            .parts(head)
            .into_iter()
            .flat_map(|part| part.start / CHUNK_LEN..(part.end - 1) / CHUNK_LEN + 1)
            .map(|chunk| chunk as u64)
            .collect();
        chunks.dedup(); // the parts lie in ascending order
        chunks
    }

    /// The bytes of some chunks.
    pub(crate) fn chunks_bytes(&self, chunks: &[u64]) -> usize {
        chunks.iter().map(|chunk| self.chunk(*chunk).len()).sum()
    }

    /// Where the bytes of a chunk lie.
    pub(crate) fn chunk(&self, chunk: u64) -> Range<usize> {
        let begin = chunk as usize * CHUNK_LEN;
        begin..(begin + CHUNK_LEN).min(self.len)
    }

    /// A head's rows in the bytes of a tile, out of its chunks one after the other.
    pub(crate) fn rows(&self, head: usize, chunks: &[u64], bytes: &[u8]) -> Vec<u8> {
        let mut rows = Vec::new();
        for part in self.parts(head) {
            let mut begin = 0;
            for chunk in chunks {
                let whole = self.chunk(*chunk);
                let (from, to) = (part.start.max(whole.start), part.end.min(whole.end));
                if from < to {
                    let shift = |at: usize| begin + at - whole.start;
                    rows.extend_from_slice(&bytes[shift(from)..shift(to)]);
                }
                begin += whole.len();
            }
        }
        rows
    }

    /// The leaf's hash from some chunks, one after the other, and what [`LeafForm::between`] gives.
    pub(crate) fn fold<E>(
        &self,
        chunks: &[u64],
        bytes: &[u8],
        next: &mut dyn FnMut() -> Result<Hash, E>,
    ) -> Result<Hash, E> {
        let mut begin = 0;
        let known: Vec<(u64, Hash)> = chunks
            .iter()
            .map(|chunk| {
                let end = begin + self.chunk(*chunk).len();
                let value = self.chaining_value(*chunk, &bytes[begin..end]);
                begin = end;
                (*chunk, value)
            })
            .collect();
        tree::fold(self.count(), &known, &node, next)
    }

    /// The hashes between the opened chunks of a leaf.
    pub(crate) fn between(&self, leaf: &[u8], opened: &[u64], out: &mut Vec<Hash>) {
        let all: Vec<Hash> = (0..self.count())
            .map(|chunk| self.chaining_value(chunk, &leaf[self.chunk(chunk)]))
            .collect();
        tree::between(&all, opened, &node, out);
    }

    fn count(&self) -> u64 {
        self.len.div_ceil(CHUNK_LEN) as u64
    }

    /// Of a leaf that is one chunk the chaining value is the hash itself.
    fn chaining_value(&self, chunk: u64, bytes: &[u8]) -> Hash {
        if self.count() == 1 {
            return *blake3::hash(bytes).as_bytes();
        }
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(chunk * CHUNK_LEN as u64);
        hasher.update(bytes);
        hasher.finalize_non_root()
    }
}

fn node(left: &Hash, right: &Hash, top: bool) -> Hash {
    match top {
        true => *merge_subtrees_root(left, right, Mode::Hash).as_bytes(),
        false => merge_subtrees_non_root(left, right, Mode::Hash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    /// Leaves of one chunk to nine, with rows across the borders of chunks.
    #[test]
    fn rows_of_a_head_are_proved_by_their_chunks() {
        for (dim, kv_heads, head_dim) in [
            (72, 2, 12),
            (240, 1, 12),
            (576, 3, 64),
            (1_024, 8, 64),
            (1_152, 1, 256),
            (100, 2, 1_024),
            (1, 1, 2),
        ] {
            let shape = Shape {
                dim,
                kv_heads,
                head_dim,
                ..Model::tiny(1).shape
            };
            let form = LeafForm::new(&shape);
            let leaf: Vec<u8> = (0..form.len).map(|i| (i * 7 % 251) as u8).collect();
            for head in 0..kv_heads {
                let chunks = form.chunks(head);
                let bytes: Vec<u8> = chunks
                    .iter()
                    .flat_map(|chunk| &leaf[form.chunk(*chunk)])
                    .copied()
                    .collect();
                let mut hashes = Vec::new();
                form.between(&leaf, &chunks, &mut hashes);
                let mut given = hashes.iter();
                let found = form.fold(&chunks, &bytes, &mut || given.next().copied().ok_or(()));
                assert_eq!(found, Ok(*blake3::hash(&leaf).as_bytes()));
                assert_eq!(given.next(), None);
                let expected: Vec<u8> = form
                    .parts(head)
                    .into_iter()
                    .flat_map(|part| &leaf[part])
                    .copied()
                    .collect();
                assert_eq!(form.rows(head, &chunks, &bytes), expected);
                assert_eq!(expected.len(), 2 * (head_dim + 4));
            }
        }
    }
}
