//! Submits: what must be accepted, what must be refused, and what that takes from whom.

use assay_jobs_core::testing::Market;
use assay_protocol::{
    Cycles, JobId,
    job::{SubmitArgs, SubmitError},
    limits,
};
use candid::Principal;

use super::{Accepted, Watch, ensure};
use crate::{
    host::Host,
    message::{Call, Reply},
    schedule::Millis,
};

impl Watch {
    pub(super) fn submit(
        &mut self,
        host: &mut Host,
        caller: Principal,
        call: &Call,
        args: &SubmitArgs,
        attached: Cycles,
    ) -> Result<Reply, String> {
        let holder = host.job_of(caller, &args.idempotency_key);
        self.check_key(host, caller, args, holder)?;
        let quote = host.market.quote(&args.request);
        let now = host.market.now();
        let (cap, balance) = (args.price_cap.0, self.ledger.balance(caller));
        let reply = host.execute(caller, call);
        let Reply::Submitted(told) = &reply else {
            return Err(format!("a submit was answered with {reply:?}"));
        };
        let dear = quote
            .as_ref()
            .is_ok_and(|quote| args.price_cap >= quote.price_max);
        let lacking = cap.saturating_sub(balance + attached.0);
        // What is lacking the sponsor pool pays, at the quoted price and not above.
        let exact = quote
            .as_ref()
            .is_ok_and(|quote| args.price_cap == quote.price_max);
        let sponsored = exact && lacking <= self.ledger.sponsored_left(caller, now);
        let rich = lacking == 0 || sponsored;
        let right = match (told, holder) {
            (Ok((submitted, accepted)), Some(job)) => {
                let same = self.is_same(job, args);
                same && submitted.duplicate && submitted.job == job && *accepted == Cycles::ZERO
            }
            (Ok((submitted, accepted)), None) => {
                let money = (cap, attached.0);
                let expected = self.ledger.submit(submitted.job, caller, money, now)?;
                self.report.sponsored += u64::from(lacking > 0);
                self.accept(submitted.job, caller, args, host.still());
                let new = !submitted.duplicate && submitted.escrow.0 == cap;
                new && dear && rich && accepted.0 == expected
            }
            (Err(SubmitError::KeyReused { job }), holder) => {
                let same = self.is_same(*job, args);
                holder == Some(*job) && !same
            }
            (Err(_), Some(_)) => false,
            (Err(SubmitError::PriceCapTooLow { .. }), None) => !dear,
            (Err(SubmitError::InsufficientFunds { .. }), None) => !rich,
            (Err(SubmitError::TooManyOpenJobs { .. } | SubmitError::QueueFull), None) => true,
            (Err(error), None) => quote.as_ref().err() == Some(error),
        };
        ensure(right, || {
            format!("{args:?} with {attached} attached and {balance} there gave {told:?}")
        })?;
        Ok(reply)
    }

    /// A key stands for its job while that is open and for a day after, and never for another one.
    fn check_key(
        &self,
        host: &mut Host,
        caller: Principal,
        args: &SubmitArgs,
        holder: Option<JobId>,
    ) -> Result<(), String> {
        let mine = self
            .keys
            .get(&(caller, args.idempotency_key.clone()))
            .copied();
        let now = host.market.now();
        let lasts = mine.is_some_and(|job| {
            let ended = self.ended.get(&job);
            ended.is_none_or(|ended| now < ended.plus_seconds(limits::KEY_SECONDS))
        });
        ensure(holder == mine || holder.is_none() && !lasts, || {
            format!("a key of {caller} is that of job {mine:?} and stands for {holder:?}")
        })
    }

    fn is_same(&self, job: JobId, args: &SubmitArgs) -> bool {
        self.accepted
            .get(&job)
            .is_some_and(|accepted| accepted.args == *args)
    }

    pub(super) fn accept(&mut self, job: JobId, from: Principal, args: &SubmitArgs, still: Millis) {
        self.open.insert(job);
        self.keys.insert((from, args.idempotency_key.clone()), job);
        self.longest = self.longest.max(args.deadline_seconds);
        let args = args.clone();
        self.accepted.insert(job, Accepted { from, args, still });
    }
}
