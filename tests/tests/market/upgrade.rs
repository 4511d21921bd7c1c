//! A job that is under way while every canister is upgraded, at each step of its life.

use std::collections::BTreeMap;

use assay_jobs_core::testing::{Fixture, Market, requester};
use assay_native::honest_work;
use assay_protocol::{
    Cycles, JobId,
    job::{JobState, SubmitError, Submitted, Verdict},
    lease::{Offer, Order, RevealArgs, Role},
    request::ModelRef,
};

use crate::{authority::submit, worker::CanisterMarket};

/// Steps in the life of a checked job, between which an upgrade may come.
pub(crate) const STEPS: usize = 6;

/// Runs a checked job to its end, with an upgrade before the given step.
pub(crate) fn run(upgrade_before: usize) -> CanisterMarket {
    let mut fixture = Fixture::new(2, 1, 1);
    let mut market = CanisterMarket::new(&mut fixture, 250, 1);
    let asker = requester(0);
    market.deposit(asker, Cycles(1_000_000_000));
    let mut job = None;
    let mut orders: BTreeMap<usize, Order> = BTreeMap::new();
    let mut reveals: BTreeMap<usize, RevealArgs> = BTreeMap::new();
    for step in 0..STEPS {
        if step == upgrade_before {
            market.upgrade();
        }
        match step {
            0 => {
                for &operator in &fixture.workers {
                    let offer = Offer {
                        model: fixture.model(0).id,
                        ask_input: Cycles(1_000),
                        ask_output: Cycles(9_000),
                    };
                    market.set_offers(operator, &[offer]).unwrap();
                    market.ready(operator, 1).unwrap();
                }
            }
            1 => {
                let told: Result<(Submitted, Cycles), SubmitError> = market.submit(
                    asker,
                    &submit(ModelRef::Name("tiny".to_owned()), 1),
                    Cycles::ZERO,
                );
                job = Some(told.unwrap().0.job);
                market.tick();
            }
            2 => {
                for (i, &operator) in fixture.workers.iter().enumerate() {
                    let claimed = market.claim(operator, &[]).unwrap();
                    assert_eq!(claimed.len(), 1, "each worker has one lease");
                    orders.insert(i, claimed[0].clone());
                }
            }
            3 => {
                // The generator first: checkers wait for what it claims.
                let mut turns: Vec<usize> = orders.keys().copied().collect();
                turns.sort_by_key(|i| orders[i].role != Role::Generator);
                for i in turns {
                    let (operator, order) = (fixture.workers[i], &orders[&i]);
                    let canister = market.canister();
                    let transcript = |lease| market.transcript(operator, lease).unwrap();
                    let (args, reveal) = honest_work(canister, operator, order, transcript);
                    market.commit(operator, &args).unwrap();
                    reveals.insert(i, reveal);
                }
            }
            4 => {
                for (i, reveal) in &reveals {
                    let operator = fixture.workers[*i];
                    let hint = market.work(operator).unwrap();
                    assert!(
                        hint.leases
                            .iter()
                            .any(|hint| hint.lease == reveal.lease && hint.reveal_open)
                    );
                    market.reveal(operator, reveal).unwrap();
                }
            }
            _ => {
                let job = job.unwrap();
                let view = market.job(asker, job).unwrap();
                assert_eq!(
                    (view.state, view.verdict),
                    (JobState::Settled, Some(Verdict::Verified))
                );
                let receipt = market.receipt(job).unwrap();
                assert_eq!(
                    receipt.escrow.0,
                    receipt.fee.0 + receipt.royalty.0 + receipt.refund.0 + view.paid.0
                );
                assert!(receipt.leases.iter().all(|lease| lease.paid > Cycles::ZERO));
                market.check().unwrap();
            }
        }
    }
    // Who did not hear the answer may ask again.
    let events = market.chain.stats().events;
    for (i, reveal) in &reveals {
        assert_eq!(market.reveal(fixture.workers[*i], reveal), Ok(()));
    }
    assert_eq!(market.chain.stats().events, events);
    market
}

#[test]
fn an_upgrade_loses_nothing_wherever_it_comes() {
    for step in 0..STEPS {
        run(step);
    }
}

#[test]
fn receipts_that_fill_more_than_one_message_are_all_proven_again_after_an_upgrade() {
    // One more than a message puts back.
    const RECEIPTS: u64 = 2_001;
    let mut fixture = Fixture::new(2, 1, 1);
    let mut market = CanisterMarket::new(&mut fixture, 250, 1);
    let asker = requester(0);
    market.deposit(asker, Cycles(1_000_000_000));
    for &operator in &fixture.workers {
        let offer = Offer {
            model: fixture.model(0).id,
            ask_input: Cycles(1_000),
            ask_output: Cycles(9_000),
        };
        market.set_offers(operator, &[offer]).unwrap();
    }
    for i in 0..RECEIPTS {
        let mut args = submit(ModelRef::Name("tiny".to_owned()), 1);
        args.idempotency_key = i.to_le_bytes().to_vec();
        let (submitted, _) = market.submit(asker, &args, Cycles::ZERO).unwrap();
        market.cancel(asker, submitted.job).unwrap();
    }
    market.chain.upgrade_all();
    market.chain.rest();
    for job in [1, 1_000, RECEIPTS - 1, RECEIPTS].map(JobId) {
        assert_eq!(market.receipt(job).unwrap().state, JobState::Cancelled);
    }
}
