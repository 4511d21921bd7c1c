//! Calls between canisters: answers, callbacks, cleanups, deadlines.

use assay_localnet_core::{
    limits,
    types::{ErrorCode, RejectCode},
};

use crate::harness::{Net, n, plain};

/// Asks the management canister for random bytes.
pub(crate) const RANDOM: &str = r#"
    (table 2 funcref)
    (elem (i32.const 0) $got $failed)
    (data (i32.const 600) "raw_rand")
    (data (i32.const 620) "DIDL\00\00")
    (func $got (param i32)
      (call $msg_reply_data_append (i32.const 1000) (call $arg))
      (call $msg_reply))
    (func $failed (param i32) unreachable)
    (func (export "canister_update draw")
      (call $call_new (i32.const 0) (i32.const 0) (i32.const 600) (i32.const 8)
        (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0))
      (call $call_data_append (i32.const 620) (i32.const 6))
      (drop (call $call_perform)))
"#;

/// Doubles numbers, or refuses to.
const CALLEE: &str = r#"
    (data (i32.const 600) "not today")
    (func (export "canister_update double") (call $reply32 (i32.mul (call $arg32) (i32.const 2))))
    (func (export "canister_query half") (call $reply32 (i32.div_u (call $arg32) (i32.const 2))))
    (func (export "canister_update refuse") (call $msg_reject (i32.const 600) (i32.const 9)))
    (func (export "canister_update crash") (call $trap (i32.const 600) (i32.const 9)))
    (func (export "canister_update silent"))
    (func (export "canister_update caller")
      (call $msg_caller_copy (i32.const 1000) (i32.const 0) (call $msg_caller_size))
      (call $msg_reply_data_append (i32.const 1000) (call $msg_caller_size))
      (call $msg_reply))
"#;

/// Passes `callee(10 bytes) ‖ number(4 bytes) ‖ method` on and answers `1 ‖ reply` or `2 ‖ code ‖ message`.
/// A number of 99 makes the callbacks trap after a write; their cleanup then leaves a mark.
pub(crate) const CALLER: &str = r#"
    (table 3 funcref)
    (elem (i32.const 0) $reply $reject $cleanup)
    (func $trap_if_asked (param i32)
      (i32.store (i32.const 700) (i32.const 1))
      (if (i32.eq (local.get 0) (i32.const 99)) (then unreachable))
      (i32.store (i32.const 700) (i32.const 0)))
    (func $reply (param i32)
      (call $trap_if_asked (local.get 0))
      (i32.store8 (i32.const 500) (i32.const 1))
      (call $msg_reply_data_append (i32.const 500) (i32.const 1))
      (call $msg_reply_data_append (i32.const 1000) (call $arg))
      (call $msg_reply))
    (func $reject (param i32)
      (call $trap_if_asked (local.get 0))
      (i32.store8 (i32.const 500) (i32.const 2))
      (i32.store8 (i32.const 501) (call $msg_reject_code))
      (call $msg_reply_data_append (i32.const 500) (i32.const 2))
      (call $msg_reject_msg_copy (i32.const 1000) (i32.const 0) (call $msg_reject_msg_size))
      (call $msg_reply_data_append (i32.const 1000) (call $msg_reject_msg_size))
      (call $msg_reply))
    (func $cleanup (param i32)
      (i32.store (i32.const 704) (i32.add (i32.const 1) (i32.load (i32.const 704)))))
    (func $new (param $len i32)
      (call $call_new (i32.const 1000) (i32.const 10) (i32.const 1014) (i32.sub (local.get $len) (i32.const 14))
        (i32.const 0) (i32.load (i32.const 1010)) (i32.const 1) (i32.load (i32.const 1010)))
      (call $call_data_append (i32.const 1010) (i32.const 4))
      (call $call_on_cleanup (i32.const 2) (i32.const 0)))
    (func (export "canister_update call")
      (call $new (call $arg))
      (if (call $call_perform) (then unreachable)))
    (func (export "canister_update call_for_a_second")
      (call $new (call $arg))
      (call $call_with_best_effort_response (i32.const 1))
      (if (call $call_perform) (then unreachable)))
    (func (export "canister_update call_and_trap")
      (call $new (call $arg))
      (drop (call $call_perform))
      unreachable)
    (func (export "canister_query marks")
      (call $reply32 (i32.add (i32.mul (i32.load (i32.const 700)) (i32.const 100)) (i32.load (i32.const 704)))))
