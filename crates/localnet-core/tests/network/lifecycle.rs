//! The management canister: making, changing and ending canisters.

use assay_localnet_core::{
    network::RunState,
    topology::canister_id,
    types::{ErrorCode, RejectCode},
};
use candid::Principal;
use ic_management_canister_types as ic;
use sha2::{Digest as _, Sha256};

use crate::{
    calls::{CALLER, RANDOM, ask},
    harness::{Net, n, plain, stranger, user, wasm},
};

const ECHO: &str = r#"
    (func (export "canister_update echo")
      (call $msg_reply_data_append (i32.const 1000) (call $arg)) (call $msg_reply))
    (func (export "canister_query version")
      (call $reply32 (i32.wrap_i64 (call $canister_version))))
"#;

fn record(canister_id: Principal) -> ic::CanisterIdRecord {
    ic::CanisterIdRecord { canister_id }
}

#[test]
fn ids_count_up_from_the_first() {
    let mut net = Net::new();
    assert_eq!(net.create().to_text(), "lxzze-o7777-77777-aaaaa-cai");
    assert_eq!(net.create(), canister_id(0xffff_ffff_ffe0_0001));
    let arg = |number: u64| ic::ProvisionalCreateCanisterWithCyclesArgs {
        specified_id: Some(canister_id(number)),
        ..Default::default()
    };
    net.manage(
        "provisional_create_canister_with_cycles",
        &arg(0xffff_ffff_ffe0_0002),
    )
    .unwrap();
    let taken = net
        .manage(
            "provisional_create_canister_with_cycles",
            &arg(0xffff_ffff_ffe0_0002),
        )
        .unwrap_err();
    assert_eq!(taken.error, Some(ErrorCode::CanisterIdAlreadyExists));
    let outside = net
        .manage("provisional_create_canister_with_cycles", &arg(5))
        .unwrap_err();
    assert_eq!(outside.error, Some(ErrorCode::CanisterNotHostedBySubnet));
    assert_eq!(
        net.create(),
        canister_id(0xffff_ffff_ffe0_0003),
        "the taken id is skipped"
    );
}

#[test]
fn only_controllers_manage_a_canister() {
    let mut net = Net::new();
    let id = net.create();
    let management = Principal::management_canister();
    for method in [
        "start_canister",
        "stop_canister",
        "delete_canister",
        "uninstall_code",
    ] {
        let arg = candid::encode_one(record(id)).unwrap();
        let reject = net
            .submit_as(stranger(), management, method, arg)
            .unwrap_err();
        assert_eq!(reject.error, Some(ErrorCode::CanisterInvalidController));
        assert!(reject.message.contains(&format!(
            "Only controllers of canister {id} can call ic00 method {method}"
        )));
    }
    let missing = canister_id(0xffff_ffff_ffe0_0099);
    let reject = net.manage("canister_status", &record(missing)).unwrap_err();
    assert_eq!(plain(&reject), format!("Canister {missing} not found"));
}

#[test]
fn settings_are_shown_and_changed() {
    let mut net = Net::new();
    let id = net.canister(
        r#"(func (export "canister_query variable")
          (i64.store (i32.const 700) (i64.const 0x4b)) ;; K
          (call $env_var_value_copy (i32.const 700) (i32.const 1) (i32.const 1000) (i32.const 0)
            (call $env_var_value_size (i32.const 700) (i32.const 1)))
          (call $msg_reply_data_append (i32.const 1000) (call $env_var_value_size (i32.const 700) (i32.const 1)))
          (call $msg_reply))"#,
    );
    let status = net.status_of(id);
    assert_eq!(status.status, ic::CanisterStatusType::Running);
    assert_eq!(status.settings.controllers, [user()]);
    assert_eq!(status.memory_metrics.wasm_memory_size, 65_536u32);
    let change = |settings: ic::CanisterSettings| ic::UpdateSettingsArgs {
        canister_id: id,
        settings,
        sender_canister_version: None,
    };
    let variables = ic::CanisterSettings {
        environment_variables: Some(vec![ic::EnvironmentVariable {
            name: "K".into(),
            value: "value".into(),
        }]),
        controllers: Some(vec![user(), id]),
        ..Default::default()
    };
    net.manage("update_settings", &change(variables)).unwrap();
    assert_eq!(net.query(id, "variable", ""), Ok(b"value".to_vec()));
    assert_eq!(net.status_of(id).settings.controllers.len(), 2);
    let bad = ic::CanisterSettings {
        compute_allocation: Some(101u32.into()),
        ..Default::default()
    };
    assert_eq!(
        net.manage("update_settings", &change(bad))
            .unwrap_err()
            .error,
        Some(ErrorCode::CanisterContractViolation)
    );
    let given_away = ic::CanisterSettings {
        controllers: Some(vec![stranger()]),
        ..Default::default()
    };
    net.manage("update_settings", &change(given_away)).unwrap();
    assert!(net.manage("canister_status", &record(id)).is_err());
}

