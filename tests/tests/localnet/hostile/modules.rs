//! Modules that are none, or that want what no canister gets.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use pocket_ic::{ErrorCode, PocketIc, RejectCode};

use crate::harness::{anybody, module, refused};

/// Installs a module that must be refused as no valid one.
#[track_caller]
fn invalid(network: &PocketIc, id: candid::Principal, wasm: Vec<u8>) {
    refused(
        network.reinstall_canister(id, wasm, Vec::new(), None),
        RejectCode::CanisterError,
        ErrorCode::CanisterInvalidWasm,
        "",
    );
}

pub(super) fn junk_is_not_installed(network: &PocketIc) {
    let id = network.create_canister();
    let valid = module(r#"(module (memory 1) (func (export "canister_query x")))"#);
    let mut junk: Vec<Vec<u8>> = [
        b"".as_slice(),
        b"\0asm",
        b"\0asm\x02\0\0\0",
        b"\0asm\x0d\0\x01\0",
        b"\0asm\x01\0\0\0\xff\xff\xff\xff\x0f",
        b"\x1f\x8b\x08\0\0\0\0\0",
        b"#!/bin/sh\n",
        &[0xff; 1_000],
        &[0; 100_000],
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    // Cut off anywhere but between two sections.
    junk.extend([9, 12, valid.len() - 1].map(|length| valid[..length].to_vec()));
    let sparse = [valid.as_slice(), &[11, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
    junk.push(sparse);
    for wasm in junk {
        invalid(network, id, wasm);
    }
    for text in [
        // Types that do not fit, and what only other machines can do.
        r#"(module (func (result i32)))"#,
        r#"(module (func (export "canister_query x") (param i32)))"#,
        r#"(module (func (export "canister_query x")) (func (export "canister_update x")))"#,
        r#"(module (memory 1 1 shared))"#,
        r#"(module (memory 1) (memory 1))"#,
    ] {
        invalid(network, id, module(text));
    }
    assert_eq!(network.canister_status(id, None).unwrap().module_hash, None);
    network
        .reinstall_canister(id, valid, Vec::new(), None)
        .unwrap();
}

pub(super) fn forbidden_imports_are_not_installed(network: &PocketIc) {
    let id = network.create_canister();
    for import in [
        r#"(import "env" "print" (func (param i32 i32)))"#,
        r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#,
        r#"(import "ic0" "launch_missiles" (func))"#,
        r#"(import "ic0" "" (func))"#,
        r#"(import "" "msg_reply" (func))"#,
        // A function that there is, with another type.
        r#"(import "ic0" "msg_reply" (func (param i32)))"#,
        r#"(import "ic0" "time" (func (result i32)))"#,
        // Other things than functions.
        r#"(import "ic0" "memory" (memory 1))"#,
        r#"(import "ic0" "table" (table 1 funcref))"#,
        r#"(import "ic0" "msg_reply" (global i32))"#,
    ] {
        let wasm = module(&format!(
            r#"(module {import} (func (export "canister_query x")))"#
        ));
        invalid(network, id, wasm);
    }
    let absent = network.query_call(id, anybody(), "x", Vec::new());
    refused(
        absent,
        RejectCode::CanisterError,
        ErrorCode::CanisterWasmModuleNotFound,
        "",
    );
}

pub(super) fn a_module_that_unpacks_without_end_is_not_installed(network: &PocketIc) {
    let id = network.create_canister();
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    let zeros = vec![0; 1 << 20];
    for _ in 0..150 {
        packer.write_all(&zeros).unwrap();
    }
    let bomb = packer.finish().unwrap();
    assert!(bomb.len() < 2_000_000, "it fits into a message");
    invalid(network, id, bomb);
}
