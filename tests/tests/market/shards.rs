//! Two jobs canisters that follow one registry.

use assay_jobs_core::{
    Rules,
    testing::{Fixture, Market, requester},
};
use assay_protocol::{
    Cycles,
    job::{ControlError, SubmitError},
    lease::Offer,
    request::{Assurance, ModelRef},
};
use candid::encode_one;

use crate::{
    authority::submit,
    chain::{JobsArgs, admin},
    upgrade,
};

#[test]
fn what_a_worker_is_trusted_for_in_one_jobs_canister_counts_nothing_in_another() {
    // A job that two workers agreed on, so that each has one confirmed result in the first canister.
    let mut market = upgrade::run(upgrade::STEPS);
    let args = JobsArgs {
        registry: Some(market.chain.registry),
        fee_bps: Some(250),
        rules: None,
    };
    let first = market.chain.jobs;
    let second = market
        .chain
        .install("jobs", &encode_one(Some(args)).unwrap());
    // It reads the registry by itself.
    market.chain.pass(12);
    let fixture = Fixture::new(2, 1, 1);
    let told: Vec<Result<_, SubmitError>> = [first, second]
        .into_iter()
        .map(|jobs| {
            market.chain.jobs = jobs;
            let rules = Rules {
                trusted_after: 1,
                ..Rules::LAX
            };
            let told: Result<(), ControlError> = market.update(admin(), "set_rules", (rules,));
            told.unwrap();
            market.deposit(requester(0), Cycles(1_000_000_000));
            let model: Option<assay_protocol::registry::Model> = market.chain.query(
                admin(),
                market.chain.registry,
                "model_named",
                ("tiny".to_owned(),),
            );
            let offer = Offer {
                model: model.unwrap().id,
                ask_input: Cycles(1_000),
                ask_output: Cycles(9_000),
            };
            // One worker, so that nobody could check it.
            market.set_offers(fixture.workers[0], &[offer]).unwrap();
            market.ready(fixture.workers[0], 1).unwrap();
            let mut args = submit(ModelRef::Name("tiny".to_owned()), 9);
            args.request.assurance = Assurance::Single;
            market.submit(requester(0), &args, Cycles::ZERO)
        })
        .collect();
    assert!(told[0].is_ok(), "{:?}", told[0]);
    assert!(
        matches!(told[1], Err(SubmitError::NoTrustedWorker { valid: 1 })),
        "{:?}",
        told[1]
    );
    market.chain.jobs = second;
    assert_eq!(market.chain.stats().verified, 0);
}
