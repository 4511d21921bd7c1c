//! One canister's life: created, installed, called, asked and read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use assay_localnet::Localnet;
use candid::{CandidType, Decode, Encode, Principal};
use ic_agent::{
    Agent, AgentError, Certificate,
    agent::{CallResponse, RejectCode, RejectResponse},
    hash_tree::{Label, LookupResult},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{agent, start, user};

/// Counts; shows its caller, its certified data and its certificate; refuses and traps when told to.
const WAT: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "msg_reject" (func $reject (param i32 i32)))
    (import "ic0" "trap" (func $trap (param i32 i32)))
    (import "ic0" "msg_caller_size" (func $caller_size (result i32)))
    (import "ic0" "msg_caller_copy" (func $caller_copy (param i32 i32 i32)))
    (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
    (import "ic0" "msg_arg_data_copy" (func $arg_copy (param i32 i32 i32)))
    (import "ic0" "certified_data_set" (func $certify (param i32 i32)))
    (import "ic0" "data_certificate_present" (func $present (result i32)))
    (import "ic0" "data_certificate_size" (func $certificate_size (result i32)))
    (import "ic0" "data_certificate_copy" (func $certificate_copy (param i32 i32 i32)))
    (import "ic0" "time" (func $time (result i64)))
    (import "ic0" "global_timer_set" (func $timer (param i64) (result i64)))
    (memory (export "memory") 2)
    (data (i32.const 0) "no thanks")
    (data (i32.const 16) "boom")
    (func $answer (param $at i32) (param $size i32)
        (call $append (local.get $at) (local.get $size))
        (call $reply))
    (func (export "canister_update inc")
        (call $inc)
        (call $answer (i32.const 100) (i32.const 4)))
    (func (export "canister_query get") (call $answer (i32.const 100) (i32.const 4)))
    (func (export "canister_update who")
        (call $caller_copy (i32.const 200) (i32.const 0) (call $caller_size))
        (call $answer (i32.const 200) (call $caller_size)))
    (func (export "canister_update certify")
        (call $arg_copy (i32.const 300) (i32.const 0) (call $arg_size))
        (call $certify (i32.const 300) (call $arg_size))
        (call $reply))
    (func (export "canister_query certificate")
        (if (i32.eqz (call $present)) (then (call $trap (i32.const 16) (i32.const 4))))
        (call $certificate_copy (i32.const 1024) (i32.const 0) (call $certificate_size))
        (call $answer (i32.const 1024) (call $certificate_size)))
    (func (export "canister_update refuse") (call $reject (i32.const 0) (i32.const 9)))
    (func (export "canister_query refuse_query") (call $reject (i32.const 0) (i32.const 9)))
    (func (export "canister_update trap") (call $trap (i32.const 16) (i32.const 4)))
    (func (export "canister_update mute"))
    (func $inc (i32.store (i32.const 100) (i32.add (i32.load (i32.const 100)) (i32.const 1))))
    (func (export "canister_update later")
        (drop (call $timer (i64.add (call $time) (i64.const 50000000))))
        (call $reply))
    (func (export "canister_global_timer") (call $inc))
    (@custom "icp:public candid:service" "service : {}")
    (@custom "icp:private notes" "for controllers"))"#;

pub(crate) fn wasm() -> Vec<u8> {
    wat::parse_str(WAT).unwrap()
}

#[derive(CandidType)]
struct Create {
    amount: Option<candid::Nat>,
}

#[derive(CandidType, Deserialize)]
struct Created {
    canister_id: Principal,
}

#[derive(CandidType, Deserialize)]
enum InstallMode {
    #[serde(rename = "install")]
    Install,
}

#[derive(CandidType)]
struct Install {
    mode: InstallMode,
    canister_id: Principal,
    wasm_module: Vec<u8>,
    arg: Vec<u8>,
}

