//! What the vault refuses: each limit reached and just passed, and destinations from which nothing comes back.

use assay_jobs_core::{
    ConfigError, Jobs, JobsConfig, Outcome, Rules, TransferCall,
    store::{Memory, Store},
    testing::{
        Fixture, Market, MemoryMarket, canister, check_invariants, ledger, requester, stranger,
    },
};
use assay_protocol::{
    Cycles, Moment, Timestamp, TransferId, limits,
    money::{
        DepositFromArgs, Destination, LedgerAccount, MoneyError, TransferView, TransfersArgs,
        WithdrawArgs,
    },
};
use candid::Principal;
use expect_test::expect;

use crate::vault::{MILLION, somewhere};

const FEE: u128 = 100 * MILLION;

/// A market that knows its ledger's fee, where requester 0 has so much of both kinds.
fn market(on_ledger: u128, attached: u128) -> MemoryMarket {
    let mut market = MemoryMarket::new(&Fixture::new(0, 0, 0), 0, 1);
    let now = market.now();
    market.jobs.set_ledger_fee(now, Cycles(FEE));
    if on_ledger > 0 {
        let call = collect(&mut market, requester(0), on_ledger).expect("begun");
        let done = Outcome::Done { block: None };
        market.jobs.settle_transfer(now, call.transfer, done);
    }
    if attached > 0 {
        market.deposit(requester(0), Cycles(attached));
    }
    market
}

fn collect(
    market: &mut MemoryMarket,
    from: Principal,
    amount: u128,
) -> Result<TransferCall, MoneyError> {
    let at = market.at(from);
    let args = DepositFromArgs {
        amount: Cycles(amount),
        from_subaccount: None,
    };
    market.jobs.begin_deposit(&at, &args)
}

fn send(
    market: &mut MemoryMarket,
    amount: u128,
    to: Destination,
) -> Result<TransferCall, MoneyError> {
    let at = market.at(requester(0));
    let args = WithdrawArgs {
        amount: Cycles(amount),
        to,
    };
    market.jobs.begin_withdrawal(&at, &args)
}

fn to_ledger() -> Destination {
    Destination::Ledger(requester(0).into())
}

fn account(owner: Principal, subaccount: &[u8]) -> LedgerAccount {
    LedgerAccount {
        owner,
        subaccount: Some(subaccount.to_vec().into()),
    }
}

#[test]
fn amounts_have_bounds() {
    let (least, most) = (limits::TRANSFER_CYCLES_MIN, limits::TRANSFER_CYCLES_MAX);
    let small = |amount, least| MoneyError::TooSmall {
        amount: Cycles(amount),
        least: Cycles(least),
    };
    let large = MoneyError::TooLarge {
        amount: Cycles(most + 1),
        most: Cycles(most),
    };
    let mut market = market(most, 0);
    let me = requester(0);
    assert_eq!(
        collect(&mut market, me, least - 1),
        Err(small(least - 1, least))
    );
    assert!(collect(&mut market, me, least).is_ok());
    assert!(collect(&mut market, me, most).is_ok());
    assert_eq!(collect(&mut market, me, most + 1), Err(large.clone()));

    // What leaves for a ledger must be more than the fee.
    let told = send(&mut market, FEE, to_ledger());
    assert_eq!(told, Err(small(FEE, FEE + 1)));
    assert!(send(&mut market, FEE + 1, to_ledger()).is_ok());
    assert!(send(&mut market, most - 4 * FEE, to_ledger()).is_ok());
    assert_eq!(send(&mut market, most + 1, to_ledger()), Err(large.clone()));

    let mut market = self::market(0, most + 2);
    let to = || Destination::Canister(somewhere());
    assert_eq!(send(&mut market, 0, to()), Err(small(0, least)));
    let told = send(&mut market, least - 1, to());
    assert_eq!(told, Err(small(least - 1, least)));
    assert_eq!(send(&mut market, most + 1, to()), Err(large));
    assert!(send(&mut market, most, to()).is_ok());
    check_invariants(&market.jobs).expect("nothing is lost");
}

