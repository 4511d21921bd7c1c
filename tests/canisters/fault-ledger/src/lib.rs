//! A test canister: a ledger by ICRC-1 and ICRC-2 that misbehaves call by call, as it is told.
//!
//! `script` says what becomes of the transfers to come, in their order; those beyond it are executed as they should be.
//! It knows a repeated transfer with a creation time for the same, and keeps everything on the heap.

#![expect(
    clippy::needless_pass_by_value,
    reason = "the interface passes arguments by value"
)]

mod book;
mod types;

use std::cell::{Cell, RefCell};

use candid::{Nat, Principal};
use ic_cdk::{api::msg_caller, call::Call, query, update};

use crate::{
    book::{Book, Order},
    types::{Account, AllowanceArgs, ApproveArgs, Conduct, Refusal, TransferArg, TransferFromArgs},
};

thread_local! {
    static BOOK: RefCell<Book> = RefCell::default();
    static HELD: Cell<bool> = const { Cell::new(false) };
}

fn with_book<R>(change: impl FnOnce(&mut Book) -> R) -> R {
    BOOK.with_borrow_mut(change)
}

/// What becomes of the transfers to come.
#[update]
fn script(conduct: Vec<Conduct>) {
    with_book(|book| book.script.extend(conduct));
}

/// What is left of the script.
#[query]
fn script_left() -> u64 {
    with_book(|book| book.script.len() as u64)
}

/// Lets transfers that are held up go on.
#[update]
fn release() {
    HELD.set(false);
}

/// Sets what a transfer costs.
#[update]
fn set_fee(fee: Nat) {
    with_book(|book| book.fee = fee);
}

/// Gives an account more.
#[update]
fn mint(to: Account, amount: Nat) {
    with_book(|book| book.give(&to, amount));
}

/// How many transfers were executed.
#[query]
fn executed() -> u64 {
    with_book(|book| book.blocks)
}

#[query]
fn icrc1_fee() -> Nat {
    with_book(|book| book.fee.clone())
}

#[query]
fn icrc1_balance_of(account: Account) -> Nat {
    with_book(|book| book.balance(&account))
}

#[query]
fn icrc2_allowance(args: AllowanceArgs) -> types::Allowance {
    let allowance = with_book(|book| book.allowance(&args.account, &args.spender));
    types::Allowance {
        allowance,
        expires_at: None,
    }
}

#[update]
fn icrc2_approve(args: ApproveArgs) -> Result<Nat, Refusal> {
    let from = Account {
        owner: msg_caller(),
        subaccount: args.from_subaccount,
    };
    with_book(|book| book.approve(&from, &args.spender, args.amount))
}

#[update]
async fn icrc1_transfer(args: TransferArg) -> Result<Nat, Refusal> {
    let from = Account {
        owner: msg_caller(),
        subaccount: args.from_subaccount,
    };
    let order = Order {
        spender: None,
        from,
        to: args.to,
        amount: args.amount,
        fee: args.fee,
        memo: args.memo,
        created_at_time: args.created_at_time,
    };
    answer(order).await
}

#[update]
async fn icrc2_transfer_from(args: TransferFromArgs) -> Result<Nat, Refusal> {
    let spender = Account {
        owner: msg_caller(),
        subaccount: args.spender_subaccount,
    };
    let order = Order {
        spender: Some(spender),
        from: args.from,
        to: args.to,
        amount: args.amount,
        fee: args.fee,
        memo: args.memo,
        created_at_time: args.created_at_time,
    };
    answer(order).await
}

/// Does what the script says next.
async fn answer(order: Order) -> Result<Nat, Refusal> {
    let now = ic_cdk::api::time();
    let execute = |order: &Order| with_book(|book| book.execute(order, now));
    match with_book(|book| book.script.pop_front()) {
        None | Some(Conduct::Execute) => execute(&order),
        Some(Conduct::Trap) => {
            // A trap undoes its own message: what was told is forgotten in one before it.
            yield_once().await;
            ic_cdk::trap("told to trap")
        }
        Some(Conduct::LoseReply) => {
            let _ = execute(&order);
            // What was done before the call stays, whatever comes after it.
            yield_once().await;
            ic_cdk::trap("told to lose the reply");
        }
        Some(Conduct::Hold) => {
            HELD.set(true);
            while HELD.get() {
                yield_once().await;
            }
            with_book(|book| book.execute(&order, ic_cdk::api::time()))
        }
        Some(Conduct::NameBlock(block)) => execute(&order).map(|_| Nat::from(block)),
        Some(Conduct::Refuse(refusal)) => Err(refusal),
    }
}

/// Lets the message end, and goes on in another.
async fn yield_once() {
    let own: Principal = ic_cdk::api::canister_self();
    // Whether the call succeeds does not matter.
    let _ = Call::unbounded_wait(own, "executed").await;
}
