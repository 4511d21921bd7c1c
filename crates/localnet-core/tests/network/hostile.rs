//! Modules that try to do harm: each ends in the network's own error, and harms nobody.

use assay_localnet_core::{
    limits,
    types::{ErrorCode, Reject},
};
use ic_management_canister_types as ic;

use crate::harness::{Net, n, plain};

/// Another canister, which must still answer when everything is over.
const BYSTANDER: &str = r#"(func (export "canister_update hello") (call $reply32 (i32.const 1)))"#;

struct Victim {
    net: Net,
    id: candid::Principal,
    bystander: candid::Principal,
}

impl Victim {
    /// A network with a canister of this code, which also gets a method that does nothing.
    fn new(body: &str) -> Self {
        let mut net = Net::new();
        let bystander = net.canister(BYSTANDER);
        let fine = r#"(func (export "canister_update fine") (call $msg_reply))"#;
        let id = net.canister(&format!("{body} {fine}"));
        Self { net, id, bystander }
    }

    /// Calls a method that must fail, and checks that nothing else has been hurt.
    fn attack(&mut self, method: &str) -> Reject {
        let reject = self.net.call(self.id, method, "").unwrap_err();
        assert_eq!(self.net.call(self.id, "fine", ""), Ok(vec![]));
        assert_eq!(self.net.call(self.bystander, "hello", ""), Ok(n(1)));
        self.net.check_cycles();
        reject
    }

    /// What a failing method says after the canister's name.
    fn text(&mut self, method: &str) -> (Option<ErrorCode>, String) {
        let begin = format!("Error from Canister {}: ", self.id);
        let reject = self.attack(method);
        let text = plain(&reject).strip_prefix(&begin).unwrap();
        (reject.error, text.to_owned())
    }
}

/// Operators that cost much and do nothing, so that limits are reached soon.
fn costly() -> String {
    "(drop (table.size $t))".repeat(100)
}

fn installed(module: &[u8]) -> Result<(), Reject> {
    let mut net = Net::new();
    let id = net.create();
    let result = net.install_code(id, ic::CanisterInstallMode::Install, module.to_vec(), b"");
    net.check_cycles();
    assert_eq!(
        net.network.canister(&id).unwrap().module_hash.is_some(),
        result.is_ok()
    );
    result
}

#[test]
fn an_endless_loop_runs_out_of_instructions() {
    let costly = costly();
    let mut victim = Victim::new(&format!(
        r#"(table $t 1 funcref) (func (export "canister_update spin") (loop $l {costly} (br $l)))"#
    ));
    assert_eq!(
        victim.text("spin"),
        (
            Some(ErrorCode::CanisterInstructionLimitExceeded),
            "Canister exceeded the limit of 40000000000 instructions for single message execution."
                .into()
        )
    );
}

#[test]
fn an_endless_start_function_is_not_installed() {
    let costly = costly();
    let module = wat::parse_str(format!(
        "(module (table $t 1 funcref) (start $s) (func $s (loop $l {costly} (br $l))))"
    ));
    let reject = installed(&module.unwrap()).unwrap_err();
    assert_eq!(
        reject.error,
        Some(ErrorCode::CanisterInstructionLimitExceeded)
    );
    assert!(
        plain(&reject)
            .ends_with("the limit of 300000000000 instructions for single message execution."),
        "{}",
        reject.message
    );
}

#[test]
fn a_copy_beyond_the_memory_traps() {
    let mut victim = Victim::new(
        r#"(func (export "canister_update copy") (memory.copy (i32.const 0) (i32.const 1) (i32.const -1)))"#,
    );
    assert_eq!(
        victim.text("copy"),
        (
            Some(ErrorCode::CanisterTrapped),
            "Canister trapped: heap out of bounds".into()
        )
    );
}

#[test]
fn a_memory_bomb_grows_to_the_limit_and_no_further() {
    let mut victim = Victim::new(
        r#"(func (export "canister_update grow")
          (loop $l (br_if $l (i32.ne (memory.grow (i32.const 1024)) (i32.const -1))))
          (i32.store (i32.const 700) (memory.size))
          (if (i32.ge_u (memory.size) (i32.const 64)) (then unreachable)))
        (func (export "canister_query size") (call $reply32 (memory.size)))"#,
    );
    let (code, text) = victim.text("grow");
    // The setting that every canister begins with comes before Wasm's own limit.
    assert_eq!(code, Some(ErrorCode::CanisterWasmMemoryLimitExceeded));
    assert!(
        text.starts_with("Canister exceeded its current Wasm memory limit of 3221225472 bytes."),
        "{text}"
    );
    let settings = ic::CanisterSettings {
        wasm_memory_limit: Some(0u64.into()),
        ..Default::default()
    };
    let arg = ic::UpdateSettingsArgs {
        canister_id: victim.id,
        settings,
        sender_canister_version: None,
    };
    victim.net.manage("update_settings", &arg).unwrap();
    assert_eq!(victim.text("grow").1, "Canister trapped: unreachable");
    assert_eq!(
        victim.net.query(victim.id, "size", ""),
        Ok(n(1)),
        "nothing was kept"
    );
}

