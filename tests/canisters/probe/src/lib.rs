//! A test canister: it does one thing of each kind that a network must be able to do, when it is told to.
//!
//! It keeps one number. The number survives upgrades, through stable memory, and nothing else does.

#![expect(
    clippy::needless_pass_by_value,
    reason = "the interface passes arguments by value"
)]

mod calls;
mod outcalls;

use std::{cell::Cell, time::Duration};

use candid::Principal;
use serde_bytes::ByteBuf;

thread_local! {
    static NUMBER: Cell<u64> = const { Cell::new(0) };
    static RUNS: Cell<u64> = const { Cell::new(0) };
}

/// Bytes of a page of stable memory.
const PAGE_BYTES: u64 = 65_536;

pub(crate) fn number() -> u64 {
    NUMBER.with(Cell::get)
}

pub(crate) fn set_number(number: u64) {
    NUMBER.with(|cell| cell.set(number));
}

#[ic_cdk::init]
fn init(number: Option<u64>) {
    set_number(number.unwrap_or_default());
}

#[ic_cdk::pre_upgrade]
fn pre_upgrade() {
    if ic_cdk::stable::stable_size() == 0 {
        ic_cdk::stable::stable_grow(1).expect("stable memory can grow");
    }
    ic_cdk::stable::stable_write(0, &number().to_le_bytes());
}

#[ic_cdk::post_upgrade]
fn post_upgrade(number: Option<u64>) {
    let mut bytes = [0; 8];
    ic_cdk::stable::stable_read(0, &mut bytes);
    set_number(number.unwrap_or_else(|| u64::from_le_bytes(bytes)));
}

/// Lets every message in but one.
#[ic_cdk::inspect_message]
fn inspect_message() {
    if ic_cdk::api::msg_method_name() != "unwelcome" {
        ic_cdk::api::accept_message();
    }
}

#[ic_cdk::update]
fn unwelcome() {}

#[ic_cdk::query]
fn read() -> u64 {
    number()
}

#[ic_cdk::update]
fn add(more: u64) -> u64 {
    set_number(number() + more);
    number()
}

/// Adds in a query: nobody may ever see it.
#[ic_cdk::query]
fn add_in_vain(more: u64) -> u64 {
    set_number(number() + more);
    number()
}

#[ic_cdk::update]
fn trap_after_adding(more: u64, why: String) {
    set_number(number() + more);
    ic_cdk::trap(why);
}

#[ic_cdk::query]
fn trap_in_query(why: String) {
    ic_cdk::trap(why);
}

#[ic_cdk::update(manual_reply = true)]
fn reject(why: String) {
    ic_cdk::api::msg_reject(why);
}

/// Ends without an answer.
#[ic_cdk::update(manual_reply = true)]
fn say_nothing() {}

#[ic_cdk::update]
fn loop_forever() -> u64 {
    let mut number = 0u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
    }
}

#[ic_cdk::query]
fn caller() -> Principal {
    ic_cdk::api::msg_caller()
}

#[ic_cdk::query]
fn time() -> u64 {
    ic_cdk::api::time()
}

#[ic_cdk::query]
fn version() -> u64 {
    ic_cdk::api::canister_version()
}

#[ic_cdk::query]
fn instructions() -> u64 {
    ic_cdk::api::performance_counter(0)
}

#[ic_cdk::query]
fn is_controller(who: Principal) -> bool {
    ic_cdk::api::is_controller(&who)
}

#[ic_cdk::update]
fn print(line: String) {
    ic_cdk::api::debug_print(line);
}

#[ic_cdk::update]
fn certify(data: ByteBuf) {
    ic_cdk::api::certified_data_set(data);
}

#[ic_cdk::query]
fn certificate() -> Option<ByteBuf> {
    ic_cdk::api::data_certificate().map(ByteBuf::from)
}

/// Counts one run after so many seconds.
#[ic_cdk::update]
fn run_later(seconds: u64) {
    ic_cdk_timers::set_timer(Duration::from_secs(seconds), async {
        RUNS.with(|runs| runs.set(runs.get() + 1));
    });
}

/// Counts one run every so many seconds.
#[ic_cdk::update]
fn run_often(seconds: u64) {
    ic_cdk_timers::set_timer_interval(Duration::from_secs(seconds), async || {
        RUNS.with(|runs| runs.set(runs.get() + 1));
    });
}

#[ic_cdk::query]
fn runs() -> u64 {
    RUNS.with(Cell::get)
}

/// Writes into stable memory, which grows as far as needed.
#[ic_cdk::update]
fn stable_write(offset: u64, bytes: ByteBuf) {
    let end = offset + bytes.len() as u64;
    let pages = ic_cdk::stable::stable_size();
    if pages * PAGE_BYTES < end {
        ic_cdk::stable::stable_grow(end.div_ceil(PAGE_BYTES) - pages)
            .expect("stable memory can grow");
    }
    ic_cdk::stable::stable_write(offset, &bytes);
}

#[ic_cdk::query]
fn stable_read(offset: u64, length: u64) -> ByteBuf {
    let mut bytes = vec![0; usize::try_from(length).expect("lengths fit")];
    ic_cdk::stable::stable_read(offset, &mut bytes);
    bytes.into()
}

#[ic_cdk::query]
fn balance() -> u128 {
    ic_cdk::api::canister_cycle_balance()
}
