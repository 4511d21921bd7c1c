//! Money that comes from a ledger and money that leaves: what happens when answers are lost, late or odd.
//!
//! A script is steps separated by `;`, for requesters 0 to 9:
//! - `in N AMOUNT`: cycles attached to a call; `from N AMOUNT`: out of the requester's account on the ledger;
//!   `out N AMOUNT WHERE` with WHERE `ledger` or `canister`. Amounts are millions.
//! - `T done`, `T duplicate`, `T refused`, `T fee F`, `T unknown`: the outcome of transfer T's newest call.
//! - `due`: calls that are made again; `resolve T yes|no`: a controller's word; `fee F`: the ledger tells its fee.
//! - `pass SECONDS`, `reopen`, `show`: transfers and sums.

use assay_jobs_core::{
    Move, Outcome, TransferCall,
    testing::{Fixture, Market, MemoryMarket, requester},
};
use assay_protocol::{
    Cycles, TransferId,
    money::{
        DepositFromArgs, Destination, LedgerAccount, TransferKind, TransferState, TransfersArgs,
        WithdrawArgs,
    },
};
use candid::Principal;
use expect_test::{Expect, expect};

pub(crate) const MILLION: u128 = 1_000_000;

/// A canister that cycles go to.
pub(crate) fn somewhere() -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 7, 1, 1])
}

struct Teller {
    market: MemoryMarket,
    told: String,
}

fn check(script: &str, expected: Expect) {
    let market = MemoryMarket::new(&Fixture::new(0, 0, 0), 0, 1);
    let told = String::new();
    let mut teller = Teller { market, told };
    for step in script.split(';').map(str::trim) {
        let words: Vec<&str> = step.split_whitespace().collect();
        if let Err(refused) = teller.step(&words) {
            teller.tell(&format!("{step}: {refused}"));
        }
        if let Err(what) = teller.market.check() {
            panic!("after {step}: {what}\n{}", teller.told);
        }
    }
    teller.show();
    teller.market.check_replay().expect("the log is the state");
    expected.assert_eq(&teller.told);
}

impl Teller {
    fn step(&mut self, words: &[&str]) -> Result<(), String> {
        let number = |i: usize| words[i].parse::<u64>().expect("a number");
        let cycles = |i: usize| Cycles(u128::from(number(i)) * MILLION);
        let now = self.market.now();
        match words[0] {
            "in" => self.market.deposit(requester(number(1) as u8), cycles(2)),
            "from" => {
                let at = self.market.at(requester(number(1) as u8));
                let args = DepositFromArgs {
                    amount: cycles(2),
                    from_subaccount: None,
                };
                let call = self.market.jobs.begin_deposit(&at, &args);
                let call = call.map_err(|error| error.to_string())?;
                self.tell_call(&call);
            }
            "out" => {
                let at = self.market.at(requester(number(1) as u8));
                let to = match words[3] {
                    "ledger" => Destination::Ledger(at.caller.into()),
                    _ => Destination::Canister(somewhere()),
                };
                let args = WithdrawArgs {
                    amount: cycles(2),
                    to,
                };
                let call = self.market.jobs.begin_withdrawal(&at, &args);
                let call = call.map_err(|error| error.to_string())?;
                self.tell_call(&call);
            }
            "fee" => self.market.jobs.set_ledger_fee(now, cycles(1)),
            "due" => {
                let calls = self.market.jobs.due_transfers(now, 100).calls;
                if calls.is_empty() {
                    self.tell("nothing is due");
                }
                for call in calls {
                    self.tell_call(&call);
                }
            }
            "resolve" => {
                let (id, happened) = (TransferId(number(1)), words[2] == "yes");
                let told = self.market.jobs.resolve_transfer(now, id, happened);
                told.map(drop).map_err(|error| error.to_string())?;
            }
            "pass" => self.market.stand_still(number(1) * 1_000_000_000),
            "reopen" => self.market.reopen(),
            "show" => self.show(),
            _ => {
                let outcome = match words[1] {
                    "done" => Outcome::Done { block: Some(77) },
                    "duplicate" => Outcome::Duplicate { block: Some(77) },
                    "refused" => Outcome::Refused("insufficient funds".into()),
                    "fee" => Outcome::BadFee {
                        expected: cycles(2),
                    },
                    _ => Outcome::Unknown("no answer".into()),
                };
                let id = TransferId(number(0));
                let view = self.market.jobs.settle_transfer(now, id, outcome);
                assert_eq!(Some(view), self.market.jobs.transfer(id));
            }
        }
        Ok(())
    }

    fn tell(&mut self, line: &str) {
        self.told.push_str(line);
        self.told.push('\n');
    }

