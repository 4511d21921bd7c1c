//! Prices: what a quote means, and that no choice of workers costs more than the escrow.

use assay_jobs_core::testing::{Market, requester, worker};
use assay_protocol::{Cycles, job::SubmitArgs, lease::Offer, request::Assurance};
use expect_test::expect;

use crate::bench::{Bench, check_with, request};

fn quote(bench: &mut Bench, assurance: Assurance) -> String {
    match bench.market.quote(&request(assurance)) {
        Ok(quote) => format!(
            "at most {}, about {}, {} providers, {} queued, {:?} s",
            quote.price_max,
            quote.price_expected,
            quote.providers,
            quote.queued,
            quote.wait_seconds
        ),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_quote_covers_as_many_providers_as_the_assurance_needs() {
    let mut bench = Bench::new(4, 1);
    bench.run("price w0 500 5000; price w1 1000 10000; price w2 2000 8000; price w3 9000 90000");
    let kinds = [
        Assurance::Single,
        Assurance::Checked { checkers: 1 },
        Assurance::Equality { total: 2 },
        Assurance::Equality { total: 4 },
    ];
    let told: Vec<String> = kinds
        .into_iter()
        .map(|kind| format!("{kind:?}: {}", quote(&mut bench, kind)))
        .collect();
    expect![[r#"
        Single: at most 147, about 147, 4 providers, 0 queued, Some(1) s
        Checked { checkers: 1 }: at most 1_372, about 572, 4 providers, 0 queued, Some(1) s
        Equality { total: 2 }: at most 587, about 587, 4 providers, 0 queued, Some(1) s
        Equality { total: 4 }: at most 10_566, about 10_566, 4 providers, 0 queued, Some(1) s"#]]
    .assert_eq(&told.join("\n"));
    expect!["4 providers offer this model, the assurance needs 5; ask for less assurance or wait for more workers"].assert_eq(&quote(&mut bench, Assurance::Equality { total: 5 }));
}

#[test]
fn a_provider_counts_once_with_its_cheapest_worker() {
    let mut bench = Bench::new(1, 3);
    bench.run("price w0 9000 90000; price w1 100 1000");
    expect!["at most 30, about 30, 1 providers, 0 queued, Some(1) s"]
        .assert_eq(&quote(&mut bench, Assurance::Single));
}

#[test]
fn offers_of_workers_that_went_silent_do_not_count() {
    let mut bench = Bench::new(2, 1);
    bench.run("pass 300; ready w0; pass 301");
    expect!["at most 294, about 294, 1 providers, 0 queued, Some(1) s"]
        .assert_eq(&quote(&mut bench, Assurance::Single));
}

#[test]
fn the_queue_lengthens_the_expected_wait() {
    let mut bench = Bench::new(1, 1);
    bench.run("submit single; submit single; submit single; submit single");
    expect!["at most 294, about 294, 1 providers, 4 queued, Some(3) s"]
        .assert_eq(&quote(&mut bench, Assurance::Single));
}

#[test]
fn free_work_needs_no_escrow() {
    check_with(
        1,
        1,
        "price w0 0 0; submit single cap=0; go; claim; G commits; G reveals; money",
        expect![[r#"
            in 0: workers 0, model 0, fees 0, requester 0, held 0
            job 1 Settled Unverified (NotCompared): paid 0 kept 0 refunded 0
              1 Generator Revealed (NotCompared)
        "#]],
    );
}

#[test]
fn who_asks_nothing_does_not_keep_out_those_who_want_to_be_paid() {
    check_with(
        1,
        1,
        "price w0 0 0; submit single cap=588; price w0 1000 2000; go; claim; G commits; G reveals; money",
        expect![[r#"
            in 588: workers 37, model 1, fees 0, requester 550, held 0
            job 1 Settled Unverified (NotCompared): paid 37 kept 1 refunded 550
              1 Generator Revealed (NotCompared) paid 37
        "#]],
    );
}

#[test]
fn a_higher_cap_lets_dearer_workers_in_and_still_pays_their_asks_only() {
    // At twice the quote, workers may ask twice the reference.
    check_with(
        1,
        1,
        "submit single cap=588; price w0 2000 20000; go; claim; G commits; G reveals; money",
        expect![[r#"
            in 588: workers 298, model 14, fees 7, requester 269, held 0
            job 1 Settled Unverified (NotCompared): paid 298 kept 21 refunded 269
              1 Generator Revealed (NotCompared) paid 298
        "#]],
    );
    check_with(
        1,
        1,
        "submit single cap=587; price w0 2000 20000; go",
        expect![[r#"
            job 1 Queued (Submitted)
        "#]],
    );
}

#[test]
fn the_escrow_covers_the_dearest_workers_the_cap_allows() {
    // Odd asks, sizes and caps, so that everything rounds; the dearest eligible workers do the most
    // work that can be asked. The core asserts that the split fits; here it must also run.
    let mut state = 1u64;
    let mut next = |max: u128| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u128::from(state >> 11) % max
    };
    for round in 0..40 {
        let mut bench = Bench::new(7, 1);
        let model = bench.fixture.model(0).id;
        let (input, output) = (next(3_000), next(30_000));
        for w in 0..7 {
            bench
                .market
                .set_offers(
                    worker(w),
                    &[Offer {
                        model,
                        ask_input: Cycles(input),
                        ask_output: Cycles(output),
                    }],
                )
                .expect("priced");
        }
        let mut asked = request(Assurance::Checked { checkers: 1 });
        asked.parameters.max_tokens = 1 + next(50) as u32;
        let quote = bench.market.quote(&asked).expect("offered");
        let cap = quote.price_max.0 + next(quote.price_max.0 + 2);
        let args = SubmitArgs {
            request: asked,
            price_cap: Cycles(cap),
            deadline_seconds: 3_600,
            idempotency_key: vec![1],
        };
        bench
            .market
            .submit(requester(0), &args, args.price_cap)
            .expect("accepted");
        // The highest asks that still get work.
        let ceilings = bench.market.jobs.store();
        let ceilings = assay_protocol::store::Table::get(&ceilings.jobs, &assay_protocol::JobId(1))
            .expect("the job")
            .ceilings;
        for w in 0..7 {
            let offer = Offer {
                model,
                ask_input: ceilings.input,
                ask_output: ceilings.output,
            };
            bench
                .market
                .set_offers(worker(w), &[offer])
                .expect("priced");
        }
        // Two rejected generations with two checks each, then a verified one: all that may be paid.
        bench.run(
            "go; claim; G commits trace; C1 commits; G reveals; C1 reveals; go; claim; C2 commits; C2 reveals; \
             go; claim; G commits trace; C1 commits; G reveals; C1 reveals; go; claim; C2 commits; C2 reveals; \
             go; claim; G commits; C1 commits; G reveals; C1 reveals",
        );
        assert_eq!(bench.market.jobs.stats().verified, 1, "round {round}");
    }
}
