//! Cycles that one account gives to another.

use assay_jobs_core::testing::{Market, payout, provider, requester};
use assay_protocol::{
    Cycles, JobId, Timestamp,
    limits::TRANSFER_CYCLES_MIN,
    money::{GiveArgs, MoneyError},
    registry::{Provider, Record},
};
use candid::Principal;

use crate::bench::Bench;

fn give(bench: &mut Bench, to: Principal, amount: u128) -> Result<u128, MoneyError> {
    let amount = Cycles(amount);
    let told = bench.market.give(requester(1), &GiveArgs { to, amount });
    bench.market.check().expect("the books are right");
    told.map(|left| left.free.0)
}

#[test]
fn what_one_gives_another_has() {
    let mut bench = Bench::new(1, 1);
    let (from, to) = (requester(1), requester(2));
    let (mine, theirs) = (bench.market.balance(from).0, bench.market.balance(to).0);
    bench.market.deposit(from, Cycles(25_000_000));
    assert_eq!(give(&mut bench, to, 10_000_000), Ok(mine + 15_000_000));
    assert_eq!(bench.market.balance(to).0, theirs + 10_000_000);
    // What is left is small, and goes as a whole.
    assert_eq!(give(&mut bench, to, mine + 15_000_000), Ok(0));
    assert_eq!(bench.market.balance(to).0, theirs + mine + 25_000_000);
}

#[test]
fn a_part_has_a_least_amount_and_all_of_a_balance_has_none() {
    let mut bench = Bench::new(1, 1);
    let to = requester(2);
    let deposited = Cycles(TRANSFER_CYCLES_MIN * 2 + 7);
    bench.market.deposit(requester(1), deposited);
    let least = Cycles(TRANSFER_CYCLES_MIN);
    for amount in [1, TRANSFER_CYCLES_MIN - 1] {
        let small = MoneyError::TooSmall {
            amount: Cycles(amount),
            least,
        };
        assert_eq!(give(&mut bench, to, amount), Err(small));
    }
    for left in [TRANSFER_CYCLES_MIN + 7, 7] {
        assert_eq!(give(&mut bench, to, TRANSFER_CYCLES_MIN), Ok(left));
    }
    assert_eq!(give(&mut bench, to, 7), Ok(0));
}

#[test]
fn nobody_gives_what_is_not_there_or_where_nobody_could_take_it() {
    let mut bench = Bench::new(1, 1);
    bench.market.deposit(requester(1), Cycles(50));
    let balance = bench.market.balance(requester(1));
    let to = requester(2);
    let short = MoneyError::InsufficientFunds {
        needed: Cycles(balance.0 + 1),
        balance,
    };
    assert_eq!(give(&mut bench, to, balance.0 + 1), Err(short));
    assert_eq!(give(&mut bench, to, 0), Err(MoneyError::Nothing));
    let args = GiveArgs {
        to,
        amount: Cycles(1),
    };
    let told = bench.market.give(Principal::anonymous(), &args);
    assert_eq!(told, Err(MoneyError::Anonymous));
    let config = bench.market.jobs.config();
    let ledger = config.ledger.expect("these markets have a ledger");
    let nowhere = [
        Principal::anonymous(),
        Principal::management_canister(),
        config.canister,
        ledger,
        requester(1),
    ];
    for to in nowhere {
        let told = give(&mut bench, to, balance.0);
        assert!(
            matches!(told, Err(MoneyError::BadDestination { .. })),
            "{to}: {told:?}"
        );
    }
    assert_eq!(bench.market.balance(requester(1)), balance);
}

#[test]
fn what_a_payout_account_could_never_use_stays_with_the_provider() {
    let nowhere = |bench: &Bench| {
        let config = bench.market.jobs.config();
        let ledger = config.ledger.expect("these markets have a ledger");
        [config.canister, ledger, Principal::management_canister()]
    };
    for place in 0..3 {
        let mut bench = Bench::new(1, 1);
        let lost = nowhere(&bench)[place];
        bench.market.sync(&Record::Provider(Provider {
            id: provider(0),
            name: "p".into(),
            contact: String::new(),
            payout: lost,
            registered_at: Timestamp(0),
        }));
        bench.run("submit single; go; claim; G commits; G reveals");
        let paid = bench
            .market
            .job(requester(0), JobId(1))
            .expect("the job is there")
            .paid;
        assert!(paid > Cycles::ZERO);
        let balances = [provider(0), payout(0), lost].map(|owner| bench.market.balance(owner));
        assert_eq!(balances, [paid, Cycles::ZERO, Cycles::ZERO]);
    }
}