#[test]
fn controllers_may_show_the_status_to_others() {
    let mut net = Net::new();
    let id = net.create();
    let management = Principal::management_canister();
    let ask = candid::encode_one(record(id)).unwrap();
    let show = |status_visibility| ic::UpdateSettingsArgs {
        canister_id: id,
        settings: ic::CanisterSettings {
            status_visibility: Some(status_visibility),
            ..Default::default()
        },
        sender_canister_version: None,
    };
    net.call_as(stranger(), management, "canister_status", ask.clone())
        .unwrap_err();
    net.manage(
        "update_settings",
        &show(ic::StatusVisibility::AllowedViewers(vec![stranger()])),
    )
    .unwrap();
    net.call_as(stranger(), management, "canister_status", ask.clone())
        .unwrap();
    net.call_as(stranger(), management, "stop_canister", ask.clone())
        .unwrap_err();
    net.manage("update_settings", &show(ic::StatusVisibility::Public))
        .unwrap();
    net.call_as(Principal::anonymous(), management, "canister_status", ask)
        .unwrap();
}

#[test]
fn install_needs_an_empty_canister_and_upgrade_one_with_code() {
    let mut net = Net::new();
    let id = net.create();
    let reject = net.upgrade(id, ECHO).unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterWasmModuleNotFound));
    let empty = net.submit_as(user(), id, "echo", "").unwrap_err();
    assert_eq!(empty.error, Some(ErrorCode::CanisterWasmModuleNotFound));
    net.install_code(id, ic::CanisterInstallMode::Install, wasm(ECHO), b"")
        .unwrap();
    let reject = net
        .install_code(id, ic::CanisterInstallMode::Install, wasm(ECHO), b"")
        .unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterNonEmpty));
    net.install_code(id, ic::CanisterInstallMode::Reinstall, wasm(ECHO), b"")
        .unwrap();
    assert_eq!(net.call(id, "echo", "hello"), Ok(b"hello".to_vec()));
    let hash: [u8; 32] = Sha256::digest(wasm(ECHO)).into();
    assert_eq!(net.network.canister(&id).unwrap().module_hash, Some(hash));
}

#[test]
fn a_module_may_come_packed_or_in_chunks() {
    use std::io::Write as _;
    let mut net = Net::new();
    let module = wasm(ECHO);
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&module).unwrap();
    let packed = packer.finish().unwrap();
    let id = net.create();
    net.install_code(id, ic::CanisterInstallMode::Install, packed.clone(), b"")
        .unwrap();
    assert_eq!(net.call(id, "echo", "a"), Ok(b"a".to_vec()));
    let hash: [u8; 32] = Sha256::digest(&packed).into();
    assert_eq!(
        net.network.canister(&id).unwrap().module_hash,
        Some(hash),
        "of what was sent"
    );

    let id = net.create();
    let mut hashes = Vec::new();
    for chunk in module.chunks(100) {
        let arg = ic::UploadChunkArgs {
            canister_id: id,
            chunk: chunk.to_vec(),
        };
        let reply = net.manage("upload_chunk", &arg).unwrap();
        hashes.push(candid::decode_one::<ic::ChunkHash>(&reply).unwrap());
    }
    let mut install = ic::InstallChunkedCodeArgs {
        mode: ic::CanisterInstallMode::Install,
        target_canister: id,
        store_canister: None,
        chunk_hashes_list: hashes,
        wasm_module_hash: vec![0; 32],
        arg: vec![],
        sender_canister_version: None,
    };
    let mut run = |install: &ic::InstallChunkedCodeArgs| {
        let request = assay_localnet_core::types::Ingress {
            id: assay_localnet_core::types::RequestId(
                install.wasm_module_hash.clone().try_into().unwrap(),
            ),
            sender: user(),
            canister: Principal::management_canister(),
            effective_canister: id,
            method: "install_chunked_code".into(),
            arg: candid::encode_one(install).unwrap(),
            info: None,
            expiry: net.network.time().plus_nanos(1_000_000_000),
            bytes: 0,
        };
        let request_id = request.id;
        net.network.submit(request).unwrap();
        net.wait(&request_id)
    };
    assert_eq!(
        run(&install).unwrap_err().error,
        Some(ErrorCode::CanisterContractViolation)
    );
    install.wasm_module_hash = Sha256::digest(&module).to_vec();
    run(&install).unwrap();
    assert_eq!(net.call(id, "echo", "b"), Ok(b"b".to_vec()));
    net.manage("clear_chunk_store", &record(id)).unwrap();
    let left = net.manage("stored_chunks", &record(id)).unwrap();
    assert_eq!(candid::decode_one::<Vec<ic::ChunkHash>>(&left).unwrap(), []);
}

