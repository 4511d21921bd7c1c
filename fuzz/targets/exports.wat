;; The entry points of a canister; what they do is made up.
(module
  (func $f)
  (export "canister_init" (func $f))
  (export "canister_pre_upgrade" (func $f))
  (export "canister_post_upgrade" (func $f))
  (export "canister_inspect_message" (func $f))
  (export "canister_heartbeat" (func $f))
  (export "canister_global_timer" (func $f))
  (export "canister_on_low_wasm_memory" (func $f))
  (export "canister_update one" (func $f))
  (export "canister_update two" (func $f))
  (export "canister_query three" (func $f))
  (export "canister_composite_query four" (func $f)))
