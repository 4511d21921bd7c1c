//! A ledger that traps, loses answers, answers late, lies and refuses: nothing is lost, and nothing is paid twice.

use assay_jobs_core::testing::{requester, stranger};
use assay_protocol::{
    Cycles, TransferId, limits,
    money::{Destination, LedgerAccount, MoneyError, TransferState, TransferView, WithdrawArgs},
};
use candid::{CandidType, Nat, encode_one};

use super::{Bank, FEE, TRILLION, to_ledger};
use crate::chain::admin;

/// What becomes of one transfer; the ledger has more kinds.
#[derive(Clone, Debug, CandidType)]
enum Conduct {
    Execute,
    Trap,
    LoseReply,
    Hold,
    NameBlock(u64),
    Refuse(Refusal),
}

#[derive(Clone, Debug, CandidType)]
enum Refusal {
    BadFee { expected_fee: Nat },
    InsufficientFunds { balance: Nat },
    TemporarilyUnavailable,
}

/// A bank whose requester 0 has four trillion cycles on deposit.
fn bank(seed: u64) -> Bank {
    let mut bank = Bank::scripted(seed);
    bank.approve(4 * TRILLION);
    let done = bank.deposit(4 * TRILLION).unwrap();
    assert!(matches!(done.state, TransferState::Done { .. }));
    bank
}

impl Bank {
    fn script(&mut self, conduct: &[Conduct]) {
        let ledger = self.ledger;
        let _: () = self.chain.update(admin(), ledger, "script", (conduct,));
    }

    fn executed(&mut self) -> u64 {
        let ledger = self.ledger;
        self.chain.query(admin(), ledger, "executed", ())
    }

    fn received(&mut self) -> u128 {
        let Destination::Ledger(account) = to_ledger() else {
            unreachable!("it is an account");
        };
        self.on_ledger(account)
    }

    /// Lets the time of the next try come.
    fn wait(&mut self) {
        self.chain.pass(limits::TRANSFER_RETRY_SECONDS + 95);
    }

    fn resolve(&mut self, id: TransferId, happened: bool) -> Result<TransferView, MoneyError> {
        let jobs = self.chain.jobs;
        self.chain
            .update(admin(), jobs, "resolve_transfer", (id, happened))
    }
}

#[test]
fn a_lost_answer_is_asked_for_again_and_nothing_is_paid_twice() {
    let mut bank = bank(1);
    let before = bank.executed();
    bank.script(&[Conduct::LoseReply]);
    let sent = bank.withdraw(TRILLION, to_ledger()).unwrap();
    assert_eq!(sent.state, TransferState::Pending);
    assert_eq!(bank.received(), TRILLION, "it happened unheard of");
    assert_eq!(bank.balance(), 3 * TRILLION - FEE);
    bank.wait();
    let sent = bank.transfer(sent.id);
    assert!(matches!(sent.state, TransferState::Done { block: Some(_) }));
    assert_eq!(sent.tries, 2);
    assert_eq!((bank.received(), bank.executed()), (TRILLION, before + 1));
    bank.check();
}

#[test]
fn a_lost_answer_of_a_deposit_is_credited_once() {
    let mut bank = bank(2);
    bank.approve(TRILLION);
    bank.script(&[Conduct::LoseReply, Conduct::Trap]);
    let sent = bank.deposit(TRILLION).unwrap();
    assert_eq!(sent.state, TransferState::Pending);
    assert_eq!(bank.balance(), 4 * TRILLION, "nothing is credited before");
    bank.wait();
    assert_eq!(bank.transfer(sent.id).state, TransferState::Pending);
    bank.chain.pass(2 * limits::TRANSFER_RETRY_SECONDS + 95);
    let sent = bank.transfer(sent.id);
    assert!(matches!(sent.state, TransferState::Done { .. }), "{sent:?}");
    assert_eq!(bank.balance(), 5 * TRILLION);
    bank.check();
}

