//! Who is drawn, and why a worker has no work.

use std::collections::BTreeMap;

use assay_jobs_core::testing::{Fixture, Market, MemoryMarket, provider, requester, worker};
use assay_protocol::{
    Cycles, JobId, LeaseId,
    job::{Reason, SubmitArgs},
    lease::{Idle, Offer, Order, WorkerError, offers_hash},
    limits,
    request::Assurance,
};
use expect_test::expect;

use crate::bench::{Bench, check_with, offers, request};

/// How often each worker is drawn for the one lease of a job.
fn drawn(prepare: impl Fn(&mut Bench)) -> BTreeMap<u8, u32> {
    drawn_after("ready w0 w1 w2", prepare)
}

/// The same where workers announce in this way.
fn drawn_after(announce: &str, prepare: impl Fn(&mut Bench)) -> BTreeMap<u8, u32> {
    let script = format!("submit single cap=10000 tokens=100; {announce}; match");
    let mut bench = Bench::new(3, 1);
    prepare(&mut bench);
    let mut counts = BTreeMap::new();
    for i in 0..300 {
        bench.run(&script);
        let view = bench
            .market
            .job(requester(0), JobId(i + 1))
            .expect("the job is there");
        let who = (0..3)
            .find(|&w| worker(w) == view.leases[0].worker)
            .expect("one of the three");
        *counts.entry(who).or_default() += 1;
        bench.run("cancel");
    }
    counts
}

#[test]
fn equal_workers_are_drawn_equally() {
    let counts = drawn(|_| {});
    assert!(
        counts.values().all(|&count| (70..130).contains(&count)),
        "{counts:?}"
    );
}

#[test]
fn who_announces_first_or_often_is_not_drawn_more_often() {
    let often = ["ready w0"; 10].join("; ");
    for announce in [
        format!("{often}; ready w1 w2"),
        format!("ready w1 w2; {often}"),
    ] {
        let counts = drawn_after(&announce, |_| {});
        assert!(
            counts.values().all(|&count| (70..130).contains(&count)),
            "{announce}: {counts:?}"
        );
    }
}

#[test]
fn cheaper_workers_are_drawn_more_often_and_dearer_ones_still_now_and_then() {
    let counts = drawn(|bench| bench.run("price w0 500 5000; price w2 1500 15000"));
    assert!(
        counts[&0] > 2 * counts[&1] && counts[&1] > counts[&2] && counts[&2] > 5,
        "{counts:?}"
    );
}

#[test]
fn workers_that_lose_leases_are_drawn_less_often() {
    let counts = drawn(|bench| {
        for _ in 0..12 {
            bench.run("submit single cap=10000; ready w2; match; pass 61; cancel");
        }
        bench.run("ready w2=0");
    });
    assert!(counts[&2] * 2 < counts[&0] && counts[&2] > 5, "{counts:?}");
}

#[test]
fn a_worker_hears_which_prices_stand_where_a_late_call_has_replaced_its_own() {
    let mut bench = Bench::new(1, 1);
    let standing = |bench: &mut Bench| {
        bench
            .market
            .work(worker(0))
            .expect("workers may ask")
            .offers
    };
    let (old, new) = (
        offers(&bench.fixture, 1_000, 10_000),
        offers(&bench.fixture, 2_000, 10_000),
    );
    assert_eq!(standing(&mut bench), Some(offers_hash(&old)));
    let set = |bench: &mut Bench, offers: &[Offer]| {
        let told = bench.market.set_offers(worker(0), offers);
        told.expect("workers may set prices");
    };
    set(&mut bench, &new);
    assert_eq!(standing(&mut bench), Some(offers_hash(&new)));
    set(&mut bench, &old[1..]);
    assert_eq!(standing(&mut bench), Some(offers_hash(&old[1..])));
    assert_ne!(offers_hash(&old), offers_hash(&new));
    set(&mut bench, &[]);
    assert_eq!(standing(&mut bench), Some(offers_hash(&[])));
}

#[test]
fn the_same_randomness_draws_the_same_workers() {
    let draw = |random: [u8; 32]| {
        let mut bench = Bench::new(6, 1);
        bench.run("submit checked3; ready w0 w1 w2 w3 w4 w5");
        let (now, horizon) = (bench.market.now(), bench.market.jobs.horizon());
        assert_eq!(bench.market.jobs.match_jobs(now, random, horizon), 4);
        let view = bench
            .market
            .job(requester(0), JobId(1))
            .expect("the job is there");
        view.leases
            .iter()
            .map(|lease| lease.worker)
            .collect::<Vec<_>>()
    };
    assert_eq!(draw([1; 32]), draw([1; 32]));
    assert!((2..12).any(|i| draw([i; 32]) != draw([1; 32])));
}

#[test]
fn randomness_asked_for_before_a_job_was_submitted_does_not_match_it() {
    let mut bench = Bench::new(2, 1);
    bench.run("submit single; ready w0 w1");
    let (now, horizon) = (bench.market.now(), bench.market.jobs.horizon());
    bench.run("submit single");
    assert_eq!(bench.market.jobs.match_jobs(now, [1; 32], horizon), 1);
    assert!(
        bench.market.jobs.needs_match(),
        "the newer job waits for newer randomness"
    );
    bench.run("match");
    assert!(!bench.market.jobs.needs_match());
}

