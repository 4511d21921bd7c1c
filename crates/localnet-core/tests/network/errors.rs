//! Error texts to the letter, with what they tell people to do, as the Internet Computer writes them.

use assay_localnet_core::types::Reject;
use candid::{Principal, encode_one};
use ic_management_canister_types as ic;

use crate::harness::{Net, config_with, n, user, wasm};

const MANAGEMENT: Principal = Principal::management_canister();

/// Advice, and the section of the documentation that it points to.
fn told(text: &str, advice: &str, section: &str) -> String {
    format!(
        "{text}\n{advice} See documentation: \
         https://internetcomputer.org/docs/current/references/execution-errors#{section}"
    )
}

const TOOLCHAIN: &str = "This is likely an error with the compiler/CDK toolchain being used to build the canister. \
    Please report the error to IC devs on the forum: https://forum.dfinity.org and include which language/CDK was \
    used to create the canister.";

/// What the caller of a new canister's method with this code is told, without the canister's id.
fn failing(kind: &str, code: &str) -> String {
    let mut net = Net::new();
    let id = net.canister(&format!(
        "(memory $m 64) (table $t 1 funcref) (elem (i32.const 0) $f) (func $f (param i32))
         (func (export \"canister_{kind} go\") {code})"
    ));
    let result = if kind == "update" {
        net.call(id, "go", "")
    } else {
        net.query(id, "go", "")
    };
    anonymous(id, &result.unwrap_err())
}

fn anonymous(id: Principal, reject: &Reject) -> String {
    reject.message.replace(&id.to_text(), "X")
}

#[test]
fn of_canisters_that_trap() {
    let advice = "Consider gracefully handling failures from this canister or altering the canister to handle \
                  exceptions.";
    assert_eq!(
        failing("update", "unreachable"),
        told(
            "Error from Canister X: Canister trapped: unreachable.",
            advice,
            "trapped"
        )
    );
    assert_eq!(
        failing("query", "(drop (i32.load (i32.const -8)))"),
        told(
            "Error from Canister X: Canister trapped: heap out of bounds.",
            advice,
            "trapped"
        )
    );
    assert_eq!(
        failing(
            "update",
            "(i64.store (i32.const 0) (i64.const 0x216f6e)) (call $trap (i32.const 0) (i32.const 3))"
        ),
        told(
            "Error from Canister X: Canister called `ic0.trap` with message: 'no!'.",
            advice,
            "trapped-explicitly"
        )
    );
}

#[test]
fn of_methods_and_code_that_are_not_there() {
    let mut net = Net::new();
    let empty = net.create();
    let full = net.canister("");
    for (id, text, section) in [
        (
            empty,
            "Error from Canister X: Attempted to execute a message, but the canister contains no Wasm module..\n\
             Please install code to this canister before calling it.",
            "wasm-module-not-found",
        ),
        (
            full,
            "Error from Canister X: Canister has no update method 'go'..\nCheck that the method being called is \
             exported by the target canister.",
            "method-not-found",
        ),
    ] {
        let request = net.call(id, "go", "").unwrap_err();
        let (text, advice) = text.split_once('\n').unwrap();
        assert_eq!(anonymous(id, &request), told(text, advice, section));
    }
    let query = net.query(full, "go", "").unwrap_err();
    assert_eq!(
        anonymous(full, &query),
        told(
            "Error from Canister X: Canister has no query method 'go'..",
            "Check that the method being called is exported by the target canister.",
            "method-not-found"
        )
    );
    let nowhere = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 99, 1, 1]);
    assert_eq!(
        net.call(nowhere, "go", "").unwrap_err().message,
        format!("Canister {nowhere} not found")
    );
}