#[test]
fn stable_memory_grows_to_the_limit_and_no_further() {
    let mut victim = Victim::new(
        r#"(func (export "canister_query grow")
          (local $most i64)
          (local.set $most (i64.const 8192000))
          (if (i64.ne (call $stable64_grow (i64.add (local.get $most) (i64.const 1))) (i64.const -1)) (then unreachable))
          (if (i64.ne (call $stable64_grow (i64.const -1)) (i64.const -1)) (then unreachable))
          (if (i64.ne (call $stable64_grow (local.get $most)) (i64.const 0)) (then unreachable))
          (if (i64.ne (call $stable64_grow (i64.const 1)) (i64.const -1)) (then unreachable))
          (call $reply32 (i32.wrap_i64 (call $stable64_size))))
        (func (export "canister_update grow_for_good")
          (drop (call $stable64_grow (i64.const 8192000))) (call $msg_reply))"#,
    );
    assert_eq!(
        victim.net.query(victim.id, "grow", ""),
        Ok(n(limits::STABLE_PAGES_MAX as u32))
    );
    let (code, text) = victim.text("grow_for_good");
    assert_eq!(code, Some(ErrorCode::InsufficientCyclesInMemoryGrow));
    assert!(
        text.starts_with(
            "Canister cannot grow memory by 536870912000 bytes due to insufficient cycles. At least "
        ),
        "{text}"
    );
}

#[test]
fn a_heap_that_cannot_be_paid_for_is_not_installed() {
    let mut net = Net::new();
    let poor = net.create_with(501_000_000_000);
    let module = wat::parse_str("(module (memory 32768))").unwrap();
    let reject = net
        .install_code(poor, ic::CanisterInstallMode::Install, module, b"")
        .unwrap_err();
    assert_eq!(
        reject.error,
        Some(ErrorCode::InsufficientCyclesInMemoryGrow)
    );
    net.check_cycles();
}

#[test]
fn reading_too_much_stable_memory_ends_the_message() {
    // Reads as many MiB as it is asked for.
    let mut victim = Victim::new(
        r#"
        (memory $m 32)
        (func (export "canister_query read")
          (local $left i32)
          (local.set $left (call $arg32))
          (drop (call $stable64_grow (i64.const 16400)))
          (loop $l
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (call $stable64_read (i64.const 65536)
              (i64.mul (i64.extend_i32_u (local.get $left)) (i64.const 1048576)) (i64.const 1048576))
            (br_if $l (local.get $left)))
          (call $reply32 (i32.const 1)))"#,
    );
    assert_eq!(victim.net.query(victim.id, "read", n(1_024)), Ok(n(1)));
    let reject = victim.net.query(victim.id, "read", n(1_025)).unwrap_err();
    assert_eq!(
        reject.error,
        Some(ErrorCode::CanisterMemoryAccessLimitExceeded)
    );
    assert!(
        plain(&reject).ends_with(
            "Canister exceeded memory access limits: Exceeded the limit for the number of accessed pages in the \
             stable memory in a single message execution: limit 2097152 KB for regular messages and 1048576 KB \
             for queries."
        ),
        "{}",
        reject.message
    );
}

#[test]
fn recursion_ends_in_a_stack_overflow_however_it_is_done() {
    let mut victim = Victim::new(
        r#"
        (table 1 funcref)
        (elem (i32.const 0) $indirect)
        (type $t (func (param i64 i64 i64 i64 i64 i64 i64 i64) (result i64)))
        (func $direct (param i32) (result i32) (i32.add (i32.const 1) (call $direct (local.get 0))))
        (func $indirect (type $t)
          (i64.add (local.get 0) (call_indirect (type $t)
            (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5) (local.get 6) (local.get 7)
            (i64.add (local.get 0) (i64.const 1)) (i32.const 0))))
        (func $start (drop (call_indirect (type $t)
          (i64.const 0) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6)
          (i64.const 7) (i32.const 0))))
        (func (export "canister_update direct") (drop (call $direct (i32.const 0))))
        (func (export "canister_update indirect") (call $start))"#,
    );
    for method in ["direct", "indirect"] {
        assert_eq!(
            victim.text(method),
            (
                Some(ErrorCode::CanisterTrapped),
                "Canister trapped: stack overflow".into()
            )
        );
    }
}