#[test]
fn a_worker_holds_no_more_leases_than_it_has_slots_and_announced() {
    // Two slots are registered.
    check_with(
        1,
        1,
        "submit single; submit single; submit single; ready w0=1; match; jobs; ready w0=9; match",
        expect![[r#"
            job 1 Running (Matched)
              1 Generator Leased
            job 2 Queued (Submitted)
            job 3 Queued (Submitted)
            job 1 Running (Matched)
              1 Generator Leased
            job 2 Running (Matched)
              1 Generator Leased
            job 3 Queued (Submitted)
        "#]],
    );
}

#[test]
fn an_announcement_lapses() {
    check_with(
        1,
        1,
        "ready w0; pass 60; submit single; match; jobs; pass_ns 1; submit single; match",
        expect![[r#"
            job 1 Running (Matched)
              1 Generator Leased
            job 1 Running (Matched)
              1 Generator Leased
            job 2 Queued (Submitted)
        "#]],
    );
}

#[test]
fn a_long_queue_is_served_in_parts_and_nobody_starves() {
    let mut bench = Bench::new(8, 1);
    // 256 jobs that nobody can serve any more stand before one that somebody can.
    for i in 0..8u8 {
        for _ in 0..32 {
            bench.run(&format!("submit single from={i}"));
        }
    }
    for i in 0..8 {
        bench.run(&format!("price w{i} 5000 50000"));
    }
    bench.run("submit single from=9; ready w0");
    let first = bench.market.match_jobs();
    assert!(
        bench.market.jobs.needs_match(),
        "the rest of the queue is still to come"
    );
    let second = bench.market.match_jobs();
    assert_eq!((first, second), (0, 1));
    assert!(!bench.market.jobs.needs_match());
}

#[test]
fn a_crowd_of_workers_is_weighed_in_parts_and_nobody_starves() {
    let fixture = Fixture::crowd(limits::OFFERS_PER_MODEL_MAX as u32, 1);
    let mut market = MemoryMarket::new(&fixture, 0, 1);
    for &operator in &fixture.workers {
        market
            .set_offers(operator, &offers(&fixture, 1_000, 10_000)[..1])
            .expect("workers may set prices");
        market.ready(operator, 1).expect("workers may announce");
    }
    for i in 0..200u8 {
        let args = SubmitArgs {
            request: request(Assurance::Checked { checkers: 5 }),
            price_cap: Cycles(1_000_000),
            deadline_seconds: 3_600,
            idempotency_key: vec![i],
        };
        market
            .submit(requester(i), &args, args.price_cap)
            .expect("the market takes it");
    }
    let mut passes = 0;
    let mut granted = 0;
    while market.jobs.needs_match() {
        granted += market.match_jobs();
        passes += 1;
        assert!(passes <= 200, "every pass serves at least one job");
    }
    assert_eq!(granted, 200 * 6);
    assert!(passes > 10, "one pass does not weigh them all: {passes}");
    market.check().expect("all is well");
}

#[test]
fn a_model_takes_so_many_offers_and_no_more() {
    let fixture = Fixture::crowd(limits::OFFERS_PER_MODEL_MAX as u32 + 1, 1);
    let mut market = MemoryMarket::new(&fixture, 0, 1);
    let (last, others) = fixture.workers.split_last().expect("workers");
    let both = offers(&fixture, 1_000, 10_000);
    for &operator in others {
        market
            .set_offers(operator, &both[..1])
            .expect("there is room");
    }
    let full = WorkerError::TooManyOffers {
        model: both[0].model,
        max: limits::OFFERS_PER_MODEL_MAX as u32,
    };
    assert_eq!(market.set_offers(*last, &both), Err(full));
    // Who is in may change its price, and other models are not full.
    let dearer = offers(&fixture, 2_000, 20_000);
    assert_eq!(market.set_offers(others[0], &dearer), Ok(()));
    assert_eq!(market.set_offers(*last, &both[1..]), Ok(()));
    // Who leaves makes room.
    assert_eq!(market.set_offers(others[0], &dearer[1..]), Ok(()));
    assert_eq!(market.set_offers(*last, &both), Ok(()));
    market.check().expect("all is well");
}

#[test]
fn a_claim_gives_lost_orders_again_and_keeps_nothing_alive() {
    let mut bench = Bench::new(1, 1);
    bench.run("submit single; go");
    let claim = |bench: &mut Bench, known: &[u64]| {
        let known: Vec<LeaseId> = known.iter().copied().map(LeaseId).collect();
        let claimed = bench.market.claim(worker(0), &known);
        claimed.expect("workers may claim")
    };
    let leases = |orders: &[Order]| orders.iter().map(|order| order.lease.0).collect::<Vec<_>>();
    let first = claim(&mut bench, &[]);
    bench.run("later 1000000000; submit single; match");
    let both = claim(&mut bench, &[]);
    assert_eq!((leases(&first), leases(&both)), (vec![1], vec![1, 2]));
    assert_eq!(both[0], first[0], "and no later deadline");
    assert_eq!(leases(&claim(&mut bench, &[1])), [2]);
    assert_eq!(leases(&claim(&mut bench, &[2, 1, 77])), Vec::<u64>::new());
    bench.run("claim; L1 streams");
    assert!(claim(&mut bench, &[2])[0].streamed > 0);
    bench.run("L1 commits; pass 31; jobs");
    assert_eq!(leases(&claim(&mut bench, &[])), [3], "lease 2 was lost");
}

#[test]
fn a_full_model_has_room_for_whoever_comes_when_others_sleep() {
    let fixture = Fixture::crowd(limits::OFFERS_PER_MODEL_MAX as u32 + 2, 1);
    let mut market = MemoryMarket::new(&fixture, 0, 1);
    let both = offers(&fixture, 1_000, 10_000);
    let (late, early) = fixture.workers.split_at(2);
    for &operator in early {
        let told = market.set_offers(operator, &both[..1]);
        told.expect("there is room");
    }
    // Everybody has just been heard of.
    assert!(market.set_offers(late[0], &both).is_err());
    market.stand_still(limits::OFFER_SECONDS * 1_000_000_000 + 1);
    for &operator in &early[1..] {
        market.ready(operator, 1).expect("workers may announce");
    }
    // The one that sleeps gives way; nobody else does.
    assert_eq!(market.set_offers(late[0], &both), Ok(()));
    assert!(market.set_offers(late[1], &both).is_err());
    market.check().expect("all is well");
    market.check_replay().expect("and the log says how");
}

#[test]
fn a_worker_is_told_why_it_has_no_work() {
    let mut bench = Bench::new(2, 2);
    let ask = |bench: &mut Bench, w: u8| {
        let now = bench.market.now();
        bench.market.jobs.explain(worker(w), now)
    };
    assert_eq!(ask(&mut bench, 77), Idle::UnknownWorker);
    assert_eq!(ask(&mut bench, 0), Idle::NotReady);
    bench.run("ready w0=1 w1=1");
    assert_eq!(ask(&mut bench, 0), Idle::NoDemand);
    bench.run("submit checked1");
    assert_eq!(ask(&mut bench, 0), Idle::Eligible);
    bench.run("match");
    // Workers 0 and 1 have one owner: one of them works, the other may not.
    let both = [ask(&mut bench, 0), ask(&mut bench, 1)];
    assert!(
        both.contains(&Idle::Busy { leases: 1 }) && both.contains(&Idle::SameProvider),
        "{both:?}"
    );
    bench.run("cancel; submit checked1; price w0 9000 9000");
    assert_eq!(ask(&mut bench, 0), Idle::TooDear);
    let fixture = Fixture::new(2, 2, 2);
    assert_eq!(offers(&fixture, 1, 1).len(), 2);
    bench
        .market
        .set_offers(worker(0), &[])
        .expect("no offers is an offer, too");
    assert_eq!(ask(&mut bench, 0), Idle::NoOffer);
    bench.run("drain w0");
    assert_eq!(ask(&mut bench, 0), Idle::NotActive);
    assert_ne!(provider(0), worker(0));
}

#[test]
fn a_worker_sees_in_its_hint_what_to_do_next() {
    let mut bench = Bench::new(2, 1);
    let hint = |bench: &mut Bench, who: &str| {
        let (_, operator) = bench.lease(who);
        let hint = bench.market.work(operator).expect("workers may ask");
        let lease = hint
            .leases
            .first()
            .map(|lease| (lease.state, lease.reveal_open, lease.transcript_final));
        format!(
            "unclaimed {} announce {} {lease:?}",
            hint.unclaimed, hint.announce
        )
    };
    let mut told = Vec::new();
    bench.run("submit checked1; go");
    told.push(hint(&mut bench, "C1"));
    bench.run("claim");
    told.push(hint(&mut bench, "C1"));
    bench.run("G commits");
    told.push(hint(&mut bench, "C1"));
    bench.run("C1 commits");
    told.push(hint(&mut bench, "C1"));
    told.push(hint(&mut bench, "G"));
    bench.run("live 61; jobs");
    let hint = bench.market.work(worker(0)).expect("workers may ask");
    let standing = offers_hash(&offers(&bench.fixture, 1_000, 10_000));
    assert_eq!(hint.offers, Some(standing));
    told.push(format!("{} {}", hint.announce, hint.leases.len()));
    expect![[r#"
        unclaimed 1 announce false None
        unclaimed 0 announce false Some((Leased, false, false))
        unclaimed 0 announce false Some((Leased, false, true))
        unclaimed 0 announce false Some((Committed, true, true))
        unclaimed 0 announce false Some((Committed, true, false))
        true 0"#]]
    .assert_eq(&told.join("\n"));
    let view = bench
        .market
        .job(requester(0), JobId(1))
        .expect("the job is there");
    assert!(
        view.leases
            .iter()
            .any(|lease| lease.reason == Some(Reason::NotRevealed))
    );
}
