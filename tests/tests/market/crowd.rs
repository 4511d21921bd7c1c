//! As many workers as one model may have, and a queue that all of them could serve: every message stays within the
//! instructions it may take, so nothing traps and nobody waits for ever.

use assay_jobs_core::testing::{Fixture, Market, requester};
use assay_protocol::{
    Cycles,
    job::JobState,
    lease::Offer,
    limits::{OFFERS_PER_MODEL_MAX, OPEN_JOBS_PER_REQUESTER_MAX},
    request::{Assurance, ModelRef},
};

use crate::{authority::submit, worker::CanisterMarket};

#[test]
fn a_full_market_is_quoted_and_matched() {
    let mut fixture = Fixture::crowd(OFFERS_PER_MODEL_MAX as u32, 1);
    let mut market = CanisterMarket::new(&mut fixture, 250, 1);
    let offer = Offer {
        model: fixture.model(0).id,
        ask_input: Cycles(1_000),
        ask_output: Cycles(9_000),
    };
    for &operator in &fixture.workers {
        market.set_offers(operator, &[offer]).unwrap();
        market.ready(operator, 1).unwrap();
    }
    let asker = requester(0);
    market.deposit(asker, Cycles(1_000_000_000));
    let mut asked = Vec::new();
    for key in 0..OPEN_JOBS_PER_REQUESTER_MAX {
        let mut args = submit(ModelRef::Name("tiny".to_owned()), 5);
        args.idempotency_key = key.to_le_bytes().to_vec();
        args.request.assurance = Assurance::Checked { checkers: 5 };
        args.price_cap = market.quote(&args.request).unwrap().price_max;
        let (submitted, _) = market.submit(asker, &args, Cycles::ZERO).unwrap();
        asked.push(submitted.job);
    }
    market.tick();
    for job in asked {
        let view = market.job(asker, job).unwrap();
        assert_eq!((view.state, view.leases.len()), (JobState::Running, 6));
    }
    market.chain.check_money().unwrap();
}