    fn tell_call(&mut self, call: &TransferCall) {
        let id = call.transfer;
        let line = match &call.call {
            Move::Collect {
                amount,
                memo,
                created_at,
                ..
            } => format!("call {id}: collect {amount}, memo {memo:?}, made {created_at}"),
            Move::Send {
                amount,
                fee,
                memo,
                created_at,
                ..
            } => format!("call {id}: send {amount} for {fee}, memo {memo:?}, made {created_at}"),
            Move::Attach { amount, .. } => format!("call {id}: attach {amount}"),
        };
        self.tell(&line);
    }

    fn show(&mut self) {
        let page = self.market.jobs.transfers(&TransfersArgs {
            account: None,
            open: false,
            before: None,
            limit: 100,
        });
        for view in page.into_iter().rev() {
            let way = match view.kind {
                TransferKind::Deposit { .. } => "in",
                TransferKind::Withdrawal { .. } => "out",
            };
            let state = match view.state {
                TransferState::Done { block } => format!("done in {block:?}"),
                TransferState::Failed(why) => format!("failed: {why}"),
                state => format!("{state:?}"),
            };
            self.tell(&format!(
                "{} {way} {} + {}, {} tries: {state}",
                view.id, view.amount, view.fee, view.tries
            ));
        }
        let balances: Vec<String> = (0..3)
            .map(|i| self.market.balance(requester(i)).to_string())
            .collect();
        let stats = self.market.jobs.stats();
        self.tell(&format!(
            "in {}, out {}, on the way {}, on the ledger {}; balances {}",
            stats.deposited,
            stats.withdrawn,
            stats.withdrawing,
            stats.on_ledger,
            balances.join(", ")
        ));
    }
}

