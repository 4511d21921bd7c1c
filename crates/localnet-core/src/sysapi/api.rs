//! The functions of the System API: name, where they may be called, and what a call costs in instructions.

use super::modes::{self, Modes};

/// One function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Api {
    /// Its name in `ic0`.
    pub(super) name: &'static str,
    /// Where it may be called.
    pub(super) modes: Modes,
    /// Instructions, before any byte and beside those of the call itself.
    pub(super) cost: u64,
}

macro_rules! functions {
    ($($constant:ident $name:literal $modes:ident $cost:literal;)*) => {
        $(pub(super) const $constant: Api = Api { name: $name, modes: modes::$modes, cost: $cost };)*

        /// All of them.
        #[cfg(test)]
        pub(super) const ALL: &[Api] = &[$($constant),*];
    };
}

functions! {
    MSG_ARG_DATA_SIZE "msg_arg_data_size" ARGUMENT 500;
    MSG_ARG_DATA_COPY "msg_arg_data_copy" ARGUMENT 500;
    MSG_CALLER_SIZE "msg_caller_size" ANY 500;
    MSG_CALLER_COPY "msg_caller_copy" ANY 500;
    MSG_CALLER_INFO_DATA_SIZE "msg_caller_info_data_size" CALLER_INFO 500;
    MSG_CALLER_INFO_DATA_COPY "msg_caller_info_data_copy" CALLER_INFO 500;
    MSG_CALLER_INFO_SIGNER_SIZE "msg_caller_info_signer_size" CALLER_INFO 500;
    MSG_CALLER_INFO_SIGNER_COPY "msg_caller_info_signer_copy" CALLER_INFO 500;
    MSG_REJECT_CODE "msg_reject_code" CALLBACK 500;
    MSG_REJECT_MSG_SIZE "msg_reject_msg_size" REJECTED 500;
    MSG_REJECT_MSG_COPY "msg_reject_msg_copy" REJECTED 500;
    MSG_DEADLINE "msg_deadline" DEADLINE 500;
    MSG_REPLY_DATA_APPEND "msg_reply_data_append" ANSWERING 500;
    MSG_REPLY "msg_reply" ANSWERING 500;
    MSG_REJECT "msg_reject" ANSWERING 500;
    MSG_CYCLES_AVAILABLE "msg_cycles_available" CYCLES_IN 500;
    MSG_CYCLES_AVAILABLE128 "msg_cycles_available128" CYCLES_IN 500;
    MSG_CYCLES_REFUNDED "msg_cycles_refunded" CYCLES_BACK 500;
    MSG_CYCLES_REFUNDED128 "msg_cycles_refunded128" CYCLES_BACK 500;
    MSG_CYCLES_ACCEPT "msg_cycles_accept" CYCLES_IN 500;
    MSG_CYCLES_ACCEPT128 "msg_cycles_accept128" CYCLES_IN 500;
    CYCLES_BURN128 "cycles_burn128" BURNING 500;
    CANISTER_SELF_SIZE "canister_self_size" ANY 500;
    CANISTER_SELF_COPY "canister_self_copy" ANY 500;
    CANISTER_CYCLE_BALANCE "canister_cycle_balance" ANY 500;
    CANISTER_CYCLE_BALANCE128 "canister_cycle_balance128" ANY 500;
    CANISTER_LIQUID_CYCLE_BALANCE128 "canister_liquid_cycle_balance128" ANY 500;
    CANISTER_STATUS "canister_status" ANY 500;
    CANISTER_VERSION "canister_version" ANY 500;
    SUBNET_SELF_SIZE "subnet_self_size" ANY 500;
    SUBNET_SELF_COPY "subnet_self_copy" ANY 500;
    SUBNET_SELF_NODE_COUNT "subnet_self_node_count" ANY 500;
    MSG_METHOD_NAME_SIZE "msg_method_name_size" INSPECTING 500;
    MSG_METHOD_NAME_COPY "msg_method_name_copy" INSPECTING 500;
    ACCEPT_MESSAGE "accept_message" INSPECTING 500;
    CALL_NEW "call_new" CALLING 1_500;
    CALL_ON_CLEANUP "call_on_cleanup" CALLING 500;
    CALL_DATA_APPEND "call_data_append" CALLING 500;
    CALL_WITH_BEST_EFFORT_RESPONSE "call_with_best_effort_response" CALLING 500;
    CALL_CYCLES_ADD "call_cycles_add" CYCLES_OUT 500;
    CALL_CYCLES_ADD128 "call_cycles_add128" CYCLES_OUT 500;
    CALL_PERFORM "call_perform" CALLING 5_000;
    STABLE_SIZE "stable_size" ALWAYS 0;
    STABLE_GROW "stable_grow" ALWAYS 100;
    STABLE_WRITE "stable_write" ALWAYS 20;
    STABLE_READ "stable_read" ALWAYS 20;
    STABLE64_SIZE "stable64_size" ALWAYS 0;
    STABLE64_GROW "stable64_grow" ALWAYS 100;
    STABLE64_WRITE "stable64_write" ALWAYS 20;
    STABLE64_READ "stable64_read" ALWAYS 20;
    ROOT_KEY_SIZE "root_key_size" BURNING 500;
    ROOT_KEY_COPY "root_key_copy" BURNING 500;
    CERTIFIED_DATA_SET "certified_data_set" CERTIFYING 500;
    DATA_CERTIFICATE_PRESENT "data_certificate_present" ANY 500;
    DATA_CERTIFICATE_SIZE "data_certificate_size" CERTIFICATE 500;
    DATA_CERTIFICATE_COPY "data_certificate_copy" CERTIFICATE 500;
    TIME "time" ANY 500;
    GLOBAL_TIMER_SET "global_timer_set" TIMING 500;
    PERFORMANCE_COUNTER "performance_counter" ALWAYS 200;
    IS_CONTROLLER "is_controller" ALWAYS 1_000;
    IN_REPLICATED_EXECUTION "in_replicated_execution" ALWAYS 500;
    COST_CALL "cost_call" ALWAYS 500;
    COST_CREATE_CANISTER "cost_create_canister" ALWAYS 500;
    COST_HTTP_REQUEST "cost_http_request" ALWAYS 500;
    COST_HTTP_REQUEST_V2 "cost_http_request_v2" ALWAYS 10_000;
    COST_SIGN_WITH_ECDSA "cost_sign_with_ecdsa" ALWAYS 500;
    COST_SIGN_WITH_SCHNORR "cost_sign_with_schnorr" ALWAYS 500;
    COST_VETKD_DERIVE_KEY "cost_vetkd_derive_key" ALWAYS 500;
    ENV_VAR_COUNT "env_var_count" ANY 500;
    ENV_VAR_NAME_SIZE "env_var_name_size" ANY 500;
    ENV_VAR_NAME_COPY "env_var_name_copy" ANY 500;
    ENV_VAR_NAME_EXISTS "env_var_name_exists" ANY 500;
    ENV_VAR_VALUE_SIZE "env_var_value_size" ANY 500;
    ENV_VAR_VALUE_COPY "env_var_value_copy" ANY 500;
    DEBUG_PRINT "debug_print" ALWAYS 100;
    TRAP "trap" ALWAYS 500;
}

/// Instructions per byte of a payload that leaves the canister.
pub(super) const PAYLOAD_BYTE: u64 = 50;
/// Instructions per OS page that a message writes for the first time.
pub(crate) const DIRTY_PAGE: u64 = 1_000;
/// How much more a page costs in the heap of a module with a 64-bit memory.
pub(crate) const WASM64_DIRTY_PAGE_FACTOR: u64 = 4;
