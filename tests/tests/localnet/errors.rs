//! How things go wrong: codes and texts.

use candid::encode_one;
use pocket_ic::{ErrorCode, RejectCode};

use crate::harness::{anybody, module, network, probe, query, read, refused, tell, update};

#[test]
fn a_trap_says_why_and_leaves_nothing_behind() {
    let network = network();
    let id = probe(&network);
    let refusal = refused(
        tell(&network, id, "trap_after_adding", (5u64, "enough")),
        RejectCode::CanisterError,
        ErrorCode::CanisterCalledTrap,
        "Canister called `ic0.trap` with message",
    );
    assert!(refusal.reject_message.contains("enough"));
    assert!(
        refusal.certified,
        "what became of a call is in the certified state"
    );
    assert_eq!(read(&network, id), 0);
    let refusal = refused(
        query::<()>(&network, id, "trap_in_query", ("no",)),
        RejectCode::CanisterError,
        ErrorCode::CanisterCalledTrap,
        "no",
    );
    assert!(!refusal.certified);
}

#[test]
fn a_rejection_is_the_canisters_own() {
    let network = network();
    let id = probe(&network);
    let refusal = refused(
        tell(&network, id, "reject", ("not today",)),
        RejectCode::CanisterReject,
        ErrorCode::CanisterRejectedMessage,
        "not today",
    );
    assert_eq!(refusal.reject_message, "not today");
}

#[test]
fn methods_that_are_not_there_are_not_found() {
    let network = network();
    let id = probe(&network);
    let none = encode_one(()).unwrap();
    refused(
        network.update_call(id, anybody(), "nothing", none.clone()),
        RejectCode::CanisterError,
        ErrorCode::CanisterMethodNotFound,
        "has no update method 'nothing'",
    );
    refused(
        network.query_call(id, anybody(), "nothing", none.clone()),
        RejectCode::CanisterError,
        ErrorCode::CanisterMethodNotFound,
        "has no query method 'nothing'",
    );
    refused(
        network.query_call(id, anybody(), "add", none),
        RejectCode::CanisterError,
        ErrorCode::CanisterMethodNotFound,
        "has no query method 'add'",
    );
}

#[test]
fn who_never_answers_is_found_out() {
    let network = network();
    let id = probe(&network);
    refused(
        tell(&network, id, "say_nothing", ()),
        RejectCode::CanisterError,
        ErrorCode::CanisterDidNotReply,
        "",
    );
}

#[test]
fn an_unwelcome_message_is_not_taken_in() {
    let network = network();
    let id = probe(&network);
    let refusal = refused(
        network.submit_call(id, anybody(), "unwelcome", encode_one(()).unwrap()),
        RejectCode::CanisterReject,
        ErrorCode::CanisterRejectedMessage,
        "",
    );
    assert!(!refusal.certified);
}

#[test]
fn an_endless_loop_ends() {
    let network = network();
    let id = network.create_canister();
    let endless = module(
        r#"(module
            (import "ic0" "msg_reply" (func $reply))
            (func (export "canister_update spin") (loop (br 0)))
            (func (export "canister_update answer") (call $reply))
            (memory 1))"#,
    );
    network.install_canister(id, endless, vec![], None);
    refused(
        network.query_call(id, anybody(), "spin", vec![]),
        RejectCode::CanisterError,
        ErrorCode::CanisterMethodNotFound,
        "",
    );
    refused(
        network.update_call(id, anybody(), "spin", vec![]),
        RejectCode::CanisterError,
        ErrorCode::CanisterInstructionLimitExceeded,
        "Canister exceeded the limit",
    );
    assert!(network.update_call(id, anybody(), "answer", vec![]).is_ok());
}

#[test]
fn an_unreachable_instruction_traps() {
    let network = network();
    let id = network.create_canister();
    let broken = module(
        r#"(module (func (export "canister_update fall") unreachable)
            (func (export "canister_query look") (drop (i32.load (i32.const 100000))))
            (memory 1))"#,
    );
    network.install_canister(id, broken, vec![], None);
    for result in [
        network.update_call(id, anybody(), "fall", vec![]),
        network.query_call(id, anybody(), "look", vec![]),
    ] {
        refused(
            result,
            RejectCode::CanisterError,
            ErrorCode::CanisterTrapped,
            "trapped",
        );
    }
}

#[test]
fn a_status_is_told_to_its_sender_only() {
    let network = network();
    let id = probe(&network);
    let sender = crate::harness::user(1);
    let call = network
        .submit_call(id, sender, "add", encode_one(1u64).unwrap())
        .unwrap();
    assert!(network.ingress_status(call.clone()).is_none());
    for _ in 0..3 {
        network.tick();
    }
    let reply = network.ingress_status(call.clone()).unwrap().unwrap();
    assert_eq!(reply, encode_one(1u64).unwrap());
    assert!(matches!(
        network.ingress_status_as(call.clone(), sender),
        pocket_ic::IngressStatusResult::Success(Ok(_))
    ));
    assert!(matches!(
        network.ingress_status_as(call.clone(), crate::harness::user(2)),
        pocket_ic::IngressStatusResult::Forbidden(_)
    ));
    assert_eq!(network.await_call(call), Ok(reply));
}

#[test]
fn queries_change_nothing() {
    let network = network();
    let id = probe(&network);
    assert_eq!(query::<u64>(&network, id, "add_in_vain", (3u64,)), Ok(3));
    assert_eq!(read(&network, id), 0);
    assert_eq!(update::<u64>(&network, id, "add_in_vain", (3u64,)), Ok(3));
    assert_eq!(
        read(&network, id),
        0,
        "not even where they run as an update"
    );
}
