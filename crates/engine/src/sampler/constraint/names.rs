//! Names of members, as they are written and as they must not be.

use alloc::{format, vec::Vec};

use super::network::{Edge, Network, NodeId};

/// Names that are none of the sorted `names`, from where their shared beginning ends. `free` is where a name may go on as it likes from
/// there, `end` where it has ended.
pub(super) fn unlike(net: &mut Network, at: NodeId, names: &[&[u8]], free: NodeId, end: NodeId) {
    let (taken, longer): (Vec<&[u8]>, Vec<&[u8]>) = names.iter().partition(|name| name.is_empty());
    let mut firsts: Vec<u8> = longer.iter().map(|name| name[0]).collect();
    firsts.dedup();
    for edge in net.nodes[free as usize].edges.clone() {
        let Edge::Bytes { low, high, to } = edge else {
            continue;
        };
        if to == end {
            if taken.is_empty() {
                net.edge(at, edge);
            }
            continue;
        }
        // Bytes on which a name goes on keep to the names; all others leave them behind for good.
        let mut from = u16::from(low);
        for first in firsts.iter().copied().filter(|b| (low..=high).contains(b)) {
            if from < u16::from(first) {
                net.bytes_to(at, from as u8, first - 1, to);
            }
            from = u16::from(first) + 1;
            let rest: Vec<&[u8]> = longer
                .iter()
                .filter(|name| name[0] == first)
                .map(|name| &name[1..])
                .collect();
            let next = net.bytes(at, first, first);
            unlike(net, next, &rest, to, end);
        }
        if from <= u16::from(high) {
            net.bytes_to(at, from as u8, high, to);
        }
    }
}

/// A text as JSON writes it, with no more escapes than needed.
pub(super) fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::from(*b"\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend([b'\\', c as u8]),
            '\n' => out.extend(*b"\\n"),
            '\r' => out.extend(*b"\\r"),
            '\t' => out.extend(*b"\\t"),
            '\0'..='\u{1f}' => out.extend(format!("\\u{:04x}", c as u32).bytes()),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
    out
}
