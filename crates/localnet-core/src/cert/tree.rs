//! A labelled hash tree that is cheap to change, to copy and to prove things about.
//!
//! One [`LabelTree`] is one level of labels, sorted; below a label lies a value or another level. The forks of a level
//! split at the first bit in which its labels differ, so the shape (and with it every hash) depends on the labels
//! alone and never on the order in which they came. A change copies the path to it and shares the rest, so an old
//! version stays valid and costs nothing to keep.
//!
//! It knows the hashing rules of the interface specification ("Certification"), and nothing of what the labels mean.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{
    hash::{Hash, empty_hash, fork_hash, labelled_hash, leaf_hash},
    witness::{Wanted, Witness},
};

/// A path in a tree: one label per level.
pub type Path = Vec<Vec<u8>>;

/// One level of sorted labels.
#[derive(Clone, Default)]
pub struct LabelTree {
    root: Option<Arc<Node>>,
}

/// What lies below a label.
#[derive(Clone, Debug)]
pub enum Content {
    /// A value.
    Leaf(Arc<[u8]>),
    /// Another level.
    Tree(LabelTree),
}

enum Node {
    Entry(Entry),
    Fork {
        /// The first bit (see [`bit_of`]) in which the labels on the left differ from those on the right.
        bit: usize,
        /// The smallest label on the right.
        split: Arc<[u8]>,
        left: Arc<Node>,
        right: Arc<Node>,
        hash: Hash,
    },
}

#[derive(Clone)]
struct Entry {
    label: Arc<[u8]>,
    content: Content,
    content_hash: Hash,
    hash: Hash,
}

impl LabelTree {
    /// A level without labels.
    pub const fn new() -> Self {
        Self { root: None }
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The hash that a certificate signs when this is its tree.
    pub fn root_hash(&self) -> Hash {
        self.root
            .as_ref()
            .map_or_else(empty_hash, |node| node.hash())
    }

    /// What lies below one label of this level.
    pub fn get(&self, label: &[u8]) -> Option<&Content> {
        let entry = self.root.as_deref()?.nearest(label);
        (*entry.label == *label).then_some(&entry.content)
    }

    /// What lies at a path; the empty path is not found.
    pub fn lookup(&self, path: &[impl AsRef<[u8]>]) -> Option<&Content> {
        let (last, parents) = path.split_last()?;
        let mut level = self;
        for label in parents {
            match level.get(label.as_ref())? {
                Content::Tree(tree) => level = tree,
                Content::Leaf(_) => return None,
            }
        }
        level.get(last.as_ref())
    }

    /// Sets what lies below one label of this level. An empty level is not kept: the label goes.
    pub fn insert(&mut self, label: &[u8], content: Content) {
        if matches!(&content, Content::Tree(tree) if tree.is_empty()) {
            return self.remove(label);
        }
        let entry = Entry::new(label.into(), content);
        self.root = Some(match self.root.take() {
            None => Arc::new(Node::Entry(entry)),
            Some(root) => inserted(&root, entry),
        });
    }

    /// Sets a value at a path, making the levels above it. What was there, value or level, is replaced.
    ///
    /// # Panics
    /// On the empty path, which names no value.
    pub fn set(&mut self, path: &[&[u8]], value: impl Into<Arc<[u8]>>) {
        match path {
            [] => panic!("BUG: a value needs a label"),
            [label] => self.insert(label, Content::Leaf(value.into())),
            [label, rest @ ..] => {
                let mut below = match self.get(label) {
                    Some(Content::Tree(tree)) => tree.clone(),
                    Some(Content::Leaf(_)) | None => Self::new(),
                };
                below.set(rest, value);
                self.insert(label, Content::Tree(below));
            }
        }
    }

    /// Removes one label of this level and all below it.
    pub fn remove(&mut self, label: &[u8]) {
        if let Some(root) = self.root.take() {
            self.root = removed(&root, label);
        }
    }

    /// Removes what lies at a path, and the levels above it that this leaves empty.
    pub fn unset(&mut self, path: &[&[u8]]) {
        match path {
            [] => {}
            [label] => self.remove(label),
            [label, rest @ ..] => {
                if let Some(Content::Tree(tree)) = self.get(label) {
                    let mut below = tree.clone();
                    below.unset(rest);
                    self.insert(label, Content::Tree(below));
                }
            }
        }
    }

    /// The labels of this level with what lies below them, in order.
    pub fn entries(&self) -> Vec<(&[u8], &Content)> {
        let mut found = Vec::new();
        let mut open: Vec<&Node> = self.root.as_deref().into_iter().collect();
        while let Some(node) = open.pop() {
            match node {
                Node::Entry(entry) => found.push((&*entry.label, &entry.content)),
                Node::Fork { left, right, .. } => open.extend([&**right, &**left]),
            }
        }
        found
    }

    /// A tree of the same hash that shows what is wanted, proves the absence of what is wanted and is not there, and
    /// hides the rest behind hashes. What lies at a path for which `hidden` holds is never shown.
    pub fn witness(&self, wanted: &Wanted, hidden: &dyn Fn(&[&[u8]]) -> bool) -> Witness {
        self.shown(wanted, &mut Vec::new(), hidden)
    }

    fn shown<'a>(
        &'a self,
        wanted: &Wanted,
        path: &mut Vec<&'a [u8]>,
        hidden: &dyn Fn(&[&[u8]]) -> bool,
    ) -> Witness {
        let Some(root) = self.root.as_deref() else {
            return Witness::Empty;
        };
        let labels = match wanted {
            Wanted::All => return root.all(path, hidden),
            Wanted::Labels(labels) => labels,
        };
        // A label that is not there is proved by showing its neighbours with nothing between them.
        let mut visible: BTreeMap<&[u8], Option<&Wanted>> = BTreeMap::new();
        for (label, below) in labels {
            if self.get(label).is_some() {
                visible.insert(label, Some(below));
            } else {
                for neighbour in root.neighbours(label).into_iter().flatten() {
                    visible.entry(neighbour).or_insert(None);
                }
            }
        }
        let visible: Vec<_> = visible.into_iter().collect();
        root.some(&visible, path, hidden)
    }
}

