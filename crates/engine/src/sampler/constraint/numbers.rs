//! Integers within bounds, as digits.

use alloc::{format, string::String, vec::Vec};

use super::network::{Network, NodeId};

/// Adds the integers from `low` to `high`, where there are such bounds, between two nodes. There is at least one such integer.
pub(super) fn between(
    net: &mut Network,
    from: NodeId,
    to: NodeId,
    low: Option<i64>,
    high: Option<i64>,
) {
    let magnitude = |bound: i64| bound.unsigned_abs();
    if high.is_none_or(|high| high >= 0) {
        let least = low.map_or(0, |low| magnitude(low.max(0)));
        magnitudes(net, from, to, least, high.map(magnitude));
    }
    if low.is_none_or(|low| low < 0) {
        let minus = net.literal(from, b"-");
        let least = high.map_or(1, |high| magnitude(high.min(-1)));
        magnitudes(net, minus, to, least, low.map(magnitude));
    }
}

/// Adds the numbers from `low` to `high`, without sign and without leading zeros.
fn magnitudes(net: &mut Network, from: NodeId, to: NodeId, low: u64, high: Option<u64>) {
    let low = digits(low);
    let Some(high) = high.map(digits) else {
        at_least(net, from, to, &low);
        // Every longer number is greater.
        let mut at = net.bytes(from, b'1', b'9');
        for _ in 1..low.len() {
            at = net.bytes(at, b'0', b'9');
        }
        net.bytes_to(at, b'0', b'9', at);
        let last = net.bytes(at, b'0', b'9');
        net.skip(last, to);
        return;
    };
    for len in low.len()..=high.len() {
        let begin = match len == low.len() {
            true => low.clone(),
            false => digits(10u64.pow(len as u32 - 1)),
        };
        let end = match len == high.len() {
            true => high.clone(),
            false => "9".repeat(len).into_bytes(),
        };
        same_length(net, from, to, &begin, &end);
    }
}

fn digits(number: u64) -> Vec<u8> {
    let text: String = format!("{number}");
    text.into_bytes()
}

/// Numbers of as many digits as both bounds have.
fn same_length(net: &mut Network, from: NodeId, to: NodeId, low: &[u8], high: &[u8]) {
    let (Some((l, low)), Some((h, high))) = (low.split_first(), high.split_first()) else {
        return net.skip(from, to);
    };
    if l == h {
        let next = net.bytes(from, *l, *l);
        return same_length(net, next, to, low, high);
    }
    let next = net.bytes(from, *l, *l);
    at_least(net, next, to, low);
    let next = net.bytes(from, *h, *h);
    at_most(net, next, to, high);
    if h - l > 1 {
        let next = net.bytes(from, l + 1, h - 1);
        any(net, next, to, low.len());
    }
}

/// As many digits as the bound has, and no less than it.
fn at_least(net: &mut Network, from: NodeId, to: NodeId, low: &[u8]) {
    let Some((l, rest)) = low.split_first() else {
        return net.skip(from, to);
    };
    let next = net.bytes(from, *l, *l);
    at_least(net, next, to, rest);
    if *l < b'9' {
        let next = net.bytes(from, l + 1, b'9');
        any(net, next, to, rest.len());
    }
}

/// As many digits as the bound has, and no more than it; the first digit may be zero.
fn at_most(net: &mut Network, from: NodeId, to: NodeId, high: &[u8]) {
    let Some((h, rest)) = high.split_first() else {
        return net.skip(from, to);
    };
    let next = net.bytes(from, *h, *h);
    at_most(net, next, to, rest);
    if *h > b'0' {
        let next = net.bytes(from, b'0', h - 1);
        any(net, next, to, rest.len());
    }
}

fn any(net: &mut Network, from: NodeId, to: NodeId, len: usize) {
    let last = (0..len).fold(from, |from, _| net.bytes(from, b'0', b'9'));
    net.skip(last, to);
}
