//! Every limit that a canister or its caller can meet: at it, and just past it.

use assay_localnet_core::{limits, types::ErrorCode};
use ic_management_canister_types as ic;

use crate::harness::{Net, n, plain};

fn refusal(module: Vec<u8>) -> String {
    let mut net = Net::new();
    let id = net.create();
    let reject = net
        .install_code(id, ic::CanisterInstallMode::Install, module, b"")
        .unwrap_err();
    assert_eq!(
        reject.error,
        Some(ErrorCode::CanisterInvalidWasm),
        "{}",
        reject.message
    );
    let begin = format!("Error from Canister {id}: ");
    let text = plain(&reject).strip_prefix(&begin).unwrap();
    let valid = "Canister's Wasm module is not valid: ";
    text.strip_prefix(valid).unwrap_or(text).to_owned()
}

fn accepted(module: Vec<u8>) {
    let mut net = Net::new();
    let id = net.create();
    net.install_code(id, ic::CanisterInstallMode::Install, module, b"")
        .unwrap();
}

fn text(module: &str) -> Vec<u8> {
    wat::parse_str(module).unwrap()
}

#[test]
fn instructions_of_a_message_are_limited() {
    // 100 operators that cost much and do nothing, so that the limit is reached at once.
    let costly = "(drop (table.size $t))".repeat(100);
    let mut net = Net::new();
    let id = net.canister(&format!(
        r#"(table $t 1 funcref)
        (func $spin (loop $l {costly} (br $l)))
        (func (export "canister_update spin") (call $spin))
        (func (export "canister_query spin_query") (call $spin))
        (func (export "canister_update fine") (call $msg_reply))"#
    ));
    let before = net.network.balance(&id).unwrap();
    let reject = net.call(id, "spin", "").unwrap_err();
    assert_eq!(
        reject.error,
        Some(ErrorCode::CanisterInstructionLimitExceeded)
    );
    assert_eq!(reject.error.unwrap().to_string(), "IC0522");
    assert!(
        reject
            .message
            .contains("exceeded the limit of 40000000000 instructions"),
        "{}",
        reject.message
    );
    let paid = before - net.network.balance(&id).unwrap();
    assert!(paid > 40_000_000_000, "they are paid for");
    let reject = net.query(id, "spin_query", "").unwrap_err();
    assert!(
        reject
            .message
            .contains("exceeded the limit of 5000000000 instructions"),
        "{}",
        reject.message
    );
    assert_eq!(net.call(id, "fine", ""), Ok(vec![]));
    net.check_cycles();
}