impl fmt::Debug for LabelTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.entries()
                    .into_iter()
                    .map(|(label, content)| (label.escape_ascii().to_string(), content)),
            )
            .finish()
    }
}

impl Entry {
    fn new(label: Arc<[u8]>, content: Content) -> Self {
        let content_hash = match &content {
            Content::Leaf(value) => leaf_hash(value),
            Content::Tree(tree) => tree.root_hash(),
        };
        let hash = labelled_hash(&label, &content_hash);
        Self {
            label,
            content,
            content_hash,
            hash,
        }
    }

    fn labelled(&self, content: Witness) -> Witness {
        Witness::Labelled(self.label.clone(), Box::new(content))
    }
}

impl Node {
    fn fork(bit: usize, left: Arc<Self>, right: Arc<Self>) -> Arc<Self> {
        let hash = fork_hash(&left.hash(), &right.hash());
        Arc::new(Self::Fork {
            bit,
            split: right.first().label.clone(),
            left,
            right,
            hash,
        })
    }

    fn hash(&self) -> Hash {
        match self {
            Self::Entry(entry) => entry.hash,
            Self::Fork { hash, .. } => *hash,
        }
    }

    fn first(&self) -> &Entry {
        match self {
            Self::Entry(entry) => entry,
            Self::Fork { left, .. } => left.first(),
        }
    }

    fn last(&self) -> &Entry {
        match self {
            Self::Entry(entry) => entry,
            Self::Fork { right, .. } => right.last(),
        }
    }

    /// The entry with this label if there is one, else one beside it.
    fn nearest(&self, label: &[u8]) -> &Entry {
        match self {
            Self::Entry(entry) => entry,
            Self::Fork {
                split, left, right, ..
            } => if *label < **split { left } else { right }.nearest(label),
        }
    }

    /// The labels before and after one that is not there.
    fn neighbours(&self, label: &[u8]) -> [Option<&[u8]>; 2] {
        let (mut node, mut before, mut after) = (self, None, None);
        loop {
            match node {
                Self::Entry(entry) if *entry.label < *label => return [Some(&entry.label), after],
                Self::Entry(entry) => return [before, Some(&entry.label)],
                Self::Fork { split, left, .. } if *label < **split => {
                    after = Some(&**split);
                    node = left;
                }
                Self::Fork { left, right, .. } => {
                    before = Some(&*left.last().label);
                    node = right;
                }
            }
        }
    }