pub(crate) async fn create(network: &Localnet, agent: &Agent) -> Principal {
    let arg = Encode!(&Create {
        amount: Some(candid::Nat::from(100_000_000_000_000u64))
    })
    .unwrap();
    let reply = agent
        .update(
            &Principal::management_canister(),
            "provisional_create_canister_with_cycles",
        )
        .with_effective_canister_id(network.default_effective_canister())
        .with_arg(arg)
        .call_and_wait()
        .await
        .unwrap();
    Decode!(&reply, Created).unwrap().canister_id
}

/// A running canister of [`WAT`].
pub(crate) async fn install(network: &Localnet, agent: &Agent) -> Principal {
    install_module(network, agent, wasm()).await
}

/// A running canister of this module.
pub(crate) async fn install_module(
    network: &Localnet,
    agent: &Agent,
    wasm_module: Vec<u8>,
) -> Principal {
    let canister_id = create(network, agent).await;
    let install = Install {
        mode: InstallMode::Install,
        canister_id,
        wasm_module,
        arg: Vec::new(),
    };
    agent
        .update(&Principal::management_canister(), "install_code")
        .with_effective_canister_id(canister_id)
        .with_arg(Encode!(&install).unwrap())
        .call_and_wait()
        .await
        .unwrap();
    canister_id
}

#[track_caller]
fn certified(result: Result<Vec<u8>, AgentError>) -> RejectResponse {
    match result {
        Err(AgentError::CertifiedReject { reject, .. }) => reject,
        other => panic!("no certified reject: {other:?}"),
    }
}

#[track_caller]
fn uncertified(result: Result<Vec<u8>, AgentError>) -> RejectResponse {
    match result {
        Err(AgentError::UncertifiedReject { reject, .. }) => reject,
        other => panic!("no uncertified reject: {other:?}"),
    }
}

#[tokio::test]
async fn updates_change_state_and_queries_see_it() {
    let network = start();
    let agent = agent(&network, user(1));
    let canister = install(&network, &agent).await;
    assert_eq!(
        canister,
        network.default_effective_canister(),
        "the first canister has the first id"
    );
    for count in 1..=3u8 {
        let reply = agent
            .update(&canister, "inc")
            .call_and_wait()
            .await
            .unwrap();
        assert_eq!(reply, [count, 0, 0, 0]);
        let reply = agent
            .query(&canister, "get")
            .call_with_verification()
            .await
            .unwrap();
        assert_eq!(reply, [count, 0, 0, 0]);
    }
}

#[tokio::test]
async fn refusals_of_calls_are_certified() {
    let network = start();
    let agent = agent(&network, user(1));
    let canister = install(&network, &agent).await;

    let reject = certified(agent.update(&canister, "refuse").call_and_wait().await);
    assert_eq!(reject.reject_code, RejectCode::CanisterReject);
    assert_eq!(reject.reject_message, "no thanks");
    assert_eq!(reject.error_code.as_deref(), Some("IC0406"));

    let reject = certified(agent.update(&canister, "trap").call_and_wait().await);
    assert_eq!(reject.reject_code, RejectCode::CanisterError);
    assert!(
        reject.reject_message.contains("boom"),
        "{}",
        reject.reject_message
    );
    assert_eq!(reject.error_code.as_deref(), Some("IC0503"));

    let reject = certified(agent.update(&canister, "mute").call_and_wait().await);
    assert_eq!(reject.error_code.as_deref(), Some("IC0506"));
}

#[tokio::test]
async fn refusals_before_execution_come_at_once() {
    let network = start();
    let agent = agent(&network, user(1));
    let canister = install(&network, &agent).await;
    let absent = network.topology().default_subnet().ranges[0].last_id();
    let reject = uncertified(agent.update(&absent, "inc").call_and_wait().await);
    assert_eq!(reject.reject_code, RejectCode::DestinationInvalid);
    assert_eq!(reject.error_code.as_deref(), Some("IC0301"));
    assert!(
        reject.reject_message.contains(&absent.to_text()),
        "{}",
        reject.reject_message
    );
    let reject = uncertified(agent.query(&absent, "get").call().await);
    assert_eq!(reject.error_code.as_deref(), Some("IC0301"));

    let reject = uncertified(agent.query(&canister, "refuse_query").call().await);
    assert_eq!(
        (reject.reject_code, reject.reject_message.as_str()),
        (RejectCode::CanisterReject, "no thanks")
    );
    let reject = uncertified(agent.query(&canister, "no_such_method").call().await);
    assert_eq!(reject.error_code.as_deref(), Some("IC0536"));
}

