//! From the creation of a canister to its deletion.

use candid::Principal;
use pocket_ic::{CanisterInstallMode, CanisterSettings, ErrorCode, RejectCode};
use sha2::{Digest as _, Sha256};

use crate::harness::{
    keep, network, number, probe, probe_wasm, query, read, refused, tell, update, user,
};

#[test]
fn an_upgrade_keeps_what_a_reinstallation_does_not() {
    let network = network();
    let id = probe(&network);
    assert_eq!(update::<u64>(&network, id, "add", (7u64,)), Ok(7));
    network
        .upgrade_canister(id, probe_wasm(), keep(), None)
        .unwrap();
    assert_eq!(read(&network, id), 7);
    network
        .reinstall_canister(id, probe_wasm(), number(1), None)
        .unwrap();
    assert_eq!(read(&network, id), 1);
    let stable: Vec<u8> = network.get_stable_memory(id);
    assert_eq!(stable, Vec::<u8>::new());
}

#[test]
fn an_uninstalled_canister_has_no_code() {
    let network = network();
    let id = probe(&network);
    network.uninstall_canister(id, None).unwrap();
    refused(
        query::<u64>(&network, id, "read", ()),
        RejectCode::CanisterError,
        ErrorCode::CanisterWasmModuleNotFound,
        "Wasm module",
    );
    let status = network.canister_status(id, None).unwrap();
    assert_eq!(status.module_hash, None);
    network.install_canister(id, probe_wasm(), number(3), None);
    assert_eq!(read(&network, id), 3);
}

#[test]
fn a_module_of_several_chunks_is_installed() {
    let network = network();
    let id = network.create_canister();
    let wasm = probe_wasm();
    let hashes: Vec<Vec<u8>> = wasm
        .chunks(100_000)
        .map(|chunk| network.upload_chunk(id, None, chunk.to_vec()).unwrap())
        .collect();
    assert_eq!(
        hashes[0],
        Sha256::digest(&wasm[..100_000.min(wasm.len())]).to_vec()
    );
    let mut stored = network.stored_chunks(id, None).unwrap();
    stored.sort();
    let mut expected = hashes.clone();
    expected.sort();
    assert_eq!(stored, expected);
    let hash = Sha256::digest(&wasm).to_vec();
    network
        .install_chunked_canister(
            id,
            None,
            CanisterInstallMode::Install,
            id,
            hashes,
            hash.clone(),
            number(9),
        )
        .unwrap();
    assert_eq!(read(&network, id), 9);
    assert_eq!(
        network.canister_status(id, None).unwrap().module_hash,
        Some(hash)
    );
    network.clear_chunk_store(id, None).unwrap();
    assert!(network.stored_chunks(id, None).unwrap().is_empty());
}

#[test]
fn a_stopped_canister_answers_nobody_until_it_is_started() {
    let network = network();
    let id = probe(&network);
    network.stop_canister(id, None).unwrap();
    refused(
        update::<u64>(&network, id, "add", (1u64,)),
        RejectCode::CanisterError,
        ErrorCode::CanisterStopped,
        &format!("Canister {id} is stopped"),
    );
    refused(
        query::<u64>(&network, id, "read", ()),
        RejectCode::CanisterError,
        ErrorCode::CanisterStopped,
        "is stopped",
    );
    network.start_canister(id, None).unwrap();
    assert_eq!(read(&network, id), 0);
}

#[test]
fn only_a_stopped_canister_can_be_deleted() {
    let network = network();
    let id = probe(&network);
    refused(
        network.delete_canister(id, None),
        RejectCode::CanisterError,
        ErrorCode::CanisterNotStopped,
        "stop",
    );
    network.stop_canister(id, None).unwrap();
    network.delete_canister(id, None).unwrap();
    assert!(!network.canister_exists(id));
    refused(
        query::<u64>(&network, id, "read", ()),
        RejectCode::DestinationInvalid,
        ErrorCode::CanisterNotFound,
        &format!("Canister {id} not found"),
    );
}

#[test]
fn controllers_rule_and_nobody_else() {
    let network = network();
    let (owner, other) = (user(1), user(2));
    let settings = CanisterSettings {
        controllers: Some(vec![owner]),
        ..Default::default()
    };
    let id = network.create_canister_with_settings(Some(owner), Some(settings));
    assert_eq!(network.get_controllers(id), [owner]);
    network.install_canister(id, probe_wasm(), number(0), Some(owner));
    refused(
        network.upgrade_canister(id, probe_wasm(), keep(), Some(other)),
        RejectCode::CanisterError,
        ErrorCode::CanisterInvalidController,
        &format!("Only controllers of canister {id} can call ic00 method install_code"),
    );
    assert_eq!(
        query::<bool>(&network, id, "is_controller", (other,)),
        Ok(false)
    );
    network
        .set_controllers(id, Some(owner), vec![owner, other])
        .unwrap();
    let mut controllers = network.get_controllers(id);
    controllers.sort();
    let mut expected = vec![owner, other];
    expected.sort();
    assert_eq!(controllers, expected);
    assert_eq!(
        query::<bool>(&network, id, "is_controller", (other,)),
        Ok(true)
    );
    network
        .upgrade_canister(id, probe_wasm(), keep(), Some(other))
        .unwrap();
}

#[test]
fn code_that_traps_at_installation_changes_nothing() {
    let network = network();
    let id = probe(&network);
    tell(&network, id, "add", (5u64,)).unwrap();
    let before: u64 = query(&network, id, "version", ()).unwrap();
    // No argument where one is needed.
    let failed = network.upgrade_canister(id, probe_wasm(), vec![1, 2, 3], None);
    refused(
        failed,
        RejectCode::CanisterError,
        ErrorCode::CanisterCalledTrap,
        "",
    );
    assert_eq!(read(&network, id), 5);
    assert_eq!(query::<u64>(&network, id, "version", ()), Ok(before));
    let junk = network.upgrade_canister(id, b"\0asm junk".to_vec(), keep(), None);
    refused(
        junk,
        RejectCode::CanisterError,
        ErrorCode::CanisterInvalidWasm,
        "",
    );
    assert_eq!(read(&network, id), 5);
}

#[test]
fn a_canister_that_never_was_is_not_found() {
    let network = network();
    let id = Principal::from_text("lxzze-o7777-77777-aaaaa-cai").unwrap();
    refused(
        update::<u64>(&network, id, "add", (1u64,)),
        RejectCode::DestinationInvalid,
        ErrorCode::CanisterNotFound,
        "not found",
    );
    assert_eq!(network.get_subnet(id), None);
}