#[test]
fn calls_from_one_canister_to_another_are_limited() {
    let mut net = Net::new();
    let callee = net.canister("(func (export \"canister_update go\") (call $msg_reply))");
    // Makes so many calls and answers how many of them were accepted.
    let caller = net.canister(
        r#"
        (table 1 funcref)
        (elem (i32.const 0) $back)
        (data (i32.const 600) "go")
        (func $back (param i32))
        (func (export "canister_update many")
          (local $left i32) (local $made i32)
          (drop (call $arg))
          (local.set $left (i32.load (i32.const 1010)))
          (loop $next
            (call $call_new (i32.const 1000) (i32.const 10) (i32.const 600) (i32.const 2)
              (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
            (if (i32.eqz (call $call_perform))
              (then (local.set $made (i32.add (local.get $made) (i32.const 1)))))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $next (local.get $left)))
          (call $reply32 (local.get $made)))
        "#,
    );
    let ask = |count: u32| [callee.as_slice(), &n(count)].concat();
    assert_eq!(net.call(caller, "many", ask(500)), Ok(n(500)));
    net.settle();
    assert_eq!(net.call(caller, "many", ask(501)), Ok(n(500)));
    net.settle();
    net.check_cycles();
}

#[test]
fn sizes_of_arguments_and_replies_are_limited() {
    let mut net = Net::new();
    let id = net.canister(
        r#"
        (memory $m 64)
        (func (export "canister_update reply")
          (call $msg_reply_data_append (i32.const 0) (call $arg32)) (call $msg_reply))
        (func (export "canister_query reply_query")
          (call $msg_reply_data_append (i32.const 0) (call $arg32)) (call $msg_reply))
        (func (export "canister_update take") (call $reply32 (call $msg_arg_data_size)))
        "#,
    );
    let size = |len: usize| n(len as u32);
    assert_eq!(
        net.call(id, "reply", size(limits::REPLY_BYTES_MAX))
            .unwrap()
            .len(),
        limits::REPLY_BYTES_MAX
    );
    let reject = net
        .call(id, "reply", size(limits::REPLY_BYTES_MAX + 1))
        .unwrap_err();
    assert!(
        reject.message.contains("cannot be larger than 2097152"),
        "{}",
        reject.message
    );
    assert!(
        net.query(id, "reply_query", size(limits::QUERY_REPLY_BYTES_MAX))
            .is_ok()
    );
    assert!(
        net.query(id, "reply_query", size(limits::QUERY_REPLY_BYTES_MAX + 1))
            .is_err()
    );
    assert_eq!(
        net.call(id, "take", vec![0; limits::INGRESS_BYTES_MAX]),
        Ok(size(limits::INGRESS_BYTES_MAX))
    );
    assert!(
        net.submit_as(
            crate::harness::user(),
            id,
            "take",
            vec![0; limits::INGRESS_BYTES_MAX + 1]
        )
        .is_err()
    );
}

#[test]
fn heaps_stop_at_the_limit_that_the_controllers_set() {
    let mut net = Net::new();
    let id = net.canister(
        r#"(func (export "canister_update grow") (call $reply32 (memory.grow (call $arg32))))
           (func (export "canister_query grow_query") (call $reply32 (memory.grow (call $arg32))))"#,
    );
    let settings = ic::CanisterSettings {
        wasm_memory_limit: Some((10u64 << 16).into()),
        ..Default::default()
    };
    let arg = ic::UpdateSettingsArgs {
        canister_id: id,
        settings,
        sender_canister_version: None,
    };
    net.manage("update_settings", &arg).unwrap();
    assert_eq!(net.call(id, "grow", n(9)), Ok(n(1)));
    let reject = net.call(id, "grow", n(1)).unwrap_err();
    assert_eq!(
        reject.error,
        Some(ErrorCode::CanisterWasmMemoryLimitExceeded)
    );
    assert_eq!(
        net.query(id, "grow_query", n(1)),
        Ok(n(10)),
        "queries are not bound by it"
    );
    assert_eq!(
        net.query(id, "grow_query", n(65_536)),
        Ok(n(u32::MAX)),
        "but by Wasm's own"
    );
}

#[test]
fn modules_are_limited_in_length() {
    use std::io::Write as _;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![0; 1 << 20];
    for _ in 0..101 {
        packer.write_all(&zeros).unwrap();
    }
    assert_eq!(
        refusal(packer.finish().unwrap()),
        "Wasm module size of 104857601 exceeds the maximum allowed size of 104857600."
    );
    let mut broken = vec![0x1f, 0x8b, 0x08];
    broken.extend([0; 20]);
    assert!(refusal(broken).starts_with("Failed to decode wasm module: "));
    assert!(refusal(b"not wasm".to_vec()).starts_with("Wasmtime failed to validate wasm module "));
    assert!(refusal(Vec::new()).starts_with("Wasmtime failed to validate wasm module "));
}

#[test]
fn modules_are_limited_in_functions_globals_and_methods() {
    let functions = |count: usize| text(&format!("(module {})", "(func)".repeat(count)));
    accepted(functions(limits::MODULE_FUNCTIONS_MAX));
    assert_eq!(
        refusal(functions(limits::MODULE_FUNCTIONS_MAX + 1)),
        "Wasm module defined 50001 functions which exceeds the maximum number allowed 50000."
    );
    let globals = |count: usize| {
        text(&format!(
            "(module {})",
            "(global i32 (i32.const 0))".repeat(count)
        ))
    };
    accepted(globals(limits::MODULE_GLOBALS_MAX));
    assert_eq!(
        refusal(globals(limits::MODULE_GLOBALS_MAX + 1)),
        "Wasm module defined 1001 globals which exceeds the maximum number allowed 1000."
    );
    let methods = |count: usize| {
        let exports: String = (0..count)
            .map(|n| format!("(export \"canister_query {n}\" (func 0))"))
            .collect();
        text(&format!("(module (func) {exports})"))
    };
    accepted(methods(limits::MODULE_METHODS_MAX));
    assert!(
        refusal(methods(limits::MODULE_METHODS_MAX + 1))
            .ends_with("or `canister_composite_query <name>` is 1001 which exceeds 1000.")
    );
    let long = |len: usize| {
        text(&format!(
            "(module (func (export \"canister_query {}\")))",
            "x".repeat(len)
        ))
    };
    accepted(long(limits::MODULE_METHOD_NAMES_BYTES_MAX));
    assert!(
        refusal(long(limits::MODULE_METHOD_NAMES_BYTES_MAX + 1))
            .ends_with("is 20001 which exceeds the allowed limit of 20000.")
    );
}

#[test]
fn functions_are_limited_in_instructions() {
    let long = |count: usize| text(&format!("(module (func {}))", "nop ".repeat(count)));
    // The body's own `end` counts as well.
    accepted(long(limits::FUNCTION_INSTRUCTIONS_MAX - 1));
    assert_eq!(
        refusal(long(limits::FUNCTION_INSTRUCTIONS_MAX)),
        "Wasm module contains a function at index 0 with complexity 1000001 \
         which exceeds the maximum complexity allowed 1000000."
    );
    let branches = |count: usize| text(&format!("(module (func {}))", "br 0 ".repeat(count)));
    accepted(branches(limits::FUNCTION_COMPLEXITY_MAX / 50 - 1));
    assert!(
        refusal(branches(limits::FUNCTION_COMPLEXITY_MAX / 50))
            .contains("with complexity 1000001 which exceeds")
    );
}

#[test]
fn metadata_sections_are_limited() {
    let sections = |count: usize| {
        let all: String = (0..count)
            .map(|n| format!("(@custom \"icp:public {n}\" \"x\")"))
            .collect();
        text(&format!("(module {all})"))
    };
    accepted(sections(limits::MODULE_METADATA_SECTIONS_MAX));
    assert!(
        refusal(sections(limits::MODULE_METADATA_SECTIONS_MAX + 1))
            .starts_with("Wasm module defined 17 custom sections which exceeds")
    );
    assert!(
        refusal(text("(module (@custom \"icp:open x\" \"\"))"))
            .contains("Custom section 'icp:open x' has no public/private scope defined.")
    );
    assert!(
        refusal(text("(module (@custom \"icp:public\" \"\"))"))
            .contains("must have a space after the public/private scope")
    );
    let twice = "(module (@custom \"icp:public x\" \"\") (@custom \"icp:private x\" \"\"))";
    assert!(refusal(text(twice)).contains("name x already exists"));
    let long = |len: usize| {
        text(&format!(
            "(module (@custom \"icp:public x\" \"{}\"))",
            "y".repeat(len)
        ))
    };
    accepted(long(limits::MODULE_METADATA_BYTES_MAX - 1));
    assert!(
        refusal(long(limits::MODULE_METADATA_BYTES_MAX))
            .ends_with("size 1048577 bytes, allowed 1048576 bytes")
    );
}

#[test]
fn modules_that_break_the_contract_are_refused() {
    let cases = [
        (
            "(module (import \"env\" \"f\" (func)))",
            "invalid import section. Module imports function 'f' from 'env' that is not exported by the runtime.",
        ),
        (
            "(module (import \"ic0\" \"f\" (func)))",
            "invalid import section. Module imports function 'f' from 'ic0' that is not exported by the runtime.",
        ),
        (
            "(module (import \"env\" \"time\" (func (result i64))))",
            "Module imports function \"time\" from \"env\", expected to be imported from one of [\"ic0\"] instead.",
        ),
        (
            "(module (import \"ic0\" \"stable_size\" (func (result i32))) (memory i64 1))",
            "Module imports function 'stable_size' from 'ic0' that is not exported by the runtime.",
        ),
        (
            "(module (import \"ic0\" \"m\" (memory 1)))",
            "Importing memories is not allowed.",
        ),
        (
            "(module (import \"ic0\" \"g\" (global i32)))",
            "invalid import section. Importing globals is not allowed.",
        ),
        (
            "(module (import \"ic0\" \"time\" (func (param i32))))",
            "invalid function signature. Expected input params [] for 'time', got [I32].",
        ),
        (
            "(module (import \"ic0\" \"time\" (func (result i32))))",
            "invalid function signature. Expected return type [I64] for 'time', got [I32].",
        ),
        (
            "(module (import \"ic0\" \"msg_arg_data_size\" (func (result i32))) (memory i64 1))",
            "Expected return type [I64] for 'msg_arg_data_size', got [I32].",
        ),
        (
            "(module (func (export \"canister_update x\") (param i32)))",
            "invalid function signature. Expected input params [] for 'canister_update x', got [I32].",
        ),
        (
            "(module (func (export \"canister_init\") (result i32) (i32.const 1)))",
            "Expected return type [] for 'canister_init', got [I32].",
        ),
        (
            "(module (func (export \"canister_update x\")) (func (export \"canister_query x\")))",
            "Duplicate function 'x' exported multiple times",
        ),
        (
            "(module (func (export \"canister_query x\")) (func (export \"canister_composite_query x\")))",
            "with different call types: update, query, or composite_query.",
        ),
        (
            "(module (func (export \"canister_stop\")))",
            "invalid export section. Exporting reserved function 'canister_stop' with \"canister_\" prefix",
        ),
        (
            "(module (func (export \"localnet start\")))",
            "Exporting reserved symbol localnet start not allowed.",
        ),
        (
            "(module (memory 1) (data (i32.const 65530) \"0123456789\"))",
            "Could not instrument wasm module of canister: Wasm module has invalid data segment of 10 bytes at 65530",
        ),
        (
            "(module (memory i64 1) (data (i64.const -1) \"0\"))",
            "invalid data segment of 1 bytes at 18446744073709551615",
        ),
        (
            "(module (global (mut funcref) (ref.null func)))",
            "invalid global section. Unsupported global type: ",
        ),
        (
            "(module (table 1 funcref) (func (table.set 0 (i32.const 0) (ref.null func))))",
            "a function at index 0 with unsupported instruction table.set.",
        ),
        (
            "(module (table 1 funcref) (func) (func (drop (table.grow 0 (ref.null func) (i32.const 0)))))",
            "a function at index 1 with unsupported instruction table.grow.",
        ),
        (
            "(module (memory i64 1 98305))",
            "Wasm memory of 98305 pages exceeds the maximum of 98304 pages.",
        ),
        (
            "(module (memory i64 0x1000000000000))",
            "Wasm memory of 281474976710656 pages exceeds the maximum of 98304 pages.",
        ),
        (
            "(module (memory 1) (memory 1))",
            "Wasmtime failed to validate wasm module wasmtime::Module::validate() failed with multiple memories",
        ),
        ("(module (memory 1 1 shared))", "validate() failed with"),
    ];
    for (module, reason) in cases {
        let found = refusal(text(module));
        assert!(found.contains(reason), "{module}: {found}");
    }
}

#[test]
fn chunks_are_limited_in_size() {
    let mut net = Net::new();
    let id = net.create();
    let mut upload = |len: usize| {
        net.manage(
            "upload_chunk",
            &ic::UploadChunkArgs {
                canister_id: id,
                chunk: vec![1; len],
            },
        )
    };
    assert!(upload(limits::CHUNK_BYTES_MAX).is_ok());
    assert!(
        upload(limits::CHUNK_BYTES_MAX + 1)
            .unwrap_err()
            .message
            .contains("Wasm chunk size 1048577 exceeds the maximum chunk size of 1048576")
    );
}

#[test]
fn a_runaway_recursion_traps_and_harms_nobody() {
    let mut net = Net::new();
    let id = net.canister(
        r#"(func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))
           (func (export "canister_update deep") (drop (call $deep (i32.const 0))))
           (func (export "canister_update fine") (call $msg_reply))"#,
    );
    assert!(
        plain(&net.call(id, "deep", "").unwrap_err()).ends_with("Canister trapped: stack overflow")
    );
    assert_eq!(net.call(id, "fine", ""), Ok(vec![]));
}