#[test]
fn a_canister_stops_when_its_open_calls_are_answered() {
    let mut net = Net::new();
    let id = net.canister(RANDOM);
    let open = net.submit(id, "draw", "");
    net.network.round();
    let arg = candid::encode_one(record(id)).unwrap();
    let stop = net.submit(Principal::management_canister(), "stop_canister", arg);
    let late = net.submit(id, "draw", "");
    // Random bytes come at the beginning of a round, before the stop; so the call of `draw` finishes in it.
    net.network.round();
    assert!(net.answer(&open).unwrap().is_ok());
    net.wait(&stop).unwrap();
    assert_eq!(net.network.canister(&id).unwrap().state, RunState::Stopped);
    let reject = net.wait(&late).unwrap_err();
    assert!(
        matches!(
            reject.error,
            Some(ErrorCode::CanisterStopping | ErrorCode::CanisterStopped)
        ),
        "{}",
        reject.message
    );
    let reject = net.submit_as(user(), id, "draw", "").unwrap_err();
    assert_eq!(
        (reject.error, reject.message),
        (
            Some(ErrorCode::CanisterStopped),
            format!("Canister {id} is stopped")
        )
    );
    assert!(net.query(id, "nothing", "").is_err());
    net.manage("start_canister", &record(id)).unwrap();
    net.call(id, "draw", "").unwrap();
    net.check_cycles();
}

/// A canister that answers only when told to.
const HOLDER: &str = r#"
    (table 1 funcref)
    (elem (i32.const 0) $back)
    (data (i32.const 600) "release")
    (func $back (param i32) (call $msg_reply))
    (func (export "canister_update hold")
      (call $canister_self_copy (i32.const 700) (i32.const 0) (call $canister_self_size))
      (drop (call $arg))
      (call $call_new (i32.const 1000) (i32.const 10) (i32.const 600) (i32.const 7)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (if (call $call_perform) (then unreachable)))
"#;

/// Calls itself without end until it is told to stop.
const SPINNER: &str = r#"
    (table 1 funcref)
    (elem (i32.const 0) $back)
    (data (i32.const 600) "echo")
    (func $again
      (call $canister_self_copy (i32.const 700) (i32.const 0) (call $canister_self_size))
      (call $call_new (i32.const 700) (call $canister_self_size) (i32.const 600) (i32.const 4)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (if (call $call_perform) (then unreachable)))
    (func $back (param i32) (if (i32.load (i32.const 800)) (then (call $msg_reply)) (else (call $again))))
    (func (export "canister_update echo") (call $msg_reply))
    (func (export "canister_update release") (call $again))
    (func (export "canister_update let_go") (i32.store (i32.const 800) (i32.const 1)) (call $msg_reply))
"#;

#[test]
fn stopping_waits_refuses_new_calls_and_is_cancelled_by_start() {
    let mut net = Net::new();
    let holder = net.canister(HOLDER);
    let spinner = net.canister(SPINNER);
    let held = net.submit(holder, "hold", spinner.as_slice());
    net.network.round();
    let arg = candid::encode_one(record(holder)).unwrap();
    let stop = net.submit(Principal::management_canister(), "stop_canister", arg);
    net.rounds(3);
    assert_eq!(net.answer(&stop), None);
    assert_eq!(
        net.network.canister(&holder).unwrap().state,
        RunState::Stopping
    );
    let reject = net
        .submit_as(user(), holder, "hold", spinner.as_slice())
        .unwrap_err();
    assert_eq!(
        (reject.error, reject.message),
        (
            Some(ErrorCode::CanisterStopping),
            format!("Canister {holder} is stopping")
        )
    );

    net.manage("start_canister", &record(holder)).unwrap();
    assert_eq!(
        net.wait(&stop).unwrap_err().error,
        Some(ErrorCode::CanisterStoppingCancelled)
    );

    let arg = candid::encode_one(record(holder)).unwrap();
    let stop = net.submit(
        Principal::management_canister(),
        "stop_canister",
        arg.clone(),
    );
    net.rounds(2);
    net.advance(301);
    assert_eq!(
        net.wait(&stop).unwrap_err().error,
        Some(ErrorCode::StopCanisterRequestTimeout)
    );

    let stop = net.submit(Principal::management_canister(), "stop_canister", arg);
    net.rounds(2);
    net.call(spinner, "let_go", "").unwrap();
    net.wait(&stop).unwrap();
    assert!(
        net.answer(&held).unwrap().is_ok(),
        "the open call was answered first"
    );
    net.check_cycles();
}

#[test]
fn a_canister_is_deleted_only_when_it_is_stopped() {
    let mut net = Net::new();
    let id = net.canister(ECHO);
    assert_eq!(
        net.manage("delete_canister", &record(id))
            .unwrap_err()
            .error,
        Some(ErrorCode::CanisterNotStopped)
    );
    net.manage("stop_canister", &record(id)).unwrap();
    net.manage("delete_canister", &record(id)).unwrap();
    assert!(net.network.canister(&id).is_none());
    assert_eq!(
        net.submit_as(user(), id, "echo", "").unwrap_err().message,
        format!("Canister {id} not found")
    );
    net.check_cycles();
}

#[test]
fn uninstalling_answers_whoever_waits() {
    let mut net = Net::new();
    let caller = net.canister(CALLER);
    let spinner = net.canister(SPINNER);
    let open = net.submit(caller, "call", ask(spinner, 0, "release"));
    net.rounds(1);
    net.manage("uninstall_code", &record(spinner)).unwrap();
    let answer = net.wait(&open).unwrap();
    assert_eq!(answer[..2], [2, RejectCode::CanisterReject as u8]);
    assert!(String::from_utf8_lossy(&answer).contains("has been uninstalled"));
    assert_eq!(net.status_of(spinner).module_hash, None);
    net.settle();
    net.check_cycles();
}

#[test]
fn messages_are_inspected_before_they_come_in() {
    let mut net = Net::new();
    let id = net.canister(
        r#"
        (func (export "canister_inspect_message")
          (call $msg_method_name_copy (i32.const 700) (i32.const 0) (call $msg_method_name_size))
          (i32.store (i32.const 704) (i32.const 1))
          (if (i32.eq (i32.load8_u (i32.const 700)) (i32.const 103)) (then (call $accept_message)))) ;; g
        (func (export "canister_update good") (call $reply32 (i32.load (i32.const 704))))
        (func (export "canister_update bad") (call $msg_reply))
        "#,
    );
    assert_eq!(
        net.call(id, "good", ""),
        Ok(n(0)),
        "what inspection writes is dropped"
    );
    let reject = net.submit_as(user(), id, "bad", "").unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterRejectedMessage));
}

