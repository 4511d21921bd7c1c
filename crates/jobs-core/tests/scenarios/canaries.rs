//! Canaries: asked among the jobs of others, and what becomes of right, wrong and wrongly known answers.

use assay_jobs_core::{
    Rules,
    testing::{Market, funder, requester, right_root},
};
use assay_protocol::{
    Cycles, Hash32, JobId,
    canary::{Canary, CanaryError, CanaryOutcome, CanaryView},
    job::{JobError, SubmitError},
    limits,
    request::{Assurance, JobRequest, ModelRef, Task},
};

use crate::bench::{Bench, request};

const RULES: Rules = Rules {
    canary_ppm: limits::CANARY_PPM_MAX,
    ..Rules::LAX
};
const CAP: Cycles = Cycles(5_000);

fn question() -> JobRequest {
    JobRequest {
        task: Task::question("what is known already?"),
        ..request(Assurance::Single)
    }
}

fn canary(bench: &Bench) -> Canary {
    let request = question();
    Canary {
        root: right_root(bench.fixture.model(0), &request),
        request,
        price_cap: CAP,
    }
}

/// A market to whose canaries the funder has given one.
fn bench_with(known: impl Fn(&Bench) -> Canary) -> Bench {
    let mut bench = Bench::with_rules(4, 1, RULES);
    bench.market.deposit(funder(), CAP);
    let canary = known(&bench);
    let at = bench.market.at(funder());
    assert_eq!(bench.market.jobs.add_canaries(&at, &[canary]), Ok(()));
    assert_eq!(bench.market.balance(funder()), Cycles::ZERO);
    bench
}

/// Lets others submit until the canary is asked, and takes their jobs back.
fn ask(bench: &mut Bench) -> JobId {
    for _ in 0..100 {
        bench.run("submit single");
        let asked = bench.market.jobs.canaries(None).canaries[0].job;
        let last = bench.market.jobs.next_job().0 - 1;
        let other = asked.map_or(last, |job| job.0 - 1);
        let taken_back = bench.market.cancel(requester(0), JobId(other));
        assert_eq!(taken_back, Ok(()));
        if let Some(job) = asked {
            assert_eq!(job.0, last, "right behind another's");
            return job;
        }
        bench.run("match");
    }
    panic!("the canary was never asked");
}

fn outcome(bench: &Bench) -> Option<CanaryOutcome> {
    bench.market.jobs.canaries(None).canaries[0].outcome
}

/// The end of the newest job's story.
fn end(bench: Bench) -> String {
    let told = bench.finish();
    let newest = told.rfind("job ").expect("there are jobs");
    told[newest..].into()
}

