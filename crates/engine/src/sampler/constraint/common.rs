//! The parts of the network that JSON texts are made of, whatever the schema: white space, strings, numbers, objects and lists.

use alloc::vec::Vec;

use super::network::{Network, NodeId, Part};

/// Most bytes of white space where it is allowed.
pub const SPACE_BYTES_MAX: usize = 32;

/// The parts that every JSON text is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    /// White space, perhaps none.
    pub(super) space: Part,
    /// One character inside a string.
    pub(super) character: Part,
    pub(super) string: Part,
    pub(super) integer: Part,
    pub(super) number: Part,
    pub(super) boolean: Part,
    pub(super) null: Part,
    /// Any value at all.
    pub(super) value: Part,
    pub(super) object: Part,
    pub(super) list: Part,
}

impl Common {
    pub(super) fn build(net: &mut Network) -> Self {
        let space = flat(net, |net, begin| {
            let mut at = begin;
            net.returns(begin);
            for _ in 0..SPACE_BYTES_MAX {
                let next = net.node();
                for byte in *b" \n\r\t" {
                    net.bytes_to(at, byte, byte, next);
                }
                net.returns(next);
                at = next;
            }
        });
        let character = flat(net, |net, begin| {
            let end = net.node();
            one_character(net, begin, end, true);
            net.returns(end);
        });
        let string = flat(net, |net, begin| {
            let body = net.literal(begin, b"\"");
            one_character(net, body, body, true);
            let end = net.literal(body, b"\"");
            net.returns(end);
        });
        let integer = flat(net, |net, begin| {
            for end in whole(net, begin) {
                net.returns(end);
            }
        });
        let number = flat(net, |net, begin| {
            let (point, power) = (net.node(), net.node());
            let fraction = net.bytes(point, b'0', b'9');
            net.bytes_to(fraction, b'0', b'9', fraction);
            let signed = net.node();
            for sign in *b"+-" {
                net.bytes_to(power, sign, sign, signed);
            }
            let exponent = net.bytes(power, b'0', b'9');
            net.bytes_to(signed, b'0', b'9', exponent);
            net.bytes_to(exponent, b'0', b'9', exponent);
            net.returns(exponent);
            let [zero, digits] = whole(net, begin);
            for end in [zero, digits] {
                net.bytes_to(end, b'.', b'.', point);
            }
            for end in [zero, digits, fraction] {
                for e in *b"eE" {
                    net.bytes_to(end, e, e, power);
                }
                net.returns(end);
            }
        });
        let word = |net: &mut Network, words: &[&str]| {
            flat(net, |net, begin| {
                for word in words {
                    let end = net.literal(begin, word.as_bytes());
                    net.returns(end);
                }
            })
        };
        let boolean = word(net, &["true", "false"]);
        let null = word(net, &["null"]);
        let deep = |net: &mut Network| Part {
            begin: net.node(),
            nests: true,
        };
        let (object, list) = (deep(net), deep(net));
        let value = flat(net, |net, begin| {
            let end = net.node();
            for part in [string, number, boolean, null, object, list] {
                net.call_to(begin, part, end);
            }
            net.returns(end);
        });
        let common = Self {
            space,
            character,
            string,
            integer,
            number,
            boolean,
            null,
            value,
            object,
            list,
        };
        common.object(net, object.begin, &[], Some((string, value)));
        common.list(net, list.begin, &[], Some(value), 0, None);
        common
    }

    /// An object that begins at a node: named members in their order, then any that `others` allows as key and value.
    pub(super) fn object(
        &self,
        net: &mut Network,
        begin: NodeId,
        members: &[Member],
        others: Option<(Part, Part)>,
    ) {
        let end = net.node();
        net.returns(end);
        // Node i of either row stands before member i: in `choose` that member or a later one is to be written, in `after` one may be.
        let choose: Vec<NodeId> = (0..=members.len()).map(|_| net.node()).collect();
        let after: Vec<NodeId> = (0..=members.len()).map(|_| net.node()).collect();
        let open = net.literal(begin, b"{");
        let first = net.call(open, self.space);
        net.skip(first, choose[0]);
        if members.iter().all(|member| !member.required) {
            net.bytes_to(first, b'}', b'}', end);
        }
        for (i, member) in members.iter().enumerate() {
            let colon = net.literal(choose[i], &member.key);
            self.value_after(net, colon, member.value, after[i + 1]);
            if !member.required {
                net.skip(choose[i], choose[i + 1]);
            }
        }
        let last = members.len();
        if let Some((key, value)) = others {
            let colon = net.call(choose[last], key);
            self.value_after(net, colon, value, after[last]);
        }
        for i in 0..=last {
            if i < last || others.is_some() {
                let comma = net.literal(after[i], b",");
                net.call_to(comma, self.space, choose[i]);
            }
            if members[i..].iter().all(|member| !member.required) {
                let close = net.call(after[i], self.space);
                net.bytes_to(close, b'}', b'}', end);
            }
        }
    }

    fn value_after(&self, net: &mut Network, key: NodeId, value: Part, to: NodeId) {
        let colon = net.literal(key, b":");
        let spaced = net.call(colon, self.space);
        net.call_to(spaced, value, to);
    }

