//! The hash tree that a certificate carries: parts of a state tree, the rest replaced by hashes.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    cbor::Writer,
    hash::{Hash, empty_hash, fork_hash, labelled_hash, leaf_hash},
};

/// A hash tree of the interface specification ("Certification").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Witness {
    /// Nothing is here.
    Empty,
    /// Labels on the left are smaller than those on the right.
    Fork(Box<(Self, Self)>),
    /// A label and what lies below it.
    Labelled(Arc<[u8]>, Box<Self>),
    /// A value.
    Leaf(Arc<[u8]>),
    /// Something with this hash, not shown.
    Pruned(Hash),
}

/// The paths that a witness shows, as a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All that lies here.
    All,
    /// Only what lies below these labels, or that there is no such label.
    Labels(BTreeMap<Vec<u8>, Wanted>),
}

impl Witness {
    /// Two sides; where neither shows anything, their common hash.
    pub(super) fn fork(left: Self, right: Self) -> Self {
        match (&left, &right) {
            (Self::Pruned(left), Self::Pruned(right)) => Self::Pruned(fork_hash(left, right)),
            _ => Self::Fork(Box::new((left, right))),
        }
    }

    /// The hash of the whole tree, which is the one of the tree that this was cut from.
    pub fn root_hash(&self) -> Hash {
        match self {
            Self::Empty => empty_hash(),
            Self::Fork(sides) => fork_hash(&sides.0.root_hash(), &sides.1.root_hash()),
            Self::Labelled(label, below) => labelled_hash(label, &below.root_hash()),
            Self::Leaf(value) => leaf_hash(value),
            Self::Pruned(hash) => *hash,
        }
    }

    /// Writes it as the specification's nested arrays.
    pub fn write(&self, out: &mut Writer) {
        match self {
            Self::Empty => {
                out.array(1).nat(0);
            }
            Self::Fork(sides) => {
                out.array(3).nat(1);
                sides.0.write(out);
                sides.1.write(out);
            }
            Self::Labelled(label, below) => {
                out.array(3).nat(2).bytes(label);
                below.write(out);
            }
            Self::Leaf(value) => {
                out.array(2).nat(3).bytes(value);
            }
            Self::Pruned(hash) => {
                out.array(2).nat(4).bytes(hash);
            }
        }
    }
}

impl Wanted {
    /// Nothing.
    pub const fn nothing() -> Self {
        Self::Labels(BTreeMap::new())
    }

    /// All of these paths, each with what lies below it.
    pub fn paths<P, L>(paths: impl IntoIterator<Item = P>) -> Self
    where
        P: IntoIterator<Item = L>,
        L: AsRef<[u8]>,
    {
        let mut wanted = Self::nothing();
        for path in paths {
            wanted.add(path);
        }
        wanted
    }

    /// Adds one path.
    pub fn add<L: AsRef<[u8]>>(&mut self, path: impl IntoIterator<Item = L>) {
        let mut here = self;
        for label in path {
            match here {
                Self::All => return,
                Self::Labels(labels) => {
                    here = labels
                        .entry(label.as_ref().to_vec())
                        .or_insert_with(Self::nothing);
                }
            }
        }
        *here = Self::All;
    }
}