#[test]
fn a_trap_moves_nothing_and_is_tried_again() {
    let mut bank = bank(3);
    bank.script(&[Conduct::Trap]);
    let sent = bank.withdraw(TRILLION, to_ledger()).unwrap();
    assert_eq!(sent.state, TransferState::Pending);
    assert_eq!(bank.received(), 0);
    bank.wait();
    assert!(matches!(
        bank.transfer(sent.id).state,
        TransferState::Done { .. }
    ));
    assert_eq!(bank.received(), TRILLION);
    bank.check();
}

#[test]
fn a_ledger_out_of_cycles_moves_nothing_and_what_is_in_doubt_waits_for_it() {
    let mut bank = bank(11);
    bank.approve(TRILLION);
    bank.script(&[Conduct::LoseReply]);
    let doubtful = bank.withdraw(TRILLION, to_ledger()).unwrap();
    assert_eq!(doubtful.state, TransferState::Pending);
    let (ledger, balance) = (bank.ledger, bank.balance());

    bank.chain.spare(ledger, Some(0));
    let refused = [
        bank.withdraw(TRILLION, to_ledger()).unwrap(),
        bank.deposit(TRILLION).unwrap(),
    ];
    for TransferView { state, .. } in refused {
        assert!(
            matches!(&state, TransferState::Failed(why) if why.contains("out of cycles")),
            "{state:?}"
        );
    }
    assert_eq!(bank.balance(), balance);
    bank.wait();
    let waiting = bank.transfer(doubtful.id);
    assert_eq!((waiting.state, waiting.tries), (TransferState::Pending, 2));

    bank.chain.spare(ledger, None);
    bank.chain.pass(2 * limits::TRANSFER_RETRY_SECONDS + 95);
    let done = bank.transfer(doubtful.id);
    assert!(matches!(done.state, TransferState::Done { .. }), "{done:?}");
    assert_eq!(bank.received(), TRILLION);
    let sent = bank.withdraw(TRILLION, to_ledger()).unwrap();
    assert!(matches!(sent.state, TransferState::Done { .. }), "{sent:?}");
    bank.check();
}

#[test]
fn a_refusal_gives_the_money_back_unless_an_earlier_try_is_in_doubt() {
    let mut bank = bank(4);
    let unavailable = || Conduct::Refuse(Refusal::TemporarilyUnavailable);
    bank.script(&[unavailable()]);
    let sent = bank.withdraw(TRILLION, to_ledger()).unwrap();
    assert!(matches!(sent.state, TransferState::Failed(_)), "{sent:?}");
    assert_eq!(bank.balance(), 4 * TRILLION);

    let poor = Refusal::InsufficientFunds {
        balance: Nat::from(0u8),
    };
    bank.script(&[Conduct::LoseReply, Conduct::Refuse(poor)]);
    let sent = bank.withdraw(TRILLION, to_ledger()).unwrap();
    bank.wait();
    assert_eq!(bank.transfer(sent.id).state, TransferState::Pending);
    assert_eq!(bank.balance(), 3 * TRILLION - FEE, "it is not given back");
    bank.chain.pass(2 * limits::TRANSFER_RETRY_SECONDS + 95);
    assert!(matches!(
        bank.transfer(sent.id).state,
        TransferState::Done { .. }
    ));
    assert_eq!(bank.received(), TRILLION);
    bank.check();
}