    /// A list that begins at a node: items in their order, then any that `others` allows, `min` to `max` in all.
    pub(super) fn list(
        &self,
        net: &mut Network,
        begin: NodeId,
        items: &[Part],
        others: Option<Part>,
        min: usize,
        max: Option<usize>,
    ) {
        let end = net.node();
        net.returns(end);
        let open = net.literal(begin, b"[");
        let mut at = net.call(open, self.space);
        for count in 0.. {
            if count >= min {
                let close = match count {
                    0 => at,
                    _ => net.call(at, self.space),
                };
                net.bytes_to(close, b']', b']', end);
            }
            let item = match items.get(count).copied().or(others) {
                Some(item) if max.is_none_or(|max| count < max) && !net.overfull() => item,
                _ => return,
            };
            let spaced = match count {
                0 => at,
                _ => {
                    let comma = net.literal(at, b",");
                    net.call(comma, self.space)
                }
            };
            if max.is_none() && count >= items.len().max(min).max(1) {
                net.call_to(spaced, item, at);
                return;
            }
            at = net.call(spaced, item);
        }
    }
}

/// A named member of an object.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Its name as it is written, quotes included.
    pub(super) key: Vec<u8>,
    pub(super) value: Part,
    pub(super) required: bool,
}

/// A part that is neither an object nor a list.
pub(super) fn flat(net: &mut Network, build: impl FnOnce(&mut Network, NodeId)) -> Part {
    let begin = net.node();
    build(net, begin);
    Part {
        begin,
        nests: false,
    }
}

/// The digits of an integer; it ends at either node.
fn whole(net: &mut Network, begin: NodeId) -> [NodeId; 2] {
    let minus = net.literal(begin, b"-");
    let (zero, digits) = (net.node(), net.node());
    for from in [begin, minus] {
        net.bytes_to(from, b'0', b'0', zero);
        net.bytes_to(from, b'1', b'9', digits);
    }
    net.bytes_to(digits, b'0', b'9', digits);
    [zero, digits]
}

/// One character inside a string: as it is, or escaped.
pub(super) fn one_character(net: &mut Network, from: NodeId, to: NodeId, escapes: bool) {
    for (low, high) in [(b' ', b'!'), (b'#', b'['), (b']', 0x7f)] {
        net.bytes_to(from, low, high, to);
    }
    if escapes {
        escape(net, from, to);
    }
    // The well-formed sequences of UTF-8.
    let one = net.node();
    net.bytes_to(one, 0x80, 0xbf, to);
    let two = net.node();
    net.bytes_to(two, 0x80, 0xbf, one);
    net.bytes_to(from, 0xc2, 0xdf, one);
    for (low, high, second) in [
        (0xe0, 0xe0, (0xa0, 0xbf)),
        (0xe1, 0xec, (0x80, 0xbf)),
        (0xed, 0xed, (0x80, 0x9f)),
        (0xee, 0xef, (0x80, 0xbf)),
    ] {
        let lead = net.bytes(from, low, high);
        net.bytes_to(lead, second.0, second.1, one);
    }
    for (low, high, second) in [
        (0xf0, 0xf0, (0x90, 0xbf)),
        (0xf1, 0xf3, (0x80, 0xbf)),
        (0xf4, 0xf4, (0x80, 0x8f)),
    ] {
        let lead = net.bytes(from, low, high);
        net.bytes_to(lead, second.0, second.1, two);
    }
}

/// A backslash and what may follow it; halves of a surrogate pair come together only.
fn escape(net: &mut Network, from: NodeId, to: NodeId) {
    let hex = |net: &mut Network, from: NodeId, to: NodeId| {
        for (low, high) in [(b'0', b'9'), (b'a', b'f'), (b'A', b'F')] {
            net.bytes_to(from, low, high, to);
        }
    };
    let backslash = net.literal(from, b"\\");
    for byte in *b"\"\\/bfnrt" {
        net.bytes_to(backslash, byte, byte, to);
    }
    let first = net.literal(backslash, b"u");
    let (second, third, fourth) = (net.node(), net.node(), net.node());
    for (low, high) in [
        (b'0', b'9'),
        (b'a', b'c'),
        (b'A', b'C'),
        (b'e', b'f'),
        (b'E', b'F'),
    ] {
        net.bytes_to(first, low, high, second);
    }
    hex(net, second, third);
    hex(net, third, fourth);
    hex(net, fourth, to);
    let after_d = net.node();
    for d in *b"dD" {
        net.bytes_to(first, d, d, after_d);
    }
    net.bytes_to(after_d, b'0', b'7', third);
    let high_half = net.node();
    for (low, high) in [(b'8', b'9'), (b'a', b'b'), (b'A', b'B')] {
        net.bytes_to(after_d, low, high, high_half);
    }
    let more = net.node();
    hex(net, high_half, more);
    let paired = net.node();
    hex(net, more, paired);
    let low_half = net.literal(paired, b"\\u");
    let low_d = net.node();
    for d in *b"dD" {
        net.bytes_to(low_half, d, d, low_d);
    }
    for (low, high) in [(b'c', b'f'), (b'C', b'F')] {
        net.bytes_to(low_d, low, high, third);
    }
}
