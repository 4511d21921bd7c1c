//! Installing from chunks, and what uninstalling leaves.

use assay_localnet_core::types::ErrorCode;
use candid::Principal;
use ic_management_canister_types as ic;
use sha2::{Digest as _, Sha256};

use super::{code_of, decoded, forward, forwarder, forwarder_module, record};
use crate::harness::{Net, user};

fn upload(
    net: &mut Net,
    canister_id: Principal,
    chunk: Vec<u8>,
) -> Result<ic::ChunkHash, ErrorCode> {
    let arg = ic::UploadChunkArgs { canister_id, chunk };
    match net.manage("upload_chunk", &arg) {
        Ok(reply) => Ok(decoded(&reply)),
        Err(reject) => Err(reject.error.unwrap()),
    }
}

fn stored(net: &mut Net, id: Principal) -> usize {
    let reply = net.manage("stored_chunks", &record(id)).unwrap();
    decoded::<Vec<ic::ChunkHash>>(&reply).len()
}

#[test]
fn chunks_are_limited_in_size_and_number() {
    let mut net = Net::new();
    let id = net.create();
    upload(&mut net, id, vec![0; 1 << 20]).unwrap();
    assert_eq!(
        upload(&mut net, id, vec![0; (1 << 20) + 1]),
        Err(ErrorCode::CanisterContractViolation)
    );
    for number in 0..99u8 {
        upload(&mut net, id, vec![number]).unwrap();
    }
    assert_eq!(stored(&mut net, id), 100);
    assert_eq!(
        upload(&mut net, id, b"one too many".to_vec()),
        Err(ErrorCode::CanisterContractViolation)
    );
    upload(&mut net, id, vec![5]).unwrap();
    assert_eq!(stored(&mut net, id), 100, "what is there needs no room");
    assert_eq!(
        net.status_of(id).memory_metrics.wasm_chunk_store_size,
        100u32 << 20
    );
    net.manage("uninstall_code", &record(id)).unwrap();
    assert_eq!(stored(&mut net, id), 0);
    net.check_cycles();
}

#[test]
fn chunks_must_be_paid_for() {
    let mut net = Net::new();
    let id = net.create_with(10_000_000);
    assert_eq!(
        upload(&mut net, id, vec![1]),
        Err(ErrorCode::InsufficientCyclesInMemoryGrow)
    );
    net.check_cycles();
}

#[test]
fn a_module_is_installed_from_the_store_of_another() {
    let mut net = Net::new();
    let store = forwarder(&mut net);
    let target = net.create();
    let module = forwarder_module();
    let hashes: Vec<_> = module
        .chunks(700)
        .map(|chunk| upload(&mut net, store, chunk.to_vec()).unwrap())
        .collect();
    let arg = |hashes: Vec<ic::ChunkHash>, hash: Vec<u8>| ic::InstallChunkedCodeArgs {
        mode: ic::CanisterInstallMode::Install,
        target_canister: target,
        store_canister: Some(store),
        chunk_hashes_list: hashes,
        wasm_module_hash: hash,
        arg: vec![],
        sender_canister_version: None,
    };
    let hash = Sha256::digest(&module).to_vec();
    let controlled = ic::CanisterSettings {
        controllers: Some(vec![user(), store]),
        ..Default::default()
    };
    super::set(&mut net, target, controlled).unwrap();
    let mut short = hashes.clone();
    short[0].hash.pop();
    let mut unknown = hashes.clone();
    unknown[0].hash[0] ^= 1;
    for (hashes, hash, text) in [
        (
            short,
            hash.clone(),
            "Chunk hash is invalid. The length is not 32.",
        ),
        (unknown, hash.clone(), "was not found."),
        (hashes.clone(), vec![0; 32], "does not match given hash"),
        (hashes.clone(), vec![], "does not match given hash"),
    ] {
        let (code, message) = forward(
            &mut net,
            store,
            "install_chunked_code",
            &arg(hashes, hash),
            0,
        )
        .unwrap_err();
        assert!(
            code == 5
                && message.starts_with("Error from Wasm chunk store: ")
                && message.contains(text),
            "{message}"
        );
    }
    forward(
        &mut net,
        store,
        "install_chunked_code",
        &arg(hashes.clone(), hash.clone()),
        0,
    )
    .unwrap();
    assert_eq!(
        net.network
            .canister(&target)
            .unwrap()
            .module_hash
            .map(Vec::from),
        Some(hash.clone())
    );

    // `store` may read its own store, and another canister's only where it controls that.
    let other = net.create();
    let mut foreign = arg(hashes, hash);
    foreign.store_canister = Some(other);
    let (code, _) = forward(&mut net, store, "install_chunked_code", &foreign, 0).unwrap_err();
    assert_eq!(code, 5);
    net.check_cycles();
}

#[test]
fn uninstalling_keeps_cycles_settings_history_and_state() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    net.call(id, "bump", "").unwrap();
    net.manage("stop_canister", &record(id)).unwrap();
    let before = net.status_of(id);
    net.manage("uninstall_code", &record(id)).unwrap();
    let after = net.status_of(id);
    assert_eq!(after.status, ic::CanisterStatusType::Stopped);
    assert_eq!(after.settings, before.settings);
    assert_eq!(after.module_hash, None);
    assert_eq!(after.version, before.version + 1);
    assert_eq!(after.memory_metrics.wasm_memory_size, 0u8);
    assert_eq!(after.memory_metrics.stable_memory_size, 0u8);
    assert!(net.network.canister(&id).unwrap().certified_data.is_empty());
    assert!(after.cycles > 0u8);
    net.manage("start_canister", &record(id)).unwrap();
    assert_eq!(
        code_of(net.call(id, "bump", "")),
        Some(ErrorCode::CanisterWasmModuleNotFound)
    );
}
