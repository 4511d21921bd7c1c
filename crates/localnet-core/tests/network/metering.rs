//! Instructions are counted as the Internet Computer counts them.

use ic_management_canister_types as ic;

use crate::harness::{Net, n};

/// What surrounds the code that is measured.
const AROUND: &str = r#"
    (table $t 10 funcref)
    (elem (i32.const 0) $nothing)
    (elem declare func $nothing)
    (elem $e func $nothing)
    (data $d "0123456789")
    (type $void (func))
    (func $nothing)
    (func $tail (return_call $nothing))
    (func $tail_indirect (return_call_indirect (type $void) (i32.const 0)))
    (func $early (return) (nop))
    (global $g (mut i32) (i32.const 0))"#;

/// Instructions between two readings of the counter, less those of reading it, for each of some pieces of code.
fn measure<T: AsRef<str>>(codes: &[T]) -> Vec<u32> {
    measure_with(codes, ic::CanisterSettings::default())
}

/// The same in a canister with these settings.
fn measure_with<T: AsRef<str>>(codes: &[T], settings: ic::CanisterSettings) -> Vec<u32> {
    let mut body = AROUND.to_owned();
    for (index, code) in std::iter::once("")
        .chain(codes.iter().map(AsRef::as_ref))
        .enumerate()
    {
        body += &format!(
            r#"(func (export "canister_update m{index}")
              (local $l i32) (local $before i64)
              (local.set $before (call $performance_counter (i32.const 0)))
              {code}
              (call $reply32 (i32.wrap_i64
                (i64.sub (call $performance_counter (i32.const 0)) (local.get $before)))))"#
        );
    }
    let mut net = Net::new();
    let id = net.canister(&body);
    let arg = ic::UpdateSettingsArgs {
        canister_id: id,
        settings,
        sender_canister_version: None,
    };
    net.manage("update_settings", &arg).unwrap();
    let mut run = |index: usize| {
        let reply = net.call(id, &format!("m{index}"), "").unwrap();
        u32::from_le_bytes(*reply.last_chunk().unwrap())
    };
    let empty = run(0);
    (1..=codes.len()).map(|index| run(index) - empty).collect()
}

/// Measures every piece of code and compares it with what it should cost.
fn check<T: AsRef<str>>(cases: &[(T, u32)]) {
    let codes: Vec<_> = cases.iter().map(|(code, _)| code.as_ref()).collect();
    let wrong: Vec<_> = measure(&codes)
        .into_iter()
        .zip(cases)
        .filter(|(found, (_, expected))| found != expected)
        .map(|(found, (code, expected))| format!("{}: {found}, not {expected}", code.as_ref()))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Operators of one kind that cost the same: their type, their names, what they take, what they cost.
type Class = (&'static str, &'static str, &'static [&'static str], u32);

const I32: &str = "(i32.const 6)";
const I64: &str = "(i64.const 6)";
const F32: &str = "(f32.const 6)";
const F64: &str = "(f64.const 6)";
const V: &str = "(v128.const i64x2 6 6)";