"#;

pub(crate) fn ask(callee: candid::Principal, number: u32, method: &str) -> Vec<u8> {
    [callee.as_slice(), &n(number), method.as_bytes()].concat()
}

fn two() -> (Net, candid::Principal, candid::Principal) {
    let mut net = Net::new();
    let caller = net.canister(CALLER);
    let callee = net.canister(CALLEE);
    (net, caller, callee)
}

#[test]
fn users_get_replies_and_rejects() {
    let (mut net, _, callee) = two();
    assert_eq!(net.call(callee, "double", n(21)), Ok(n(42)));
    assert_eq!(net.query(callee, "half", n(42)), Ok(n(21)));
    assert_eq!(
        net.call(callee, "half", n(42)),
        Ok(n(21)),
        "queries can be called as updates"
    );
    assert_eq!(
        net.call(callee, "caller", ""),
        Ok(crate::harness::user().as_slice().to_vec())
    );
    let refused = net.call(callee, "refuse", "").unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (RejectCode::CanisterReject, "not today")
    );
    let crashed = net.call(callee, "crash", "").unwrap_err();
    assert_eq!(crashed.error, Some(ErrorCode::CanisterCalledTrap));
    assert_eq!(
        plain(&crashed),
        format!(
            "Error from Canister {callee}: Canister called `ic0.trap` with message: 'not today'"
        )
    );
    let silent = net.call(callee, "silent", "").unwrap_err();
    assert_eq!(
        (silent.code, silent.error),
        (
            RejectCode::CanisterError,
            Some(ErrorCode::CanisterDidNotReply)
        )
    );
    let missing = net.call(callee, "nothing", "").unwrap_err();
    assert_eq!(missing.error, Some(ErrorCode::CanisterMethodNotFound));
    assert!(
        missing
            .message
            .contains("Canister has no update method 'nothing'"),
        "{}",
        missing.message
    );
    assert!(
        net.query(callee, "double", n(1))
            .unwrap_err()
            .message
            .contains("no query method 'double'")
    );
}

#[test]
fn canisters_get_replies_and_rejects() {
    let (mut net, caller, callee) = two();
    assert_eq!(
        net.call(caller, "call", ask(callee, 4, "double")),
        Ok([&[1], n(8).as_slice()].concat())
    );
    assert_eq!(
        net.call(caller, "call", ask(callee, 4, "half")),
        Ok([&[1], n(2).as_slice()].concat())
    );
    assert_eq!(
        net.call(caller, "call", ask(callee, 4, "caller")),
        Ok([&[1], caller.as_slice()].concat()),
        "the canister is the caller, not the user"
    );
    assert_eq!(
        net.call(caller, "call", ask(callee, 4, "refuse")),
        Ok([&[2, 4], b"not today".as_slice()].concat())
    );
    let crashed = net.call(caller, "call", ask(callee, 4, "crash")).unwrap();
    assert_eq!(crashed[..2], [2, 5]);
    assert!(
        String::from_utf8_lossy(&crashed)
            .contains("Canister called `ic0.trap` with message: 'not today'")
    );
    assert_eq!(
        net.call(caller, "call", ask(callee, 4, "silent")).unwrap()[..2],
        [2, 5]
    );
    let nobody = candid::Principal::from_slice(&[9; 10]);
    let lost = net.call(caller, "call", ask(nobody, 4, "double")).unwrap();
    assert_eq!(
        lost,
        [&[2, 3], format!("Canister {nobody} not found").as_bytes()].concat()
    );
    net.check_cycles();
}

#[test]
fn a_canister_can_call_itself() {
    let (mut net, caller, _) = two();
    assert_eq!(
        net.call(caller, "call", ask(caller, 0, "marks")),
        Ok([&[1], n(0).as_slice()].concat())
    );
    assert_eq!(
        net.call(caller, "call", ask(caller, 0, "nothing")).unwrap()[..2],
        [2, 5]
    );
    net.check_cycles();
}

