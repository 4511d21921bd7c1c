//! Daemons that are killed, stopped and upgraded under: no job is lost by it, and nothing is paid twice.

use std::{process::Command, time::Instant};

use assay_cli::local::{Modules, ProviderPlan};
use assay_protocol::{Cycles, job::JobState, lease::LeaseState};
use assay_worker::{cheat::Cheat, client::Jobs, exit, identity};
use tokio::time::sleep;

use crate::harness::{
    FUNDS, LOOK, Market, ONE_AT_A_TIME, PATIENCE, assert_settled, generator, lease_of, needed,
    with_a_cheap_one,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_generator_is_killed_in_the_middle_still_ends_in_a_verified_answer() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut market = Market::start(&with_a_cheap_one(None)).await;
    let job = market
        .ask("Tell me a long story about a lighthouse keeper.", 160)
        .await;
    let lease = market.until_generating(job).await;
    assert_eq!(lease.state, LeaseState::Leased, "killed while it generates");
    let name = market.name_of(&lease);
    market.signal(&name, "-KILL").await;

    let view = market.until_ended(job).await;
    assert_settled(&view);
    let killed = lease_of(&view, lease.id);
    assert_eq!(
        (killed.state, killed.paid),
        (LeaseState::Lost, Cycles::ZERO),
        "silence is not paid"
    );
    market.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_commit_and_reveal_reveals_after_its_restart_and_is_paid() {
    let _turn = ONE_AT_A_TIME.lock().await;
    // It commits and then sits on its commitment, which gives the test all the time to kill it there.
    let mut plans = with_a_cheap_one(Some(Cheat::NoReveal));
    let mut market = Market::start(&plans).await;
    let job = market.ask("What is gravity?", 24).await;
    let view = market
        .until(job, "waits for the generator's reveal", |view| {
            view.state == JobState::Revealing
                && generator(view).is_some_and(|lease| lease.state == LeaseState::Committed)
        })
        .await;
    let lease = generator(&view).unwrap().clone();
    let name = market.name_of(&lease);
    assert_eq!(name, plans[0].name);
    market.signal(&name, "-KILL").await;

    // An honest daemon with the same key and state folder takes over.
    plans[0].cheat = None;
    market.market.fleet.configure(&plans[0]).unwrap();
    market.market.fleet.start(&name).unwrap();
    let view = market.until_ended(job).await;
    assert_settled(&view);
    let lease = lease_of(&view, lease.id);
    assert_eq!(lease.state, LeaseState::Revealed, "{}", market.log(&name));
    assert!(lease.paid > Cycles::ZERO);
    assert_eq!(view.leases.len(), 2, "nobody had to do anything again");
    market.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_in_mid_run_takes_its_order_up_again_after_its_restart() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut market = Market::start(&with_a_cheap_one(None)).await;
    let job = market
        .ask("Tell me a long story about a lighthouse keeper.", 160)
        .await;
    let lease = market.until_generating(job).await;
    assert_eq!(lease.state, LeaseState::Leased, "killed while it generates");
    let name = market.name_of(&lease);
    market.signal(&name, "-KILL").await;
    market.market.fleet.start(&name).unwrap();

    let view = market.until_ended(job).await;
    assert_settled(&view);
    let lease = lease_of(&view, lease.id);
    assert_eq!(lease.state, LeaseState::Revealed, "{}", market.log(&name));
    assert!(lease.paid > Cycles::ZERO);
    assert_eq!(view.leases.len(), 2, "nobody else had to generate");
    assert!(
        !market.log(&name).contains("taking up a lease"),
        "it had committed already: {}",
        market.log(&name)
    );
    market.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_gives_back_what_runs_and_another_worker_takes_over_at_once() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut market = Market::start(&with_a_cheap_one(None)).await;
    doctor_finds_nothing_wrong(&market);
    // Far longer than the grace period of these workers.
    let job = market
        .ask("Tell me a long story about a lighthouse keeper.", 400)
        .await;
    let lease = market.until_generating(job).await;
    let name = market.name_of(&lease);
    let status = market.signal(&name, "-TERM").await;
    assert_eq!(
        status.code(),
        Some(i32::from(exit::OK)),
        "{}",
        market.log(&name)
    );

    let view = market.until_ended(job).await;
    assert_settled(&view);
    let given_back = lease_of(&view, lease.id);
    assert_eq!(
        (given_back.state, given_back.paid),
        (LeaseState::Abandoned, Cycles::ZERO)
    );
    market.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn canisters_upgraded_in_the_middle_of_a_job_lose_nothing() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let market = Market::start(&ProviderPlan::honest(3)).await;
    let job = market
        .ask("Tell me a long story about a lighthouse keeper.", 160)
        .await;
    market.until_streaming(job).await;
    let modules = Modules::load(&needed("ASSAY_WASM_DIR")).unwrap();
    market.market.upgrade(&modules).await.unwrap();
    let open = market.jobs.job(job).await.unwrap();
    assert!(
        !open.state.is_terminal(),
        "upgraded while it ran: {open:#?}"
    );

    let view = market.until_ended(job).await;
    assert_settled(&view);
    assert_eq!(
        view.leases.len(),
        2,
        "nobody had to do anything again: {view:#?}\n{}",
        market.logs()
    );
    assert_eq!(
        market.balance().await + view.paid.0 + view.fee.0,
        FUNDS.0,
        "every cycle is accounted for"
    );
    market.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_prices_were_replaced_by_an_older_call_names_its_own_again() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let market = Market::start(&ProviderPlan::honest(2)).await;
    let (name, process) = market.market.fleet.processes().first_key_value().unwrap();
    let key = identity::load(&process.place().join("worker.pem")).unwrap();
    let operator = market.market.connect(&key).await.unwrap();
    // A call of an earlier life that comes late: it offered nothing then.
    let late = Jobs::new(&operator, market.market.canisters.jobs);
    let standing = late.work().await.unwrap().offers;
    late.set_offers(&[]).await.unwrap();
    let started = Instant::now();
    while late.work().await.unwrap().offers != standing {
        assert!(started.elapsed() < PATIENCE, "{}", market.log(name));
        sleep(LOOK).await;
    }
    let job = market.ask("What is gravity?", 8).await;
    assert_settled(&market.until_ended(job).await);
    market.stop().await;
}

/// Beside a running worker, with its settings.
fn doctor_finds_nothing_wrong(market: &Market) {
    let (_, process) = market.market.fleet.processes().first_key_value().unwrap();
    let output = Command::new(needed("ASSAY_WORKER_BIN"))
        .args(["doctor", "--config"])
        .arg(process.place().join("worker.toml"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(i32::from(exit::OK)), "{text}");
    for fragment in [
        "clock skew",
        "registered; ",
        "root as registered",
        "tokens/s",
    ] {
        assert!(text.contains(fragment), "{text}");
    }
}
