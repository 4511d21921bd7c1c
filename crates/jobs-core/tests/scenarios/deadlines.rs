//! Time: what ends when, to the nanosecond, and what a stall changes.

use expect_test::expect;

use crate::bench::{check, check_with};

#[test]
fn an_unclaimed_lease_is_lost_after_a_minute_and_the_job_queued_again() {
    check(
        "submit checked1; go; pass 60; jobs; pass_ns 1; jobs; go; claim",
        expect![[r#"
            job 1 Running (Matched)
              1 Generator Leased
              1 Checker Leased
            job 1 Queued (NotClaimed)
              1 Generator Lost (NotClaimed)
              1 Checker Released (NoLongerNeeded)
            job 1 Running (Matched)
              1 Generator Lost (NotClaimed)
              1 Checker Released (NoLongerNeeded)
              2 Generator Leased claimed
              2 Checker Leased claimed
        "#]],
    );
}

#[test]
fn a_lease_without_heartbeats_is_lost() {
    check(
        "submit single; go; claim; pass 30; jobs; later 1; L1 beats",
        expect![[r#"
            job 1 Running (Matched)
              1 Generator Leased claimed
            L1 beats: stop: HeartbeatLost
            job 1 Queued (HeartbeatLost)
              1 Generator Lost (HeartbeatLost)
        "#]],
    );
}

#[test]
fn heartbeats_keep_a_lease_until_the_longest_run() {
    check(
        "submit single; go; claim; live 599; G beats; live 1; jobs; pass_ns 1",
        expect![[r#"
            G beats: continue for 1 s
            job 1 Running (Matched)
              1 Generator Leased claimed
            job 1 Queued (RunTooLong)
              1 Generator Lost (RunTooLong)
        "#]],
    );
}

#[test]
fn progress_counts_as_a_heartbeat() {
    check(
        "submit single; go; claim; pass 25; G streams; pass 25; G commits; G reveals",
        expect![[r#"
            job 1 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
              1 Generator Revealed (NotCompared) paid 149
        "#]],
    );
}

#[test]
fn a_checker_may_run_its_full_time_after_a_slow_generator() {
    check(
        "submit checked1; go; claim; live 590; G commits; live 500; C1 commits; G reveals; C1 reveals",
        expect![[r#"
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn a_checker_that_claims_long_before_a_slow_generator_has_the_time_to_wait_for_it() {
    check(
        "submit checked1; go; C1 claims; live 59; G claims; live 599; G commits; live 599; C1 commits; G reveals; C1 reveals",
        expect![[r#"
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn a_checker_that_never_ends_is_lost_when_its_time_after_the_generator_is_over() {
    check(
        "submit checked1; go; C1 claims; claim; live 10; G commits; live 600; C1 beats; pass_ns 1",
        expect![[r#"
            C1 beats: continue for 0 s
            job 1 Running (Matched)
              1 Generator Committed
              1 Checker Lost (RunTooLong)
        "#]],
    );
}

#[test]
fn work_committed_before_the_deadline_is_opened_in_full_time() {
    check(
        "submit single deadline=30; go; claim; pass 29; G commits; pass 60; G reveals",
        expect![[r#"
            job 1 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
              1 Generator Revealed (NotCompared) paid 149
        "#]],
    );
    check(
        "submit single deadline=30; go; claim; pass 29; G commits; pass 60; pass_ns 1; G reveals; go",
        expect![[r#"
            G reveals: lease 1 ended at 2023-11-14T22:14:49.000Z; the job went on without it
            job 1 Expired (DeadlinePassed): paid 0 kept 0 refunded 294
              1 Generator Silent (NotRevealed)
        "#]],
    );
}

#[test]
fn a_commitment_at_the_deadline_counts_and_one_after_it_is_late() {
    check(
        "submit single; go; claim; pass 30; G commits",
        expect![[r#"
        job 1 Revealing (AllCommitted)
          1 Generator Committed
    "#]],
    );
    check(
        "submit single; go; claim; pass 30; later 1; G commits; jobs; go; claim; G commits; G reveals",
        expect![[r#"
            G commits: lease 1 ended at 2023-11-14T22:13:50.000Z; the job went on without it
            job 1 Queued (HeartbeatLost)
              1 Generator Late (HeartbeatLost)
            job 1 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
              1 Generator Late (HeartbeatLost)
              2 Generator Revealed (NotCompared) paid 149
        "#]],
    );
}

#[test]
fn a_late_checker_is_replaced_in_the_same_round() {
    check(
        "submit checked1; go; claim; G commits; pass 31; C1 commits; jobs; go; claim; C2 commits; G reveals; C2 reveals",
        expect![[r#"
            C1 commits: lease 2 ended at 2023-11-14T22:13:50.000Z; the job went on without it
            job 1 Running (Matched)
              1 Generator Committed
              1 Checker Late (HeartbeatLost)
              1 Checker Leased
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Late (HeartbeatLost)
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn a_reveal_at_the_deadline_counts_and_one_after_it_is_too_late() {
    check(
        "submit single; go; claim; G commits; pass 60; G reveals",
        expect![[r#"
            job 1 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
              1 Generator Revealed (NotCompared) paid 149
        "#]],
    );
    check(
        "submit single; go; claim; G commits; pass 60; later 1; G reveals; jobs",
        expect![[r#"
            G reveals: lease 1 ended at 2023-11-14T22:14:20.000Z; the job went on without it
            job 1 Queued (NotRevealed)
              1 Generator Silent (NotRevealed)
            job 1 Queued (NotRevealed)
              1 Generator Silent (NotRevealed)
        "#]],
    );
}

#[test]
fn all_replicas_time_out_and_others_are_asked() {
    check_with(
        3,
        1,
        "submit equality3; go; claim; pass 31; jobs; go; claim; R4 commits; R5 commits; R6 commits; R4 reveals; R5 reveals; R6 reveals",
        expect![[r#"
            job 1 Running (Matched)
              1 Replica Lost (HeartbeatLost)
              1 Replica Lost (HeartbeatLost)
              1 Replica Lost (HeartbeatLost)
              1 Replica Leased
              1 Replica Leased
              1 Replica Leased
            job 1 Settled Verified (RootsAgree): paid 447 kept 33 refunded 401
              1 Replica Lost (HeartbeatLost)
              1 Replica Lost (HeartbeatLost)
              1 Replica Lost (HeartbeatLost)
              1 Replica Revealed (RootsAgree) paid 149
              1 Replica Revealed (RootsAgree) paid 149
              1 Replica Revealed (RootsAgree) paid 149
        "#]],
    );
}

#[test]
fn five_lost_generations_fail_the_job_and_give_everything_back() {
    check(
        "submit single; go; pass 61; go; pass 61; go; pass 61; go; pass 61; jobs; go; pass 61; money",
        expect![[r#"
            job 1 Queued (NotClaimed)
              1 Generator Lost (NotClaimed)
              2 Generator Lost (NotClaimed)
              3 Generator Lost (NotClaimed)
              4 Generator Lost (NotClaimed)
            in 294: workers 0, model 0, fees 0, requester 294, held 0
            job 1 Failed (LimitReached("rounds")): paid 0 kept 0 refunded 294
              1 Generator Lost (NotClaimed)
              2 Generator Lost (NotClaimed)
              3 Generator Lost (NotClaimed)
              4 Generator Lost (NotClaimed)
              5 Generator Lost (NotClaimed)
        "#]],
    );
}

#[test]
fn a_job_nobody_takes_expires_with_a_full_refund() {
    check(
        "submit checked1 deadline=100; pass 100; jobs; pass_ns 1; money",
        expect![[r#"
            job 1 Queued (Submitted)
            in 794: workers 0, model 0, fees 0, requester 794, held 0
            job 1 Expired (DeadlinePassed): paid 0 kept 0 refunded 794
        "#]],
    );
}

#[test]
fn a_running_job_expires_with_a_full_refund() {
    check(
        "submit checked1 deadline=100; go; claim; G commits; live 161; C1 commits; money",
        expect![[r#"
            C1 commits: lease 2 ended at 2023-11-14T22:16:00.000Z; the job went on without it
            in 794: workers 0, model 0, fees 0, requester 794, held 0
            job 1 Expired (DeadlinePassed): paid 0 kept 0 refunded 794
              1 Generator Released (DeadlinePassed)
              1 Checker Released (DeadlinePassed)
        "#]],
    );
}

#[test]
fn a_checker_has_a_minute_of_grace_when_the_generator_was_in_time() {
    check(
        "submit checked1 deadline=100; go; claim; live 99; G commits; live 61; C1 commits; live 60; G reveals; C1 reveals",
        expect![[r#"
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn nobody_else_is_asked_after_the_deadline() {
    // A checker drops out, and one disagrees.
    check(
        "submit checked1 deadline=100; go; claim; live 99; G commits; live 2; C1 abandons; go; money",
        expect![[r#"
            in 794: workers 0, model 0, fees 0, requester 794, held 0
            job 1 Expired (DeadlinePassed): paid 0 kept 0 refunded 794
              1 Generator Released (DeadlinePassed)
              1 Checker Abandoned (Abandoned("going home"))
        "#]],
    );
    check(
        "submit checked1 deadline=100; go; claim; live 99; G commits; live 2; C1 commits tokens; G reveals; C1 reveals; go; money",
        expect![[r#"
            in 794: workers 0, model 0, fees 0, requester 794, held 0
            job 1 Expired (DeadlinePassed): paid 0 kept 0 refunded 794
              1 Generator Revealed (DeadlinePassed)
              1 Checker Revealed (DeadlinePassed)
        "#]],
    );
    // The other workers come too late.
    check(
        "submit checked1 deadline=100; ready w0; match; claim; live 50; G commits; live 51; ready w1 w2; match",
        expect![[r#"
            job 1 Expired (DeadlinePassed): paid 0 kept 0 refunded 794
              1 Generator Released (DeadlinePassed)
        "#]],
    );
}

#[test]
fn a_job_that_is_being_opened_at_its_deadline_is_still_settled() {
    check(
        "submit checked1 deadline=100; go; claim; live 90; G commits; C1 commits; G reveals; live 11; C1 reveals; money",
        expect![[r#"
            in 794: workers 172, model 8, fees 4, requester 610, held 0
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn a_stall_moves_every_deadline_on() {
    check(
        "submit checked1 deadline=100; go; claim; pass 20; stall 3000; G beats; G commits; pass 10; stall 86400; C1 commits; pass 50; \
         stall 30; G reveals; C1 reveals",
        expect![[r#"
            G beats: continue for 30 s
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn a_short_silence_is_no_stall() {
    check(
        "submit single; go; claim; stall 20; stall 11; jobs",
        expect![[r#"
            job 1 Running (Matched)
              1 Generator Lost (HeartbeatLost)
              2 Generator Leased
            job 1 Running (Matched)
              1 Generator Lost (HeartbeatLost)
              2 Generator Leased
        "#]],
    );
}

#[test]
fn a_job_whose_answer_can_be_read_already_may_not_be_cancelled() {
    check(
        "submit single; go; claim; G streams; cancel; G commits; G reveals",
        expect![[r#"
            cancel: a worker has shown or committed a part of the answer to job 1, so it cannot be cancelled now
            job 1 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
              1 Generator Revealed (NotCompared) paid 149
        "#]],
    );
    // A worker that shows something and goes away holds nobody up.
    check(
        "submit single; go; claim; G streams; pass 31; jobs; cancel; money",
        expect![[r#"
            job 1 Running (Matched)
              1 Generator Lost (HeartbeatLost)
              2 Generator Leased
            in 294: workers 0, model 0, fees 0, requester 294, held 0
            job 1 Cancelled (CancelledByRequester): paid 0 kept 0 refunded 294
              1 Generator Lost (HeartbeatLost)
              2 Generator Released (CancelledByRequester)
        "#]],
    );
}

#[test]
fn a_queued_or_running_job_may_be_cancelled_until_somebody_has_committed() {
    check(
        "submit checked1; cancel; money",
        expect![[r#"
        in 794: workers 0, model 0, fees 0, requester 794, held 0
        job 1 Cancelled (CancelledByRequester): paid 0 kept 0 refunded 794
    "#]],
    );
    check(
        "submit checked1; go; claim; cancel from=1; cancel; G commits; cancel; money",
        expect![[r#"
            cancel from=1: job 1 belongs to somebody else
            G commits: lease 1 is Released and takes no such step
            cancel: job 1 has ended already
            in 794: workers 0, model 0, fees 0, requester 794, held 0
            job 1 Cancelled (CancelledByRequester): paid 0 kept 0 refunded 794
              1 Generator Released (CancelledByRequester)
              1 Checker Released (CancelledByRequester)
        "#]],
    );
    check(
        "submit checked1; go; claim; G commits; cancel",
        expect![[r#"
            cancel: a worker has shown or committed a part of the answer to job 1, so it cannot be cancelled now
            job 1 Running (Matched)
              1 Generator Committed
              1 Checker Leased claimed
        "#]],
    );
    check(
        "submit single; go; claim; G commits; live 61; jobs; cancel",
        expect![[r#"
            job 1 Queued (NotRevealed)
              1 Generator Silent (NotRevealed)
            cancel: a worker has shown or committed a part of the answer to job 1, so it cannot be cancelled now
            job 1 Queued (NotRevealed)
              1 Generator Silent (NotRevealed)
        "#]],
    );
}

#[test]
fn a_lease_that_was_given_back_goes_to_another_provider() {
    check(
        "submit single; go; claim; G abandons; jobs; go; claim; G commits; G reveals",
        expect![[r#"
            job 1 Queued (Abandoned("going home"))
              1 Generator Abandoned (Abandoned("going home"))
            job 1 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
              1 Generator Abandoned (Abandoned("going home"))
              2 Generator Revealed (NotCompared) paid 149
        "#]],
    );
}

#[test]
fn a_provider_that_gave_back_may_return_if_nobody_else_is_around() {
    check_with(
        1,
        1,
        "submit single; go; claim; G abandons; go; claim; G commits; G reveals",
        expect![[r#"
            job 1 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
              1 Generator Abandoned (Abandoned("going home"))
              2 Generator Revealed (NotCompared) paid 149
        "#]],
    );
}

#[test]
fn a_provider_that_never_opened_may_not_return() {
    check_with(
        1,
        1,
        "submit single; go; claim; G commits; live 61; go; jobs",
        expect![[r#"
            job 1 Queued (NotRevealed)
              1 Generator Silent (NotRevealed)
            job 1 Queued (NotRevealed)
              1 Generator Silent (NotRevealed)
        "#]],
    );
}

#[test]
fn a_deprecated_model_takes_no_new_jobs_and_finishes_its_own() {
    check(
        "submit single; deprecate; submit single; go; claim; G commits; G reveals",
        expect![[r#"
            submit single: model tiny is deprecated; list the registered ones with models
            job 1 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
              1 Generator Revealed (NotCompared) paid 149
        "#]],
    );
}

#[test]
fn a_drained_worker_finishes_what_it_has() {
    check_with(
        1,
        1,
        "submit single; submit single; ready w0; match; claim; drain w0; G@1 commits; G@1 reveals; submit single cap=100000; ready w0",
        expect![[r#"
            submit single cap=100000: 0 providers offer this model, the assurance needs 1; ask for less assurance or wait for more workers
            ready w0: worker wnghg-sl7gx-467qc-oqtis-2vriq-smqbl-qy37p-lr4cc-iopgi-5m6yh-dae is not active
            job 1 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
              1 Generator Revealed (NotCompared) paid 149
            job 2 Running (Matched)
              1 Generator Leased claimed
        "#]],
    );
}

#[test]
fn two_workers_of_one_provider_never_work_on_the_same_round() {
    check_with(
        1,
        2,
        "submit checked1 cap=1000000; submit single; go",
        expect![[r#"
            submit checked1 cap=1000000: 1 providers offer this model, the assurance needs 2; ask for less assurance or wait for more workers
            job 1 Running (Matched)
              1 Generator Leased
        "#]],
    );
    check_with(
        2,
        2,
        "submit checked1; go; submit equality2; go",
        expect![[r#"
            job 1 Running (Matched)
              1 Generator Leased
              1 Checker Leased
            job 2 Running (Matched)
              1 Replica Leased
              1 Replica Leased
        "#]],
    );
}

#[test]
fn a_job_that_cannot_be_filled_holds_up_no_other() {
    // The first job is priced before the workers raise their asks.
    check_with(
        2,
        1,
        "submit checked1; price w0 2000 20000; price w1 2000 20000; submit checked1; go",
        expect![[r#"
            job 1 Queued (Submitted)
            job 2 Running (Matched)
              1 Generator Leased
              1 Checker Leased
        "#]],
    );
}

#[test]
fn a_key_stands_for_its_job_until_a_day_after_its_end() {
    check(
        "submit single key=k; submit single key=k; submit checked1 key=k; submit single key=k from=1; cancel 1; \
         submit single key=k; pass 86300; submit single key=k; pass 200; ready w0; submit single key=k",
        expect![[r#"
            the same job 1 again
            submit checked1 key=k: this idempotency key belongs to job 1, whose content differs; use a new key for a new request
            the same job 1 again
            submit single key=k: 0 providers offer this model, the assurance needs 1; ask for less assurance or wait for more workers
            job 1 Cancelled (CancelledByRequester): paid 0 kept 0 refunded 294
            job 2 Expired (DeadlinePassed): paid 0 kept 0 refunded 294
            job 3 Queued (Submitted)
        "#]],
    );
}

#[test]
fn a_job_that_two_providers_cannot_do_ends_and_costs_nothing() {
    check(
        "submit single; go; claim; G declines; jobs; go; claim; G declines; money",
        expect![[r#"
            job 1 Queued (Declined("no such schema"))
              1 Generator Abandoned (Declined("no such schema"))
            in 294: workers 0, model 0, fees 0, requester 294, held 0
            job 1 Failed (Declined("no such schema")): paid 0 kept 0 refunded 294
              1 Generator Abandoned (Declined("no such schema"))
              2 Generator Abandoned (Declined("no such schema"))
        "#]],
    );
}

#[test]
fn a_job_that_its_generator_can_do_and_its_checkers_cannot_is_inconclusive() {
    check(
        "submit checked2; go; claim; G commits; C1 declines; go; claim; C3 declines; money",
        expect![[r#"
            in 894: workers 0, model 0, fees 0, requester 894, held 0
            job 1 Failed (Declined("no such schema")): paid 0 kept 0 refunded 894
              1 Generator Released (NoLongerNeeded)
              1 Checker Abandoned (Declined("no such schema"))
              1 Checker Released (NoLongerNeeded)
              1 Checker Abandoned (Declined("no such schema"))
        "#]],
    );
}