#[test]
fn a_trap_in_the_first_message_sends_no_call() {
    let (mut net, caller, callee) = two();
    let before = net.network.balance(&callee).unwrap();
    let reject = net
        .call(caller, "call_and_trap", ask(callee, 1, "double"))
        .unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterTrapped));
    assert_eq!(
        net.network.balance(&callee).unwrap(),
        before,
        "the callee has not run"
    );
    net.check_cycles();
}

#[test]
fn cleanup_runs_when_a_callback_traps_and_only_its_writes_stay() {
    let (mut net, caller, callee) = two();
    let reject = net
        .call(caller, "call", ask(callee, 99, "double"))
        .unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterTrapped));
    assert_eq!(
        net.query(caller, "marks", ""),
        Ok(n(1)),
        "the callback's mark is gone, the cleanup's is there"
    );
    net.call(caller, "call", ask(callee, 99, "refuse"))
        .unwrap_err();
    assert_eq!(net.query(caller, "marks", ""), Ok(n(2)));
    net.check_cycles();
}

#[test]
fn random_bytes_come_a_round_later_and_differ_by_call_and_seed() {
    let draw = |seed: u8, count: usize| {
        let mut net = Net::with(assay_localnet_core::network::NetworkConfig {
            seed: [seed; 32],
            ..crate::harness::config()
        });
        let id = net.canister(RANDOM);
        let request = net.submit(id, "draw", "");
        net.network.round();
        assert_eq!(net.answer(&request), None, "not in the round of the call");
        let mut all = vec![net.wait(&request).unwrap()];
        all.extend((1..count).map(|_| net.call(id, "draw", "").unwrap()));
        all
    };
    let drawn = draw(1, 3);
    assert_eq!(candid::decode_one::<Vec<u8>>(&drawn[0]).unwrap().len(), 32);
    assert!(drawn[0] != drawn[1] && drawn[1] != drawn[2]);
    assert_eq!(draw(1, 3), drawn);
    assert_ne!(draw(2, 1)[0], drawn[0]);
}

/// Waits with its answer until it has random bytes, so that somebody can be waiting for it.
const SLOW: &str = r#"
    (table 2 funcref)
    (elem (i32.const 0) $got $got)
    (data (i32.const 600) "raw_rand")
    (data (i32.const 620) "DIDL\00\00")
    (func $got (param i32)
      (if (i64.ne (call $msg_deadline) (i64.load (i32.const 800))) (then unreachable))
      (call $reply32 (i32.const 5)))
    (func (export "canister_update wait")
      (i64.store (i32.const 800) (call $msg_deadline))
      (call $call_new (i32.const 0) (i32.const 0) (i32.const 600) (i32.const 8)
        (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0))
      (call $call_data_append (i32.const 620) (i32.const 6))
      (drop (call $call_perform)))
    (func (export "canister_query deadline")
      (call $msg_reply_data_append (i32.const 800) (i32.const 8)) (call $msg_reply))
"#;

#[test]
fn a_bounded_wait_ends_at_its_deadline_and_the_late_answer_is_dropped() {
    let mut net = Net::new();
    let caller = net.canister(CALLER);
    let slow = net.canister(SLOW);
    assert_eq!(
        net.call(caller, "call_for_a_second", ask(slow, 0, "wait")),
        Ok([&[1], n(5).as_slice()].concat()),
        "in time"
    );
    let request = net.submit(caller, "call_for_a_second", ask(slow, 0, "wait"));
    net.network.round();
    let sent = net.network.time();
    let deadline = u64::from_le_bytes(net.query(slow, "deadline", "").unwrap().try_into().unwrap());
    assert_eq!(deadline, sent.0 + 1_000_000_000);
    assert_eq!(net.network.next_timer().map(|time| time.0), Some(deadline));
    net.advance(1);
    // The random bytes and the deadline come in the same round: bytes first, so nothing is late yet for the callee,
    // but the caller's time is up.
    let answer = net.wait(&request).unwrap();
    assert_eq!(answer[..2], [2, 6], "{}", String::from_utf8_lossy(&answer));
    net.settle();
    net.check_cycles();
    assert_eq!(net.network.next_timer(), None);
}

#[test]
fn an_unbounded_wait_has_no_deadline() {
    let mut net = Net::new();
    let caller = net.canister(CALLER);
    let slow = net.canister(SLOW);
    let request = net.submit(caller, "call", ask(slow, 0, "wait"));
    net.network.round();
    assert_eq!(net.query(slow, "deadline", ""), Ok(vec![0; 8]));
    net.advance(1_000);
    assert_eq!(net.wait(&request), Ok([&[1], n(5).as_slice()].concat()));
}

