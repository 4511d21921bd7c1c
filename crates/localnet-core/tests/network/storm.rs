//! Random calls between canisters that trap, stop, upgrade and vanish: no cycle is lost, everybody is answered, and
//! the same storm leaves the same network.

use assay_localnet_core::types::RequestId;
use candid::Principal;
use ic_management_canister_types as ic;

use crate::harness::{Net, wasm};

/// `go(callee, depth)` accepts half the cycles it gets, writes, and calls `callee.go(self, depth - 1)` with cycles;
/// some depths wait a second only, trap at once, trap in the callback, or never answer.
const NODE: &str = r#"
    (table 3 funcref)
    (elem (i32.const 0) $reply $reject $cleanup)
    (data (i32.const 600) "go")
    (func (export "canister_init") (drop (call $stable64_grow (i64.const 1))))
    (func $is (param $depth i32) (param $rest i32) (result i32)
      (i32.eq (i32.rem_u (local.get $depth) (i32.const 11)) (local.get $rest)))
    (func $count
      (call $stable64_read (i64.const 800) (i64.const 0) (i64.const 8))
      (i64.store (i32.const 800) (i64.add (i64.load (i32.const 800)) (i64.const 1)))
      (call $stable64_write (i64.const 0) (i64.const 800) (i64.const 8)))
    (func $answer (param $depth i32)
      (call $count)
      (if (call $is (local.get $depth) (i32.const 3)) (then unreachable))
      (if (i32.eqz (call $is (local.get $depth) (i32.const 5))) (then (call $msg_reply))))
    (func $reply (param i32) (call $answer (local.get 0)))
    (func $reject (param i32) (call $answer (local.get 0)))
    (func $cleanup (param i32) (call $count))
    (func (export "canister_update go")
      (local $depth i32)
      (drop (call $arg))
      (local.set $depth (i32.load (i32.const 1010)))
      (call $count)
      (call $msg_cycles_available128 (i32.const 816))
      (call $msg_cycles_accept128 (i64.const 0)
        (i64.div_u (i64.load (i32.const 816)) (i64.const 2)) (i32.const 816))
      (if (call $is (local.get $depth) (i32.const 1)) (then unreachable))
      (if (i32.eqz (local.get $depth)) (then (call $msg_reply) (return)))
      (call $call_new (i32.const 1000) (i32.const 10) (i32.const 600) (i32.const 2)
        (i32.const 0) (local.get $depth) (i32.const 1) (local.get $depth))
      (if (i32.and (local.get $depth) (i32.const 2)) (then (call $call_with_best_effort_response (i32.const 1))))
      (call $call_on_cleanup (i32.const 2) (i32.const 0))
      (i32.store (i32.const 1010) (i32.sub (local.get $depth) (i32.const 1)))
      (call $canister_self_copy (i32.const 900) (i32.const 0) (call $canister_self_size))
      (call $call_data_append (i32.const 900) (call $canister_self_size))
      (call $call_data_append (i32.const 1010) (i32.const 4))
      (call $call_cycles_add128 (i64.const 0) (i64.mul (i64.extend_i32_u (local.get $depth)) (i64.const 1001)))
      (if (call $call_perform) (then unreachable)))
"#;

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What a storm leaves; every so many steps, the network goes through an image.
fn storm(seed: u64, steps: usize, rebirths: Option<usize>) -> [u8; 32] {
    let mut dice = Dice(seed);
    let mut net = Net::new();
    let mut nodes: Vec<Principal> = (0..4).map(|_| net.canister(NODE)).collect();
    let mut open: Vec<RequestId> = Vec::new();
    for step in 0..steps {
        if rebirths.is_some_and(|every| step % every == 0) {
            net.be_reborn();
        }
        let which = dice.roll(4) as usize;
        let node = nodes[which];
        let record = candid::encode_one(ic::CanisterIdRecord { canister_id: node }).unwrap();
        let management = Principal::management_canister();
        let user = crate::harness::user();
        let manage =
            |net: &mut Net, method: &str| net.submit_as(user, management, method, record.clone());
        let sent = match dice.roll(20) {
            0 => manage(&mut net, "stop_canister"),
            1 | 2 => manage(&mut net, "start_canister"),
            3 => manage(&mut net, "uninstall_code"),
            4 => {
                let deleted = manage(&mut net, "delete_canister");
                net.settle();
                if net.network.canister(&node).is_none() {
                    nodes[which] = net.canister(NODE);
                }
                deleted
            }
            5 | 6 => {
                let mode = match dice.roll(3) {
                    0 => ic::CanisterInstallMode::Install,
                    1 => ic::CanisterInstallMode::Reinstall,
                    _ => ic::CanisterInstallMode::Upgrade(None),
                };
                // Refused where the canister is empty and should not be, or the other way round.
                let _ = net.install_code(node, mode, wasm(NODE), b"");
                continue;
            }
            7 => {
                net.advance(dice.roll(3));
                continue;
            }
            8 | 9 => {
                net.network.round();
                net.check_cycles();
                continue;
            }
            _ => {
                let callee = nodes[dice.roll(4) as usize];
                let depth = dice.roll(40) as u32;
                let arg = [callee.as_slice(), &depth.to_le_bytes()].concat();
                net.submit_as(user, node, "go", arg)
            }
        };
        open.extend(sent.ok());
        net.check_cycles();
    }
    for _ in 0..20 {
        net.settle();
        net.advance(100);
        net.check_cycles();
    }
    for id in &open {
        assert!(
            net.network
                .status(id)
                .is_none_or(|_| net.answer(id).is_some() || net.is_done(id)),
            "{id} waits"
        );
    }
    assert_eq!(net.network.cycles().moving, 0, "nothing is on its way");
    net.network.digest()
}

#[test]
fn a_storm_of_messages_loses_nothing_and_repeats() {
    for seed in 0..8 {
        let first = storm(seed, 250, None);
        assert_eq!(storm(seed, 250, None), first, "seed {seed}");
    }
}

#[test]
fn a_network_that_goes_through_images_is_the_same_network() {
    for seed in 0..3 {
        let first = storm(seed, 250, None);
        assert_eq!(storm(seed, 250, Some(25)), first, "seed {seed}");
    }
}
