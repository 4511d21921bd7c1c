//! The network that a constraint is: nodes, edges that take a byte, and calls of other parts of it.
//!
//! A part begins at a node and returns at nodes marked so. It may call itself, so a position in the network is a node and a stack of
//! nodes to return to. Building only ever adds.

use alloc::{vec, vec::Vec};

use super::ConstraintError;

/// Most nodes of a network.
pub const NODES_MAX: usize = 1 << 16;
/// Most edges of a network.
pub const EDGES_MAX: usize = 1 << 18;

pub(super) type NodeId = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// Takes one byte.
    Bytes { low: u8, high: u8, to: NodeId },
    /// Takes nothing.
    Skip { to: NodeId },
    /// Goes through the part that begins at a node, then on.
    Call {
        part: NodeId,
        back: NodeId,
        /// Whether the part is an object or a list, whose depth is limited.
        nests: bool,
    },
}

#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) edges: Vec<Edge>,
    /// Whether a part may end here.
    pub(super) returns: bool,
    /// How many edges take a byte; they come first once the network is settled.
    pub(super) takes: usize,
    /// Whether no byte is taken by two of them.
    pub(super) distinct: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    pub(super) nodes: Vec<Node>,
    edges: usize,
    overfull: bool,
}

impl Network {
    /// A new node. A network that has become too large goes on with its first node and is refused in the end.
    pub(super) fn node(&mut self) -> NodeId {
        if self.nodes.len() >= NODES_MAX {
            self.overfull = true;
            return 0;
        }
        self.nodes.push(Node::default());
        self.nodes.len() as NodeId - 1
    }

    pub(super) fn edge(&mut self, from: NodeId, edge: Edge) {
        if self.edges >= EDGES_MAX {
            self.overfull = true;
            return;
        }
        self.edges += 1;
        self.nodes[from as usize].edges.push(edge);
    }

    pub(super) fn returns(&mut self, node: NodeId) {
        self.nodes[node as usize].returns = true;
    }

    /// Whether a limit was reached.
    pub(super) fn overfull(&self) -> bool {
        self.overfull
    }

    pub(super) fn bytes_to(&mut self, from: NodeId, low: u8, high: u8, to: NodeId) {
        self.edge(from, Edge::Bytes { low, high, to });
    }

    pub(super) fn skip(&mut self, from: NodeId, to: NodeId) {
        self.edge(from, Edge::Skip { to });
    }

    pub(super) fn bytes(&mut self, from: NodeId, low: u8, high: u8) -> NodeId {
        let to = self.node();
        self.bytes_to(from, low, high, to);
        to
    }

    pub(super) fn literal(&mut self, from: NodeId, text: &[u8]) -> NodeId {
        text.iter()
            .fold(from, |from, byte| self.bytes(from, *byte, *byte))
    }

    pub(super) fn call_to(&mut self, from: NodeId, part: Part, to: NodeId) {
        self.edge(
            from,
            Edge::Call {
                part: part.begin,
                back: to,
                nests: part.nests,
            },
        );
    }

    pub(super) fn call(&mut self, from: NodeId, part: Part) -> NodeId {
        let to = self.node();
        self.call_to(from, part, to);
        to
    }

    /// Puts the edges of every node in the order in which they are followed. Nothing may be added afterwards.
    pub(super) fn settle(&mut self) {
        for node in &mut self.nodes {
            node.edges
                .sort_by_key(|edge| !matches!(edge, Edge::Bytes { .. }));
            let ranges = node.edges.iter().map_while(|edge| match *edge {
                Edge::Bytes { low, high, .. } => Some((low, high)),
                _ => None,
            });
            let mut ranges: Vec<(u8, u8)> = ranges.collect();
            node.takes = ranges.len();
            ranges.sort_unstable();
            node.distinct = ranges.windows(2).all(|pair| pair[0].1 < pair[1].0);
        }
    }

    /// Nodes from which the network comes back to themselves without taking a byte would never let a search end.
    pub(super) fn check_progress(&self, empty: Part) -> Result<(), ConstraintError> {
        const NEW: u8 = 0;
        const OPEN: u8 = 1;
        const DONE: u8 = 2;
        let mut marks = vec![NEW; self.nodes.len()];
        for root in 0..self.nodes.len() {
            let mut path = vec![(root, 0)];
            if marks[root] != NEW {
                continue;
            }
            marks[root] = OPEN;
            while let Some((node, at)) = path.last_mut() {
                let edges = &self.nodes[*node].edges;
                // A call is two steps: into the part, and past it where the part may be empty.
                let step = edges.get(*at / 2).map(|edge| (edge, *at % 2));
                *at += 1;
                let to = match step {
                    None => {
                        marks[*node] = DONE;
                        path.pop();
                        continue;
                    }
                    Some((Edge::Skip { to }, 0)) => *to,
                    Some((Edge::Call { part, .. }, 0)) => *part,
                    Some((Edge::Call { part, back, .. }, 1)) if *part == empty.begin => *back,
                    Some(_) => continue,
                } as usize;
                match marks[to] {
                    OPEN => return Err(ConstraintError::Endless),
                    NEW => {
                        marks[to] = OPEN;
                        path.push((to, 0));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// Where a part begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) begin: NodeId,
    pub(super) nests: bool,
}