#[test]
fn a_request_id_counts_once_and_expired_messages_do_not_start() {
    let mut net = Net::new();
    let id = net.canister(ECHO);
    let message = |expiry| assay_localnet_core::types::Ingress {
        id: assay_localnet_core::types::RequestId([5; 32]),
        sender: user(),
        canister: id,
        effective_canister: id,
        method: "echo".into(),
        arg: b"once".to_vec(),
        info: None,
        expiry,
        bytes: 0,
    };
    let late = message(net.network.time());
    let request = late.id;
    net.network.submit(late.clone()).unwrap();
    net.advance(1);
    net.rounds(1);
    assert_eq!(
        net.answer(&request).unwrap().unwrap_err().error,
        Some(ErrorCode::IngressMessageTimeout)
    );
    net.network.submit(late).unwrap();
    net.rounds(1);
    assert!(net.answer(&request).unwrap().is_err(), "known already");
    net.advance(301);
    net.rounds(1);
    assert_eq!(
        net.network.status(&request),
        None,
        "forgotten after a while"
    );
    let again = message(net.network.time().plus_nanos(1_000_000_000));
    net.network.submit(again).unwrap();
    assert_eq!(net.wait(&request), Ok(b"once".to_vec()));
}

#[test]
fn printed_lines_are_kept_even_from_a_message_that_trapped() {
    let mut net = Net::new();
    let id = net.canister(
        r#"
        (data (i32.const 600) "hello")
        (func (export "canister_update go") (call $debug_print (i32.const 600) (i32.const 5)) unreachable)
        "#,
    );
    net.call(id, "go", "").unwrap_err();
    let lines: Vec<_> = net
        .network
        .log(&id)
        .map(|line| (line.index, line.content.clone()))
        .collect();
    assert_eq!(
        lines,
        [(0, b"hello".to_vec()), (1, b"[TRAP]: unreachable".to_vec())]
    );
}

#[test]
fn metadata_sections_are_shown() {
    let mut net = Net::new();
    let id = net.create();
    let module = wat::parse_str(
        r#"(module (@custom "icp:public candid:service" "service : {}") (@custom "icp:private secret" "s") (@custom "other" "x"))"#,
    )
    .unwrap();
    net.install_code(id, ic::CanisterInstallMode::Install, module, b"")
        .unwrap();
    let view = net.network.canister(&id).unwrap();
    let sections: Vec<_> = view
        .metadata
        .iter()
        .map(|section| (section.name.as_str(), section.public))
        .collect();
    assert_eq!(sections, [("candid:service", true), ("secret", false)]);
}
