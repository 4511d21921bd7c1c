//! What a job may cost: reference rates, ceilings and the worst case.
//!
//! Invariant: the worst case is exact and linear in the rates, and a job's ceilings are its
//! reference rates scaled by cap / price, rounded down. So no choice of workers within the
//! ceilings can cost more than the cap, fee and royalty included.

use std::collections::BTreeMap;

use assay_protocol::{
    Cycles, ModelId, Timestamp, job::SubmitError, limits, price::Rates, registry::WorkerStatus,
    request::Assurance, result::Usage, store::Table,
};
use candid::Principal;

use crate::{
    leases::checkers_asked,
    market::Jobs,
    record::{Ask, Job, ModelEntry, Presence},
    store::Backend,
};

/// How much work an assurance pays for at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    generations: u128,
    checks: u128,
}

/// The least rate from which ceilings are scaled: one cycle per token.
const BASIS_LEAST: Cycles = Cycles(1_000);

/// The price of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Price {
    /// The dearest asks that a submit at `max` must be able to pay.
    pub(crate) reference: Rates,
    /// The reference, but never nothing: from nothing no cap could be scaled up to the asks of those
    /// who want to be paid.
    basis: Rates,
    /// The worst case at the basis.
    basis_max: Cycles,
    /// The worst case at the reference: the least cap.
    pub(crate) max: Cycles,
    pub(crate) expected: Cycles,
    pub(crate) providers: u32,
}

/// Distinct providers that an assurance needs.
pub(crate) fn providers_needed(assurance: Assurance) -> u32 {
    match assurance {
        Assurance::Checked { checkers } => 1 + u32::from(checkers),
        _ => assurance.replicas().map_or(1, |(total, _)| total.into()),
    }
}

/// Checks that a job may pay in all its rounds.
pub(crate) fn checks_max(assurance: Assurance) -> u32 {
    match assurance {
        Assurance::Checked { checkers } => u32::from(checkers) + limits::EXTRA_CHECKS_MAX,
        _ => 0,
    }
}

fn generations(assurance: Assurance) -> u128 {
    assurance.replicas().map_or(1, |(total, _)| total.into())
}

/// The price of work at these rates, fee and royalty included, rounded up to whole cycles.
fn price(work: Work, rates: Rates, size: Usage, surcharge_bps: u16) -> Cycles {
    let (input, output) = (
        u128::from(size.input_tokens),
        u128::from(size.output_tokens),
    );
    // Thousandths of a cycle, exact. Rates, sizes and counts have limits that keep this below 2^100.
    let generation = rates.input.0 * input + rates.output.0 * output;
    let check = rates.input.0 * (input + output);
    let milli = work.generations * generation + work.checks * check;
    Cycles((milli * (10_000 + u128::from(surcharge_bps))).div_ceil(10_000_000))
}

/// The highest asks that a cap allows.
pub(crate) fn ceilings(price: &Price, cap: Cycles) -> Rates {
    if cap < price.basis_max {
        return price.reference;
    }
    let scale = |rate: Cycles| Cycles(rate.0 * cap.0 / price.basis_max.0);
    Rates {
        input: scale(price.basis.input),
        output: scale(price.basis.output),
    }
}

/// Whether asks stay within ceilings.
pub(crate) fn within(rates: Rates, ceilings: Rates) -> bool {
    rates.input <= ceilings.input && rates.output <= ceilings.output
}

/// The largest work of a job.
pub(crate) fn size_max(job: &Job) -> Usage {
    Usage {
        input_tokens: job.input_tokens_max,
        output_tokens: job.max_tokens,
    }
}

impl<B: Backend> Jobs<B> {
    /// Offers for a model that mean something now: of workers that were heard of lately.
    pub(crate) fn awake(&self, now: Timestamp, model: ModelId) -> Vec<(Principal, Ask)> {
        self.asks(model)
            .filter(|(operator, _)| self.is_awake(*operator, now))
            .collect()
    }

    /// Prices a request of this size by these offers.
    pub(crate) fn price(
        &self,
        offers: &[(Principal, Ask)],
        model: &ModelEntry,
        assurance: Assurance,
        size: Usage,
    ) -> Result<Price, SubmitError> {
        let surcharge = self.config().fee_bps + model.royalty_bps;
        let mut cheapest: BTreeMap<Principal, (Cycles, Rates)> = BTreeMap::new();
        for (_, ask) in offers {
            let one = Work {
                generations: 1,
                checks: 0,
            };
            let cost = (price(one, ask.rates, size, 0), ask.rates);
            cheapest
                .entry(ask.provider)
                .and_modify(|best| {
                    if (cost.0, cost.1.input) < (best.0, best.1.input) {
                        *best = cost;
                    }
                })
                .or_insert(cost);
        }
        let (providers, needed) = (cheapest.len() as u32, providers_needed(assurance));
        if providers < needed {
            return Err(SubmitError::NotEnoughProviders { providers, needed });
        }
        let mut by_cost: Vec<_> = cheapest
            .into_iter()
            .map(|(provider, (cost, rates))| (cost, rates.input, provider, rates))
            .collect();
        by_cost.sort_unstable_by_key(|&(cost, input, provider, _)| (cost, input, provider));
        // A spare lets a disagreement be resolved at the same price. What may be audited needs a checker and a spare, too: the treasury
        // pays for them, but nobody above the ceilings is asked.
        let spare = match assurance {
            Assurance::Checked { .. } => 1,
            Assurance::Single if self.may_audit(model) => 2,
            _ => 0,
        };
        let reference = by_cost.iter().take(needed as usize + spare).fold(
            Rates::default(),
            |reference, (.., rates)| Rates {
                input: reference.input.max(rates.input),
                output: reference.output.max(rates.output),
            },
        );
        let most = Work {
            generations: generations(assurance),
            checks: u128::from(checks_max(assurance)),
        };
        let planned = Work {
            generations: generations(assurance),
            checks: u128::from(checkers_asked(assurance)),
        };
        let basis = Rates {
            input: reference.input.max(BASIS_LEAST),
            output: reference.output.max(BASIS_LEAST),
        };
        Ok(Price {
            reference,
            basis,
            basis_max: price(most, basis, size, surcharge),
            max: price(most, reference, size, surcharge),
            expected: price(planned, reference, size, surcharge),
            providers,
        })
    }

    /// The offers for a model, by operator.
    pub(crate) fn asks(&self, model: ModelId) -> impl Iterator<Item = (Principal, Ask)> {
        self.store
            .asks
            .range((model, Principal::management_canister())..)
            .take_while(move |((of, _), _)| *of == model)
            .map(|((_, operator), ask)| (operator, ask))
    }

    /// Whether a worker has been heard of lately, so that its offers mean something.
    pub(crate) fn is_awake(&self, operator: Principal, now: Timestamp) -> bool {
        self.store
            .presence
            .get(&operator)
            .is_some_and(|presence| presence.seen.plus_seconds(limits::OFFER_SECONDS) >= now)
    }

    /// Whether a worker takes, or will soon take, new leases: it is ready, or works.
    pub(crate) fn is_around(&self, operator: Principal, now: Timestamp) -> bool {
        let ready = |presence: Presence| presence.slots > 0 && presence.ready_until >= now;
        self.store.presence.get(&operator).is_some_and(ready)
            || self
                .store
                .workers
                .get(&operator)
                .is_some_and(|worker| worker.live > 0 && worker.status == WorkerStatus::Active)
    }
}
