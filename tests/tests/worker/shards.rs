//! One daemon that serves several jobs canisters: they share the registry and the machine, and nothing else.

use std::{fs, time::Instant};

use assay_cli::local::{Modules, ProviderPlan};
use assay_protocol::{
    Cycles, JobId,
    job::{JobView, SubmitArgs, SubmitError},
    lease::Idle,
    limits::DEADLINE_SECONDS_MIN,
    money::Holdings,
    request::{Parameters, Sampling, Task},
};
use assay_worker::{
    client::{Jobs, Outcome},
    exit, identity,
};
use candid::Principal;
use tokio::time::sleep;

use crate::harness::{FUNDS, LOOK, Market, ONE_AT_A_TIME, PATIENCE, assert_settled, needed};

/// Waits until this jobs canister would give a worker work.
async fn until_ready(market: &Market, jobs: &Jobs, operator: Principal) {
    let started = Instant::now();
    while matches!(
        jobs.explain(operator).await.unwrap(),
        Idle::UnknownWorker | Idle::NotActive | Idle::NoOffer | Idle::NotReady
    ) {
        assert!(started.elapsed() < PATIENCE, "{}", market.logs());
        sleep(LOOK).await;
    }
}

/// What a provider earned by one job.
fn earned(view: &JobView, provider: Principal) -> u128 {
    let own = view
        .leases
        .iter()
        .filter(|lease| lease.provider == provider);
    own.map(|lease| lease.paid.0).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_daemon_serves_two_jobs_canisters_that_share_nothing_but_the_registry() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut market = Market::without_workers(needed("ASSAY_MODEL")).await;
    let modules = Modules::load(&needed("ASSAY_WASM_DIR")).unwrap();
    let second = market.market.add_shard(&modules).await.unwrap();
    let plans = ProviderPlan::honest(2);
    market.hire(&plans).await;
    let second = Jobs::new(market.jobs.network(), second);
    let shards = [market.jobs.clone(), second];

    // One daemon serves those that its settings name, the other those that the registry lists.
    let name = &plans[0].name;
    let status = market.signal(name, "-TERM").await;
    assert_eq!(
        status.code(),
        Some(i32::from(exit::OK)),
        "{}",
        market.log(name)
    );
    let settings = market.market.fleet.processes()[name]
        .place()
        .join("worker.toml");
    let text = fs::read_to_string(&settings).unwrap();
    assert!(shards.iter().all(|jobs| text.contains(&jobs.id.to_text())));
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("jobs = "))
        .collect();
    assert_eq!(kept.len() + 1, text.lines().count(), "{text}");
    fs::write(&settings, kept.join("\n")).unwrap();
    market.market.fleet.start(name).unwrap();
    let people: Vec<(Principal, Principal)> = market
        .market
        .fleet
        .processes()
        .values()
        .map(|process| (process.operator, process.provider))
        .collect();
    for jobs in &shards {
        for (operator, _) in &people {
            until_ready(&market, jobs, *operator).await;
        }
    }

    // Money in one canister buys nothing in the other.
    let request = market.request(
        Task::question("What is the capital of France?"),
        Parameters::new(24, Sampling::GREEDY),
    );
    let price_cap = shards[1].quote(&request).await.unwrap().price_max;
    let args = SubmitArgs {
        request: request.clone(),
        price_cap,
        deadline_seconds: DEADLINE_SECONDS_MIN,
        idempotency_key: vec![1],
    };
    match shards[1].submit(&args).await {
        Err(Outcome::Refused(SubmitError::InsufficientFunds { balance, .. })) => {
            assert_eq!(balance, Cycles::ZERO);
        }
        other => panic!("{other:?}"),
    }
    let me = market.jobs.network().me();
    market
        .market
        .fund_at(shards[1].id, me, FUNDS)
        .await
        .unwrap();

    // A job in each at once. Both providers have to work on both, with a slot each.
    let mut views = Vec::new();
    for jobs in &shards {
        let job = Market::submit_to(jobs, 1, request.clone()).await;
        assert_eq!(job, JobId(1), "each counts its own");
    }
    for jobs in &shards {
        let view = market.until_ended_at(jobs, JobId(1)).await;
        assert_settled(&view);
        assert_eq!(
            jobs.receipt(JobId(1)).await.unwrap().receipt.canister,
            jobs.id
        );
        views.push(view);
    }
    assert_eq!(
        views[0].result_root, views[1].result_root,
        "the same answer"
    );

    for (jobs, view) in shards.iter().zip(&views) {
        let stats = jobs.stats().await.unwrap();
        assert_eq!((stats.verified, stats.deposited), (1, FUNDS));
        let balance = jobs.balance(None).await.unwrap();
        assert_eq!(balance.0 + view.paid.0 + view.fee.0, FUNDS.0);
        for (_, provider) in &people {
            let paid = earned(view, *provider);
            assert!(paid > 0, "{view:#?}");
            assert_eq!(jobs.earnings(*provider).await.unwrap().paid.0, paid);
            assert_eq!(jobs.balance(Some(*provider)).await.unwrap().0, paid);
        }
    }

    // Stake stands in the canister where it was put.
    let place = market.market.fleet.processes()[name].place().to_owned();
    let owner = identity::load(&place.join("provider.pem")).unwrap();
    let network = market.market.connect(&owner).await.unwrap();
    let staked = Jobs::new(&network, shards[0].id)
        .stake(Cycles(1))
        .await
        .unwrap();
    assert_eq!(staked.stake, Cycles(1));
    let elsewhere = Jobs::new(&network, shards[1].id)
        .holdings(None)
        .await
        .unwrap();
    let Holdings { free, .. } = elsewhere;
    assert_eq!(
        elsewhere,
        Holdings {
            free,
            ..Holdings::default()
        }
    );

    for plan in &plans {
        let log = market.log(&plan.name);
        assert!(log.matches("serving a jobs canister").count() >= 2, "{log}");
    }
    market.stop().await;
}
