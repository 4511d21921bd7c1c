//! Audits of `single` answers, who is trusted, and stake behind leases.

use assay_jobs_core::{
    Rules,
    testing::{Market, provider, requester, worker},
};
use assay_protocol::{Cycles, JobId, lease::Idle, limits, money::MoneyError};
use candid::Principal;
use expect_test::{Expect, expect};

use crate::bench::Bench;

/// Two confirmed results make a worker trusted, and every answer of a trusted one is audited.
const STRICT: Rules = Rules {
    trusted_after: 2,
    audit_ppm_min: 1_000_000,
    ..Rules::LAX
};
/// The same, and hardly any answer of a trusted one is audited: one in two, then one in three, and so on.
const RARE: Rules = Rules {
    trusted_after: 1_000,
    audit_ppm_min: 1,
    ..Rules::LAX
};
const STAKED: Rules = Rules {
    stake_factor: 2,
    reveal_bond: Cycles(100),
    ..Rules::LAX
};
/// Confirms workers 0 and 1: as generator and checker of two jobs.
const TRUST: &str = "ready w0 w1; submit checked1; match; claim; G commits; C1 commits; G reveals; C1 reveals; submit checked1; match; claim; G commits; C1 commits; G reveals; C1 reveals";

fn check(rules: Rules, providers: u8, script: &str, expected: Expect) {
    let mut bench = Bench::with_rules(providers, 1, rules);
    bench.run(script);
    expected.assert_eq(&bench.finish());
}

