//! Ends of jobs: answers against the truth, verdicts against those who voted, money against the second opinion.

use std::collections::BTreeSet;

use assay_jobs_core::{
    record::{Judgement, Lease},
    testing::{Market, model_owner},
};
use assay_protocol::{
    Cycles, Timestamp,
    job::{JobState, Verdict},
    lease::LeaseState,
    receipt::Receipt,
    request::Assurance,
    store::Table,
};
use candid::Principal;

use super::{Accepted, Watch, ensure};
use crate::{host::Host, kind::Kind, truth::Truths};

impl Watch {
    pub(super) fn ended(
        &mut self,
        host: &mut Host,
        truths: &Truths,
        receipt: &Receipt,
    ) -> Result<(), String> {
        ensure(self.open.remove(&receipt.job), || "it ended twice".into())?;
        let Accepted { from, args, still } = self.accepted[&receipt.job].clone();
        self.ended.insert(receipt.job, receipt.ended_at);
        let least = Timestamp(receipt.submitted_at.0 + (host.still() - still) * 1_000_000)
            .plus_seconds(args.deadline_seconds.into());
        ensure(
            receipt.state != JobState::Expired || receipt.ended_at >= least,
            || "its deadline came before its time: the canister's standstill counted".into(),
        )?;
        let view = host.market.job(from, receipt.job);
        let view = view.map_err(|error| format!("{error:?}"))?;
        let same = (view.state, view.verdict, view.escrow)
            == (receipt.state, receipt.verdict, receipt.escrow);
        ensure(same, || "it and its receipt differ".into())?;
        let answered = matches!(view.verdict, Some(Verdict::Verified | Verdict::Unverified));
        ensure(answered == view.answer.is_some(), || {
            format!("it is {:?}, and its answer {:?}", view.verdict, view.answer)
        })?;
        let payouts = &self.payouts;
        self.ledger.settle(
            receipt,
            from,
            &self.worked,
            |provider| payouts.get(&provider).copied().unwrap_or(provider),
            model_owner(),
            (self.fee_bps.into(), 500),
        )?;
        self.canary_ended(from, receipt)?;
        let store = host.market.jobs.store();
        let leases: Vec<Lease> = receipt
            .leases
            .iter()
            .filter_map(|lease| store.leases.get(&lease.lease))
            .collect();
        for lease in &leases {
            let person = self.people[&lease.worker];
            if lease.judgement == Some(Judgement::Wrong) && person.kind.is_honest() {
                ensure(self.had_the_voices(&leases, lease.round, 2), || {
                    format!("lease {} is honest and was found wrong", lease.id)
                })?;
                self.report.honest_losses += 1;
            }
        }
        let true_root = truths.root(receipt.job);
        let wrong = receipt
            .result
            .is_some_and(|result| Some(result.root) != true_root);
        if wrong && receipt.verdict == Some(Verdict::Verified) {
            let needed = match args.request.assurance {
                // Verified only if it was audited.
                Assurance::Single => 2,
                Assurance::Checked { checkers } => 1 + usize::from(checkers),
                assurance => assurance.replicas().map_or(1, |(_, min)| min.into()),
            };
            let last = leases.iter().map(|lease| lease.round).max().unwrap_or(0);
            ensure(self.had_the_voices(&leases, last, needed), || {
                "it verified a lie that too few have told".into()
            })?;
            self.report.captured += 1;
        }
        self.report.unchecked_lies +=
            u64::from(wrong && receipt.verdict == Some(Verdict::Unverified));
        self.count(receipt, &leases, from, answered);
        Ok(())
    }

    /// Whether those found right in a round are of one ring, of distinct providers, and so many.
    fn had_the_voices(&self, leases: &[Lease], round: u32, needed: usize) -> bool {
        let right = leases
            .iter()
            .filter(|lease| lease.round == round && lease.judgement == Some(Judgement::Right));
        let mut providers = BTreeSet::new();
        let mut rings = BTreeSet::new();
        for lease in right {
            providers.insert(lease.provider);
            rings.insert(self.people[&lease.worker].ring);
        }
        providers.len() >= needed && rings.len() == 1 && !rings.contains(&None)
    }

    fn count(&mut self, receipt: &Receipt, leases: &[Lease], from: Principal, answered: bool) {
        let name = match (receipt.state, receipt.verdict) {
            (_, Some(Verdict::Verified)) => "verified",
            (_, Some(Verdict::Unverified)) => "unverified",
            (_, Some(Verdict::Inconclusive)) => "inconclusive",
            (JobState::Cancelled, _) => "cancelled",
            (JobState::Expired, _) => "expired",
            _ => "failed",
        };
        *self.report.jobs.entry(name.into()).or_default() += 1;
        let kind = self
            .requesters
            .get(&from)
            .copied()
            .unwrap_or(Kind::Requester);
        let asked = self.report.requesters.entry(kind).or_default();
        asked.jobs += 1;
        asked.answered += u64::from(answered);
        asked.spent += receipt.escrow.0 - receipt.refund.0;
        for lease in leases {
            let kind = self.people[&lease.worker].kind;
            let worked = self.report.workers.entry(kind).or_default();
            worked.leases += 1;
            worked.paid += u64::from(lease.paid > Cycles::ZERO);
            worked.earned += lease.paid.0 + lease.bonus.0;
            worked.forfeited += lease.forfeited.0;
            worked.wrong += u64::from(lease.judgement == Some(Judgement::Wrong));
            worked.silent += u64::from(lease.state == LeaseState::Silent);
            worked.lost += u64::from(matches!(lease.state, LeaseState::Lost | LeaseState::Late));
            worked.abandoned += u64::from(lease.state == LeaseState::Abandoned);
        }
    }
}
