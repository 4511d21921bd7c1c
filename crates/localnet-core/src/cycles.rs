//! What things cost, in cycles: the Internet Computer's published fees for a subnet of 13 nodes.

use crate::limits;

/// Creating a canister.
pub const CREATE_CANISTER: u128 = 500_000_000_000;
/// Executing a message, before any instruction.
pub const EXECUTE: u128 = 5_000_000;
/// One instruction.
pub const INSTRUCTION: u128 = 1;
/// A call to another canister.
pub const CALL: u128 = 260_000;
/// One byte of a call or of its answer.
pub const CALL_BYTE: u128 = 1_000;
/// An ingress message.
pub const INGRESS: u128 = 1_200_000;
/// One byte of an ingress message.
pub const INGRESS_BYTE: u128 = 2_000;
/// A GiB of memory for a second.
pub const GIB_SECOND: u128 = 127_000;
/// Nodes of the subnet that the fees are for.
pub const NODES: u32 = 13;
/// What `provisional_create_canister_with_cycles` gives where no amount is asked for.
pub const PROVISIONAL: u128 = 100_000_000_000_000;
/// Signing with a production key.
const SIGN_PRODUCTION: u128 = 26_153_846_153;
/// Signing with a test key.
const SIGN_TEST: u128 = 10_000_000_000;

/// Executing so many instructions.
pub fn execution(instructions: u64) -> u128 {
    EXECUTE + INSTRUCTION * u128::from(instructions)
}

/// Sending a call of so many bytes.
pub fn call(bytes: u64) -> u128 {
    CALL + CALL_BYTE * u128::from(bytes)
}

/// Sending an answer of so many bytes; the caller pays it.
pub fn answer(bytes: u64) -> u128 {
    CALL_BYTE * u128::from(bytes)
}

/// Set aside when a call is made, for the longest answer and its callback; what is not used comes back.
pub fn callback_prepaid() -> u128 {
    execution(limits::UPDATE_INSTRUCTIONS_MAX) + answer(limits::REPLY_BYTES_MAX as u64)
}

/// All that a call takes from the balance when it is made.
pub fn call_with_prepaid(bytes: u64) -> u128 {
    call(bytes) + callback_prepaid()
}

/// Taking in an ingress message of so many bytes.
pub fn ingress(bytes: u64) -> u128 {
    INGRESS + INGRESS_BYTE * u128::from(bytes)
}

/// Holding so much memory for so long.
pub fn storage(bytes: u64, seconds: u64) -> u128 {
    (u128::from(bytes) * GIB_SECOND).saturating_mul(u128::from(seconds)) >> 30
}

/// An HTTPS outcall.
pub fn http_request(request: u64, response_max: u64) -> u128 {
    let nodes = u128::from(NODES);
    let bytes = 400 * u128::from(request) + 800 * u128::from(response_max);
    (3_000_000 + 60_000 * nodes + bytes) * nodes
}

/// A threshold signature or key by the key of this name, where there is such a key on the Internet Computer.
pub fn threshold_signature(key: &str) -> Option<u128> {
    match key {
        "key_1" => Some(SIGN_PRODUCTION),
        "test_key_1" | "dfx_test_key" => Some(SIGN_TEST),
        _ => None,
    }
}
