//! Who is right, who is paid, and what becomes of liars.

use expect_test::expect;

use crate::bench::{check, check_with};

#[test]
fn a_single_job_is_paid_and_said_to_be_unverified() {
    check(
        "submit single; go; claim; G commits; G reveals; money",
        expect![[r#"
            in 294: workers 149, model 7, fees 3, requester 135, held 0
            job 1 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
              1 Generator Revealed (NotCompared) paid 149
        "#]],
    );
}

#[test]
fn a_checked_job_is_verified_by_one_checker() {
    check(
        "submit checked1; go; claim; G commits; C1 commits; G reveals; C1 reveals; money",
        expect![[r#"
            in 794: workers 172, model 8, fees 4, requester 610, held 0
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn a_checked_job_may_ask_for_three_checkers() {
    check(
        "submit checked3; go; claim; G commits; C1 commits; C2 commits; C3 commits; C2 reveals; G reveals; C1 reveals; C3 reveals",
        expect![[r#"
            job 1 Settled Verified (RootsAgree): paid 218 kept 15 refunded 761
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
              1 Checker Revealed (RootsAgree) paid 23
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn equal_replicas_are_verified() {
    check(
        "submit equality3; go; claim; R1 commits; R2 commits; R3 commits; R1 reveals; R2 reveals; R3 reveals; money",
        expect![[r#"
            in 881: workers 447, model 22, fees 11, requester 401, held 0
            job 1 Settled Verified (RootsAgree): paid 447 kept 33 refunded 401
              1 Replica Revealed (RootsAgree) paid 149
              1 Replica Revealed (RootsAgree) paid 149
              1 Replica Revealed (RootsAgree) paid 149
        "#]],
    );
}

#[test]
fn a_generator_with_wrong_tokens_is_rejected_by_two_checkers_and_the_job_is_done_again() {
    check(
        "submit checked1; go; claim; G commits tokens; C1 commits; G reveals; C1 reveals; jobs; \
         go; claim; C2 commits; C2 reveals; jobs; \
         go; claim; G commits; C1 commits; G reveals; C1 reveals; money",
        expect![[r#"
            job 1 Extended (CheckerDisagrees)
              1 Generator Revealed
              1 Checker Revealed
            job 1 Queued (GenerationRejected)
              1 Generator Revealed (GenerationRejected)
              1 Checker Revealed (RootsAgree)
              1 Checker Revealed (RootsAgree)
            in 794: workers 218, model 10, fees 5, requester 561, held 0
            job 1 Settled Verified (RootsAgree): paid 218 kept 15 refunded 561
              1 Generator Revealed (GenerationRejected)
              1 Checker Revealed (RootsAgree) paid 23
              1 Checker Revealed (RootsAgree) paid 23
              2 Generator Revealed (RootsAgree) paid 149
              2 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn a_generator_with_a_wrong_trace_is_rejected_although_its_tokens_are_right() {
    check(
        "submit checked1; go; claim; G commits trace; C1 commits; G reveals; C1 reveals; go; claim; C2 commits; C2 reveals",
        expect![[r#"
            job 1 Queued (GenerationRejected)
              1 Generator Revealed (GenerationRejected)
              1 Checker Revealed (RootsAgree)
              1 Checker Revealed (RootsAgree)
        "#]],
    );
}

#[test]
fn a_generator_with_a_wrong_text_is_rejected() {
    check(
        "submit checked1; go; claim; G commits text; C1 commits; G reveals; C1 reveals; go; claim; C2 commits; C2 reveals",
        expect![[r#"
            job 1 Queued (GenerationRejected)
              1 Generator Revealed (GenerationRejected)
              1 Checker Revealed (RootsAgree)
              1 Checker Revealed (RootsAgree)
        "#]],
    );
}

#[test]
fn a_checker_that_denies_right_tokens_is_outvoted_and_unpaid() {
    check(
        "submit checked1; go; claim; G commits; C1 commits tokens; G reveals; C1 reveals; go; claim; C2 commits; C2 reveals; \
         go; claim; C3 commits; C3 reveals",
        expect![[r#"
            job 1 Settled Verified (RootsAgree): paid 195 kept 13 refunded 586
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsDiffer)
              1 Checker Revealed (RootsAgree) paid 23
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn a_checker_that_agrees_to_a_root_it_made_up_is_unpaid() {
    check(
        "submit checked1; go; claim; G commits; C1 commits trace; G reveals; C1 reveals; go; claim; C2 commits; C2 reveals; \
         go; claim; C3 commits; C3 reveals",
        expect![[r#"
            job 1 Settled Verified (RootsAgree): paid 195 kept 13 refunded 586
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsDiffer)
              1 Checker Revealed (RootsAgree) paid 23
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn a_copied_commitment_opens_for_nobody_else() {
    check(
        "submit checked1; go; claim; G commits; C1 commits copy G; G reveals; C1 reveals; live 61; jobs; \
         go; claim; C2 commits; C2 reveals",
        expect![[r#"
            C1 reveals: what lease 2 reveals does not open its commitment: root 8a22ffab0da4b1d1570bfe716df472836f3ca0397a080db9e8099bf3d25b2134 under this nonce gives another hash
            job 1 Extended (NotRevealed)
              1 Generator Revealed
              1 Checker Silent (NotRevealed)
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Silent (NotRevealed)
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn a_copied_commitment_of_a_replica_opens_for_nobody_else() {
    check(
        "submit equality2; go; claim; R1 commits; R2 commits copy R1; R1 reveals; R2 reveals; live 61; \
         go; claim; R3 commits; R3 reveals",
        expect![[r#"
            R2 reveals: what lease 2 reveals does not open its commitment: root 8a22ffab0da4b1d1570bfe716df472836f3ca0397a080db9e8099bf3d25b2134 under this nonce gives another hash
            job 1 Settled Verified (RootsAgree): paid 298 kept 21 refunded 268
              1 Replica Revealed (RootsAgree) paid 149
              1 Replica Silent (NotRevealed)
              1 Replica Revealed (RootsAgree) paid 149
        "#]],
    );
}

#[test]
fn a_generator_that_never_opens_is_unpaid_and_the_job_is_done_again() {
    check(
        "submit checked1; go; claim; G commits; C1 commits; C1 reveals; live 61; jobs; \
         go; claim; G commits; C1 commits; G reveals; C1 reveals",
        expect![[r#"
            job 1 Queued (NotRevealed)
              1 Generator Silent (NotRevealed)
              1 Checker Revealed (NoLongerNeeded)
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Silent (NotRevealed)
              1 Checker Revealed (NoLongerNeeded)
              2 Generator Revealed (RootsAgree) paid 149
              2 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn a_checker_that_never_opens_is_unpaid_and_another_is_asked() {
    check(
        "submit checked1; go; claim; G commits; C1 commits; G reveals; live 61; jobs; go; claim; C2 commits; C2 reveals",
        expect![[r#"
            job 1 Extended (NotRevealed)
              1 Generator Revealed
              1 Checker Silent (NotRevealed)
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Silent (NotRevealed)
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn a_replica_that_never_opens_is_replaced() {
    check(
        "submit equality2; go; claim; R1 commits; R2 commits; R1 reveals; live 61; jobs; go; claim; R3 commits; R3 reveals",
        expect![[r#"
            job 1 Extended (NotRevealed)
              1 Replica Revealed
              1 Replica Silent (NotRevealed)
            job 1 Settled Verified (RootsAgree): paid 298 kept 21 refunded 268
              1 Replica Revealed (RootsAgree) paid 149
              1 Replica Silent (NotRevealed)
              1 Replica Revealed (RootsAgree) paid 149
        "#]],
    );
}

#[test]
fn a_single_generator_that_never_opens_is_replaced() {
    check(
        "submit single; go; claim; G commits; live 61; jobs; go; claim; G commits; G reveals",
        expect![[r#"
            job 1 Queued (NotRevealed)
              1 Generator Silent (NotRevealed)
            job 1 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
              1 Generator Silent (NotRevealed)
              2 Generator Revealed (NotCompared) paid 149
        "#]],
    );
}

#[test]
fn a_result_that_differs_from_its_claim_ends_the_round_at_once() {
    check(
        "submit checked1; go; claim; G commits twofaced; C1 commits; G reveals; jobs; go; claim; G commits; C1 commits; G reveals; C1 reveals",
        expect![[r#"
            job 1 Queued (Malformed("the result differs from the tokens it was committed with"))
              1 Generator Revealed (Malformed("the result differs from the tokens it was committed with"))
              1 Checker Released (NoLongerNeeded)
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (Malformed("the result differs from the tokens it was committed with"))
              1 Checker Released (NoLongerNeeded)
              2 Generator Revealed (RootsAgree) paid 149
              2 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn unequal_replicas_are_inconclusive_and_nobody_is_paid() {
    check(
        "submit equality3; go; claim; R1 commits; R2 commits trace; R3 commits; R1 reveals; R2 reveals; R3 reveals; money",
        expect![[r#"
            in 881: workers 0, model 0, fees 0, requester 881, held 0
            job 1 Settled Inconclusive (RootsDiffer): paid 0 kept 0 refunded 881
              1 Replica Revealed (RootsDiffer)
              1 Replica Revealed (RootsDiffer)
              1 Replica Revealed (RootsDiffer)
        "#]],
    );
}

#[test]
fn a_threshold_is_met_by_those_who_agree_and_only_they_are_paid() {
    check(
        "submit threshold3; go; claim; R1 commits; R2 commits trace; R3 commits; R1 reveals; R2 reveals; R3 reveals; money",
        expect![[r#"
            in 881: workers 298, model 14, fees 7, requester 562, held 0
            job 1 Settled Verified (RootsAgree): paid 298 kept 21 refunded 562
              1 Replica Revealed (RootsAgree) paid 149
              1 Replica Revealed (RootsDiffer)
              1 Replica Revealed (RootsAgree) paid 149
        "#]],
    );
}

#[test]
fn a_threshold_that_nobody_reaches_is_inconclusive() {
    check(
        "submit threshold3; go; claim; R1 commits; R2 commits trace; R3 commits tokens; R1 reveals; R2 reveals; R3 reveals; money",
        expect![[r#"
            in 881: workers 0, model 0, fees 0, requester 881, held 0
            job 1 Settled Inconclusive (RootsDiffer): paid 0 kept 0 refunded 881
              1 Replica Revealed (RootsDiffer)
              1 Replica Revealed (RootsDiffer)
              1 Replica Revealed (RootsDiffer)
        "#]],
    );
}

#[test]
fn a_threshold_does_not_wait_for_replicas_that_cannot_change_it() {
    check(
        "submit threshold3; go; claim; R1 commits; R2 commits; R3 commits; R1 reveals; R3 reveals; live 61; jobs; money",
        expect![[r#"
            job 1 Settled Verified (RootsAgree): paid 298 kept 21 refunded 562
              1 Replica Revealed (RootsAgree) paid 149
              1 Replica Silent (NotRevealed)
              1 Replica Revealed (RootsAgree) paid 149
            in 881: workers 298, model 14, fees 7, requester 562, held 0
            job 1 Settled Verified (RootsAgree): paid 298 kept 21 refunded 562
              1 Replica Revealed (RootsAgree) paid 149
              1 Replica Silent (NotRevealed)
              1 Replica Revealed (RootsAgree) paid 149
        "#]],
    );
}

#[test]
fn liars_that_do_not_agree_cannot_outvote_the_truth() {
    check_with(
        6,
        1,
        "submit checked1; go; claim; G commits; C1 commits tokens; G reveals; C1 reveals; \
         go; claim; C2 commits trace; C2 reveals; go; claim; C3 commits; C3 reveals; jobs; go; claim; C4 commits; C4 reveals",
        expect![[r#"
            job 1 Extended (CheckerDisagrees)
              1 Generator Revealed
              1 Checker Revealed
              1 Checker Revealed
              1 Checker Revealed
            job 1 Settled Verified (RootsAgree): paid 195 kept 13 refunded 586
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsDiffer)
              1 Checker Revealed (RootsDiffer)
              1 Checker Revealed (RootsAgree) paid 23
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn two_checkers_in_league_can_reject_a_true_generation_but_not_verify_a_false_one() {
    // The limit of voting: what `refereed` assurance is for.
    check(
        "submit checked1; go; claim; G commits; C1 commits same; G reveals; C1 reveals; go; claim; C2 commits same; C2 reveals",
        expect![[r#"
            job 1 Queued (GenerationRejected)
              1 Generator Revealed (GenerationRejected)
              1 Checker Revealed (RootsAgree)
              1 Checker Revealed (RootsAgree)
        "#]],
    );
}

#[test]
fn a_disagreement_that_no_further_check_resolves_is_inconclusive() {
    check_with(
        8,
        1,
        "submit checked1; go; claim; G commits; C1 commits tokens; G reveals; C1 reveals; \
         go; claim; C2 commits tokens; C2 reveals; go; claim; C3 commits tokens; C3 reveals; \
         go; claim; C4 commits tokens; C4 reveals; go; claim; C5 commits tokens; C5 reveals; money",
        expect![[r#"
            in 794: workers 0, model 0, fees 0, requester 794, held 0
            job 1 Settled Inconclusive (LimitReached("checks")): paid 0 kept 0 refunded 794
              1 Generator Revealed (RootsDiffer)
              1 Checker Revealed (RootsDiffer)
              1 Checker Revealed (RootsDiffer)
              1 Checker Revealed (RootsDiffer)
              1 Checker Revealed (RootsDiffer)
              1 Checker Revealed (RootsDiffer)
        "#]],
    );
}

#[test]
fn checks_of_rejected_rounds_count_towards_the_limit() {
    check_with(
        9,
        1,
        "submit checked1; go; claim; G commits tokens; C1 commits; G reveals; C1 reveals; go; claim; C2 commits; C2 reveals; \
         go; claim; G commits tokens; C1 commits; G reveals; C1 reveals; go; claim; C2 commits; C2 reveals; \
         go; claim; G commits tokens; C1 commits; G reveals; C1 reveals; money",
        expect![[r#"
            in 794: workers 92, model 4, fees 2, requester 696, held 0
            job 1 Settled Inconclusive (LimitReached("checks")): paid 92 kept 6 refunded 696
              1 Generator Revealed (GenerationRejected)
              1 Checker Revealed (RootsAgree) paid 23
              1 Checker Revealed (RootsAgree) paid 23
              2 Generator Revealed (GenerationRejected)
              2 Checker Revealed (RootsAgree) paid 23
              2 Checker Revealed (RootsAgree) paid 23
              3 Generator Revealed (RootsDiffer)
              3 Checker Revealed (RootsDiffer)
        "#]],
    );
}

#[test]
fn a_disagreement_with_nobody_left_is_inconclusive_after_a_wait() {
    check_with(
        2,
        1,
        "submit checked1; go; claim; G commits; C1 commits tokens; G reveals; C1 reveals; go; live 59; jobs; live 10",
        expect![[r#"
            job 1 Extended (CheckerDisagrees)
              1 Generator Revealed
              1 Checker Revealed
            job 1 Settled Inconclusive (NoMoreWorkers): paid 0 kept 0 refunded 794
              1 Generator Revealed (RootsDiffer)
              1 Checker Revealed (RootsDiffer)
        "#]],
    );
}

#[test]
fn a_missing_checker_is_waited_for_while_one_is_busy_elsewhere() {
    // Three providers: the third works on another job and comes when it is done.
    check_with(
        3,
        1,
        "ready w0=1; submit single; match; claim; submit checked1; ready w1 w2; match; claim; G commits; C1 commits tokens; \
         G reveals; C1 reveals; live 100; jobs; G@1 commits; G@1 reveals; ready w0; match; claim; C2 commits; C2 reveals",
        expect![[r#"
            job 1 Running (Matched)
              1 Generator Leased claimed
            job 2 Extended (CheckerDisagrees)
              1 Generator Revealed
              1 Checker Revealed
            job 1 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
              1 Generator Revealed (NotCompared) paid 149
            job 2 Extended (CheckerDisagrees)
              1 Generator Revealed
              1 Checker Revealed
              1 Checker Revealed
        "#]],
    );
}

#[test]
fn two_checkers_reject_a_generation_even_if_a_third_never_opens() {
    check_with(
        6,
        1,
        "submit checked3; go; claim; G commits tokens; C1 commits; C2 commits; C3 commits; G reveals; C1 reveals; C2 reveals; live 61",
        expect![[r#"
            job 1 Queued (GenerationRejected)
              1 Generator Revealed (GenerationRejected)
              1 Checker Revealed (RootsAgree)
              1 Checker Revealed (RootsAgree)
              1 Checker Silent (NotRevealed)
        "#]],
    );
}

#[test]
fn rejecting_checkers_are_paid_even_if_the_job_then_expires() {
    check(
        "submit checked1 deadline=300; go; claim; G commits tokens; C1 commits; G reveals; C1 reveals; go; claim; C2 commits; C2 reveals; \
         jobs; live 400; money",
        expect![[r#"
            job 1 Queued (GenerationRejected)
              1 Generator Revealed (GenerationRejected)
              1 Checker Revealed (RootsAgree)
              1 Checker Revealed (RootsAgree)
            in 794: workers 46, model 2, fees 1, requester 745, held 0
            job 1 Expired (DeadlinePassed): paid 46 kept 3 refunded 745
              1 Generator Revealed (GenerationRejected)
              1 Checker Revealed (RootsAgree) paid 23
              1 Checker Revealed (RootsAgree) paid 23
              2 Generator Lost (NotClaimed)
              2 Checker Released (NoLongerNeeded)
        "#]],
    );
}

#[test]
fn a_wrong_nonce_may_be_corrected() {
    check(
        "submit single; go; claim; G commits; G reveals wrong nonce; G reveals",
        expect![[r#"
            G reveals wrong nonce: what lease 1 reveals does not open its commitment: root 8a22ffab0da4b1d1570bfe716df472836f3ca0397a080db9e8099bf3d25b2134 under this nonce gives another hash
            job 1 Settled Unverified (NotCompared): paid 149 kept 10 refunded 135
              1 Generator Revealed (NotCompared) paid 149
        "#]],
    );
}

#[test]
fn nothing_may_be_opened_while_commitments_are_missing() {
    check(
        "submit checked1; go; claim; G commits; G reveals; C1 commits; G reveals; C1 reveals",
        expect![[r#"
            G reveals: job 1 is Running; reveal when all commitments are in
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn a_checker_can_neither_read_nor_commit_before_the_transcript_is_final() {
    check(
        "submit checked1; go; claim; C1 transcript; C1 commits; G commits; C1 transcript; C1 commits",
        expect![[r#"
            C1 transcript: the transcript of lease 2 is not final; follow it until it is
            C1 commits: the transcript of lease 2 is not final; follow it until it is
            job 1 Revealing (AllCommitted)
              1 Generator Committed
              1 Checker Committed
        "#]],
    );
}

#[test]
fn repeated_steps_are_answered_as_the_first() {
    check(
        "submit checked1; go; claim; G commits; G commits_again; G commits tokens; C1 commits; G commits_again; G reveals; G reveals; \
         G reveals wrong; C1 reveals; C1 reveals",
        expect![[r#"
            G commits tokens: lease 1 is Committed and takes no such step
            G reveals wrong: lease 1 is Revealed and takes no such step
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}

#[test]
fn an_upgrade_between_any_two_steps_loses_nothing() {
    check(
        "submit checked1; reopen; go; reopen; claim; reopen; G commits; reopen; C1 commits; reopen; G reveals; reopen; C1 reveals; \
         reopen; money",
        expect![[r#"
            in 794: workers 172, model 8, fees 4, requester 610, held 0
            job 1 Settled Verified (RootsAgree): paid 172 kept 12 refunded 610
              1 Generator Revealed (RootsAgree) paid 149
              1 Checker Revealed (RootsAgree) paid 23
        "#]],
    );
}
