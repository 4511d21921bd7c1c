//! What the tests share: networks, the probe canister, and calls to it.
//!
//! Nothing here knows which server answers. `cargo xtask test` names ours through `POCKET_IC_BIN`; with that variable
//! at DFINITY's server (version 16.1) the same tests run there.

use std::path::PathBuf;

use candid::{CandidType, Principal, decode_one, encode_args, encode_one, utils::ArgumentEncoder};
use pocket_ic::{PocketIc, PocketIcBuilder, RejectResponse};
use serde::de::DeserializeOwned;

/// What a canister starts with.
pub(crate) const CYCLES: u128 = 100_000_000_000_000;

/// Who calls where it does not matter.
pub(crate) fn anybody() -> Principal {
    Principal::anonymous()
}

/// A user.
pub(crate) fn user(number: u8) -> Principal {
    Principal::self_authenticating([number; 32])
}

/// A network of one application subnet.
pub(crate) fn network() -> PocketIc {
    check_server();
    PocketIcBuilder::new().with_application_subnet().build()
}

/// A network to be described.
pub(crate) fn networks() -> PocketIcBuilder {
    check_server();
    PocketIcBuilder::new()
}

/// Without it the client would try to download a server.
fn check_server() {
    assert!(
        std::env::var_os("POCKET_IC_BIN").is_some(),
        "POCKET_IC_BIN is not set; run cargo xtask test, or name assay-localnet or DFINITY's PocketIC server there"
    );
}

/// The probe's module.
pub(crate) fn probe_wasm() -> Vec<u8> {
    let folder = std::env::var_os("ASSAY_WASM_DIR")
        .expect("ASSAY_WASM_DIR is not set; build the canisters with cargo xtask wasm and name their folder");
    let path = PathBuf::from(folder).join("probe.wasm");
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; build it with cargo xtask wasm",
            path.display()
        )
    })
}

/// A module from its text.
pub(crate) fn module(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// A new canister with the probe in it.
pub(crate) fn probe(network: &PocketIc) -> Principal {
    let id = network.create_canister();
    network.install_canister(id, probe_wasm(), number(0), None);
    id
}

/// The probe on a particular subnet.
pub(crate) fn probe_on(network: &PocketIc, subnet: Principal) -> Principal {
    let id = network.create_canister_on_subnet(None, None, subnet);
    network.install_canister(id, probe_wasm(), number(0), None);
    id
}

/// The probe's argument at installation.
pub(crate) fn number(number: u64) -> Vec<u8> {
    encode_one(Some(number)).unwrap()
}

/// The probe's argument at an upgrade that keeps its number.
pub(crate) fn keep() -> Vec<u8> {
    encode_one(None::<u64>).unwrap()
}

/// What an update replies.
pub(crate) fn update<T: CandidType + DeserializeOwned>(
    network: &PocketIc,
    canister: Principal,
    method: &str,
    args: impl ArgumentEncoder,
) -> Result<T, RejectResponse> {
    let arg = encode_args(args).unwrap();
    network
        .update_call(canister, anybody(), method, arg)
        .map(|reply| decode_one(&reply).unwrap())
}

/// An update that replies nothing.
pub(crate) fn tell(
    network: &PocketIc,
    canister: Principal,
    method: &str,
    args: impl ArgumentEncoder,
) -> Result<(), RejectResponse> {
    let arg = encode_args(args).unwrap();
    network
        .update_call(canister, anybody(), method, arg)
        .map(|_| ())
}

/// What a query replies.
pub(crate) fn query<T: CandidType + DeserializeOwned>(
    network: &PocketIc,
    canister: Principal,
    method: &str,
    args: impl ArgumentEncoder,
) -> Result<T, RejectResponse> {
    let arg = encode_args(args).unwrap();
    network
        .query_call(canister, anybody(), method, arg)
        .map(|reply| decode_one(&reply).unwrap())
}

/// The probe's number.
pub(crate) fn read(network: &PocketIc, canister: Principal) -> u64 {
    query(network, canister, "read", ()).unwrap()
}

/// The codes and the text of a refusal.
#[track_caller]
pub(crate) fn refused<T>(
    result: Result<T, RejectResponse>,
    reject: pocket_ic::RejectCode,
    error: pocket_ic::ErrorCode,
    text: &str,
) -> RejectResponse {
    let refusal = result.err().expect("a refusal");
    assert_eq!(
        (refusal.reject_code, refusal.error_code),
        (reject, error),
        "{refusal:?}"
    );
    assert!(refusal.reject_message.contains(text), "{refusal:?}");
    refusal
}