const NUMBERS: &[Class] = &[
    (
        "i32",
        "add sub mul and or xor shl shr_s shr_u rotl rotr",
        &[I32, I32],
        1,
    ),
    (
        "i64",
        "add sub mul and or xor shl shr_s shr_u rotl rotr",
        &[I64, I64],
        1,
    ),
    ("i32", "div_s div_u rem_s rem_u", &[I32, I32], 10),
    ("i64", "div_s div_u rem_s rem_u", &[I64, I64], 10),
    (
        "i32",
        "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u",
        &[I32, I32],
        1,
    ),
    (
        "i64",
        "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u",
        &[I64, I64],
        1,
    ),
    ("i32", "eqz clz ctz popcnt extend8_s extend16_s", &[I32], 1),
    (
        "i64",
        "eqz clz ctz popcnt extend8_s extend16_s extend32_s",
        &[I64],
        1,
    ),
    ("i32", "wrap_i64", &[I64], 1),
    ("i64", "extend_i32_s extend_i32_u", &[I32], 1),
    ("i32", "reinterpret_f32", &[F32], 1),
    ("i64", "reinterpret_f64", &[F64], 1),
    ("f32", "reinterpret_i32", &[I32], 1),
    ("f64", "reinterpret_i64", &[I64], 1),
    ("f32", "abs neg", &[F32], 1),
    ("f64", "abs neg", &[F64], 1),
    ("f32", "add sub mul", &[F32, F32], 2),
    ("f64", "add sub mul", &[F64, F64], 2),
    ("f32", "ceil floor trunc nearest", &[F32], 2),
    ("f64", "ceil floor trunc nearest", &[F64], 2),
    ("f32", "div", &[F32, F32], 3),
    ("f64", "div", &[F64, F64], 5),
    ("f32", "min max", &[F32, F32], 18),
    ("f64", "min max", &[F64, F64], 18),
    ("f32", "copysign", &[F32, F32], 2),
    ("f64", "copysign", &[F64, F64], 3),
    ("f32", "sqrt", &[F32], 5),
    ("f64", "sqrt", &[F64], 8),
    ("f32", "eq ne lt gt le ge", &[F32, F32], 3),
    ("f64", "eq ne lt gt le ge", &[F64, F64], 3),
    ("f32", "demote_f64", &[F64], 1),
    ("f64", "promote_f32", &[F32], 1),
    ("f32", "convert_i32_s", &[I32], 3),
    ("f32", "convert_i64_s", &[I64], 3),
    ("f64", "convert_i32_s", &[I32], 3),
    ("f64", "convert_i64_s", &[I64], 3),
    ("f32", "convert_i32_u", &[I32], 16),
    ("f32", "convert_i64_u", &[I64], 16),
    ("f64", "convert_i32_u", &[I32], 16),
    ("f64", "convert_i64_u", &[I64], 16),
    (
        "i32",
        "trunc_f32_s trunc_f32_u trunc_sat_f32_s trunc_sat_f32_u",
        &[F32],
        20,
    ),
    (
        "i32",
        "trunc_f64_s trunc_f64_u trunc_sat_f64_s trunc_sat_f64_u",
        &[F64],
        20,
    ),
    (
        "i64",
        "trunc_f32_s trunc_f32_u trunc_sat_f32_s trunc_sat_f32_u",
        &[F32],
        20,
    ),
    (
        "i64",
        "trunc_f64_s trunc_f64_u trunc_sat_f64_s trunc_sat_f64_u",
        &[F64],
        20,
    ),
    ("i32", "load load8_s load8_u load16_s load16_u", &[I32], 1),
    (
        "i64",
        "load load8_s load8_u load16_s load16_u load32_s load32_u",
        &[I32],
        1,
    ),
    ("f32", "load", &[I32], 1),
    ("f64", "load", &[I32], 1),
];

