//! Calls to other canisters, and cycles that go with them.

use candid::{Encode, Principal};
use ic_cdk::call::Call;
use serde_bytes::ByteBuf;

use crate::{number, set_number};

/// Lets another probe add, and says what came of it.
#[ic_cdk::update]
async fn add_there(other: Principal, more: u64) -> Result<u64, String> {
    Call::unbounded_wait(other, "add")
        .with_arg(more)
        .await
        .map_err(|error| error.to_string())?
        .candid()
        .map_err(|error| error.to_string())
}

/// The same, but it gives up waiting after a while.
#[ic_cdk::update]
async fn add_there_soon(other: Principal, more: u64) -> Result<u64, String> {
    Call::bounded_wait(other, "add")
        .with_arg(more)
        .await
        .map_err(|error| error.to_string())?
        .candid()
        .map_err(|error| error.to_string())
}

/// Adds one before a call and a thousand after it, and traps.
#[ic_cdk::update]
async fn trap_after_call(other: Principal) {
    set_number(number() + 1);
    let _ = Call::unbounded_wait(other, "add").with_arg(0u64).await;
    set_number(number() + 1000);
    ic_cdk::trap("after the call");
}

/// The sum of the numbers of other probes.
#[ic_cdk::query(composite = true)]
async fn sum(others: Vec<Principal>) -> u64 {
    let mut sum = number();
    for other in others {
        let reply = Call::unbounded_wait(other, "read")
            .await
            .expect("probes answer");
        sum += reply.candid::<u64>().expect("with a number");
    }
    sum
}

/// Takes all cycles that came along.
#[ic_cdk::update]
fn accept_cycles() -> u128 {
    ic_cdk::api::msg_cycles_accept(ic_cdk::api::msg_cycles_available())
}

/// Takes none of them.
#[ic_cdk::update]
fn refuse_cycles() -> u128 {
    ic_cdk::api::msg_cycles_available()
}

/// Sends cycles to a method of another canister.
#[ic_cdk::update]
async fn send_cycles(other: Principal, method: String, cycles: u128) -> Result<u128, String> {
    Call::unbounded_wait(other, &method)
        .with_cycles(cycles)
        .await
        .map_err(|error| error.to_string())?
        .candid()
        .map_err(|error| error.to_string())
}

/// Gives cycles to a canister through the management canister.
#[ic_cdk::update]
async fn deposit(canister_id: Principal, cycles: u128) -> Result<(), String> {
    #[derive(candid::CandidType)]
    struct Args {
        canister_id: Principal,
    }
    let arg = Encode!(&Args { canister_id }).expect("an id can be encoded");
    Call::unbounded_wait(Principal::management_canister(), "deposit_cycles")
        .take_raw_args(arg)
        .with_cycles(cycles)
        .await
        .map(|_| ())
        .map_err(|error| error.to_string())
}

#[ic_cdk::update]
async fn random() -> ByteBuf {
    let reply = Call::unbounded_wait(Principal::management_canister(), "raw_rand").await;
    reply
        .expect("random bytes can be had")
        .candid()
        .expect("as bytes")
}