#[tokio::test]
async fn the_state_shows_a_canister_and_proves_what_it_lacks() {
    let network = start();
    let owner = agent(&network, user(1));
    let stranger = agent(&network, user(2));
    let empty = create(&network, &owner).await;
    let canister = install(&network, &owner).await;

    let hash = stranger
        .read_state_canister_module_hash(canister)
        .await
        .unwrap();
    assert_eq!(hash, Sha256::digest(wasm()).to_vec());
    let controllers = stranger
        .read_state_canister_controllers(canister)
        .await
        .unwrap();
    assert_eq!(controllers, [owner.get_principal().unwrap()]);
    let service = stranger
        .read_state_canister_metadata(canister, "candid:service")
        .await
        .unwrap();
    assert_eq!(service, b"service : {}");

    let notes = owner
        .read_state_canister_metadata(canister, "notes")
        .await
        .unwrap();
    assert_eq!(notes, b"for controllers");
    let (status, reason) = crate::http_error(
        stranger
            .read_state_canister_metadata(canister, "notes")
            .await,
    );
    assert_eq!(status, 403);
    assert!(reason.contains("`notes` is private"), "{reason}");

    let absent = |result: Result<Vec<u8>, AgentError>| {
        assert!(
            matches!(result, Err(AgentError::LookupPathAbsent(_))),
            "{result:?}"
        )
    };
    absent(
        stranger
            .read_state_canister_metadata(canister, "candid:args")
            .await,
    );
    absent(stranger.read_state_canister_module_hash(empty).await);
    let nobody = network.topology().default_subnet().ranges[0].last_id();
    absent(stranger.read_state_canister_module_hash(nobody).await);
}

#[tokio::test]
async fn subnets_are_known_by_canister_and_by_id() {
    let network = start();
    let agent = agent(&network, user(1));
    let canister = network.default_effective_canister();
    let range = network.topology().default_subnet().ranges[0];
    let by_canister = agent.fetch_subnet_by_canister(&canister).await.unwrap();
    let by_id = agent
        .fetch_subnet_by_id(&network.application_subnet_id())
        .await
        .unwrap();
    for subnet in [by_canister, by_id] {
        assert_eq!(subnet.id(), network.application_subnet_id());
        assert!(
            subnet.contains_canister(&range.first_id())
                && subnet.contains_canister(&range.last_id())
        );
        assert_eq!(
            subnet.iter_nodes().count(),
            network.topology().default_subnet().nodes.len()
        );
    }
    let root = agent
        .fetch_subnet_by_id(&network.topology().root().id)
        .await
        .unwrap();
    assert!(root.contains_canister(&Principal::from_text("ryjl3-tyaaa-aaaaa-aaaba-cai").unwrap()));
    let by_root_canister = agent
        .fetch_subnet_by_canister(&Principal::from_text("ryjl3-tyaaa-aaaaa-aaaba-cai").unwrap())
        .await;
    assert_eq!(by_root_canister.unwrap().id(), root.id());
}

#[tokio::test]
async fn a_subnet_tells_what_it_has_done() {
    let network = start();
    let agent = agent(&network, user(1));
    let subnet = network.application_subnet_id();
    let before = agent.read_state_subnet_metrics(subnet).await.unwrap();
    assert_eq!((before.num_canisters, before.canister_state_bytes), (0, 0));
    let canister = install(&network, &agent).await;
    agent
        .update(&canister, "inc")
        .call_and_wait()
        .await
        .unwrap();
    let after = agent.read_state_subnet_metrics(subnet).await.unwrap();
    assert_eq!(after.num_canisters, 1);
    assert!(after.canister_state_bytes > 65_536);
    assert!(after.consumed_cycles_total > 5_000_000);
    assert!(after.update_transactions_total >= 3);
    let root = network.topology().root().id;
    let root = agent.read_state_subnet_metrics(root).await.unwrap();
    assert_eq!(root.num_canisters, 0);
}

