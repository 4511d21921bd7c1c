//! Instructions are counted as the Internet Computer counts them.

use crate::harness::{Net, n};

/// Instructions between two readings of the counter, less those of reading it.
fn measure(code: &str) -> u32 {
    let body = |code: &str| {
        format!(
            r#"
            (table $t 10 funcref)
            (elem declare func $nothing)
            (func $nothing)
            (global $g (mut i32) (i32.const 0))
            (func (export "canister_query measure")
              (local $before i64)
              (local.set $before (call $performance_counter (i32.const 0)))
              {code}
              (call $reply32 (i32.wrap_i64 (i64.sub (call $performance_counter (i32.const 0)) (local.get $before)))))
            "#
        )
    };
    let mut net = Net::new();
    let mut run = |code: &str| {
        let id = net.canister(&body(code));
        let reply = net.query(id, "measure", "").unwrap();
        u32::from_le_bytes(*reply.last_chunk().unwrap())
    };
    run(code) - run("")
}

#[test]
fn operators_cost_what_is_published() {
    assert_eq!(measure("(drop (i32.const 1))"), 2);
    assert_eq!(measure("nop"), 1);
    assert_eq!(
        measure("(drop (i32.div_u (i32.const 6) (i32.const 2)))"),
        13
    );
    assert_eq!(measure("(global.set $g (i32.const 1))"), 3);
    assert_eq!(measure("(call $nothing)"), 5);
    assert_eq!(measure("(drop (ref.func $nothing))"), 131);
    assert_eq!(measure("(drop (f64.div (f64.const 6) (f64.const 2)))"), 8);
    assert_eq!(
        measure("(memory.fill (i32.const 0) (i32.const 0) (i32.const 1000))"),
        3 + 100 + 1_000
    );
    assert_eq!(measure("(block (br 0))"), 2);
}

#[test]
fn operators_above_the_engine_s_range_cost_what_is_published() {
    assert_eq!(measure("(drop (memory.grow (i32.const 0)))"), 302);
    assert_eq!(
        measure("(drop (table.grow $t (ref.null func) (i32.const 0)))"),
        303
    );
}

#[test]
fn calls_into_the_system_cost_their_base_and_bytes() {
    assert_eq!(measure("(drop (call $time))"), 5 + 500 + 1);
    assert_eq!(
        measure("(call $msg_reply_data_append (i32.const 0) (i32.const 10))"),
        2 + 5 + 500 + 500
    );
    assert_eq!(
        measure("(drop (call $is_controller (i32.const 0) (i32.const 1)))"),
        2 + 5 + 1_000 + 1 + 1
    );
    assert_eq!(
        measure("(drop (call $stable64_grow (i64.const 1)))"),
        1 + 5 + 100 + 1
    );
    let grown = "(drop (call $stable64_grow (i64.const 1)))";
    let write = |offset: u32| {
        format!("(call $stable64_write (i64.const {offset}) (i64.const 0) (i64.const 10))")
    };
    assert_eq!(
        measure(&format!("{grown}{}", write(0))),
        107 + 3 + 5 + 20 + 10 + 1_000
    );
    assert_eq!(
        measure(&format!("{grown}{}{}", write(0), write(100))),
        107 + 2 * 38 + 1_000,
        "one dirty page"
    );
    assert_eq!(
        measure(&format!("{grown}{}", write(4_090))),
        107 + 38 + 2_000,
        "over the edge of a page"
    );
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
