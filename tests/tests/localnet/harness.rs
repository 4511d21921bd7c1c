//! What the tests share: the probe canister, and calls to it.

use assay_tests::http::{self, Answer};
pub(crate) use assay_tests::networks;
use candid::{CandidType, Principal, decode_one, encode_args, encode_one, utils::ArgumentEncoder};
use pocket_ic::{PocketIc, RejectResponse, common::rest::RawMessageId};
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

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
    networks().with_application_subnet().build()
}

/// The server's host and port.
pub(crate) fn address(network: &PocketIc) -> String {
    let url = network.get_server_url();
    let port = url.port().expect("a server has a port of its own");
    format!("{}:{port}", url.host_str().expect("and a host"))
}

/// What comes of bytes that are sent to an instance.
pub(crate) fn post(network: &PocketIc, path: &str, body: &[u8]) -> Answer {
    let path = format!("/instances/{}/{path}", network.instance_id());
    http::ask(&address(network), "POST", "localhost", &path, &[], body)
}

/// The probe's module.
pub(crate) fn probe_wasm() -> Vec<u8> {
    assay_tests::module("probe")
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

/// Lets the probe call the management canister.
pub(crate) fn begin_managing(
    network: &PocketIc,
    probe: Principal,
    method: &str,
    arg: &impl CandidType,
) -> RawMessageId {
    let arg = ByteBuf::from(encode_one(arg).unwrap());
    let args = encode_args((method, arg)).unwrap();
    network
        .submit_call(probe, anybody(), "manage", args)
        .unwrap()
}

/// What the management canister has said to the probe: its reply, or code and text of its reject.
pub(crate) fn managed<T: CandidType + DeserializeOwned>(reply: &[u8]) -> Result<T, (u32, String)> {
    let told: Result<ByteBuf, (u32, String)> = decode_one(reply).unwrap();
    told.map(|reply| decode_one(&reply).unwrap())
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
