//! The sponsor pool: what it pays for whom, and what comes back.

use assay_jobs_core::{
    Rules,
    testing::{Market, funder, requester},
};
use assay_protocol::{
    Cycles, JobId,
    job::{SubmitArgs, SubmitError, Submitted},
    money::MoneyError,
    request::Assurance,
};
use candid::Principal;

use crate::bench::{Bench, request};

const RULES: Rules = Rules {
    sponsor_caller_daily: Cycles(3_000),
    sponsor_daily: Cycles(5_000),
    ..Rules::LAX
};
/// What a checked answer costs at most in these tests.
const PRICE: u128 = 794;

/// A market whose pool holds so much.
fn pool(cycles: u128) -> Bench {
    let mut bench = Bench::with_rules(4, 1, RULES);
    bench.market.deposit(funder(), Cycles(cycles));
    let at = bench.market.at(funder());
    let told = bench.market.jobs.fund_sponsor(&at, Cycles(cycles));
    assert_eq!(told, Ok(Cycles(cycles)));
    let quote = bench
        .market
        .quote(&request(Assurance::Checked { checkers: 1 }));
    assert_eq!(quote.expect("there are workers").price_max.0, PRICE);
    bench
}

fn ask(bench: &mut Bench, from: Principal, key: u8, cap: u128) -> Result<JobId, SubmitError> {
    let args = SubmitArgs {
        request: request(Assurance::Checked { checkers: 1 }),
        price_cap: Cycles(cap),
        deadline_seconds: 3_600,
        idempotency_key: vec![key],
    };
    let told = bench.market.submit(from, &args, Cycles::ZERO);
    let told = told.map(|(Submitted { job, .. }, accepted)| {
        assert_eq!(accepted, Cycles::ZERO);
        job
    });
    bench.market.check().expect("the books are right");
    told
}

fn lacks(needed: u128, balance: u128) -> Result<JobId, SubmitError> {
    Err(SubmitError::InsufficientFunds {
        needed: Cycles(needed),
        balance: Cycles(balance),
        attached: Cycles::ZERO,
    })
}

fn held(bench: &Bench) -> u128 {
    bench.market.jobs.stats().sponsor.0
}

fn left(bench: &mut Bench, of: Principal) -> u128 {
    bench.market.holdings(of).sponsored.0
}

const FINISH: &str = "go; claim; G commits; C1 commits; G reveals; C1 reveals";

#[test]
fn whoever_has_nothing_is_answered_and_the_rest_goes_back_to_the_pool() {
    let mut bench = pool(10_000);
    let asker = requester(0);
    assert_eq!(left(&mut bench, asker), 3_000);
    let job = ask(&mut bench, asker, 1, PRICE).expect("it is sponsored");
    assert_eq!(held(&bench), 10_000 - PRICE);
    assert_eq!(left(&mut bench, asker), 3_000 - PRICE);
    let view = bench.market.job(asker, job).expect("it is there");
    assert_eq!((view.escrow.0, view.sponsored.0), (PRICE, PRICE));

    bench.run(FINISH);
    let view = bench.market.job(asker, job).expect("it is there");
    let spent = view.paid.0 + view.fee.0;
    assert_eq!(view.refund.0, PRICE - spent);
    assert_eq!(held(&bench), 10_000 - spent);
    assert_eq!(left(&mut bench, asker), 3_000 - spent);
    assert_eq!(bench.market.balance(asker), Cycles::ZERO);
    bench.finish();
}

#[test]
fn own_money_comes_first_and_goes_back_last() {
    let mut bench = pool(10_000);
    let asker = requester(0);
    bench.market.deposit(asker, Cycles(PRICE - 100));
    let job = ask(&mut bench, asker, 1, PRICE).expect("it is sponsored");
    assert_eq!(held(&bench), 10_000 - 100);
    bench.run(FINISH);
    let view = bench.market.job(asker, job).expect("it is there");
    assert!(view.refund.0 > 100, "{view:?}");
    assert_eq!(held(&bench), 10_000);
    assert_eq!(bench.market.balance(asker).0, view.refund.0 - 100);
    bench.finish();
}