#[test]
fn of_limits() {
    let costly = "(drop (table.size $t))".repeat(100);
    let spin = format!("(loop $l {costly} (br $l))");
    let advice = "Try optimizing this method to consume fewer instructions or split the work across multiple messages.";
    for (kind, limit) in [("update", 40_000_000_000u64), ("query", 5_000_000_000)] {
        let text = format!(
            "Error from Canister X: Canister exceeded the limit of {limit} instructions for single message execution.."
        );
        assert_eq!(
            failing(kind, &spin),
            told(&text, advice, "instruction-limit-exceeded")
        );
    }
    let append = "(call $msg_reply_data_append (i32.const 0) (i32.const 2097153))";
    assert_eq!(
        failing("update", append),
        told(
            "Error from Canister X: Canister violated contract: ic0.msg_reply_data_append: application payload size \
             (2097153) cannot be larger than 2097152..",
            "Consider checking the response size and returning an error if it is too long.",
            "msg_reply_data_append-payload-too-large"
        )
    );
    assert_eq!(
        failing(
            "update",
            "(call $msg_reject (i32.const 0) (i32.const 2097153))"
        ),
        told(
            "Error from Canister X: Canister violated contract: ic0.msg_reject: application payload size \
             (2097153) cannot be larger than 2097152..",
            "Try truncating the error messages that are too long.",
            "msg_reject-payload-too-large"
        )
    );
    let text = failing(
        "update",
        "(call $certified_data_set (i32.const 0) (i32.const 33))",
    );
    assert!(
        text.ends_with(&told(
            "no larger than 32 bytes. Found 33 bytes..",
            "Try certifying just the hash of your data instead of the full contents.",
            "certified_data_set-payload-too-large"
        )),
        "{text}"
    );
}