#[test]
fn a_canary_looks_like_a_job_and_ends_like_one() {
    let mut bench = bench_with(canary);
    let job = ask(&mut bench);
    let mut view = bench.market.job(requester(0), job).expect("it is a job");
    assert!(![requester(0), funder()].contains(&view.requester));
    assert_eq!(view.requester.as_slice().len(), 29);
    assert_eq!(view.escrow, CAP);
    let at = bench.market.now();
    assert_eq!(view.submitted_at, at, "when another's was");
    assert_eq!(
        bench.market.cancel(funder(), job),
        Err(JobError::NotYours(job))
    );

    bench.run("go; claim; G commits; match; G reveals");
    view = bench.market.job(requester(0), job).expect("it is a job");
    assert_eq!(outcome(&bench), Some(CanaryOutcome::Right));
    assert_eq!(
        bench.market.balance(funder()).0,
        CAP.0 - view.paid.0 - view.fee.0
    );
    assert_eq!(bench.market.balance(view.requester), Cycles::ZERO);
    expect_test::expect![[r#"
        job 5 Settled Unverified (NotCompared): paid 11 kept 0 refunded 4_989
          1 Generator Revealed (NotCompared) paid 11
    "#]]
    .assert_eq(&end(bench));
}

#[test]
fn another_answer_is_checked_and_its_worker_loses_its_trust() {
    let mut bench = bench_with(canary);
    ask(&mut bench);
    bench.run("treasury 100000; go; claim; G commits text; match; G reveals; match; claim; C1 commits; C1 reveals");
    assert_eq!(outcome(&bench), None, "two must reject it");
    bench.run("match; claim; C2 commits; C2 reveals; go; claim; G commits; match; G reveals");
    assert_eq!(outcome(&bench), Some(CanaryOutcome::Caught));
    expect_test::expect![[r#"
        job 5 Settled Unverified (NotCompared): paid 33 kept 0 refunded 4_989 treasury 22
          1 Generator Revealed (GenerationRejected)
          1 Checker Revealed (RootsAgree) paid 11
          1 Checker Revealed (RootsAgree) paid 11
          2 Generator Revealed (NotCompared) paid 11
    "#]]
    .assert_eq(&end(bench));
}

#[test]
fn a_wrongly_known_answer_harms_nobody() {
    let mut bench = bench_with(|bench| Canary {
        root: Hash32([7; 32]),
        ..canary(bench)
    });
    ask(&mut bench);
    bench.run("treasury 100000; go; claim; G commits; match; G reveals; match; claim; C1 commits; C1 reveals");
    assert_eq!(outcome(&bench), Some(CanaryOutcome::Refuted));
    expect_test::expect![[r#"
        job 5 Settled Verified (RootsAgree): paid 22 kept 0 refunded 4_989 treasury 11
          1 Generator Revealed (RootsAgree) paid 11
          1 Checker Revealed (RootsAgree) paid 11
    "#]]
    .assert_eq(&end(bench));
}

#[test]
fn without_money_for_a_check_a_doubt_ends_without_a_verdict() {
    let mut bench = bench_with(canary);
    ask(&mut bench);
    bench.run("go; claim; G commits text; match; G reveals");
    assert_eq!(outcome(&bench), Some(CanaryOutcome::Unanswered));
    assert_eq!(bench.market.balance(funder()), CAP);
    expect_test::expect![[r#"
        job 5 Settled Inconclusive (LimitReached("treasury")): paid 0 kept 0 refunded 5_000
          1 Generator Revealed (RootsDiffer)
    "#]]
    .assert_eq(&end(bench));
}

#[test]
fn a_canary_that_nobody_answers_gives_its_money_back() {
    let mut bench = bench_with(canary);
    ask(&mut bench);
    bench.run(&format!("pass {}", limits::CANARY_DEADLINE_SECONDS + 1));
    assert_eq!(outcome(&bench), Some(CanaryOutcome::Unanswered));
    assert_eq!(bench.market.balance(funder()), CAP);
}

#[test]
fn a_canary_that_waits_can_be_taken_back_once() {
    let mut bench = bench_with(canary);
    let at = bench.market.at(funder());
    assert_eq!(bench.market.jobs.take_canary_back(&at, 1), Ok(()));
    assert_eq!(bench.market.balance(funder()), CAP);
    assert_eq!(outcome(&bench), Some(CanaryOutcome::TakenBack));
    for number in [0, 1, 2] {
        assert_eq!(
            bench.market.jobs.take_canary_back(&at, number),
            Err(CanaryError::NotWaiting { number })
        );
    }
    assert_eq!(bench.market.check(), Ok(()));
}

#[test]
fn a_canary_that_is_asked_stays() {
    let mut bench = bench_with(canary);
    ask(&mut bench);
    let at = bench.market.at(funder());
    assert_eq!(
        bench.market.jobs.take_canary_back(&at, 1),
        Err(CanaryError::NotWaiting { number: 1 })
    );
}

#[test]
fn an_upgrade_forgets_which_canaries_were_due_and_not_the_canaries() {
    let mut bench = bench_with(canary);
    bench.run("submit single; match; reopen");
    ask(&mut bench);
}

#[test]
fn bad_canaries_are_refused_and_none_is_taken() {
    let mut bench = Bench::with_rules(2, 1, RULES);
    bench.market.deposit(funder(), Cycles(3 * CAP.0));
    let good = canary(&bench);
    let at = bench.market.at(funder());
    let asks = |request: JobRequest| Canary {
        request,
        ..good.clone()
    };
    let bad = [
        asks(JobRequest {
            seed: None,
            ..question()
        }),
        asks(JobRequest {
            assurance: Assurance::Checked { checkers: 1 },
            ..question()
        }),
        asks(JobRequest {
            model: ModelRef::Name("nobody's".into()),
            ..question()
        }),
        asks(JobRequest {
            task: Task::Completion {
                prompt: String::new(),
            },
            ..question()
        }),
        Canary {
            price_cap: Cycles::ZERO,
            ..good.clone()
        },
        Canary {
            price_cap: Cycles(limits::PRICE_CAP_CYCLES_MAX + 1),
            ..good.clone()
        },
    ];
    let events = bench.market.jobs.log_len();
    let mut told = String::new();
    let mut refuse = |bench: &mut Bench, canaries: &[Canary]| {
        let error = bench.market.jobs.add_canaries(&at, canaries);
        told += &format!("{}\n", error.expect_err("it is bad"));
    };
    for bad in bad {
        refuse(&mut bench, &[good.clone(), bad]);
    }
    refuse(&mut bench, &[]);
    refuse(
        &mut bench,
        &vec![good.clone(); limits::CANARIES_PER_CALL_MAX + 1],
    );
    refuse(&mut bench, &vec![good.clone(); 4]);
    assert_eq!(bench.market.jobs.log_len(), events);
    expect_test::expect![[r#"
        canary 1: seed: absent; an answer is known only for one seed
        canary 1: assurance: a canary is asked for a single answer of a model whose answers can be compared
        canary 1: no model nobody's; list the registered ones with models
        canary 1: prompt: the text is empty; write something
        canary 1: price_cap: 0 cycles, 1 to 10_000_000_000_000_000_000 are allowed
        canary 1: price_cap: 10_000_000_000_000_000_001 cycles, 1 to 10_000_000_000_000_000_000 are allowed
        0 canaries, 1 to 20 can be given at once
        21 canaries, 1 to 20 can be given at once
        the balance holds 15_000 cycles, 20_000 are needed; deposit the rest
    "#]].assert_eq(&told);

    let three = vec![good; 3];
    assert_eq!(bench.market.jobs.add_canaries(&at, &three), Ok(()));
    assert_eq!(bench.market.balance(funder()), Cycles::ZERO);
}

#[test]
fn so_many_canaries_wait_and_pages_show_them_newest_first() {
    let mut bench = Bench::with_rules(1, 1, RULES);
    let good = canary(&bench);
    let count = limits::CANARIES_MAX as u64;
    bench
        .market
        .deposit(funder(), Cycles(CAP.0 * u128::from(count + 1)));
    let at = bench.market.at(funder());
    let call = vec![good.clone(); limits::CANARIES_PER_CALL_MAX];
    for _ in 0..limits::CANARIES_MAX / limits::CANARIES_PER_CALL_MAX {
        assert_eq!(bench.market.jobs.add_canaries(&at, &call), Ok(()));
    }
    let waiting = limits::CANARIES_MAX as u32;
    assert_eq!(
        bench.market.jobs.add_canaries(&at, &[good]),
        Err(CanaryError::Full { waiting })
    );
    assert_eq!(bench.market.check(), Ok(()));
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = bench.market.jobs.canaries(before);
        assert_eq!(page.waiting, waiting);
        let Some(CanaryView { number, .. }) = page.canaries.last() else {
            break;
        };
        before = Some(*number);
        assert!(page.canaries.len() <= limits::PAGE_MAX as usize);
        seen.extend(page.canaries.iter().map(|canary| canary.number));
    }
    assert!(seen.into_iter().eq((1..=count).rev()));
}

#[test]
fn a_paused_market_asks_none() {
    let mut bench = bench_with(canary);
    bench.run("submit single; match");
    let now = bench.market.now();
    let closed = bench.market.jobs.set_pause(now, Some("rest".into()));
    assert_eq!(closed, Ok(()));
    for _ in 0..50 {
        let args = assay_protocol::job::SubmitArgs {
            request: request(Assurance::Single),
            price_cap: CAP,
            deadline_seconds: 60,
            idempotency_key: vec![1, 2, 3],
        };
        let told = bench.market.submit(requester(1), &args, CAP);
        assert_eq!(told, Err(SubmitError::Paused("rest".into())));
        bench.run("match");
    }
    assert_eq!(bench.market.jobs.canaries(None).waiting, 1);
}