#[test]
fn the_pool_pays_the_quoted_price_and_not_more() {
    let mut bench = pool(10_000);
    assert_eq!(
        ask(&mut bench, requester(0), 1, PRICE + 1),
        lacks(PRICE + 1, 0)
    );
    ask(&mut bench, requester(0), 1, PRICE).expect("it is sponsored");
}

#[test]
fn a_caller_has_a_limit_and_so_have_all_together() {
    let mut bench = pool(10_000);
    let (one, other) = (requester(0), requester(1));
    // Three of 794 fit into 3,000, and six of them into 5,000.
    for key in 0..3 {
        ask(&mut bench, one, key, PRICE).expect("it is sponsored");
    }
    assert_eq!(ask(&mut bench, one, 3, PRICE), lacks(PRICE, 0));
    for key in 0..3 {
        ask(&mut bench, other, key, PRICE).expect("it is sponsored");
    }
    assert_eq!(left(&mut bench, requester(2)), 5_000 - 6 * PRICE);
    assert_eq!(ask(&mut bench, requester(2), 0, PRICE), lacks(PRICE, 0));

    // What is cancelled counts no more.
    let taken_back = bench.market.cancel(one, JobId(1));
    assert_eq!(taken_back, Ok(()));
    ask(&mut bench, requester(2), 0, PRICE).expect("it is sponsored");

    // And every day is a new one.
    bench.run("pass 86400; ready w0 w1 w2 w3");
    assert_eq!(held(&bench), 10_000, "all have expired");
    assert_eq!(left(&mut bench, one), 3_000);
    ask(&mut bench, one, 9, PRICE).expect("it is sponsored");
}

#[test]
fn what_comes_back_on_another_day_changes_no_limit_of_that_day() {
    let mut bench = pool(10_000);
    let asker = requester(0);
    // The market's first day ends after 6,400 seconds.
    bench.run("pass 5000; ready w0 w1 w2 w3; pass 1");
    ask(&mut bench, asker, 1, PRICE).expect("it is sponsored");
    assert_eq!(left(&mut bench, asker), 3_000 - PRICE);
    bench.run("pass 2000; ready w0 w1 w2 w3");
    assert_eq!(left(&mut bench, asker), 3_000);
    ask(&mut bench, asker, 2, PRICE).expect("it is sponsored");
    assert_eq!(left(&mut bench, asker), 3_000 - PRICE);
    // What comes back now was paid yesterday.
    assert_eq!(bench.market.cancel(asker, JobId(1)), Ok(()));
    assert_eq!(held(&bench), 10_000 - PRICE);
    assert_eq!(left(&mut bench, asker), 3_000 - PRICE);
    bench.finish();
}

#[test]
fn a_pool_that_lacks_one_cycle_pays_nothing() {
    let mut bench = pool(PRICE - 1);
    assert_eq!(ask(&mut bench, requester(0), 1, PRICE), lacks(PRICE, 0));
    bench.market.deposit(requester(0), Cycles(1));
    ask(&mut bench, requester(0), 1, PRICE).expect("it is sponsored");
    assert_eq!(held(&bench), 0);
}

#[test]
fn without_limits_nobody_is_sponsored() {
    let mut bench = pool(10_000);
    let now = bench.market.now();
    let off = bench.market.jobs.set_rules(now, Rules::LAX);
    assert_eq!(off, Ok(()));
    assert_eq!(left(&mut bench, requester(0)), 0);
    assert_eq!(ask(&mut bench, requester(0), 1, PRICE), lacks(PRICE, 0));
}

#[test]
fn giving_needs_a_balance() {
    let mut bench = pool(1);
    let at = bench.market.at(funder());
    assert_eq!(
        bench.market.jobs.fund_sponsor(&at, Cycles::ZERO),
        Err(MoneyError::Nothing)
    );
    assert_eq!(
        bench.market.jobs.fund_sponsor(&at, Cycles(1)),
        Err(MoneyError::InsufficientFunds {
            needed: Cycles(1),
            balance: Cycles::ZERO
        })
    );
}