#[test]
fn tail_calls_without_end_run_out_of_instructions_and_not_of_stack() {
    let costly = costly();
    let mut victim = Victim::new(&format!(
        r#"(table $t 1 funcref)
        (func $again {costly} (return_call $again))
        (func (export "canister_update go") (call $again))"#
    ));
    assert_eq!(
        victim.text("go").0,
        Some(ErrorCode::CanisterInstructionLimitExceeded)
    );
}

#[test]
fn every_trap_of_the_machine_has_its_text() {
    let mut victim = Victim::new(
        r#"
        (table 2 funcref)
        (elem (i32.const 0) $takes)
        (func $takes (param i32))
        (func (export "canister_update unreachable") unreachable)
        (func (export "canister_update divide") (drop (i32.div_u (i32.const 1) (i32.const 0))))
        (func (export "canister_update overflow") (drop (i32.div_s (i32.const 0x80000000) (i32.const -1))))
        (func (export "canister_update convert") (drop (i32.trunc_f32_s (f32.const nan))))
        (func (export "canister_update heap") (drop (i32.load (i32.const -4))))
        (func (export "canister_update table") (call_indirect (i32.const 2)))
        (func (export "canister_update null") (call_indirect (i32.const 1)))
        (func (export "canister_update signature") (call_indirect (i32.const 0)))
        (func (export "canister_update stable") (call $stable64_read (i64.const 0) (i64.const 0) (i64.const 1)))"#,
    );
    for (method, text) in [
        ("unreachable", "Canister trapped: unreachable"),
        ("divide", "Canister trapped: integer division by 0"),
        ("overflow", "Canister trapped: unknown"),
        ("convert", "Canister trapped: unknown"),
        ("heap", "Canister trapped: heap out of bounds"),
        ("table", "Canister trapped: table out of bounds"),
        ("null", "Canister trapped: unknown"),
        ("stable", "Canister trapped: stable memory out of bounds"),
    ] {
        assert_eq!(
            victim.text(method),
            (Some(ErrorCode::CanisterTrapped), text.into())
        );
    }
    assert_eq!(
        victim.text("signature"),
        (
            Some(ErrorCode::CanisterContractViolation),
            "Canister violated contract: function invocation does not match its signature".into()
        )
    );
}

#[test]
fn callbacks_that_do_not_exist_or_do_not_fit_end_the_call() {
    let mut victim = Victim::new(
        r#"
        (table 2 funcref)
        (elem (i32.const 0) $nothing)
        (func $nothing)
        (func $go (param $index i32)
          (call $canister_self_copy (i32.const 800) (i32.const 0) (i32.const 10))
          (i32.store (i32.const 820) (i32.const 0x656e6966))
          (call $call_new (i32.const 800) (i32.const 10) (i32.const 820) (i32.const 4)
            (local.get $index) (i32.const 0) (local.get $index) (i32.const 0))
          (drop (call $call_perform)))
        (func (export "canister_update outside") (call $go (i32.const -1)))
        (func (export "canister_update null") (call $go (i32.const 1)))
        (func (export "canister_update mistyped") (call $go (i32.const 0)))"#,
    );
    for (method, index) in [("outside", u32::MAX), ("null", 1), ("mistyped", 0)] {
        assert_eq!(
            victim.text(method),
            (
                Some(ErrorCode::CanisterFunctionNotFound),
                format!(
                    "Canister requested to invoke a non-existent Wasm function {index} from table 0"
                )
            )
        );
    }
}

#[test]
fn junk_is_refused_whatever_it_begins_with() {
    let valid =
        wat::parse_str("(module (memory 1) (func (export \"canister_update x\")))").unwrap();
    let mut junk: Vec<Vec<u8>> = vec![
        vec![],
        b"\0asm".to_vec(),
        b"\0asm\x02\0\0\0".to_vec(),
        b"\0asm\x0d\0\x01\0".to_vec(),
        b"\0asm\x01\0\0\0\xff\xff\xff\xff\x0f".to_vec(),
        b"\x1f\x8b\x08\0\0\0\0\0".to_vec(),
        vec![0xff; 1_000],
    ];
    junk.extend((1..valid.len()).map(|len| valid[..len].to_vec()));
    for at in 8..valid.len() {
        let mut broken = valid.clone();
        broken[at] ^= 0x80;
        junk.push(broken);
    }
    let mut net = Net::new();
    let id = net.create();
    for module in junk {
        let result = net.install_code(id, ic::CanisterInstallMode::Reinstall, module.clone(), b"");
        if let Err(reject) = result {
            assert_eq!(
                reject.error,
                Some(ErrorCode::CanisterInvalidWasm),
                "{module:02x?}"
            );
        }
    }
    net.install_code(id, ic::CanisterInstallMode::Reinstall, valid, b"")
        .unwrap();
    net.check_cycles();
}