const VECTORS: &[Class] = &[
    (
        "v128",
        "load load8x8_s load8x8_u load16x4_s load16x4_u load32x2_s load32x2_u load8_splat load16_splat load32_splat \
         load64_splat load32_zero load64_zero",
        &[I32],
        1,
    ),
    (
        "v128",
        "load8_lane load16_lane load32_lane load64_lane",
        &["0", I32, V],
        1,
    ),
    ("v128", "not", &[V], 1),
    ("v128", "any_true", &[V], 1),
    ("v128", "and andnot or xor", &[V, V], 1),
    ("v128", "bitselect", &[V, V, V], 1),
    (
        "i8x16",
        "shuffle",
        &["0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", V, V],
        3,
    ),
    ("i8x16", "extract_lane_s extract_lane_u", &["0", V], 1),
    ("i16x8", "extract_lane_s extract_lane_u", &["0", V], 1),
    ("i32x4", "extract_lane", &["0", V], 1),
    ("i64x2", "extract_lane", &["0", V], 1),
    ("f32x4", "extract_lane", &["0", V], 1),
    ("f64x2", "extract_lane", &["0", V], 1),
    ("i8x16", "replace_lane", &["0", V, I32], 1),
    ("i16x8", "replace_lane", &["0", V, I32], 1),
    ("i32x4", "replace_lane", &["0", V, I32], 1),
    ("i64x2", "replace_lane", &["0", V, I64], 1),
    ("f32x4", "replace_lane", &["0", V, F32], 1),
    ("f64x2", "replace_lane", &["0", V, F64], 1),
    ("i8x16", "splat", &[I32], 1),
    ("i16x8", "splat", &[I32], 1),
    ("i32x4", "splat", &[I32], 1),
    ("i64x2", "splat", &[I64], 1),
    ("f32x4", "splat", &[F32], 1),
    ("f64x2", "splat", &[F64], 1),
    (
        "i8x16",
        "swizzle eq ne lt_s gt_s le_s le_u ge_s ge_u",
        &[V, V],
        1,
    ),
    ("i16x8", "eq ne lt_s gt_s le_s le_u ge_s ge_u", &[V, V], 1),
    ("i32x4", "eq ne lt_s gt_s le_s le_u ge_s ge_u", &[V, V], 1),
    ("i64x2", "eq ne lt_s gt_s le_s ge_s", &[V, V], 1),
    ("f32x4", "eq ne lt gt le ge pmin pmax", &[V, V], 1),
    ("f64x2", "eq ne lt gt le ge pmin pmax", &[V, V], 1),
    ("i8x16", "lt_u gt_u", &[V, V], 2),
    ("i16x8", "lt_u gt_u", &[V, V], 2),
    ("i32x4", "lt_u gt_u", &[V, V], 2),
    ("i8x16", "abs neg all_true bitmask", &[V], 1),
    (
        "i16x8",
        "abs neg all_true bitmask extend_low_i8x16_s extend_high_i8x16_s extend_low_i8x16_u",
        &[V],
        1,
    ),
    (
        "i16x8",
        "extend_high_i8x16_u extadd_pairwise_i8x16_s",
        &[V],
        1,
    ),
    (
        "i32x4",
        "abs neg all_true bitmask extend_low_i16x8_s extend_high_i16x8_s extend_low_i16x8_u",
        &[V],
        1,
    ),
    (
        "i32x4",
        "extend_high_i16x8_u extadd_pairwise_i16x8_s",
        &[V],
        1,
    ),
    (
        "i64x2",
        "abs neg all_true bitmask extend_low_i32x4_s extend_high_i32x4_s extend_low_i32x4_u",
        &[V],
        1,
    ),
    ("i64x2", "extend_high_i32x4_u", &[V], 1),
    ("i8x16", "popcnt", &[V], 3),
    ("i16x8", "extadd_pairwise_i8x16_u", &[V], 2),
    ("i32x4", "extadd_pairwise_i16x8_u", &[V], 3),
    (
        "i8x16",
        "narrow_i16x8_s narrow_i16x8_u add add_sat_s add_sat_u sub sub_sat_s sub_sat_u min_s min_u max_s max_u avgr_u",
        &[V, V],
        1,
    ),
    (
        "i16x8",
        "narrow_i32x4_s narrow_i32x4_u add add_sat_s add_sat_u sub sub_sat_s sub_sat_u mul min_s min_u max_s max_u \
         avgr_u q15mulr_sat_s extmul_low_i8x16_s extmul_low_i8x16_u",
        &[V, V],
        1,
    ),
    (
        "i16x8",
        "extmul_high_i8x16_s extmul_high_i8x16_u",
        &[V, V],
        2,
    ),
    (
        "i32x4",
        "add sub min_s min_u max_s max_u dot_i16x8_s",
        &[V, V],
        1,
    ),
    (
        "i32x4",
        "mul extmul_low_i16x8_s extmul_high_i16x8_s extmul_low_i16x8_u extmul_high_i16x8_u",
        &[V, V],
        2,
    ),
    (
        "i64x2",
        "add sub extmul_low_i32x4_s extmul_high_i32x4_s extmul_low_i32x4_u extmul_high_i32x4_u",
        &[V, V],
        1,
    ),
    ("i64x2", "mul", &[V, V], 4),
    ("i8x16", "shl shr_s", &[V, I32], 3),
    ("i8x16", "shr_u", &[V, I32], 2),
    ("i16x8", "shl shr_s shr_u", &[V, I32], 2),
    ("i32x4", "shl shr_s shr_u", &[V, I32], 2),
    ("i64x2", "shl shr_u", &[V, I32], 2),
    ("i64x2", "shr_s", &[V, I32], 3),
    ("f32x4", "ceil floor trunc nearest abs neg", &[V], 2),
    ("f64x2", "ceil floor trunc nearest abs neg", &[V], 2),
    ("f32x4", "add sub mul", &[V, V], 2),
    ("f64x2", "add sub mul", &[V, V], 2),
    ("f32x4", "sqrt", &[V], 5),
    ("f64x2", "sqrt", &[V], 14),
    ("f32x4", "div", &[V, V], 10),
    ("f64x2", "div", &[V, V], 12),
    ("f32x4", "min max", &[V, V], 4),
    ("f64x2", "min", &[V, V], 4),
    ("f64x2", "max", &[V, V], 5),
    ("i32x4", "trunc_sat_f32x4_s trunc_sat_f64x2_s_zero", &[V], 2),
    ("i32x4", "trunc_sat_f32x4_u", &[V], 4),
    ("i32x4", "trunc_sat_f64x2_u_zero", &[V], 3),
    ("f32x4", "convert_i32x4_s demote_f64x2_zero", &[V], 1),
    ("f32x4", "convert_i32x4_u", &[V], 4),
    (
        "f64x2",
        "convert_low_i32x4_s convert_low_i32x4_u promote_low_f32x4",
        &[V],
        1,
    ),
];