#[test]
fn of_functions_that_are_not_used_as_they_should_be() {
    assert_eq!(
        failing("query", "(drop (call $call_perform))"),
        told(
            "Error from Canister X: Canister violated contract: \"ic0_call_perform\" cannot be executed in non \
             replicated query mode.",
            "Check the ICP documentation to make sure APIs are being called in the correct message types.",
            "calling-a-system-api-from-the-wrong-mode"
        )
    );
    assert_eq!(
        failing("update", "(call $msg_reply) (call $msg_reply)"),
        format!(
            "Error from Canister X: Canister violated contract: ic0.msg_reply: the call is already replied.\n{TOOLCHAIN}"
        )
    );
    assert_eq!(
        failing("update", "(drop (call $performance_counter (i32.const 7)))"),
        "Error from Canister X: Canister violated contract: Error getting performance counter type 7"
    );
    let begin = |name: u32, data: u32| {
        format!(
            "(call $call_new (i32.const 0) (i32.const 0) (i32.const 100) (i32.const {name})
               (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
             (call $call_data_append (i32.const 0) (i32.const {data}))"
        )
    };
    assert_eq!(
        failing("update", &begin(20_001, 0)),
        told(
            "Error from Canister X: Canister violated contract: Size of method_name 20001 exceeds the allowed limit of \
             20000..",
            "Size of method_name {} exceeds the allowed limit of {}.",
            "canister-made-a-call-with-too-large-method-name"
        )
    );
    // Four megabytes at a time.
    let more = "(call $call_data_append (i32.const 0) (i32.const 4194304))";
    assert_eq!(
        failing("update", &(begin(0, 4_194_304) + more + more)),
        told(
            "Error from Canister X: Canister violated contract: Request to aaaaa-aa: has a payload size of 12582912, \
             which exceeds the allowed limit of 10485760..",
            "Check the canister for errors or redesign the target API to allow shorter messages",
            "canister-made-a-call-with-too-large-payload"
        )
    );
}

/// What is said about a module that is installed, without the canister's id.
fn refused(module: &str) -> String {
    let mut net = Net::new();
    let id = net.create();
    let module = wat::parse_str(module).unwrap();
    let reject = net
        .install_code(id, ic::CanisterInstallMode::Install, module, b"")
        .unwrap_err();
    anonymous(id, &reject)
}

#[test]
fn of_modules() {
    let globals = "(global i32 (i32.const 0))".repeat(1_001);
    assert_eq!(
        refused(&format!("(module {globals})")),
        told(
            "Error from Canister X: Canister's Wasm module is not valid: Wasm module defined 1001 globals which \
             exceeds the maximum number allowed 1000..",
            "Try collecting multiple globals into a single structured which can be stored on the heap.",
            "wasm-module-too-many-globals"
        )
    );
    let functions = "(func)".repeat(50_001);
    assert_eq!(
        refused(&format!("(module {functions})")),
        told(
            "Error from Canister X: Canister's Wasm module is not valid: Wasm module defined 50001 functions which \
             exceeds the maximum number allowed 50000..",
            "Try spliting this canister into multiple canisters.",
            "wasm-module-too-many-functions"
        )
    );
    assert_eq!(
        refused(
            "(module (func (export \"canister_update x\")) (func (export \"canister_query x\")))"
        ),
        told(
            "Error from Canister X: Canister's Wasm module is not valid: Duplicate function 'x' exported multiple times with different call types: update, query, or \
             composite_query..",
            "Try defining different versions of the function for each call type, e.g. `x_update`, `x_query`, etc.",
            "wasm-module-duplicate-exports"
        )
    );
    let text = refused("(module (import \"ic0\" \"f\" (func)))");
    assert!(
        text.ends_with(&format!(
            "Module imports function 'f' from 'ic0' that is not exported by the runtime..\n{TOOLCHAIN}"
        )),
        "{text}"
    );
}

fn manage<T: candid::CandidType>(net: &mut Net, method: &str, arg: &T, id: Principal) -> String {
    anonymous(id, &net.manage(method, arg).unwrap_err())
}

#[test]
fn of_the_management_canister() {
    let mut net = Net::new();
    let id = net.canister("");
    let record = ic::CanisterIdRecord { canister_id: id };
    assert_eq!(
        manage(&mut net, "delete_canister", &record, id),
        told(
            "Canister X must be stopped before it is deleted.",
            "Stop the canister before deleting it.",
            "delete-canister-not-stopped"
        )
    );
    let arg = ic::InstallCodeArgs {
        mode: ic::CanisterInstallMode::Install,
        canister_id: id,
        wasm_module: wasm(""),
        arg: vec![],
        sender_canister_version: None,
    };
    assert_eq!(
        manage(&mut net, "install_code", &arg, id),
        told(
            "Canister X cannot be installed because the canister is not empty. Try installing with mode='reinstall' \
             instead.",
            "Check that you want to overwrite the canister and, if so, use mode='reinstall'.",
            "canister-not-empty"
        )
    );
    let snapshot = ic::DeleteCanisterSnapshotArgs {
        canister_id: id,
        snapshot_id: [&[0u8; 8][..], id.as_slice()].concat(),
    };
    assert_eq!(
        manage(&mut net, "delete_canister_snapshot", &snapshot, id),
        told(
            &format!(
                "Could not find the snapshot ID {} for canister X.",
                hex::encode(&snapshot.snapshot_id)
            ),
            "Use the `list_canister_snapshot` API to see which snapshots are present.",
            "canister-snapshot-not-found"
        )
    );
    let chunk = ic::UploadChunkArgs {
        canister_id: id,
        chunk: vec![0; (1 << 20) + 1],
    };
    assert_eq!(
        manage(&mut net, "upload_chunk", &chunk, id),
        told(
            "Error from Wasm chunk store: Wasm chunk size 1048577 exceeds the maximum chunk size of 1048576.",
            "Use the `stored_chunks` API to check which hashes are present or top up the canister if it is low on \
             cycles.",
            "wasm-chunk-store-error"
        )
    );
    net.check_cycles();
}

#[test]
fn of_ids_that_cannot_be_had() {
    let mut net = Net::with(config_with(&[
        assay_localnet_core::topology::SubnetPlan::of(
            assay_localnet_core::topology::SubnetKind::Application,
        ),
    ]));
    let id = net.create();
    let again = net.create_at(id, Some(id)).unwrap_err();
    assert_eq!(
        anonymous(id, &again),
        "Unsuccessful canister creation: canister id X already exists.\nThis is an internal error on the IC. Please \
         report it to IC devs on the forum: https://forum.dfinity.org"
    );
}

#[test]
fn of_canisters_that_cannot_pay() {
    let mut net = Net::new();
    let id = net.create_with(5_000_000_000);
    let arg = ic::InstallCodeArgs {
        mode: ic::CanisterInstallMode::Install,
        canister_id: id,
        wasm_module: wasm(""),
        arg: vec![],
        sender_canister_version: None,
    };
    let before = net.network.balance(&id).unwrap();
    let text = manage(&mut net, "install_code", &arg, id);
    assert!(before < 5_000_000_001);
    assert!(
        text.starts_with(
            "Canister installation failed with `Canister X is out of cycles: please top up the canister with at least "
        ) && text.ends_with(&told(
            " additional cycles`.",
            "Top up the canister with more cycles.",
            "install-code-not-enough-cycles"
        )),
        "{text}"
    );
    net.check_cycles();
}

#[test]
fn of_canisters_that_another_calls() {
    // What the other canister said comes through whole, ending and all.
    let mut net = Net::new();
    let callee = net.canister("(func (export \"canister_update go\") unreachable)");
    let caller = net.canister(
        r#"(table 1 funcref) (elem (i32.const 0) $back) (data (i32.const 600) "go")
        (func $back (param i32)
          (call $msg_reject_msg_copy (i32.const 1000) (i32.const 0) (call $msg_reject_msg_size))
          (call $msg_reply_data_append (i32.const 1000) (call $msg_reject_msg_size))
          (call $msg_reply))
        (func (export "canister_update pass")
          (drop (call $arg))
          (call $call_new (i32.const 1000) (i32.const 10) (i32.const 600) (i32.const 2)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
          (drop (call $call_perform)))"#,
    );
    let text = String::from_utf8(net.call(caller, "pass", callee.as_slice()).unwrap()).unwrap();
    assert_eq!(
        text.replace(&callee.to_text(), "X"),
        told(
            "Error from Canister X: Canister trapped: unreachable.",
            "Consider gracefully handling failures from this canister or altering the canister to handle exceptions.",
            "trapped"
        )
    );
}

#[test]
fn of_heaps_that_grow_beyond_what_their_controllers_want() {
    let mut net = Net::new();
    let id = net.canister(
        r#"(func (export "canister_update grow") (call $reply32 (memory.grow (call $arg32))))"#,
    );
    let arg = ic::UpdateSettingsArgs {
        canister_id: id,
        settings: ic::CanisterSettings {
            wasm_memory_limit: Some((2u64 << 16).into()),
            ..Default::default()
        },
        sender_canister_version: None,
    };
    net.call_as(
        user(),
        MANAGEMENT,
        "update_settings",
        encode_one(&arg).unwrap(),
    )
    .unwrap();
    let reject = net.call(id, "grow", n(2)).unwrap_err();
    assert_eq!(
        anonymous(id, &reject),
        told(
            "Error from Canister X: Canister exceeded its current Wasm memory limit of 131072 bytes. The peak Wasm \
             memory usage was 196608 bytes. If the canister reaches 4GiB, then it may stop functioning and may become \
             unrecoverable. Please reach out to the canister owner to investigate the reason for the increased memory \
             usage. It might be necessary to move data from the Wasm memory to the stable memory. If such high Wasm \
             memory usage is expected and safe, then the developer can increase the Wasm memory limit in the canister \
             settings..",
            "Try checking the canister for a possible memory leak or modifying it to use more stable memory instead of \
             Wasm memory.",
            "wasm-memory-limit-exceeded"
        )
    );
}