#[test]
fn an_answer_that_comes_too_late_changes_nothing_that_the_next_try_does_not_tell() {
    let mut bank = bank(5);
    bank.script(&[Conduct::Hold]);
    let args = WithdrawArgs {
        amount: Cycles(TRILLION),
        to: to_ledger(),
    };
    let (jobs, before) = (bank.chain.jobs, bank.executed());
    let arg = encode_one(args).unwrap();
    let network = bank.chain.network();
    let call = network.submit_call(jobs, requester(0), "withdraw", arg);
    let call = call.unwrap();
    bank.chain.pass(u64::from(limits::LEDGER_WAIT_SECONDS) + 5);
    let reply = bank.chain.network().await_call(call).unwrap();
    let told: Result<TransferView, MoneyError> = candid::decode_one(&reply).unwrap();
    let sent = told.unwrap();
    assert_eq!(sent.state, TransferState::Pending);
    assert_eq!(bank.received(), 0);

    let ledger = bank.ledger;
    let _: () = bank.chain.update(admin(), ledger, "release", ());
    bank.chain.rest();
    assert_eq!(bank.received(), TRILLION, "it happened after all");
    assert_eq!(bank.transfer(sent.id).state, TransferState::Pending);
    bank.wait();
    assert!(matches!(
        bank.transfer(sent.id).state,
        TransferState::Done { .. }
    ));
    assert_eq!((bank.received(), bank.executed()), (TRILLION, before + 1));
    bank.check();
}

#[test]
fn an_upgrade_between_a_lost_answer_and_the_next_try_loses_nothing() {
    let mut bank = bank(6);
    bank.script(&[Conduct::LoseReply]);
    let sent = bank.withdraw(TRILLION, to_ledger()).unwrap();
    let jobs = bank.chain.jobs;
    let keep = encode_one(None::<()>).unwrap();
    bank.chain.upgrade(jobs, "jobs", &keep).unwrap();
    assert_eq!(bank.transfer(sent.id), sent);
    bank.wait();
    assert!(matches!(
        bank.transfer(sent.id).state,
        TransferState::Done { .. }
    ));
    assert_eq!(bank.received(), TRILLION);
    bank.check();
}

#[test]
fn two_withdrawals_in_one_round_cannot_both_have_the_same_money() {
    let mut bank = bank(7);
    let args = WithdrawArgs {
        amount: Cycles(3 * TRILLION),
        to: to_ledger(),
    };
    let (jobs, arg) = (bank.chain.jobs, encode_one(args).unwrap());
    let network = bank.chain.network();
    let calls: Vec<_> = (0..2)
        .map(|_| network.submit_call(jobs, requester(0), "withdraw", arg.clone()))
        .collect();
    let mut outcomes = Vec::new();
    for call in calls {
        let reply = bank.chain.network().await_call(call.unwrap()).unwrap();
        let told: Result<TransferView, MoneyError> = candid::decode_one(&reply).unwrap();
        outcomes.push(told);
    }
    let refused = |told: &&Result<_, _>| matches!(told, Err(MoneyError::InsufficientFunds { .. }));
    assert_eq!(outcomes.iter().filter(refused).count(), 1, "{outcomes:?}");
    assert_eq!(bank.received(), 3 * TRILLION);
    bank.check();
}

#[test]
fn another_fee_and_another_block_do_no_harm() {
    let mut bank = bank(8);
    bank.script(&[Conduct::NameBlock(u64::MAX), Conduct::Execute]);
    let sent = bank.withdraw(TRILLION, to_ledger()).unwrap();
    let block = Some(u64::MAX);
    assert_eq!(sent.state, TransferState::Done { block });

    let (ledger, dear) = (bank.ledger, 2 * FEE);
    let sent = bank.withdraw(TRILLION / 2, to_ledger()).unwrap();
    assert!(matches!(sent.state, TransferState::Done { .. }));
    let _: () = bank
        .chain
        .update(admin(), ledger, "set_fee", (Nat::from(dear),));
    let balance = bank.balance();
    let failed = bank.withdraw(TRILLION, to_ledger()).unwrap();
    assert!(
        matches!(failed.state, TransferState::Failed(_)),
        "{failed:?}"
    );
    assert_eq!(bank.balance(), balance);
    let sent = bank.withdraw(TRILLION, to_ledger()).unwrap();
    assert!(matches!(sent.state, TransferState::Done { .. }));
    assert_eq!(sent.fee, Cycles(dear));

    // A fee that no ledger takes is not learned.
    let absurd = Refusal::BadFee {
        expected_fee: Nat::from(u128::MAX),
    };
    bank.script(&[Conduct::Refuse(absurd)]);
    let failed = bank.withdraw(TRILLION, to_ledger()).unwrap();
    assert!(matches!(failed.state, TransferState::Failed(_)));
    let sent = bank.withdraw(TRILLION, to_ledger()).unwrap();
    assert_eq!(sent.fee, Cycles(dear));
    bank.check();
}

