//! Daemons that lie or dawdle: they are caught, unpaid, and nobody else pays for it.

use assay_cli::local::{Asks, ProviderPlan};
use assay_protocol::{
    Cycles,
    lease::{LeaseState, Role},
};
use assay_worker::cheat::Cheat;
use tokio::time::sleep;

use crate::harness::{FUNDS, LOOK, Market, ONE_AT_A_TIME, assert_settled, with_a_cheap_one};

#[tokio::test(flavor = "multi_thread")]
async fn a_commitment_that_comes_too_late_is_refused_and_unpaid() {
    let _turn = ONE_AT_A_TIME.lock().await;
    // It falls silent and commits when its lease has run out.
    let plans = with_a_cheap_one(Some(Cheat::LateCommit));
    let market = Market::start(&plans).await;
    let late = market.market.fleet.processes()[&plans[0].name].provider;
    let job = market.ask("What is gravity?", 24).await;
    let view = market.until_ended(job).await;
    assert_settled(&view);
    let lease = view
        .leases
        .iter()
        .find(|lease| lease.provider == late)
        .unwrap();
    assert!(
        matches!(lease.state, LeaseState::Late | LeaseState::Lost),
        "{view:#?}"
    );
    assert_eq!(lease.paid, Cycles::ZERO);
    let name = plans[0].name.clone();
    while !market.log(&name).contains("refused: ") {
        assert!(
            market.log(&name).contains("CHEATING"),
            "it does not cheat: {}",
            market.log(&name)
        );
        sleep(LOOK).await;
    }
    assert_eq!(
        market.balance().await + view.paid.0 + view.fee.0,
        FUNDS.0,
        "every cycle is accounted for"
    );
    market.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checker_that_lies_is_outvoted_and_unpaid() {
    let _turn = ONE_AT_A_TIME.lock().await;
    // A generator, and two honest checkers to outvote the liar.
    let mut plans = ProviderPlan::honest(4);
    // Dear to generate and cheap to check with: what it reads costs next to nothing.
    plans[0].asks = Asks {
        input: 1_000,
        output: 100_000_000_000,
    };
    plans[0].cheat = Some(Cheat::WrongCheck);
    let market = Market::start(&plans).await;
    let liar = market.market.fleet.processes()[&plans[0].name].provider;
    // Who checks is drawn evenly from three, so the liar's turn comes: 2 in 100,000 runs would see none.
    let mut spent = 0;
    let mut lied = false;
    for _ in 0..27 {
        let job = market.ask_paying(1_000, "What is gravity?", 24).await;
        let view = market.until_ended(job).await;
        assert_settled(&view);
        spent += view.paid.0 + view.fee.0;
        assert_eq!(
            market.balance().await + spent,
            FUNDS.0,
            "every cycle is accounted for"
        );
        let mut lies = view.leases.iter().filter(|lease| lease.provider == liar);
        assert!(
            lies.clone().all(|lease| lease.paid == Cycles::ZERO),
            "{view:#?}"
        );
        if lies.any(|lease| lease.role == Role::Checker) {
            lied = true;
            break;
        }
    }
    assert!(lied, "the liar never checked");
    assert!(
        market.log(&plans[0].name).contains("CHEATING"),
        "the log says so loudly"
    );
    market.stop().await;
}
