;; A start function, active and passive data, a table, and segments that are dropped.
(module
  (import "ic0" "msg_reply" (func $msg_reply))
  (import "ic0" "msg_reply_data_append" (func $msg_reply_data_append (param i32 i32)))
  (type $nothing (func))
  (table 4 funcref)
  (memory (export "mem") 1)
  (data (i32.const 16) "active")
  (data $later "passive")
  (elem (i32.const 1) $reply)
  (elem $others func $reply)
  (func $begin
    (i32.store (i32.const 0) (i32.const 7)))
  (start $begin)
  (func $reply
    (call $msg_reply))
  (func (export "canister_update call")
    (memory.init $later (i32.const 32) (i32.const 0) (i32.const 7))
    (data.drop $later)
    (elem.drop $others)
    (call $msg_reply_data_append (i32.const 0) (i32.const 64))
    (call_indirect (type $nothing) (i32.const 1)))
  (func (export "canister_query trap")
    (unreachable)))