fn cases(classes: &[Class]) -> Vec<(String, u32)> {
    let mut cases = Vec::new();
    for (ty, names, operands, price) in classes {
        // Each constant costs one, and so does dropping the result.
        let constants = operands.iter().filter(|code| code.starts_with('(')).count() as u32;
        for name in names.split_whitespace() {
            let code = format!("(drop ({ty}.{name} {}))", operands.join(" "));
            cases.push((code, constants + 1 + price));
        }
    }
    cases
}

#[test]
fn operators_on_numbers_cost_what_is_published() {
    check(&cases(NUMBERS));
}

#[test]
fn operators_on_vectors_cost_what_is_published() {
    check(&cases(VECTORS));
    let stores = "store store8_lane store16_lane store32_lane store64_lane";
    let stores: Vec<_> = stores
        .split(' ')
        .map(|name| {
            let lane = if name == "store" { "" } else { "0" };
            (format!("(v128.{name} {lane} {I32} {V})"), 3)
        })
        .collect();
    check(&stores);
}

#[test]
fn all_other_operators_cost_what_is_published() {
    check(&[
        ("nop", 1),
        ("(drop (i32.const 1))", 2),
        (
            "(drop (select (i32.const 1) (i32.const 1) (i32.const 1)))",
            5,
        ),
        (
            "(drop (select (result i32) (i32.const 1) (i32.const 1) (i32.const 1)))",
            5,
        ),
        ("(drop (local.get $l))", 2),
        ("(local.set $l (i32.const 1))", 2),
        ("(drop (local.tee $l (i32.const 1)))", 3),
        ("(drop (global.get $g))", 3),
        ("(global.set $g (i32.const 1))", 3),
        ("(i32.store (i32.const 8) (i32.const 1))", 3),
        ("(i32.store8 (i32.const 8) (i32.const 1))", 3),
        ("(i32.store16 (i32.const 8) (i32.const 1))", 3),
        ("(i64.store (i32.const 8) (i64.const 1))", 3),
        ("(i64.store8 (i32.const 8) (i64.const 1))", 3),
        ("(i64.store16 (i32.const 8) (i64.const 1))", 3),
        ("(i64.store32 (i32.const 8) (i64.const 1))", 3),
        ("(f32.store (i32.const 8) (f32.const 1))", 3),
        ("(f64.store (i32.const 8) (f64.const 1))", 3),
        ("(drop (ref.null func))", 2),
        ("(drop (ref.is_null (ref.null func)))", 7),
        ("(drop (ref.func $nothing))", 131),
        ("(drop (table.get $t (i32.const 1)))", 7),
        ("(drop (table.size $t))", 101),
        ("(drop (memory.size))", 21),
    ]);
}

