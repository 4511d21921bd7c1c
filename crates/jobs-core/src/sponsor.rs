//! The sponsor pool: cycles that somebody gives so that people without money can ask.
//!
//! It pays what a requester lacks for a job, at the quoted price and not above, within a limit for each caller and one for
//! all, by day. What a job did not need goes back to it before the requester gets anything. Names cost nothing here, so only the limit
//! for all protects the pool from one person with many.

use assay_protocol::{Cycles, Moment, Timestamp, money::MoneyError, store::Table};
use candid::Principal;

use crate::{event::Event, market::Jobs, record::Sponsored, store::Backend};

const DAY_NANOSECONDS: u64 = 24 * 3_600 * 1_000_000_000;

/// The number of a day since 1970, by the clock in UTC.
pub(crate) fn day(at: Timestamp) -> u64 {
    at.0 / DAY_NANOSECONDS
}

impl<B: Backend> Jobs<B> {
    /// Gives cycles of the caller's balance to the sponsor pool; gives what it holds.
    pub fn fund_sponsor(&mut self, at: &Moment, amount: Cycles) -> Result<Cycles, MoneyError> {
        self.check_funds(at.caller, amount)?;
        self.touch(at.now);
        let account = at.caller;
        self.record(at.now, Event::SponsorFunded { account, amount });
        Ok(self.meta().sponsor)
    }

    /// What the pool would still pay for jobs of this caller today.
    pub fn sponsored_left(&self, caller: Principal, now: Timestamp) -> Cycles {
        let (meta, rules, today) = (self.meta(), self.config().rules, day(now));
        let spent = match meta.sponsor_day == today {
            true => meta.sponsor_spent,
            false => Cycles::ZERO,
        };
        let own = self.store.sponsored.get(&caller);
        let own = own.filter(|own| own.day == today);
        let own = own.map_or(Cycles::ZERO, |Sponsored { spent, .. }| spent);
        let left = |limit: Cycles, spent: Cycles| Cycles(limit.0.saturating_sub(spent.0));
        meta.sponsor
            .min(left(rules.sponsor_daily, spent))
            .min(left(rules.sponsor_caller_daily, own))
    }
}
