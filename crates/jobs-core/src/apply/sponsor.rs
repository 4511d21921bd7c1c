//! Applying what the sponsor pool pays and gets back.

use assay_protocol::{Cycles, store::Table};
use candid::Principal;

use super::Step;
use crate::{
    record::{Job, Sponsored},
    sponsor::day,
    store::Backend,
};

impl<B: Backend> Step<'_, B> {
    /// The sponsor pool pays a part of a caller's escrow.
    pub(super) fn sponsor(&mut self, caller: Principal, amount: Cycles) {
        if amount == Cycles::ZERO {
            return;
        }
        let today = day(self.at);
        if self.meta.sponsor_day != today {
            self.meta.sponsor_day = today;
            self.meta.sponsor_spent = Cycles::ZERO;
        }
        let own = self.store.sponsored.get(&caller).unwrap_or_default();
        let spent = match own.day == today {
            true => own.spent.0 + amount.0,
            false => amount.0,
        };
        let spent = Cycles(spent);
        self.store
            .sponsored
            .insert(caller, Sponsored { day: today, spent });
        self.meta.sponsor.0 -= amount.0;
        self.meta.sponsor_spent.0 += amount.0;
    }

    /// What a job did not need goes back to the sponsor pool, and counts no more on the day on which it was paid.
    pub(super) fn unsponsor(&mut self, job: &Job, amount: Cycles) {
        if amount == Cycles::ZERO {
            return;
        }
        self.meta.sponsor.0 += amount.0;
        let paid_on = day(job.submitted_at);
        if self.meta.sponsor_day == paid_on {
            self.meta.sponsor_spent.0 -= amount.0;
        }
        if let Some(mut own) = self.store.sponsored.get(&job.requester)
            && own.day == paid_on
        {
            own.spent.0 -= amount.0;
            self.store.sponsored.insert(job.requester, own);
        }
    }
}