#[test]
fn a_gzip_bomb_is_stopped_at_the_limit() {
    use std::io::Write as _;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..400 {
        packer.write_all(&zeros).unwrap();
    }
    let bomb = packer.finish().unwrap();
    assert!(bomb.len() < 1 << 20, "small enough for an ingress message");
    let reject = installed(&bomb).unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterInvalidWasm));
    assert!(
        plain(&reject).ends_with(
            "Wasm module size of 104857601 exceeds the maximum allowed size of 104857600."
        ),
        "{}",
        reject.message
    );
}

#[test]
fn code_sections_are_limited_in_size() {
    // A function of so many bytes that does nothing.
    let function = |bytes: usize| -> Vec<u8> {
        let mut body = vec![0x00];
        body.resize(bytes - 1, 0x01);
        body.push(0x0b);
        body
    };
    let module = |total: usize| {
        use wasm_encoder::{CodeSection, FunctionSection, Module, TypeSection};
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut functions = FunctionSection::new();
        let mut code = CodeSection::new();
        // Each function takes its bytes and three for their length; the count of functions takes one.
        let mut left = total - 1;
        let mut count = 0;
        while left > 0 {
            let now = left.min(200_000 + 3);
            code.raw(&function(now - 3));
            functions.function(0);
            left -= now;
            count += 1;
        }
        assert!(count < 128);
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&code);
        module.finish()
    };
    installed(&packed(&module(limits::MODULE_CODE_BYTES_MAX))).unwrap();
    let reject = installed(&packed(&module(limits::MODULE_CODE_BYTES_MAX + 1))).unwrap_err();
    assert!(
        plain(&reject).ends_with(
            "Wasm module code section size of 10485761 exceeds the maximum allowed size of 10485760."
        ),
        "{}",
        reject.message
    );
}

fn packed(module: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(module).unwrap();
    packer.finish().unwrap()
}

#[test]
fn data_segments_may_be_huge_but_not_outside_of_memory() {
    let segment =
        |offset: u32, len: usize| format!("(data (i32.const {offset}) \"{}\")", "x".repeat(len));
    let module = |segments: &str| {
        packed(&wat::parse_str(format!("(module (memory 32) {segments})")).unwrap())
    };
    installed(&module(&segment(0, 32 << 16))).unwrap();
    let same = segment(1 << 16, 1 << 16).repeat(50);
    installed(&module(&same)).unwrap();
    for (offset, len) in [(1, 32 << 16), (u32::MAX, 1), (32 << 16, 1)] {
        let reject = installed(&module(&segment(offset, len))).unwrap_err();
        assert_eq!(reject.error, Some(ErrorCode::CanisterInvalidWasm));
        assert!(
            plain(&reject).ends_with(&format!("invalid data segment of {len} bytes at {offset}")),
            "{}",
            reject.message
        );
    }
}

#[test]
fn a_table_larger_than_allowed_is_not_installed() {
    let module =
        |elements: usize| wat::parse_str(format!("(module (table {elements} funcref))")).unwrap();
    installed(&module(limits::TABLE_ELEMENTS_MAX)).unwrap();
    let reject = installed(&module(limits::TABLE_ELEMENTS_MAX + 1)).unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterWasmEngineError));
}

#[test]
fn a_trap_message_may_be_long_or_outside_of_memory() {
    let mut victim = Victim::new(
        r#"(memory $m 1)
        (func (export "canister_update long") (call $trap (i32.const 0) (i32.const 65536)))
        (func (export "canister_update outside") (call $trap (i32.const -1) (i32.const -1)))
        (func (export "canister_update print")
          (call $debug_print (i32.const -1) (i32.const -1)) unreachable)"#,
    );
    let long = victim.attack("long");
    assert_eq!(long.error, Some(ErrorCode::CanisterCalledTrap));
    assert!(long.message.len() <= limits::REJECT_BYTES_MAX);
    assert_eq!(
        victim.text("outside").1,
        "Canister called `ic0.trap` with message: '(trap message out of memory bounds)'"
    );
    assert_eq!(victim.text("print").1, "Canister trapped: unreachable");
}
