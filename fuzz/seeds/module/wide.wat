;; A memory with 64-bit addresses.
(module
  (import "ic0" "msg_reply" (func $msg_reply))
  (import "ic0" "msg_arg_data_size" (func $msg_arg_data_size (result i64)))
  (import "ic0" "msg_arg_data_copy" (func $msg_arg_data_copy (param i64 i64 i64)))
  (import "ic0" "msg_reply_data_append" (func $msg_reply_data_append (param i64 i64)))
  (memory i64 1)
  (func (export "canister_update echo")
    (drop (memory.grow (i64.const 1)))
    (call $msg_arg_data_copy (i64.const 65530) (i64.const 0) (call $msg_arg_data_size))
    (call $msg_reply_data_append (i64.const 65530) (call $msg_arg_data_size))
    (call $msg_reply)))