#[test]
fn a_composite_query_calls_other_queries_and_keeps_nothing() {
    let mut net = Net::new();
    let callee = net.canister(CALLEE);
    let caller = net.canister(
        &CALLER
            .replace(
                "(export \"canister_update call\")",
                "(export \"canister_composite_query call\")",
            )
            .replace(
                "(call $trap_if_asked (local.get 0))",
                "(i32.store (i32.const 700) (i32.const 7))",
            ),
    );
    assert_eq!(
        net.query(caller, "call", ask(callee, 8, "half")),
        Ok([&[1], n(4).as_slice()].concat())
    );
    let answer = net.query(caller, "call", ask(callee, 8, "double")).unwrap();
    assert_eq!(
        answer[..2],
        [2, 5],
        "an update cannot be called from a query"
    );
    assert_eq!(net.query(caller, "marks", ""), Ok(n(0)));
    let reject = net
        .call(caller, "call", ask(callee, 8, "half"))
        .unwrap_err();
    assert_eq!(
        reject.error,
        Some(ErrorCode::CompositeQueryCalledInReplicatedMode)
    );
    let mut endless = ask(caller, 8, "call");
    endless.truncate(18);
    let answer = net.query(caller, "call", endless).unwrap();
    assert_eq!(
        answer[0], 2,
        "a composite query that calls itself gets a reject in the end"
    );
}

/// Calls itself as deep as it is asked for, or as often, and counts the answers.
const COUNTING: &str = r#"
    (table 2 funcref)
    (elem (i32.const 0) $back $failed)
    (data (i32.const 600) "deepwideleaf")
    (global $left (mut i32) (i32.const 0))
    (global $sum (mut i32) (i32.const 1))
    (func $call (param $name i32) (param $number i32)
      (call $canister_self_copy (i32.const 800) (i32.const 0) (i32.const 10))
      (i32.store (i32.const 820) (local.get $number))
      (call $call_new (i32.const 800) (i32.const 10) (local.get $name) (i32.const 4)
        (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0))
      (call $call_data_append (i32.const 820) (i32.const 4))
      (drop (call $call_perform)))
    (func $back (param i32)
      (global.set $left (i32.sub (global.get $left) (i32.const 1)))
      (global.set $sum (i32.add (global.get $sum) (call $arg32)))
      (if (i32.le_s (global.get $left) (i32.const 0)) (then (call $reply32 (global.get $sum)))))
    (func $failed (param i32) (call $reply32 (i32.const 999)))
    (func (export "canister_composite_query deep")
      (if (call $arg32)
        (then (call $call (i32.const 600) (i32.sub (call $arg32) (i32.const 1))))
        (else (call $reply32 (i32.const 1)))))
    (func (export "canister_composite_query wide")
      (global.set $left (call $arg32))
      (loop $l
        (call $call (i32.const 608) (i32.const 0))
        (global.set $left (i32.sub (global.get $left) (i32.const 1)))
        (br_if $l (global.get $left)))
      (global.set $left (call $arg32)))
    (func (export "canister_query leaf") (call $reply32 (i32.const 1)))"#;

#[test]
fn composite_queries_are_limited_in_depth() {
    let mut net = Net::new();
    let id = net.canister(COUNTING);
    let most = limits::COMPOSITE_DEPTH_MAX as u32;
    assert_eq!(net.query(id, "deep", n(most)), Ok(n(most + 1)));
    assert_eq!(
        net.query(id, "deep", n(most + 1)).unwrap_err().error,
        Some(ErrorCode::QueryCallGraphTooDeep)
    );
}

#[test]
fn composite_queries_are_limited_in_instructions_all_together() {
    let mut net = Net::new();
    let id = net.canister(COUNTING);
    assert_eq!(net.query(id, "wide", n(99)), Ok(n(100)));
    let reject = net.query(id, "wide", n(100)).unwrap_err();
    assert_eq!(
        (reject.error, reject.message.as_str()),
        (
            Some(ErrorCode::QueryCallGraphTotalInstructionLimitExceeded),
            "Composite query calls exceeded the instruction limit."
        )
    );
}