#[test]
fn branches_and_calls_cost_what_is_published() {
    check(&[
        ("(block)", 0),
        ("(loop)", 0),
        ("(block (br 0))", 2),
        ("(block (br 0) (drop (i32.const 1)))", 2),
        ("(block (br_if 0 (i32.const 0)) nop)", 4),
        ("(block (br_if 0 (i32.const 1)) nop)", 3),
        ("(block (block (br_table 0 1 0 (i32.const 0)) nop) nop)", 4),
        ("(block (block (br_table 0 1 0 (i32.const 1)) nop) nop)", 3),
        ("(if (i32.const 1) (then nop nop))", 5),
        ("(if (i32.const 0) (then nop nop))", 3),
        ("(if (i32.const 0) (then nop nop) (else nop))", 4),
        (
            "(loop $l2 (local.set $l (i32.add (local.get $l) (i32.const 1)))
               (br_if $l2 (i32.lt_u (local.get $l) (i32.const 10))))",
            10 * (4 + 3 + 2),
        ),
        // Entering a function costs one, however it is entered and left.
        ("(call $nothing)", 5 + 1),
        ("(call $early)", 5 + 1 + 1),
        ("(call_indirect (type $void) (i32.const 0))", 1 + 10 + 1),
        ("(call $tail)", 5 + 1 + 3 + 1),
        ("(call $tail_indirect)", 5 + 1 + 1 + 60 + 1),
    ]);
}

#[test]
fn growing_and_dropping_costs_what_is_published() {
    check(&[
        ("(drop (memory.grow (i32.const 0)))", 302),
        ("(drop (memory.grow (i32.const 1)))", 302),
        ("(data.drop $d)", 300),
        ("(elem.drop $e)", 300),
    ]);
}

#[test]
fn bulk_operators_cost_their_base_and_every_byte() {
    check(&[
        (
            "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))",
            3 + 100,
        ),
        (
            "(memory.fill (i32.const 0) (i32.const 0) (i32.const 1000))",
            3 + 100 + 1_000,
        ),
        (
            "(memory.copy (i32.const 0) (i32.const 9) (i32.const 17))",
            3 + 100 + 17,
        ),
        (
            "(memory.copy (i32.const 0) (i32.const 9) (i32.const 60000))",
            3 + 100 + 60_000,
        ),
        (
            "(memory.init $d (i32.const 0) (i32.const 1) (i32.const 7))",
            3 + 100 + 7,
        ),
    ]);
}

/// The price of a call with so many operands, without the callee's own.
const fn call(operands: u32) -> u32 {
    5 + operands
}

#[test]
fn functions_of_the_system_cost_their_base_and_every_byte() {
    let z = "(i32.const 0)";
    let z64 = "(i64.const 0)";
    let name = "(i32.const 2000)";
    let mut cases = Vec::new();
    // Plain values.
    for function in "msg_arg_data_size msg_caller_size canister_self_size subnet_self_size canister_status canister_version \
         subnet_self_node_count root_key_size time in_replicated_execution env_var_count msg_deadline \
         msg_caller_info_data_size msg_caller_info_signer_size data_certificate_present msg_cycles_available \
         canister_cycle_balance"
        .split_whitespace()
    {
        cases.push((format!("(drop (call ${function}))"), call(0) + 500 + 1));
    }
    // Copies of bytes that the host has, of which there are few, or none.
    for (function, bytes) in [
        ("msg_arg_data_copy", 0),
        ("msg_caller_copy", 7),
        ("canister_self_copy", 10),
        ("subnet_self_copy", 9),
        ("root_key_copy", 3),
        ("msg_caller_info_data_copy", 0),
        ("msg_caller_info_signer_copy", 0),
    ] {
        let code = format!("(call ${function} {z} {z} (i32.const {bytes}))");
        cases.push((code, call(3) + 500 + bytes));
    }
    // 128 bits at a time.
    for function in "msg_cycles_available128 canister_cycle_balance128 canister_liquid_cycle_balance128 cost_create_canister"
        .split_whitespace()
    {
        cases.push((format!("(call ${function} {z})"), call(1) + 500));
    }
    cases.extend([
        (
            format!("(call $msg_cycles_accept128 {z64} {z64} {z})"),
            call(3) + 500,
        ),
        (
            format!("(call $cycles_burn128 {z64} {z64} {z})"),
            call(3) + 500,
        ),
        (format!("(call $cost_call {z64} {z64} {z})"), call(3) + 500),
        (
            format!("(call $cost_http_request {z64} {z64} {z})"),
            call(3) + 500,
        ),
        (
            format!("(drop (call $cost_sign_with_ecdsa {name} (i32.const 5) {z} {z}))"),
            call(4) + 500 + 5 + 1,
        ),
        (
            format!("(drop (call $cost_sign_with_schnorr {name} (i32.const 5) {z} {z}))"),
            call(4) + 500 + 5 + 1,
        ),
        (
            format!("(drop (call $cost_vetkd_derive_key {name} (i32.const 5) {z} {z}))"),
            call(4) + 500 + 5 + 1,
        ),
        (
            format!("(drop (call $performance_counter {z}))"),
            call(1) + 200 + 1,
        ),
        (
            format!("(drop (call $is_controller {name} (i32.const 1)))"),
            call(2) + 1_000 + 1 + 1,
        ),
        (
            format!("(drop (call $env_var_name_exists {name} (i32.const 5)))"),
            call(2) + 500 + 1,
        ),
        (
            format!("(drop (call $global_timer_set {z64}))"),
            call(1) + 500 + 1,
        ),
        (
            format!("(call $certified_data_set {z} (i32.const 9))"),
            call(2) + 500 + 9,
        ),
        (
            format!("(call $msg_reply_data_append {z} (i32.const 10))"),
            call(2) + 500 + 500,
        ),
        (
            format!("(call $debug_print {z} (i32.const 10))"),
            call(2) + 100 + 20 + 500,
        ),
        (
            format!("(call $debug_print {z} (i32.const 5000))"),
            call(2) + 100 + 2 * 4_096 + 50 * 4_096,
        ),
        (
            format!("(call $call_new {z} (i32.const 0) {name} (i32.const 3) {z} {z} {z} {z})"),
            call(8) + 1_500 + 3,
        ),
        (
            format!(
                "(call $call_new {z} (i32.const 0) {name} (i32.const 3) {z} {z} {z} {z})
                 (call $call_on_cleanup {z} {z})
                 (call $call_data_append {z} (i32.const 10))
                 (call $call_with_best_effort_response {z})
                 (call $call_cycles_add128 {z64} {z64})
                 (call $call_cycles_add {z64})"
            ),
            (call(8) + 1_503)
                + (call(2) + 500)
                + (call(2) + 500 + 500)
                + (call(1) + 500)
                + (call(2) + 500)
                + (call(1) + 500),
        ),
    ]);
    check(&cases);
}

