//! Canaries: who may give them, and that they are asked among the jobs of others.

use assay_jobs_core::{
    Rules,
    testing::{Market, requester},
};
use assay_protocol::{
    Cycles, Hash32,
    canary::{Canary, CanaryError, CanaryPage},
    job::{ControlError, SubmitError, Submitted},
    limits,
    request::{Assurance, JobRequest},
};

use crate::{
    chain::admin,
    waiting::{args, market},
};

#[test]
fn controllers_give_canaries_that_are_asked_among_the_jobs_of_others() {
    let mut market = market();
    let request = JobRequest {
        seed: Some(77),
        assurance: Assurance::Single,
        ..args(&mut market).request
    };
    let canary = Canary {
        request,
        root: Hash32([5; 32]),
        price_cap: Cycles(1_000_000),
    };
    let given = vec![canary];
    let told: Result<(), CanaryError> = market.update(requester(0), "add_canaries", (&given,));
    assert_eq!(told, Err(CanaryError::NotAController(requester(0))));
    let told: Result<CanaryPage, CanaryError> =
        market.query(requester(0), "canaries", (None::<u64>,));
    assert_eq!(told, Err(CanaryError::NotAController(requester(0))));
    let told: Result<(), CanaryError> = market.update(admin(), "add_canaries", (&given,));
    assert!(
        matches!(told, Err(CanaryError::InsufficientFunds { .. })),
        "{told:?}"
    );

    market.deposit(admin(), Cycles(1_000_000));
    market.deposit(requester(1), Cycles(1_000_000_000));
    let told: Result<(), CanaryError> = market.update(admin(), "add_canaries", (&given,));
    assert_eq!(told, Ok(()));
    let rules = Rules {
        canary_ppm: limits::CANARY_PPM_MAX,
        ..Rules::LAX
    };
    let told: Result<(), ControlError> = market.update(admin(), "set_rules", (rules,));
    assert_eq!(told, Ok(()));
    // An upgrade forgets nothing of it.
    market.upgrade();
    for key in 0..60_u8 {
        let mut args = args(&mut market);
        args.idempotency_key = vec![9, key];
        let told: Result<Submitted, SubmitError> =
            market.update(requester(u8::from(key > 20)), "submit", (&args,));
        told.unwrap();
        market.tick();
        let page: Result<CanaryPage, CanaryError> =
            market.query(admin(), "canaries", (None::<u64>,));
        let page = page.unwrap();
        if let Some(job) = page.canaries[0].job {
            assert_eq!(page.waiting, 0);
            let view = market.job(requester(5), job).unwrap();
            assert_eq!(view.escrow, Cycles(1_000_000));
            return;
        }
    }
    panic!("the canary was never asked");
}