    fn all<'a>(&'a self, path: &mut Vec<&'a [u8]>, hidden: &dyn Fn(&[&[u8]]) -> bool) -> Witness {
        match self {
            Self::Entry(entry) => {
                path.push(&entry.label);
                let content = if hidden(path) {
                    Witness::Pruned(entry.content_hash)
                } else {
                    match &entry.content {
                        Content::Leaf(value) => Witness::Leaf(value.clone()),
                        Content::Tree(tree) => tree.shown(&Wanted::All, path, hidden),
                    }
                };
                path.pop();
                entry.labelled(content)
            }
            Self::Fork { left, right, .. } => {
                Witness::fork(left.all(path, hidden), right.all(path, hidden))
            }
        }
    }

    /// Shows the visible labels, each with what is wanted below it; with `None` the label alone.
    fn some<'a>(
        &'a self,
        visible: &[(&[u8], Option<&Wanted>)],
        path: &mut Vec<&'a [u8]>,
        hidden: &dyn Fn(&[&[u8]]) -> bool,
    ) -> Witness {
        if visible.is_empty() {
            return Witness::Pruned(self.hash());
        }
        match self {
            Self::Entry(entry) => {
                path.push(&entry.label);
                let content = match (visible[0].1, &entry.content) {
                    (None, _) => Witness::Pruned(entry.content_hash),
                    _ if hidden(path) => Witness::Pruned(entry.content_hash),
                    // Nothing lies below a value, and showing it is the only proof of that.
                    (Some(_), Content::Leaf(value)) => Witness::Leaf(value.clone()),
                    (Some(wanted), Content::Tree(tree)) => tree.shown(wanted, path, hidden),
                };
                path.pop();
                entry.labelled(content)
            }
            Self::Fork {
                split, left, right, ..
            } => {
                let (lower, upper) =
                    visible.split_at(visible.partition_point(|(label, _)| **label < **split));
                Witness::fork(
                    left.some(lower, path, hidden),
                    right.some(upper, path, hidden),
                )
            }
        }
    }
}

fn inserted(node: &Arc<Node>, entry: Entry) -> Arc<Node> {
    let (label, bit) = match &**node {
        Node::Entry(here) => (&here.label, usize::MAX),
        Node::Fork { bit, split, .. } => (split, *bit),
    };
    let Some(differs) = first_difference(&entry.label, label).filter(|differs| *differs < bit)
    else {
        // The label belongs below this node (or is this entry's own).
        return match &**node {
            Node::Entry(_) => Arc::new(Node::Entry(entry)),
            Node::Fork {
                bit, left, right, ..
            } => {
                if bit_of(&entry.label, *bit) {
                    Node::fork(*bit, left.clone(), inserted(right, entry))
                } else {
                    Node::fork(*bit, inserted(left, entry), right.clone())
                }
            }
        };
    };
    let upper = bit_of(&entry.label, differs);
    let entry = Arc::new(Node::Entry(entry));
    if upper {
        Node::fork(differs, node.clone(), entry)
    } else {
        Node::fork(differs, entry, node.clone())
    }
}

fn removed(node: &Arc<Node>, label: &[u8]) -> Option<Arc<Node>> {
    match &**node {
        Node::Entry(entry) => (*entry.label != *label).then(|| node.clone()),
        Node::Fork {
            bit,
            split,
            left,
            right,
            ..
        } => {
            let (kept_left, kept_right) = if *label < **split {
                (removed(left, label), Some(right.clone()))
            } else {
                (Some(left.clone()), removed(right, label))
            };
            match (kept_left, kept_right) {
                (Some(left), Some(right)) => Some(Node::fork(*bit, left, right)),
                (one, other) => one.or(other),
            }
        }
    }
}

/// Labels as strings of bits whose order is the order of the labels: nine bits per byte, first a one that says "not at
/// the end yet". All bits after the end are zero.
fn bit_of(label: &[u8], bit: usize) -> bool {
    match (label.get(bit / 9), bit % 9) {
        (None, _) => false,
        (Some(_), 0) => true,
        (Some(byte), at) => byte >> (8 - at) & 1 == 1,
    }
}

fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    match (a.get(same), b.get(same)) {
        (None, None) => None,
        (Some(a), Some(b)) => Some(same * 9 + 1 + (a ^ b).leading_zeros() as usize),
        _ => Some(same * 9),
    }
}