#[test]
fn a_deposit_is_credited_when_the_ledger_says_so_and_not_before() {
    check(
        "from 0 50; show; 1 done",
        expect![[r#"
        call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
        1 in 50_000_000 + 0, 1 tries: Pending
        in 0, out 0, on the way 0, on the ledger 0; balances 0, 0, 0
        1 in 50_000_000 + 0, 1 tries: done in Some(77)
        in 50_000_000, out 0, on the way 0, on the ledger 50_000_000; balances 50_000_000, 0, 0
    "#]],
    );
}

#[test]
fn a_withdrawal_leaves_the_balance_first_and_the_fee_with_it() {
    check(
        "fee 1; from 0 50; 1 done; out 0 20 ledger; show; 2 done",
        expect![[r#"
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            call 2: send 20_000_000 for 1_000_000, memo [0, 0, 0, 0, 0, 0, 0, 2], made 2023-11-14T22:13:20.000Z
            1 in 50_000_000 + 0, 1 tries: done in Some(77)
            2 out 20_000_000 + 1_000_000, 1 tries: Pending
            in 50_000_000, out 0, on the way 21_000_000, on the ledger 50_000_000; balances 29_000_000, 0, 0
            1 in 50_000_000 + 0, 1 tries: done in Some(77)
            2 out 20_000_000 + 1_000_000, 1 tries: done in Some(77)
            in 50_000_000, out 21_000_000, on the way 0, on the ledger 29_000_000; balances 29_000_000, 0, 0
        "#]],
    );
}

#[test]
fn a_refused_withdrawal_is_back_in_the_balance() {
    check(
        "fee 1; from 0 50; 1 done; out 0 20 ledger; 2 refused; in 0 30; out 0 30 canister; 3 refused",
        expect![[r#"
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            call 2: send 20_000_000 for 1_000_000, memo [0, 0, 0, 0, 0, 0, 0, 2], made 2023-11-14T22:13:20.000Z
            call 3: attach 30_000_000
            1 in 50_000_000 + 0, 1 tries: done in Some(77)
            2 out 20_000_000 + 1_000_000, 1 tries: failed: insufficient funds
            3 out 30_000_000 + 0, 1 tries: failed: insufficient funds
            in 80_000_000, out 0, on the way 0, on the ledger 50_000_000; balances 80_000_000, 0, 0
        "#]],
    );
}

#[test]
fn a_transfer_that_had_happened_already_is_done() {
    check(
        "fee 1; from 0 50; 1 unknown; pass 120; due; 1 duplicate; out 0 20 ledger; 2 unknown; pass 120; due; 2 duplicate",
        expect![[r#"
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            call 2: send 20_000_000 for 1_000_000, memo [0, 0, 0, 0, 0, 0, 0, 2], made 2023-11-14T22:15:20.000Z
            call 2: send 20_000_000 for 1_000_000, memo [0, 0, 0, 0, 0, 0, 0, 2], made 2023-11-14T22:15:20.000Z
            1 in 50_000_000 + 0, 2 tries: done in Some(77)
            2 out 20_000_000 + 1_000_000, 2 tries: done in Some(77)
            in 50_000_000, out 21_000_000, on the way 0, on the ledger 29_000_000; balances 29_000_000, 0, 0
        "#]],
    );
}

#[test]
fn a_refusal_after_a_lost_answer_proves_nothing() {
    // The first call may have emptied the account that the second one finds empty.
    check(
        "fee 1; from 0 50; 1 done; out 0 20 ledger; 2 unknown; pass 120; due; 2 refused; show; pass 240; due; 2 duplicate",
        expect![[r#"
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            call 2: send 20_000_000 for 1_000_000, memo [0, 0, 0, 0, 0, 0, 0, 2], made 2023-11-14T22:13:20.000Z
            call 2: send 20_000_000 for 1_000_000, memo [0, 0, 0, 0, 0, 0, 0, 2], made 2023-11-14T22:13:20.000Z
            1 in 50_000_000 + 0, 1 tries: done in Some(77)
            2 out 20_000_000 + 1_000_000, 2 tries: Pending
            in 50_000_000, out 0, on the way 21_000_000, on the ledger 50_000_000; balances 29_000_000, 0, 0
            call 2: send 20_000_000 for 1_000_000, memo [0, 0, 0, 0, 0, 0, 0, 2], made 2023-11-14T22:13:20.000Z
            1 in 50_000_000 + 0, 1 tries: done in Some(77)
            2 out 20_000_000 + 1_000_000, 3 tries: done in Some(77)
            in 50_000_000, out 21_000_000, on the way 0, on the ledger 29_000_000; balances 29_000_000, 0, 0
        "#]],
    );
}

#[test]
fn a_callback_that_traps_is_as_good_as_no_answer() {
    check(
        "fee 1; from 0 50; 1 done; out 0 20 ledger; reopen; pass 120; due; 2 refused; show; 2 done",
        expect![[r#"
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            call 2: send 20_000_000 for 1_000_000, memo [0, 0, 0, 0, 0, 0, 0, 2], made 2023-11-14T22:13:20.000Z
            call 2: send 20_000_000 for 1_000_000, memo [0, 0, 0, 0, 0, 0, 0, 2], made 2023-11-14T22:13:20.000Z
            1 in 50_000_000 + 0, 1 tries: done in Some(77)
            2 out 20_000_000 + 1_000_000, 2 tries: Pending
            in 50_000_000, out 0, on the way 21_000_000, on the ledger 50_000_000; balances 29_000_000, 0, 0
            1 in 50_000_000 + 0, 1 tries: done in Some(77)
            2 out 20_000_000 + 1_000_000, 2 tries: done in Some(77)
            in 50_000_000, out 21_000_000, on the way 0, on the ledger 29_000_000; balances 29_000_000, 0, 0
        "#]],
    );
}

#[test]
fn tries_come_ever_more_rarely_and_end_before_the_ledger_forgets() {
    check(
        "from 0 50; pass 119; due; pass 1; due; pass 239; due; pass 1; due; pass 480; due; pass 960; due; pass 1920; due; \
         pass 3599; due; pass 1; due; pass 75478; due; pass 1; due; pass 1; due",
        expect![[r#"
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            nothing is due
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            nothing is due
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            nothing is due
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            nothing is due
            nothing is due
            1 in 50_000_000 + 0, 8 tries: Quarantined
            in 0, out 0, on the way 0, on the ledger 0; balances 0, 0, 0
        "#]],
    );
}

#[test]
fn a_quarantined_transfer_ends_by_a_controllers_word_once_it_cannot_happen_any_more() {
    check(
        "fee 1; from 0 50; 1 done; out 0 20 ledger; from 0 30; resolve 2 no; pass 82800; due; resolve 2 no; resolve 9 yes; \
         resolve 3 yes; pass 7200; resolve 2 no; pass 1; resolve 2 no; resolve 2 no",
        expect![[r#"
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            call 2: send 20_000_000 for 1_000_000, memo [0, 0, 0, 0, 0, 0, 0, 2], made 2023-11-14T22:13:20.000Z
            call 3: collect 30_000_000, memo [0, 0, 0, 0, 0, 0, 0, 3], made 2023-11-14T22:13:20.000Z
            resolve 2 no: transfer 2 is not quarantined; see transfers
            nothing is due
            resolve 2 no: the transfer could still happen; look at the ledger again after 2023-11-15T23:13:20.000Z
            resolve 9 yes: no transfer 9
            resolve 2 no: the transfer could still happen; look at the ledger again after 2023-11-15T23:13:20.000Z
            resolve 2 no: transfer 2 is not quarantined; see transfers
            1 in 50_000_000 + 0, 1 tries: done in Some(77)
            2 out 20_000_000 + 1_000_000, 1 tries: failed: a controller found that it had not happened
            3 in 30_000_000 + 0, 1 tries: done in None
            in 80_000_000, out 0, on the way 0, on the ledger 80_000_000; balances 80_000_000, 0, 0
        "#]],
    );
}

#[test]
fn a_late_answer_ends_a_quarantined_transfer() {
    check(
        "fee 1; from 0 50; 1 done; out 0 20 ledger; from 0 30; pass 82800; due; 2 done; 3 refused",
        expect![[r#"
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            call 2: send 20_000_000 for 1_000_000, memo [0, 0, 0, 0, 0, 0, 0, 2], made 2023-11-14T22:13:20.000Z
            call 3: collect 30_000_000, memo [0, 0, 0, 0, 0, 0, 0, 3], made 2023-11-14T22:13:20.000Z
            nothing is due
            1 in 50_000_000 + 0, 1 tries: done in Some(77)
            2 out 20_000_000 + 1_000_000, 1 tries: done in Some(77)
            3 in 30_000_000 + 0, 1 tries: failed: insufficient funds
            in 50_000_000, out 21_000_000, on the way 0, on the ledger 29_000_000; balances 29_000_000, 0, 0
        "#]],
    );
}

#[test]
fn what_has_ended_stays_as_it_is() {
    check(
        "fee 1; from 0 50; 1 done; 1 done; 1 refused; 1 unknown; out 0 20 ledger; 2 refused; 2 done; 2 duplicate; 2 fee 3",
        expect![[r#"
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            call 2: send 20_000_000 for 1_000_000, memo [0, 0, 0, 0, 0, 0, 0, 2], made 2023-11-14T22:13:20.000Z
            1 in 50_000_000 + 0, 1 tries: done in Some(77)
            2 out 20_000_000 + 1_000_000, 1 tries: failed: insufficient funds
            in 50_000_000, out 0, on the way 0, on the ledger 50_000_000; balances 50_000_000, 0, 0
        "#]],
    );
}

#[test]
fn cycles_for_a_canister_are_attached_once_only() {
    check(
        "in 0 50; out 0 20 canister; pass 3600; due; pass 79200; due; show; 1 done; out 0 20 canister; 2 unknown; due",
        expect![[r#"
            call 1: attach 20_000_000
            nothing is due
            nothing is due
            1 out 20_000_000 + 0, 1 tries: Quarantined
            in 50_000_000, out 0, on the way 20_000_000, on the ledger 0; balances 30_000_000, 0, 0
            call 2: attach 20_000_000
            nothing is due
            1 out 20_000_000 + 0, 1 tries: done in Some(77)
            2 out 20_000_000 + 0, 1 tries: Quarantined
            in 50_000_000, out 20_000_000, on the way 20_000_000, on the ledger 0; balances 10_000_000, 0, 0
        "#]],
    );
}

#[test]
fn another_fee_ends_the_try_and_is_asked_next_time() {
    check(
        "fee 1; from 0 50; 1 done; out 0 20 ledger; 2 fee 2; out 0 20 ledger; 3 unknown; pass 120; due; 3 fee 5; show; 3 done",
        expect![[r#"
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            call 2: send 20_000_000 for 1_000_000, memo [0, 0, 0, 0, 0, 0, 0, 2], made 2023-11-14T22:13:20.000Z
            call 3: send 20_000_000 for 2_000_000, memo [0, 0, 0, 0, 0, 0, 0, 3], made 2023-11-14T22:13:20.000Z
            call 3: send 20_000_000 for 2_000_000, memo [0, 0, 0, 0, 0, 0, 0, 3], made 2023-11-14T22:13:20.000Z
            1 in 50_000_000 + 0, 1 tries: done in Some(77)
            2 out 20_000_000 + 1_000_000, 1 tries: failed: the ledger takes a fee of 2_000_000 cycles now; try again
            3 out 20_000_000 + 2_000_000, 2 tries: Pending
            in 50_000_000, out 0, on the way 22_000_000, on the ledger 50_000_000; balances 28_000_000, 0, 0
            1 in 50_000_000 + 0, 1 tries: done in Some(77)
            2 out 20_000_000 + 1_000_000, 1 tries: failed: the ledger takes a fee of 2_000_000 cycles now; try again
            3 out 20_000_000 + 2_000_000, 2 tries: done in Some(77)
            in 50_000_000, out 22_000_000, on the way 0, on the ledger 28_000_000; balances 28_000_000, 0, 0
        "#]],
    );
}

#[test]
fn money_leaves_only_from_where_it_lies() {
    check(
        "fee 1; from 0 50; 1 done; in 1 40; out 0 20 canister; 2 done; out 0 20 canister; 3 done; out 1 30 ledger; 4 done; \
         out 1 10 ledger; out 0 10 canister",
        expect![[r#"
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            call 2: attach 20_000_000
            call 3: attach 20_000_000
            call 4: send 30_000_000 for 1_000_000, memo [0, 0, 0, 0, 0, 0, 0, 4], made 2023-11-14T22:13:20.000Z
            out 1 10 ledger: the balance holds 9_000_000 cycles, 11_000_000 were asked for; deposit the rest
            out 0 10 canister: the market itself has 0 cycles, 10_000_000 were asked for; an account on the ledger as destination takes the rest
            1 in 50_000_000 + 0, 1 tries: done in Some(77)
            2 out 20_000_000 + 0, 1 tries: done in Some(77)
            3 out 20_000_000 + 0, 1 tries: done in Some(77)
            4 out 30_000_000 + 1_000_000, 1 tries: done in Some(77)
            in 90_000_000, out 71_000_000, on the way 0, on the ledger 19_000_000; balances 10_000_000, 9_000_000, 0
        "#]],
    );
    check(
        "fee 1; from 0 50; 1 done; in 1 90; out 0 20 ledger; out 1 29 ledger; out 1 28 ledger; out 0 29 canister; \
         out 1 61 canister",
        expect![[r#"
            call 1: collect 50_000_000, memo [0, 0, 0, 0, 0, 0, 0, 1], made 2023-11-14T22:13:20.000Z
            call 2: send 20_000_000 for 1_000_000, memo [0, 0, 0, 0, 0, 0, 0, 2], made 2023-11-14T22:13:20.000Z
            out 1 29 ledger: the market has 29_000_000 cycles on the ledger, 30_000_000 were asked for; a canister as destination takes the rest
            call 3: send 28_000_000 for 1_000_000, memo [0, 0, 0, 0, 0, 0, 0, 3], made 2023-11-14T22:13:20.000Z
            call 4: attach 29_000_000
            call 5: attach 61_000_000
            1 in 50_000_000 + 0, 1 tries: done in Some(77)
            2 out 20_000_000 + 1_000_000, 1 tries: Pending
            3 out 28_000_000 + 1_000_000, 1 tries: Pending
            4 out 29_000_000 + 0, 1 tries: Pending
            5 out 61_000_000 + 0, 1 tries: Pending
            in 140_000_000, out 0, on the way 140_000_000, on the ledger 50_000_000; balances 0, 0, 0
        "#]],
    );
}

#[test]
fn every_try_says_the_same() {
    let mut market = MemoryMarket::new(&Fixture::new(0, 0, 0), 0, 1);
    let now = market.now();
    market.jobs.set_ledger_fee(now, Cycles(MILLION));
    let at = market.at(requester(0));
    let args = DepositFromArgs {
        amount: Cycles(50 * MILLION),
        from_subaccount: Some([3; 32].to_vec().into()),
    };
    let first = market.jobs.begin_deposit(&at, &args).expect("begun");
    market.stand_still(120_000_000_000);
    // Neither another fee nor an upgrade changes what was begun.
    let now = market.now();
    market.jobs.set_ledger_fee(now, Cycles(2 * MILLION));
    market.reopen();
    assert_eq!(
        market.jobs.due_transfers(now, 9).calls,
        std::slice::from_ref(&first)
    );
    let Move::Collect { from, to, .. } = &first.call else {
        panic!("a deposit collects");
    };
    assert_eq!(from.owner, requester(0));
    assert_eq!(from.subaccount.as_ref().map(|bytes| bytes.len()), Some(32));
    let own: LedgerAccount = assay_jobs_core::testing::canister().into();
    assert_eq!(*to, own);

    let done = Outcome::Done { block: None };
    market.jobs.settle_transfer(now, first.transfer, done);
    let at = market.at(requester(0));
    let args = WithdrawArgs {
        amount: Cycles(20 * MILLION),
        to: Destination::Ledger(requester(1).into()),
    };
    let first = market.jobs.begin_withdrawal(&at, &args).expect("begun");
    market.stand_still(120_000_000_000);
    let now = market.now();
    market.jobs.set_ledger_fee(now, Cycles(3 * MILLION));
    assert_eq!(market.jobs.due_transfers(now, 9).calls, [first]);
}