#[tokio::test]
async fn queries_carry_certificates_over_certified_data() {
    let network = start();
    let agent = agent(&network, user(1));
    let canister = install(&network, &agent).await;
    for data in [b"first".as_slice(), b"", &[7; 32]] {
        agent
            .update(&canister, "certify")
            .with_arg(data)
            .call_and_wait()
            .await
            .unwrap();
        let bytes = agent.query(&canister, "certificate").call().await.unwrap();
        let certificate: Certificate = serde_cbor::from_slice(&bytes).unwrap();
        agent.verify(&certificate, canister).unwrap();
        let path = [
            b"canister".as_slice(),
            canister.as_slice(),
            b"certified_data",
        ];
        assert_eq!(
            certificate.tree.lookup_path(path),
            LookupResult::Found(data)
        );
    }
    let too_long = certified(
        agent
            .update(&canister, "certify")
            .with_arg([7; 33])
            .call_and_wait()
            .await,
    );
    assert_eq!(too_long.reject_code, RejectCode::CanisterError);
}

#[tokio::test]
async fn what_became_of_a_call_can_be_read_again() {
    let network = start();
    let agent = agent(&network, user(1));
    let canister = install(&network, &agent).await;
    let signed = agent.update(&canister, "inc").sign().unwrap();
    for _ in 0..2 {
        // The same call again is not executed again.
        let CallResponse::Response(reply) = agent
            .update_signed(canister, signed.signed_update.clone())
            .await
            .unwrap()
        else {
            panic!("a short call is answered at once")
        };
        assert_eq!(reply, [1, 0, 0, 0]);
    }
    let (reply, certificate) = agent.wait(&signed.request_id, canister).await.unwrap();
    assert_eq!(reply, [1, 0, 0, 0]);
    agent.verify(&certificate, canister).unwrap();

    let stranger = crate::agent(&network, user(2));
    let (status, reason) = crate::http_error(
        stranger
            .request_status_raw(&signed.request_id, canister)
            .await,
    );
    assert_eq!(status, 403);
    assert!(reason.contains("sent by somebody else"), "{reason}");
}

#[tokio::test]
async fn certificates_are_as_fresh_as_the_wall_clock() {
    let network = start();
    let agent = agent(&network, user(1));
    let canister = network.default_effective_canister();
    let certificate = agent
        .read_state_raw(vec![vec!["time".into()]], canister)
        .await
        .unwrap();
    let LookupResult::Found(mut time) = certificate
        .tree
        .lookup_path([Label::<Vec<u8>>::from("time")])
    else {
        panic!("no time")
    };
    let time = Duration::from_nanos(leb128::read::unsigned(&mut time).unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(
        now.abs_diff(time) < Duration::from_secs(5),
        "{time:?} at {now:?}"
    );
}

#[tokio::test]
async fn callers_at_once_are_all_answered() {
    let network = start();
    let agent = agent(&network, user(1));
    let canister = install(&network, &agent).await;
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let agent = agent.clone();
            tokio::spawn(async move {
                agent
                    .update(&canister, "inc")
                    .call_and_wait()
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut counts = Vec::new();
    for call in calls {
        counts.push(call.await.unwrap()[0]);
    }
    counts.sort_unstable();
    assert_eq!(counts, (1..=20).collect::<Vec<u8>>());
}

#[tokio::test]
async fn timers_fire_by_the_wall_clock() {
    let network = start();
    let agent = agent(&network, user(1));
    let canister = install(&network, &agent).await;
    let begin = SystemTime::now();
    agent
        .update(&canister, "later")
        .call_and_wait()
        .await
        .unwrap();
    while agent.query(&canister, "get").call().await.unwrap() != [1, 0, 0, 0] {
        assert!(
            begin.elapsed().unwrap() < Duration::from_secs(20),
            "the timer never fired"
        );
    }
    assert!(
        begin.elapsed().unwrap() >= Duration::from_millis(50),
        "the timer fired too early"
    );
}