#[test]
fn nothing_can_be_counted_twice_around() {
    let mut market = market(0, u128::MAX / 2 - 20 * MILLION);
    let most = Cycles(20 * MILLION);
    let told = collect(&mut market, requester(0), 21 * MILLION);
    assert_eq!(
        told,
        Err(MoneyError::TooLarge {
            amount: Cycles(21 * MILLION),
            most
        })
    );
    assert!(collect(&mut market, requester(0), most.0).is_ok());
}

#[test]
fn one_account_has_so_many_open_transfers_and_all_together_so_many() {
    let mut market = market(0, 0);
    let max = limits::OPEN_TRANSFERS_PER_ACCOUNT_MAX;
    for _ in 0..max {
        collect(&mut market, requester(0), FEE).expect("there is room");
    }
    let told = collect(&mut market, requester(0), FEE);
    assert_eq!(told, Err(MoneyError::TooManyTransfers { open: max, max }));
    // Quarantined ones count on, ended ones do not.
    market.stand_still(limits::TRANSFER_WINDOW_SECONDS * 1_000_000_000);
    let now = market.now();
    assert_eq!(market.jobs.due_transfers(now, 100).calls, []);
    assert_eq!(market.jobs.stats().quarantined, u64::from(max));
    assert!(collect(&mut market, requester(0), FEE).is_err());
    let done = Outcome::Done { block: None };
    market.jobs.settle_transfer(now, TransferId(3), done);
    assert!(collect(&mut market, requester(0), FEE).is_ok());

    let person = |i: u64| Principal::self_authenticating(i.to_le_bytes());
    let begun = u64::from(max);
    for i in begun..limits::OPEN_TRANSFERS_MAX {
        collect(&mut market, person(i), FEE).expect("there is room");
    }
    assert_eq!(
        market.jobs.stats().open_transfers,
        limits::OPEN_TRANSFERS_MAX
    );
    let told = collect(&mut market, stranger(), FEE);
    assert_eq!(told, Err(MoneyError::TransfersFull));
    let refused = Outcome::Refused("no allowance".into());
    let now = market.now();
    market.jobs.settle_transfer(now, TransferId(9), refused);
    assert!(collect(&mut market, stranger(), FEE).is_ok());
    check_invariants(&market.jobs).expect("nothing is lost");
}

#[test]
fn subaccounts_have_one_length() {
    let mut market = market(10 * FEE, 0);
    for bytes in [0, 31, 33] {
        let wrong = MoneyError::Subaccount {
            bytes: bytes as u64,
        };
        let to = Destination::Ledger(account(requester(1), &vec![1; bytes]));
        assert_eq!(send(&mut market, 2 * FEE, to), Err(wrong.clone()));
        let at = market.at(requester(0));
        let args = DepositFromArgs {
            amount: Cycles(FEE),
            from_subaccount: Some(vec![1; bytes].into()),
        };
        assert_eq!(market.jobs.begin_deposit(&at, &args), Err(wrong));
    }
    let to = Destination::Ledger(account(requester(1), &[1; limits::SUBACCOUNT_BYTES]));
    assert!(send(&mut market, 2 * FEE, to).is_ok());
}

