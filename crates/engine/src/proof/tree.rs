//! Openings of Merkle trees: a root from some leaves and the hashes of what lies between them.
//!
//! All trees here have one shape, that of the trace and of the model and of BLAKE3 itself: of n > 1 leaves the first k, the largest power
//! of two below n, lie left. An opening is walked from the top, left before right; a subtree without an opened leaf is given by
//! its hash. So tree size and opened leaves fix the number and the meaning of the hashes, and one opening has one encoding.

use alloc::vec::Vec;

use crate::trace::Hash;

/// Hashes two subtrees; the last argument says whether the node is the root.
pub(crate) type Node<'a> = &'a dyn Fn(&Hash, &Hash, bool) -> Hash;

/// The root of `leaves` leaves, of which `opened` are known (ascending); `next` gives the hash of each subtree without one.
pub(crate) fn fold<E>(
    leaves: u64,
    opened: &[(u64, Hash)],
    node: Node<'_>,
    next: &mut dyn FnMut() -> Result<Hash, E>,
) -> Result<Hash, E> {
    fold_part(0..leaves, opened, true, node, next)
}

fn fold_part<E>(
    part: core::ops::Range<u64>,
    opened: &[(u64, Hash)],
    top: bool,
    node: Node<'_>,
    next: &mut dyn FnMut() -> Result<Hash, E>,
) -> Result<Hash, E> {
    let count = part.end - part.start;
    match opened {
        [] => next(),
        [(_, leaf)] if count == 1 => Ok(*leaf),
        _ => {
            let middle = part.start + split(count);
            let (left, right) = opened.split_at(opened.partition_point(|(i, _)| *i < middle));
            let left = fold_part(part.start..middle, left, false, node, next)?;
            let right = fold_part(middle..part.end, right, false, node, next)?;
            Ok(node(&left, &right, top))
        }
    }
}

/// The hashes that [`fold`] will ask for when the leaves at `opened` (ascending) are known.
pub(crate) fn between(leaves: &[Hash], opened: &[u64], node: Node<'_>, out: &mut Vec<Hash>) {
    between_part(leaves, 0, opened, true, node, out);
}

fn between_part(
    leaves: &[Hash],
    first: u64,
    opened: &[u64],
    top: bool,
    node: Node<'_>,
    out: &mut Vec<Hash>,
) {
    if opened.is_empty() {
        out.push(root(leaves, top, node));
    } else if leaves.len() > 1 {
        let size = split(leaves.len() as u64);
        let (left, right) = leaves.split_at(size as usize);
        let (of_left, of_right) = opened.split_at(opened.partition_point(|i| *i < first + size));
        between_part(left, first, of_left, false, node, out);
        between_part(right, first + size, of_right, false, node, out);
    }
}

/// The root of at least one leaf.
pub(crate) fn root(leaves: &[Hash], top: bool, node: Node<'_>) -> Hash {
    if let [leaf] = leaves {
        return *leaf;
    }
    let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
    node(&root(left, false, node), &root(right, false, node), top)
}

/// The leaves of the left subtree of more than one.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace;

    fn node(left: &Hash, right: &Hash, _: bool) -> Hash {
        trace::node(left, right)
    }

    #[test]
    fn any_leaves_of_a_tree_and_what_lies_between_give_its_root() {
        for n in 1..=9u64 {
            let leaves: Vec<Hash> = (0..n).map(|i| trace::token_leaf(i as u32, 5)).collect();
            let expected = trace::tree(&leaves);
            for set in 0..1u64 << n {
                let opened: Vec<u64> = (0..n).filter(|i| set >> i & 1 == 1).collect();
                let known: Vec<(u64, Hash)> =
                    opened.iter().map(|i| (*i, leaves[*i as usize])).collect();
                let mut hashes = Vec::new();
                between(&leaves, &opened, &node, &mut hashes);
                let mut given = hashes.iter();
                let found = fold(n, &known, &node, &mut || given.next().copied().ok_or(()));
                assert_eq!(found, Ok(expected), "{opened:?} of {n}");
                assert_eq!(given.next(), None, "{opened:?} of {n}");
            }
        }
    }

    #[test]
    fn one_leaf_of_many_is_opened_by_a_logarithmic_path() {
        let leaves: Vec<Hash> = (0..1_000).map(|i| trace::token_leaf(i, 5)).collect();
        let mut hashes = Vec::new();
        between(&leaves, &[777], &node, &mut hashes);
        assert_eq!(hashes.len(), 10);
    }
}
