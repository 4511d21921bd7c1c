//! Canaries: jobs that nobody of the simulation has submitted.

use std::collections::BTreeMap;

use assay_protocol::{
    Cycles, Hash32, JobId,
    canary::CanaryOutcome,
    job::{SubmitArgs, Verdict},
    receipt::Receipt,
    store::Table,
};
use candid::Principal;

use super::{Watch, ensure};
use crate::host::Host;

/// The second opinion on canaries.
#[derive(Debug, Default)]
pub(super) struct Canaries {
    /// Account, who pays, and the answer that is taken for the right one, by number.
    given: BTreeMap<u64, (Principal, Principal, Hash32)>,
    /// The same answer, by account.
    known: BTreeMap<Principal, Hash32>,
    /// Those that have ended in the step that is looked at.
    returned: Vec<(u64, Cycles, CanaryOutcome)>,
    /// Receipts of those.
    receipts: BTreeMap<Principal, Receipt>,
    /// Jobs that were looked at.
    jobs: u64,
}

impl Watch {
    /// A canary was given.
    pub(super) fn canary_added(
        &mut self,
        host: &Host,
        number: u64,
        (account, payer, amount): (Principal, Principal, Cycles),
    ) -> Result<(), String> {
        let texts = &host.market.jobs.store().canary_texts;
        let canary = texts.get(&number).ok_or("a canary without a text")?;
        self.ledger.move_balance(payer, account, amount.0);
        self.canaries
            .given
            .insert(number, (account, payer, canary.root));
        self.canaries.known.insert(account, canary.root);
        Ok(())
    }

    /// A canary has ended; its money is looked at once its receipt was.
    pub(super) fn canary_returned(&mut self, number: u64, amount: Cycles, outcome: CanaryOutcome) {
        self.canaries.returned.push((number, amount, outcome));
    }

    /// Takes over the jobs of canaries that the last step has asked.
    pub(super) fn note_canary_jobs(&mut self, host: &Host) -> Result<(), String> {
        let store = host.market.jobs.store();
        for id in self.canaries.jobs + 1..host.market.jobs.next_job().0 {
            let id = JobId(id);
            self.canaries.jobs = id.0;
            if self.accepted.contains_key(&id) {
                continue;
            }
            let job = store.jobs.get(&id).ok_or("job numbers have a gap")?;
            let asked = store.requests.get(&id).ok_or("a job without a request")?;
            ensure(self.canaries.known.contains_key(&job.requester), || {
                format!("nobody has submitted job {id}")
            })?;
            let args = SubmitArgs {
                request: asked.request,
                price_cap: job.escrow,
                deadline_seconds: job.deadline_seconds,
                idempotency_key: job.key,
            };
            let now = job.submitted_at;
            let taken = self
                .ledger
                .submit(id, job.requester, (job.escrow.0, 0), now)?;
            ensure(taken == 0, || format!("canary {id} lacks {taken} cycles"))?;
            self.accept(id, job.requester, &args, host.still());
        }
        Ok(())
    }

    /// Keeps the receipt of a canary; objects to an accepted answer that is known to be another.
    pub(super) fn canary_ended(
        &mut self,
        from: Principal,
        receipt: &Receipt,
    ) -> Result<(), String> {
        let Some(known) = self.canaries.known.get(&from) else {
            return Ok(());
        };
        let root = receipt.result.map(|result| result.root);
        let unchecked = receipt.verdict == Some(Verdict::Unverified);
        ensure(!unchecked || root == Some(*known), || {
            format!("a canary accepted {root:?}, known is {known}")
        })?;
        self.canaries.receipts.insert(from, receipt.clone());
        Ok(())
    }

    /// Books the money of canaries that have ended.
    pub(super) fn settle_canaries(&mut self) -> Result<(), String> {
        for (number, amount, outcome) in std::mem::take(&mut self.canaries.returned) {
            let given = self.canaries.given.remove(&number);
            let (account, payer, known) = given.ok_or("a canary ended twice")?;
            let left = self.ledger.balance(account);
            ensure(left == amount.0, || {
                format!("canary {number} gave {amount} back, it had {left}")
            })?;
            self.ledger.move_balance(account, payer, amount.0);
            let receipt = self.canaries.receipts.remove(&account);
            let root = receipt.and_then(|receipt| receipt.result);
            let fits = match outcome {
                CanaryOutcome::Right => root.is_some_and(|result| result.root == known),
                CanaryOutcome::Refuted => root.is_some_and(|result| result.root != known),
                CanaryOutcome::Unanswered | CanaryOutcome::TakenBack => root.is_none(),
                CanaryOutcome::Caught => true,
            };
            ensure(fits, || {
                format!("canary {number} is {outcome:?}, its result {root:?}")
            })?;
        }
        Ok(())
    }
}
