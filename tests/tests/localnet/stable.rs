//! Stable memory, from inside and from outside.

use pocket_ic::common::rest::BlobCompression;
use serde_bytes::ByteBuf;
use std::io::Write as _;

use crate::harness::{keep, network, probe, probe_wasm, query, tell};

const PAGE: usize = 65_536;

fn stable_read(
    network: &pocket_ic::PocketIc,
    id: candid::Principal,
    offset: u64,
    length: u64,
) -> Vec<u8> {
    query::<ByteBuf>(network, id, "stable_read", (offset, length))
        .unwrap()
        .into_vec()
}

#[test]
fn what_a_canister_writes_is_seen_outside() {
    let network = network();
    let id = probe(&network);
    tell(
        &network,
        id,
        "stable_write",
        (70_000u64, ByteBuf::from([1, 2, 3])),
    )
    .unwrap();
    let memory = network.get_stable_memory(id);
    assert_eq!(memory.len(), 2 * PAGE);
    assert_eq!(memory[70_000..70_003], [1, 2, 3]);
    assert!(memory[..70_000].iter().all(|byte| *byte == 0));
}

#[test]
fn what_is_put_there_is_seen_inside() {
    let network = network();
    let id = probe(&network);
    let bytes: Vec<u8> = (0..100_000u32).map(|n| (n / 3) as u8).collect();
    network.set_stable_memory(id, bytes.clone(), BlobCompression::NoCompression);
    assert_eq!(network.get_stable_memory(id)[..100_000], bytes);
    assert_eq!(stable_read(&network, id, 99_000, 1_000), bytes[99_000..]);

    let mut packed = flate2_of(&bytes[..50_000]);
    network.set_stable_memory(id, std::mem::take(&mut packed), BlobCompression::Gzip);
    assert_eq!(network.get_stable_memory(id).len(), PAGE);
    assert_eq!(stable_read(&network, id, 0, 50_000), bytes[..50_000]);
}

fn flate2_of(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn memory_that_was_put_there_survives_an_upgrade() {
    let network = network();
    let id = probe(&network);
    network.set_stable_memory(id, vec![7; 2 * PAGE], BlobCompression::NoCompression);
    tell(&network, id, "add", (42u64,)).unwrap();
    network
        .upgrade_canister(id, probe_wasm(), keep(), None)
        .unwrap();
    let memory = network.get_stable_memory(id);
    assert_eq!(memory[..8], 42u64.to_le_bytes());
    assert!(memory[8..].iter().all(|byte| *byte == 7));
    assert_eq!(crate::harness::read(&network, id), 42);
}
