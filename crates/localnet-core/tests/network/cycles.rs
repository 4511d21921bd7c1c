//! Cycles: where they go, and that none is lost.

use assay_localnet_core::types::ErrorCode;

use crate::harness::{Net, n, plain, wasm};

/// Sends 1000 cycles with a call and keeps what comes back.
pub(crate) const PAYER: &str = r#"
    (table 1 funcref)
    (elem (i32.const 0) $back)
    (data (i32.const 600) "take")
    (func $back (param i32)
      (call $msg_cycles_refunded128 (i32.const 700))
      (call $msg_reply_data_append (i32.const 700) (i32.const 16))
      (call $msg_reply))
    (func (export "canister_update pay")
      (drop (call $arg))
      (call $call_new (i32.const 1000) (i32.const 10) (i32.const 600) (i32.const 4)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $call_data_append (i32.const 1010) (i32.const 4))
      (call $call_cycles_add128 (i64.const 0) (i64.const 1000))
      (if (call $call_perform) (then (call $reply32 (i32.const 2)))))
    (func (export "canister_update too_much")
      (drop (call $arg))
      (call $call_new (i32.const 1000) (i32.const 10) (i32.const 600) (i32.const 4)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $call_cycles_add128 (i64.const 1) (i64.const 0)))
    (func (export "canister_update not_performed")
      (drop (call $arg))
      (call $call_new (i32.const 1000) (i32.const 10) (i32.const 600) (i32.const 4)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $call_cycles_add128 (i64.const 0) (i64.const 1000))
      (call $msg_reply))
"#;

/// Accepts as many cycles as it is told to; traps where that is 13.
pub(crate) const TAKER: &str = r#"
    (func (export "canister_update take")
      (call $msg_cycles_accept128 (i64.const 0) (i64.extend_i32_u (call $arg32)) (i32.const 700))
      (if (i32.eq (call $arg32) (i32.const 13)) (then unreachable))
      (call $msg_reply))
    (func (export "canister_update burn")
      (call $cycles_burn128 (i64.const 0) (i64.const 500) (i32.const 700))
      (call $msg_reply_data_append (i32.const 700) (i32.const 16))
      (call $msg_reply))
"#;

pub(crate) fn pay(
    net: &mut Net,
    payer: candid::Principal,
    taker: candid::Principal,
    taken: u32,
) -> u128 {
    let reply = net
        .call(payer, "pay", [taker.as_slice(), &n(taken)].concat())
        .unwrap();
    u128::from_le_bytes(reply.try_into().unwrap())
}

#[test]
fn accepted_cycles_move_and_the_rest_comes_back() {
    let mut net = Net::new();
    let payer = net.canister(PAYER);
    let taker = net.canister(TAKER);
    assert_eq!(pay(&mut net, payer, taker, 400), 600);
    assert_eq!(pay(&mut net, payer, taker, 0), 1000);
    assert_eq!(
        pay(&mut net, payer, taker, 5_000),
        0,
        "no more than there are"
    );
    assert_eq!(
        pay(&mut net, payer, taker, 13),
        1000,
        "a trap takes nothing"
    );
    net.check_cycles();
}

#[test]
fn cycles_of_a_call_that_is_not_made_stay() {
    let mut net = Net::new();
    let payer = net.canister(PAYER);
    let taker = net.canister(TAKER);
    net.call(payer, "not_performed", taker.as_slice()).unwrap();
    net.check_cycles();
    let reject = net.call(payer, "too_much", taker.as_slice()).unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterContractViolation));
    assert_eq!(
        plain(&reject),
        format!("Error from Canister {payer}: Canister {payer} is out of cycles")
    );
    net.check_cycles();
}

#[test]
fn burned_cycles_are_counted_as_spent() {
    let mut net = Net::new();
    let taker = net.canister(TAKER);
    let before = net.network.cycles();
    assert_eq!(
        net.call(taker, "burn", ""),
        Ok(500u128.to_le_bytes().to_vec())
    );
    net.check_cycles();
    assert!(net.network.cycles().spent >= before.spent + 500);
}

#[test]
fn a_canister_without_cycles_takes_no_messages_and_makes_no_calls() {
    let mut net = Net::new();
    let taker = net.canister(TAKER);
    let poor = net.create_with(310_000_000_000);
    let install = ic_management_canister_types::CanisterInstallMode::Install;
    net.install_code(poor, install, wasm(PAYER), b"").unwrap();
    // It has enough to be called as long as 40 G cycles can be set aside, and enough to call as long as it can do
    // that twice.
    let mut refused = None;
    for _ in 0..10 {
        assert_eq!(pay(&mut net, poor, taker, 400), 600);
    }
    let rest = net.network.balance(&poor).unwrap();
    assert!(rest < 310_000_000_000);
    let burner = net.create_with(60_000_000_000);
    if let Err(reject) = net.install_code(burner, install, wasm(PAYER), b"") {
        refused = reject.error;
    }
    assert_eq!(
        refused,
        Some(ErrorCode::CanisterOutOfCycles),
        "installing sets 300 G aside"
    );
    net.check_cycles();
}

#[test]
fn execution_is_charged_by_the_instruction() {
    let mut net = Net::new();
    let id = net.canister(
        r#"(func (export "canister_update loop")
          (local $left i32)
          (local.set $left (call $arg32))
          (loop $again
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $again (local.get $left)))
          (call $msg_reply))"#,
    );
    let mut cost = |turns: u32| {
        let before = net.network.balance(&id).unwrap();
        net.call(id, "loop", n(turns)).unwrap();
        before - net.network.balance(&id).unwrap()
    };
    // local.get 1, i32.const 1, i32.sub 1, local.set 1, local.get 1, br_if 2
    assert_eq!(cost(1_001) - cost(1), 7_000);
    net.check_cycles();
}