#[test]
fn a_newcomers_single_answer_is_checked_and_the_treasury_pays() {
    check(
        STRICT,
        2,
        "treasury 5000; submit single; go; claim; G commits; jobs; match; claim; C1 commits; G reveals; C1 reveals; money",
        expect![[r#"
            job 1 Extended (Audited)
              1 Generator Committed
            in 5_294: workers 172, model 7, fees 4_980, requester 135, held 0
            job 1 Settled Verified (RootsAgree): paid 172 kept 10 refunded 135 treasury 23
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn without_trusted_workers_and_treasury_single_is_refused() {
    check(
        STRICT,
        2,
        "submit single",
        expect![[r#"
        submit single: no worker of this model has 2 confirmed answers yet, and the treasury or the providers do not suffice for a check; ask for checked assurance
    "#]],
    );
    check(
        STRICT,
        1,
        "treasury 100000; submit single",
        expect![[r#"
        submit single: no worker of this model has 2 confirmed answers yet, and the treasury or the providers do not suffice for a check; ask for checked assurance
    "#]],
    );
}

#[test]
fn a_newcomer_waits_while_a_trusted_worker_is_idle() {
    let mut bench = Bench::with_rules(4, 1, STRICT);
    bench.run(TRUST);
    bench.run("treasury 5000; submit single; go");
    let (_, operator) = bench.lease("G");
    assert!([worker(0), worker(1)].contains(&operator));
    let now = bench.market.now();
    assert_eq!(bench.market.jobs.explain(worker(3), now), Idle::NoDemand);
}

#[test]
fn every_drawn_answer_is_checked_after_it_was_committed() {
    check(
        STRICT,
        4,
        &format!(
            "{TRUST}; treasury 5000; submit single; go; claim; G commits; jobs; match; jobs; claim; C1 commits; G reveals; C1 reveals; money"
        ),
        expect![[r#"
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 2 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 3 Revealing (AllCommitted)
              1 Generator Committed
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 2 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 3 Extended (Audited)
              1 Generator Committed
              1 Checker Leased
            in 5_978: workers 516, model 23, fees 4_988, requester 451, held 0
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 2 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 3 Settled Verified (RootsAgree): paid 172 kept 10 refunded 135 treasury 23
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn a_draw_does_not_decide_on_an_answer_that_came_after_it_was_asked_for() {
    let mut bench = Bench::with_rules(4, 1, STRICT);
    bench.run(TRUST);
    bench.run("treasury 5000; submit single; go; claim");
    let (now, before) = (bench.market.now(), bench.market.jobs.horizon());
    bench.run("G commits; G reveals");
    assert!(bench.market.jobs.needs_match());
    assert_eq!(bench.market.jobs.match_jobs(now, [1; 32], before), 0);
    bench.run("jobs");
    let after = bench.market.jobs.horizon();
    assert_eq!(bench.market.jobs.match_jobs(now, [1; 32], after), 1);
    expect![[r#"
        job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
          1 Generator Revealed (RootsAgree) paid 149
          1 Checker Revealed (RootsAgree) paid 23
        job 2 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
          1 Generator Revealed (RootsAgree) paid 149
          1 Checker Revealed (RootsAgree) paid 23
        job 3 Revealing (AllCommitted)
          1 Generator Revealed
        job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
          1 Generator Revealed (RootsAgree) paid 149
          1 Checker Revealed (RootsAgree) paid 23
        job 2 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
          1 Generator Revealed (RootsAgree) paid 149
          1 Checker Revealed (RootsAgree) paid 23
        job 3 Extended (Audited)
          1 Generator Revealed
          1 Checker Leased
    "#]]
    .assert_eq(&bench.finish());
}

#[test]
fn a_spared_answer_is_unverified() {
    check(
        Rules {
            trusted_after: 0,
            ..RARE
        },
        4,
        "submit single; go; claim; G commits; G reveals; jobs; match; money",
        expect![[r#"
            job 1 Revealing (AllCommitted)
              1 Generator Revealed
            in 294: workers 149, model 7, fees 3, requester 135, held 0
            job 1 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
              1 Generator Revealed (NotCompared) paid 149
        "#]],
    );
}

#[test]
fn a_wrong_single_answer_is_rejected_by_those_who_audit_it() {
    check(
        STRICT,
        4,
        "treasury 5000; submit single; go; claim; G commits tokens; match; claim; C1 commits; G reveals; C1 reveals; match; claim; C2 commits; C2 reveals; match; claim; G commits; match; claim; C1 commits; G reveals; C1 reveals; money",
        expect![[r#"
            in 5_294: workers 218, model 7, fees 4_934, requester 135, held 0
            job 1 Settled Verified (RootsAgree): paid 218 kept 10 refunded 135 treasury 69
              1 Generator Revealed (GenerationRejected)
              1 Checker Revealed (RootsAgree) paid 23
              1 Checker Revealed (RootsAgree) paid 23
              2 Generator Revealed (RootsAgree) paid 149
              2 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn a_random_audit_without_a_checker_holds_nothing_up_and_a_required_one_does() {
    check(
        STRICT,
        2,
        &format!(
            "{TRUST}; treasury 5000; submit single; ready w0; ready w1=0; match; claim; drain w0; drain w1; G commits; G reveals; match; jobs; pass 200; money"
        ),
        expect![[r#"
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 2 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 3 Extended (Audited)
              1 Generator Revealed
            in 5_978: workers 493, model 23, fees 5_011, requester 451, held 0
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 2 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 3 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
              1 Generator Revealed (NotCompared) paid 149
        "#]],
    );
    check(
        STRICT,
        2,
        "treasury 5000; submit single; go; claim; drain w0; drain w1; G commits; pass 200; money",
        expect![[r#"
            in 5_294: workers 0, model 0, fees 5_000, requester 294, held 0
            job 1 Settled Inconclusive (NoMoreWorkers): paid 0 kept 0 refunded 294
              1 Generator Released (NoLongerNeeded)
        "#]],
    );
}

#[test]
fn a_malformed_answer_is_not_accepted_when_its_audit_comes_too_late() {
    check(
        STRICT,
        4,
        &format!(
            "{TRUST}; treasury 5000; submit single deadline=30; go; claim; live 29; G commits twofaced; match; later 2000000000; G reveals; jobs; go; money"
        ),
        expect![[r#"
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 2 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 3 Expired (DeadlinePassed): paid 0 kept 0 refunded 294
              1 Generator Revealed (Malformed("the result differs from the tokens it was committed with"))
              1 Checker Released (DeadlinePassed)
            in 5_978: workers 344, model 16, fees 5_008, requester 610, held 0
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 2 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 3 Expired (DeadlinePassed): paid 0 kept 0 refunded 294
              1 Generator Revealed (Malformed("the result differs from the tokens it was committed with"))
              1 Checker Released (DeadlinePassed)
        "#]],
    );
}

#[test]
fn a_lease_needs_stake_and_locks_it_until_it_ends() {
    let mut bench = Bench::with_rules(2, 1, STAKED);
    bench.run("submit single; go; jobs");
    let now = bench.market.now();
    let needed = match bench.market.jobs.explain(worker(0), now) {
        Idle::StakeShort { needed, free } => {
            assert_eq!(free, Cycles(0));
            needed
        }
        other => panic!("{other:?}"),
    };
    bench.run(&format!("stake w0 {}; match; jobs", needed.0 - 1));
    bench.run("stake w0 1; match; jobs; unstake w0 1");
    let held = bench.market.holdings(provider(0));
    assert_eq!((held.stake, held.locked), (needed, needed));
    bench.run("submit single; match; jobs; claim; G@1 commits; G@1 reveals; match; jobs");
    let held = bench.market.holdings(provider(0));
    assert_eq!(
        (held.stake, held.locked),
        (needed, needed),
        "behind the second job's lease"
    );
    expect![[r#"
        job 1 Queued (Submitted)
        job 1 Queued (Submitted)
        job 1 Running (Matched)
          1 Generator Leased
        unstake w0 1: 0 cycles of stake stand behind no lease, 1 were asked for; wait for leases to end
        job 1 Running (Matched)
          1 Generator Leased
        job 2 Queued (Submitted)
        job 1 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
          1 Generator Revealed (NotCompared) paid 149
        job 2 Running (Matched)
          1 Generator Leased
        job 1 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
          1 Generator Revealed (NotCompared) paid 149
        job 2 Running (Matched)
          1 Generator Leased
    "#]].assert_eq(&bench.finish());
}

#[test]
fn a_silent_generators_bond_goes_to_its_checkers_and_others_to_the_treasury() {
    check(
        STAKED,
        4,
        "stake w0 2000; stake w1 2000; stake w2 2000; stake w3 2000; submit checked2; go; claim; G commits; C1 commits; C2 commits; C1 reveals; pass 61; jobs",
        expect![[r#"
            job 1 Queued (NotRevealed)
              1 Generator Silent (NotRevealed) lost 100
              1 Checker Revealed (NoLongerNeeded) bonus 100
              1 Checker Released (NoLongerNeeded)
            job 1 Queued (NotRevealed)
              1 Generator Silent (NotRevealed) lost 100
              1 Checker Revealed (NoLongerNeeded) bonus 100
              1 Checker Released (NoLongerNeeded)
        "#]],
    );
    check(
        STAKED,
        4,
        "stake w0 2000; stake w1 2000; stake w2 2000; submit checked2; go; claim; G commits; C1 commits; C2 commits; G reveals; C1 reveals; live 61; jobs; money",
        expect![[r#"
            job 1 Extended (NotRevealed)
              1 Generator Revealed
              1 Checker Revealed
              1 Checker Silent (NotRevealed) lost 100
            in 6_894: workers 0, model 0, fees 100, requester 0, held 894
            job 1 Extended (NotRevealed)
              1 Generator Revealed
              1 Checker Revealed
              1 Checker Silent (NotRevealed) lost 100
        "#]],
    );
}

#[test]
fn stake_leaves_after_the_unbonding_time_and_more_restarts_it() {
    let mut bench = Bench::with_rules(1, 1, STAKED);
    bench.run("stake w0 1000; unstake w0 1001; unstake w0 0; release w0; unstake w0 400");
    bench
        .market
        .stand_still(limits::UNBONDING_SECONDS * 1_000_000_000);
    bench.run("release w0; later 1; release w0; release w0; unstake w0 600");
    let held = bench.market.holdings(provider(0));
    assert_eq!(
        (held.free, held.stake, held.unbonding),
        (Cycles(400), Cycles(0), Cycles(600))
    );
    bench
        .market
        .stand_still(limits::UNBONDING_SECONDS * 1_000_000_000 + 1);
    bench.run("release w0");
    assert_eq!(bench.market.balance(provider(0)), Cycles(1_000));
    expect![[r#"
        unstake w0 1001: 1_000 cycles of stake stand behind no lease, 1_001 were asked for; wait for leases to end
        unstake w0 0: amount: nothing to move; give more than zero cycles
        release w0: no stake is on its way out; begin with unstake
        release w0: the stake on its way out may be taken after 2023-11-21T22:13:20.000Z
        release w0: no stake is on its way out; begin with unstake
    "#]].assert_eq(&bench.finish());
}

#[test]
fn money_moves_only_for_those_who_have_it() {
    let mut bench = Bench::with_rules(1, 1, STAKED);
    let nobody = Principal::anonymous();
    let poor = requester(0);
    assert_eq!(
        bench.market.stake(nobody, Cycles(1)),
        Err(MoneyError::Anonymous)
    );
    assert_eq!(
        bench.market.unstake(nobody, Cycles(1)),
        Err(MoneyError::Anonymous)
    );
    assert_eq!(
        bench.market.release_stake(nobody),
        Err(MoneyError::Anonymous)
    );
    assert_eq!(
        bench.market.fund_treasury(nobody, Cycles(1)),
        Err(MoneyError::Anonymous)
    );
    assert_eq!(
        bench.market.stake(poor, Cycles(0)),
        Err(MoneyError::Nothing)
    );
    let short = MoneyError::InsufficientFunds {
        needed: Cycles(6),
        balance: Cycles(5),
    };
    bench.market.deposit(poor, Cycles(5));
    assert_eq!(bench.market.stake(poor, Cycles(6)), Err(short.clone()));
    assert_eq!(bench.market.fund_treasury(poor, Cycles(6)), Err(short));
    assert_eq!(bench.market.fund_treasury(poor, Cycles(5)), Ok(Cycles(5)));
    assert!(bench.market.job(poor, JobId(1)).is_err());
    expect![[r#""#]].assert_eq(&bench.finish());
}

#[test]
fn rules_have_bounds() {
    let mut bench = Bench::new(1, 1);
    let now = bench.market.now();
    let most = Rules {
        trusted_after: limits::TRUSTED_AFTER_MAX,
        audit_ppm_min: 1_000_000,
        stake_factor: limits::STAKE_FACTOR_MAX,
        reveal_bond: Cycles(limits::REVEAL_BOND_CYCLES_MAX),
        sponsor_caller_daily: Cycles(limits::PRICE_CAP_CYCLES_MAX),
        sponsor_daily: Cycles(limits::PRICE_CAP_CYCLES_MAX),
        canary_ppm: limits::CANARY_PPM_MAX,
    };
    let events = bench.market.jobs.log_len();
    for (i, rules) in [
        Rules {
            trusted_after: limits::TRUSTED_AFTER_MAX + 1,
            ..most
        },
        Rules {
            audit_ppm_min: 1_000_001,
            ..most
        },
        Rules {
            stake_factor: limits::STAKE_FACTOR_MAX + 1,
            ..most
        },
        Rules {
            reveal_bond: Cycles(limits::REVEAL_BOND_CYCLES_MAX + 1),
            ..most
        },
        Rules {
            sponsor_caller_daily: Cycles(limits::PRICE_CAP_CYCLES_MAX + 1),
            ..most
        },
        Rules {
            sponsor_daily: Cycles(limits::PRICE_CAP_CYCLES_MAX + 1),
            ..most
        },
        Rules {
            canary_ppm: limits::CANARY_PPM_MAX + 1,
            ..most
        },
    ]
    .into_iter()
    .enumerate()
    {
        let told = bench.market.jobs.set_rules(now, rules);
        let told = told.expect_err("past its bound").to_string();
        bench.tell(&format!("{i}: {told}"));
    }
    assert_eq!(bench.market.jobs.log_len(), events);
    assert_eq!(bench.market.jobs.set_rules(now, most), Ok(()));
    assert_eq!(bench.market.jobs.config().rules, most);
    expect![[r#"
        0: trusted_after: 1001, at most 1000 is allowed
        1: audit_ppm_min: 1000001, at most 1000000 is allowed
        2: stake_factor: 101, at most 100 is allowed
        3: reveal_bond: 1000000000000001, at most 1000000000000000 is allowed
        4: sponsor_caller_daily: 10000000000000000001, at most 10000000000000000000 is allowed
        5: sponsor_daily: 10000000000000000001, at most 10000000000000000000 is allowed
        6: canary_ppm: 200001, at most 200000 is allowed
    "#]]
    .assert_eq(&bench.finish());
}

#[test]
fn of_two_alike_the_one_with_stake_generates_twice_as_often() {
    let mut generated = [0u32; 2];
    for seed in 0..688u32 {
        let mut bench = Bench::with_rules(2, 1, Rules::LAX);
        bench.run("stake w0 1000000; ready w0 w1; submit single");
        let random = [seed.to_le_bytes(); 8].concat();
        let (now, horizon) = (bench.market.now(), bench.market.jobs.horizon());
        let random = random.try_into().expect("32 bytes");
        bench.market.jobs.match_jobs(now, random, horizon);
        let (_, operator) = bench.lease("G");
        generated[usize::from(operator == worker(1))] += 1;
    }
    let [with, without] = generated;
    // 2 in 3 of 688, within four standard deviations.
    let expected = (with + without) * 2 / 3;
    assert!(with.abs_diff(expected) < 50, "{with} and {without}");
}

#[test]
fn an_answer_of_a_worker_that_lost_its_trust_counts_only_if_its_check_can_be_paid() {
    let lose = format!(
        "{TRUST}; ready w1=0; submit single; ready w0; match; claim; submit checked2; ready w0; match; ready w2 w3; match; claim; \
         G@4 commits tokens; C1@4 commits; C2@4 commits; G@4 reveals; C1@4 reveals; C2@4 reveals"
    );
    check(
        STRICT,
        4,
        &format!("{lose}; G@3 commits"),
        expect![[r#"
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 2 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 3 Queued (LimitReached("treasury"))
              1 Generator Released (NoLongerNeeded)
            job 4 Queued (GenerationRejected)
              1 Generator Revealed (GenerationRejected)
              1 Checker Revealed (RootsAgree)
              1 Checker Revealed (RootsAgree)
        "#]],
    );
    check(
        STRICT,
        4,
        &format!("{lose}; treasury 5000; G@3 commits"),
        expect![[r#"
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 2 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
            job 3 Extended (Audited)
              1 Generator Committed
            job 4 Queued (GenerationRejected)
              1 Generator Revealed (GenerationRejected)
              1 Checker Revealed (RootsAgree)
              1 Checker Revealed (RootsAgree)
        "#]],
    );
}

#[test]
fn a_single_job_at_the_quoted_price_can_pay_its_checker_and_a_spare() {
    let mut bench = Bench::with_rules(4, 1, STRICT);
    // The cheapest is a newcomer, whose answer must be checked by somebody dearer.
    bench
        .run("price w0 1000 10000; price w1 2000 20000; price w2 3000 30000; price w3 4000 40000; treasury 100000");
    bench.run("submit single; ready w0 w1 w2 w3");
    let now = bench.market.now();
    let told = [0, 1, 2, 3].map(|i| bench.market.jobs.explain(worker(i), now));
    use Idle::{Eligible, TooDear};
    assert_eq!(told, [Eligible, Eligible, Eligible, TooDear]);
    bench.run("match; claim; G commits; match; claim; C1 commits; G reveals; C1 reveals");
    expect![[r#"
        job 1 Settled Verified (RootsAgree): paid 218 kept 10 refunded 722 treasury 69
          1 Generator Revealed (RootsAgree) paid 149
          1 Checker Revealed (RootsAgree) paid 69
    "#]]
    .assert_eq(&bench.finish());
}

#[test]
fn a_newcomer_with_nobody_to_check_it_is_told_so() {
    let mut bench = Bench::with_rules(2, 1, STRICT);
    bench.run("treasury 100000; submit single; drain w1; ready w0; match");
    let now = bench.market.now();
    let untrusted = Idle::Untrusted {
        valid: 0,
        wanted: 2,
    };
    assert_eq!(bench.market.jobs.explain(worker(0), now), untrusted);
}

#[test]
fn a_worker_cannot_take_its_owners_stake() {
    let mut bench = Bench::with_rules(1, 1, STAKED);
    bench.run("stake w0 1000");
    let operator = worker(0);
    let none = MoneyError::StakeLocked {
        needed: Cycles(1),
        free: Cycles::ZERO,
    };
    assert_eq!(bench.market.unstake(operator, Cycles(1)), Err(none));
    bench.run("unstake w0 1000");
    bench
        .market
        .stand_still(limits::UNBONDING_SECONDS * 1_000_000_000 + 1);
    let told = bench.market.release_stake(operator);
    assert_eq!(told, Err(MoneyError::NothingUnbonding));
    bench.run("release w0");
    assert_eq!(bench.market.balance(operator), Cycles::ZERO);
    assert_eq!(bench.market.balance(provider(0)), Cycles(1_000));
}