#[test]
fn variables_cost_what_is_copied_of_them() {
    let name = "(i32.const 2000) (i32.const 4)";
    let set = "(i32.store (i32.const 2000) (i32.const 0x656d616e))";
    let cases = [
        (set.to_owned(), 3),
        ("(drop (call $env_var_count))".into(), call(0) + 500 + 1),
        (
            "(drop (call $env_var_name_size (i32.const 0)))".into(),
            call(1) + 500 + 1,
        ),
        (
            "(call $env_var_name_copy (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 3))"
                .into(),
            call(4) + 500 + 3,
        ),
        (
            format!("{set} (drop (call $env_var_name_exists {name}))"),
            3 + call(2) + 500 + 1,
        ),
        (
            format!("{set} (drop (call $env_var_value_size {name}))"),
            3 + call(2) + 500 + 1,
        ),
        (
            format!(
                "{set} (call $env_var_value_copy {name} (i32.const 0) (i32.const 0) (i32.const 5))"
            ),
            3 + call(5) + 500 + 5,
        ),
    ];
    let codes: Vec<_> = cases.iter().map(|(code, _)| code).collect();
    let settings = ic::CanisterSettings {
        environment_variables: Some(vec![ic::EnvironmentVariable {
            name: "name".into(),
            value: "value".into(),
        }]),
        ..Default::default()
    };
    let found = measure_with(&codes, settings);
    let expected: Vec<_> = cases.iter().map(|(_, cost)| *cost).collect();
    assert_eq!(found, expected);
}