#[test]
fn what_nobody_can_tell_waits_for_a_controller() {
    let mut bank = bank(9);
    bank.script(&[Conduct::LoseReply]);
    let happened = bank.withdraw(TRILLION, to_ledger()).unwrap();
    bank.script(&[Conduct::Trap]);
    let not = bank.withdraw(TRILLION, to_ledger()).unwrap();
    // Nothing runs until the ledger may forget.
    bank.chain.skip(limits::TRANSFER_WINDOW_SECONDS);
    bank.chain.pass(35);
    for id in [happened.id, not.id] {
        assert_eq!(bank.transfer(id).state, TransferState::Quarantined);
    }
    assert_eq!(bank.chain.stats().quarantined, 2);
    let jobs = bank.chain.jobs;
    let logs = bank.chain.page(jobs, "/logs");
    for id in [happened.id, not.id] {
        let unheard = format!(" WARN  transfer {id}, try 1: nobody knows whether it happened: ");
        let aside = format!(" ERROR transfer {id} is quarantined: ");
        assert!(logs.contains(&unheard) && logs.contains(&aside), "{logs}");
    }
    assert_eq!(bank.balance(), 2 * TRILLION - 2 * FEE);
    let told: Result<TransferView, MoneyError> =
        bank.chain
            .update(stranger(), jobs, "resolve_transfer", (not.id, false));
    assert_eq!(told, Err(MoneyError::NotAController));
    assert!(matches!(
        bank.resolve(not.id, false),
        Err(MoneyError::NotSettled { .. })
    ));
    let told = bank.resolve(happened.id, true).unwrap();
    assert_eq!(told.state, TransferState::Done { block: None });
    let logs = bank.chain.page(jobs, "/logs");
    let resolved = format!(
        " INFO  transfer {} was resolved: it happened\n",
        happened.id
    );
    assert!(logs.ends_with(&resolved), "{logs}");
    bank.chain.skip(2 * 3_600 + 1);
    let told = bank.resolve(not.id, false).unwrap();
    assert!(matches!(told.state, TransferState::Failed(_)));
    assert_eq!(
        bank.resolve(not.id, true),
        Err(MoneyError::NotQuarantined(not.id))
    );
    assert_eq!(bank.balance(), 3 * TRILLION - FEE);
    assert_eq!(bank.received(), TRILLION);
    let own = LedgerAccount::from(jobs);
    assert_eq!(bank.on_ledger(own), 3 * TRILLION - FEE);
    bank.check();
}

#[test]
fn nobody_decides_on_a_transfer_whose_call_is_under_way() {
    let mut bank = bank(10);
    bank.script(&[Conduct::Hold]);
    let args = WithdrawArgs {
        amount: Cycles(TRILLION),
        to: to_ledger(),
    };
    let (jobs, arg) = (bank.chain.jobs, encode_one(args).unwrap());
    let network = bank.chain.network();
    let call = network
        .submit_call(jobs, requester(0), "withdraw", arg)
        .unwrap();
    bank.chain.rest();
    // The deposit was the first.
    let id = TransferId(2);
    for happened in [true, false] {
        assert_eq!(bank.resolve(id, happened), Err(MoneyError::UnderWay(id)));
    }
    let ledger = bank.ledger;
    let _: () = bank.chain.update(admin(), ledger, "release", ());
    bank.chain.network().await_call(call).unwrap();
    assert!(matches!(
        bank.transfer(id).state,
        TransferState::Done { .. }
    ));
    assert_eq!(bank.resolve(id, true), Err(MoneyError::NotQuarantined(id)));
    assert_eq!(bank.received(), TRILLION);
    bank.check();
}
