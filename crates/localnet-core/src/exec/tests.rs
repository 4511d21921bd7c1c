//! Both kinds of memory, against each other.

use std::sync::Arc;

use candid::Principal;

use super::{InstallMode, Installation};
use crate::{
    canister::{Canister, Settings},
    limits,
    mem::Regions,
    network::{Network, NetworkConfig},
    topology::Topology,
    types::{Ingress, Query, RequestId, Time},
    wasm::Compiler,
};

/// Writes the argument's bytes over its heap, trapping where the first byte is odd; grows where it is 100, and fills
/// more pages than may stay private where it is a multiple of 15.
const SCRIBBLER: &str = r#"(module
    (import "ic0" "msg_arg_data_copy" (func $copy (param i32 i32 i32)))
    (import "ic0" "msg_arg_data_size" (func $size (result i32)))
    (import "ic0" "msg_reply" (func $reply))
    (memory 8)
    (global $offset (mut i32) (i32.const 1))
    (func $scribble
      (local $first i32)
      (call $copy (i32.const 0) (i32.const 0) (call $size))
      (local.set $first (i32.load8_u (i32.const 0)))
      (global.set $offset (i32.rem_u
        (i32.add (i32.mul (global.get $offset) (i32.const 7919)) (local.get $first)) (i32.const 520000)))
      (i32.store8 (global.get $offset) (local.get $first))
      (if (i32.eqz (i32.rem_u (local.get $first) (i32.const 15))) (then
        (memory.fill (i32.const 131072) (local.get $first) (i32.const 300000))))
      (i32.store8 (i32.const 65536) (i32.add (i32.load8_u (i32.const 65536)) (i32.const 1)))
      (if (i32.eq (local.get $first) (i32.const 100)) (then
        (i32.store8 (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)) (i32.const 1))))
      (if (i32.and (local.get $first) (i32.const 1)) (then unreachable))
      (call $reply))
    (func (export "canister_update go") (call $scribble))
    (func (export "canister_query go_query") (call $scribble)))"#;

fn run(regions: Option<Arc<Regions>>) -> (Network, Vec<[u8; 32]>) {
    let config = NetworkConfig {
        seed: [0; 32],
        start: Time(1),
        topology: Arc::new(Topology::new(&[0; 32])),
        system: crate::system::SystemPlan::none(),
        module_cache: None,
    };
    let mut network = Network::assemble(config, Compiler::with(None, regions));
    let canister = network.topology().default_effective_canister();
    let home = Arc::clone(&network.homes[network.topology().default_index()].facts);
    let user = Principal::anonymous();
    let settings = Settings::new(vec![user]);
    network.canisters.insert(
        canister,
        Canister::new(canister, home, settings, 1 << 60, Time(1)),
    );
    let module = wat::parse_str(SCRIBBLER).unwrap();
    let order = Installation {
        canister,
        mode: InstallMode::Install,
        module: &module,
        arg: Vec::new(),
        caller: user,
    };
    network.install(order).unwrap();
    let mut digests = Vec::new();
    for step in 0..200u8 {
        let arg = vec![step, 1, 2, 3];
        if step % 5 == 0 {
            let query = Query {
                sender: user,
                canister,
                method: "go_query".into(),
                arg: arg.clone(),
                info: None,
            };
            assert_eq!(network.query(&query, None).is_ok(), step % 2 == 0);
        }
        let mut id = [0; 32];
        id[0] = step;
        let ingress = Ingress {
            id: RequestId(id),
            sender: user,
            canister,
            effective_canister: canister,
            method: "go".into(),
            arg,
            info: None,
            expiry: Time(1 << 60),
            bytes: 0,
        };
        network.submit(ingress).unwrap();
        network.round();
        digests.push(network.digest());
    }
    (network, digests)
}

#[test]
fn tracked_and_compared_memories_hold_the_same_after_every_message() {
    let (compared, expected) = run(None);
    let heap = &compared.canisters[&compared.topology().default_effective_canister()]
        .code
        .as_ref()
        .unwrap()
        .heap;
    assert_eq!(heap.pages(), 9, "one growth was kept");
    assert_eq!(
        heap.chunks().nth(1).map(|page| page[0]),
        Some(100),
        "every even message counted"
    );
    assert_eq!(heap.chunks().nth(8).map(|page| page[0]), Some(1));
    assert_eq!(heap.len(), 9 * limits::WASM_PAGE_BYTES);
    const { assert!(300_000 > limits::PRIVATE_PAGES_MAX * limits::OS_PAGE_BYTES) };
    if let Some(regions) = Regions::probe() {
        let (_, digests) = run(Some(regions));
        assert_eq!(digests, expected);
    }
}