/// What a message costs beyond an empty one, where reading the counter would not tell.
#[test]
fn answers_and_calls_cost_their_base_and_every_byte() {
    let mut net = Net::new();
    let mut paid = |kind: &str, code: &str| {
        let id = net.canister(&format!(
            "(table 1 funcref) (func $back (param i32)) (elem (i32.const 0) $back)
             (func (export \"canister_{kind} go\") {code})"
        ));
        let before = net.network.balance(&id).unwrap();
        let answer = net.call(id, "go", "");
        (before - net.network.balance(&id).unwrap(), answer.is_ok())
    };
    // Thirteen nodes take a cycle for an instruction.
    let (silent, answered) = paid("update", "");
    assert!(!answered);
    let cases = [
        ("(call $msg_reply)", call(0) + 500),
        (
            "(call $msg_reject (i32.const 0) (i32.const 20))",
            call(2) + 500 + 50 * 20,
        ),
        (
            // It is also printed.
            "(call $trap (i32.const 0) (i32.const 20))",
            call(2) + 500 + 20 + (2 + 50) * 20,
        ),
    ];
    for (code, cost) in cases {
        assert_eq!(paid("update", code).0, silent + u128::from(cost), "{code}");
    }
}

#[test]
fn stable_memory_costs_its_bytes_and_pages() {
    let grown = "(drop (call $stable64_grow (i64.const 1)))";
    let grow = call(1) + 100 + 1;
    let write = |offset: u32| {
        format!("(call $stable64_write (i64.const {offset}) (i64.const 0) (i64.const 10))")
    };
    let move_ten = call(3) + 20 + 10;
    let old_write = "(call $stable_write (i32.const 0) (i32.const 0) (i32.const 10))";
    let old_read = "(call $stable_read (i32.const 0) (i32.const 0) (i32.const 10))";
    let read = "(call $stable64_read (i64.const 0) (i64.const 0) (i64.const 10))";
    check(&[
        ("(drop (call $stable64_size))".to_owned(), call(0) + 1),
        ("(drop (call $stable_size))".to_owned(), call(0) + 1),
        (grown.to_owned(), grow),
        ("(drop (call $stable_grow (i32.const 0)))".to_owned(), grow),
        (format!("{grown}{}", write(0)), grow + move_ten + 1_000),
        (
            format!("{grown}{}{}", write(0), write(100)),
            grow + 2 * move_ten + 1_000,
        ),
        (format!("{grown}{}", write(4_090)), grow + move_ten + 2_000),
        (format!("{grown}{read}"), grow + move_ten),
        (format!("{grown}{old_write}"), grow + move_ten + 1_000),
        (format!("{grown}{old_read}"), grow + move_ten),
        (
            "(call $stable64_write (i64.const -1) (i64.const -1) (i64.const 0))".to_owned(),
            call(3) + 20,
        ),
    ]);
}

#[test]
fn every_heap_page_that_a_message_changes_is_paid_for_when_it_ends() {
    let mut net = Net::new();
    let write = |pages: usize| -> String {
        (0..pages)
            .map(|page| {
                format!(
                    "(i32.store (i32.const {}) (i32.const 1))",
                    page * 4_096 + 128
                )
            })
            .collect()
    };
    let mut paid = |code: String| {
        let id = net.canister(&format!(
            "(func (export \"canister_update go\") {code} (call $msg_reply))"
        ));
        let mut pay = || {
            let before = net.network.balance(&id).unwrap();
            net.call(id, "go", "").unwrap();
            before - net.network.balance(&id).unwrap()
        };
        (pay(), pay())
    };
    let (none, again) = paid(String::new());
    assert_eq!(none, again);
    let (first, again) = paid(write(3));
    assert_eq!(first, none + 3 * 3 + 3 * 1_000);
    assert_eq!(again, none + 3 * 3, "the pages hold the same as before");
}

#[test]
fn the_counter_of_a_call_context_goes_on_in_its_callbacks() {
    let mut net = Net::new();
    let body = crate::calls::RANDOM
        .replace(
            "(call $msg_reply_data_append (i32.const 1000) (call $arg))",
            "",
        )
        .replace(
            "(call $msg_reply))",
            "(call $reply32 (i32.sub (i32.const 0)
            (i32.sub (i32.wrap_i64 (call $performance_counter (i32.const 0)))
              (i32.wrap_i64 (call $performance_counter (i32.const 1)))))))",
        );
    let id = net.canister(&body);
    let first = u32::from_le_bytes(net.call(id, "draw", "").unwrap().try_into().unwrap());
    // call_new, call_data_append with 6 bytes and call_perform, with the operators around them.
    let calls = (1_500 + 8) + (500 + 300) + 5_000;
    assert!((calls..calls + 1_000).contains(&first), "{first}");
    assert_eq!(net.call(id, "draw", ""), Ok(n(first)));
}