#[test]
fn nothing_goes_where_nobody_has_it() {
    let mut market = market(10 * FEE, 10 * FEE);
    let mut told = Vec::new();
    for to in [
        Destination::Ledger(Principal::anonymous().into()),
        Destination::Ledger(Principal::management_canister().into()),
        Destination::Ledger(account(canister(), &[1; 32])),
        Destination::Ledger(ledger().into()),
        Destination::Canister(Principal::anonymous()),
        Destination::Canister(Principal::management_canister()),
        Destination::Canister(canister()),
        Destination::Canister(ledger()),
        Destination::Canister(requester(0)),
    ] {
        let refused = send(&mut market, 2 * FEE, to).expect_err("nobody has it");
        told.push(refused.to_string());
    }
    expect![[r#"
        to: 2vxsx-fae is anonymous: everybody could take what is there; name another destination
        to: aaaaa-aa is the management canister, which keeps nothing for anybody; name another destination
        to: qjdve-lqaaa-aaaaa-aaaeq-cai is this market: the cycles are here already; name another destination
        to: qoctq-giaaa-aaaaa-aaaea-cai is the ledger itself, from where nothing comes back; name another destination
        to: 2vxsx-fae is anonymous: everybody could take what is there; name another destination
        to: aaaaa-aa is the management canister, which keeps nothing for anybody; name another destination
        to: qjdve-lqaaa-aaaaa-aaaeq-cai is this market: the cycles are here already; name another destination
        to: qoctq-giaaa-aaaaa-aaaea-cai is the ledger itself, from where nothing comes back; name another destination
        to: nyt24-3wy6b-p3d6u-b3dnl-bnfqc-kt3fn-tiajy-sxdaw-5b4tu-c343y-pae is the principal of a key and no canister; name another destination"#]].assert_eq(&told.join("\n"));
    assert_eq!(market.jobs.stats().transfers, 1, "the first deposit alone");
}

#[test]
fn a_balance_gives_what_it_has_with_the_fee_and_no_cycle_more() {
    let mut market = market(10 * FEE, 0);
    let (needed, balance) = (Cycles(10 * FEE + 1), Cycles(10 * FEE));
    let told = send(&mut market, 9 * FEE + 1, to_ledger());
    assert_eq!(told, Err(MoneyError::InsufficientFunds { needed, balance }));
    assert!(send(&mut market, 9 * FEE, to_ledger()).is_ok());
    assert_eq!(market.balance(requester(0)), Cycles(0));
    let nobody = Principal::anonymous();
    assert_eq!(
        collect(&mut market, nobody, FEE),
        Err(MoneyError::Anonymous)
    );
    let at = market.at(nobody);
    let args = WithdrawArgs {
        amount: Cycles(2 * FEE),
        to: to_ledger(),
    };
    let told = market.jobs.begin_withdrawal(&at, &args);
    assert_eq!(told, Err(MoneyError::Anonymous));
}

#[test]
fn a_ledger_takes_no_more_than_a_fee() {
    let mut market = market(10 * FEE, 0);
    let now = market.now();
    let most = Cycles(limits::LEDGER_FEE_CYCLES_MAX);
    market.jobs.set_ledger_fee(now, Cycles(most.0 + 1));
    assert_eq!(market.jobs.ledger_fee(), Ok(Cycles(FEE)));
    let call = send(&mut market, 2 * FEE, to_ledger()).expect("begun");
    let dear = Outcome::BadFee {
        expected: Cycles(u128::MAX),
    };
    market.jobs.settle_transfer(now, call.transfer, dear);
    assert_eq!(market.jobs.ledger_fee(), Ok(Cycles(FEE)));
    assert_eq!(market.balance(requester(0)), Cycles(10 * FEE));
    market.jobs.set_ledger_fee(now, most);
    assert_eq!(market.jobs.ledger_fee(), Ok(most));
}

#[test]
fn a_long_refusal_is_kept_in_part() {
    let mut market = market(0, 0);
    let call = collect(&mut market, requester(0), FEE).expect("begun");
    let now = market.now();
    // The limit would cut the last letter in two.
    let why = "x".repeat(limits::REASON_BYTES_MAX - 1) + "éé";
    let refused = Outcome::Refused(why);
    let view = market.jobs.settle_transfer(now, call.transfer, refused);
    let kept = "x".repeat(limits::REASON_BYTES_MAX - 1);
    assert_eq!(
        view.state,
        assay_protocol::money::TransferState::Failed(kept)
    );
}

#[test]
fn a_market_without_a_ledger_moves_cycles_of_canisters_only() {
    let config = |ledger| JobsConfig {
        canister: canister(),
        fee_bps: 0,
        rules: Rules::LAX,
        ledger,
    };
    let open = |store: Store<Memory>, ledger| Jobs::open(store, Timestamp(1), config(ledger));
    let mut jobs = open(Store::default(), None).expect("configured");
    let at = Moment {
        caller: requester(0),
        now: Timestamp(2),
    };
    jobs.deposit(&at, requester(0), Cycles(5 * FEE))
        .expect("in");
    let args = DepositFromArgs {
        amount: Cycles(FEE),
        from_subaccount: None,
    };
    assert_eq!(
        jobs.begin_deposit(&at, &args),
        Err(MoneyError::LedgerNotSet)
    );
    let args = |to| WithdrawArgs {
        amount: Cycles(2 * FEE),
        to,
    };
    let told = jobs.begin_withdrawal(&at, &args(to_ledger()));
    assert_eq!(told, Err(MoneyError::LedgerNotSet));
    let told = jobs.begin_withdrawal(&at, &args(Destination::Canister(somewhere())));
    assert!(told.is_ok());

    // A ledger may come later, and then stays.
    let mut jobs = open(jobs.into_store(), Some(ledger())).expect("configured");
    let told = jobs.begin_withdrawal(&at, &args(to_ledger()));
    assert_eq!(told, Err(MoneyError::LedgerFeeUnknown));
    let before = ledger();
    for other in [None, Some(somewhere())] {
        let told = open(Store::default(), Some(before)).map(Jobs::into_store);
        let told = open(told.expect("configured"), other).map(drop);
        assert_eq!(told, Err(ConfigError::OtherLedger { before }));
    }
    for nobody in [
        Principal::anonymous(),
        Principal::management_canister(),
        canister(),
    ] {
        let told = open(Store::default(), Some(nobody)).map(drop);
        assert_eq!(told, Err(ConfigError::NoLedger(nobody)));
    }
}

#[test]
fn one_go_makes_so_many_calls_and_leaves_the_others_to_the_next() {
    let mut market = market(0, 0);
    let person = |i: u8| Principal::self_authenticating([i]);
    for i in 0..5 {
        collect(&mut market, person(i), FEE).expect("begun");
    }
    market.stand_still(limits::TRANSFER_RETRY_SECONDS * 1_000_000_000);
    let now = market.now();
    let mut made = Vec::new();
    for budget in [0, 2, 2, 2, 2] {
        let calls = market.jobs.due_transfers(now, budget).calls;
        made.push(calls.iter().map(|call| call.transfer.0).collect::<Vec<_>>());
    }
    expect!["[[], [1, 2], [3, 4], [5], []]"].assert_eq(&format!("{made:?}"));
}

#[test]
fn transfers_are_listed_newest_first_in_pages() {
    let mut market = market(0, 50 * FEE);
    let now = market.now();
    for i in 0..6 {
        let call = collect(&mut market, requester(i % 2), FEE).expect("begun");
        if i < 2 {
            let refused = Outcome::Refused("no allowance".into());
            market.jobs.settle_transfer(now, call.transfer, refused);
        }
    }
    let list = |account: Option<u8>, open, before: Option<u64>, limit| {
        let page = market.jobs.transfers(&TransfersArgs {
            account: account.map(requester),
            open,
            before: before.map(TransferId),
            limit,
        });
        page.iter()
            .map(|TransferView { id, .. }| id.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(list(None, false, None, 100), [6, 5, 4, 3, 2, 1]);
    assert_eq!(list(None, false, Some(5), 2), [4, 3]);
    assert_eq!(list(Some(0), false, None, 100), [5, 3, 1]);
    assert_eq!(list(Some(0), false, Some(5), 100), [3, 1]);
    assert_eq!(list(Some(0), false, Some(5), 0), [3], "none is one");
    assert_eq!(list(None, true, None, 100), [6, 5, 4, 3]);
    assert_eq!(list(Some(1), true, Some(6), 100), [4]);
    assert!(list(Some(7), false, None, 100).is_empty());
    assert!(list(Some(1), false, Some(0), 100).is_empty());
    assert_eq!(market.jobs.transfer(TransferId(7)), None);

    let mut market = self::market(0, 0);
    for i in 0..101u8 {
        let person = Principal::self_authenticating([i]);
        collect(&mut market, person, FEE).expect("begun");
    }
    for open in [false, true] {
        let page = market.jobs.transfers(&TransfersArgs {
            account: None,
            open,
            before: None,
            limit: u32::MAX,
        });
        assert_eq!(page.len(), limits::PAGE_MAX as usize);
    }
}

#[test]
fn withdrawals_count_among_the_open_transfers() {
    let mut market = market(20 * FEE, 0);
    let max = limits::OPEN_TRANSFERS_PER_ACCOUNT_MAX;
    for _ in 0..max {
        send(&mut market, FEE + 1, to_ledger()).expect("there is room");
    }
    let told = send(&mut market, FEE + 1, to_ledger());
    assert_eq!(told, Err(MoneyError::TooManyTransfers { open: max, max }));
}
