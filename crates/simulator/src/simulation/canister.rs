//! The canister's own doings: its timers, what follows each of its steps, and what befalls it.

use assay_jobs_core::Horizon;
use assay_jobs_core::testing::{Market, payout};
use assay_protocol::{Timestamp, limits};

use super::{Event, Simulation};
use crate::{faults::Fault, kind::Kind};

impl Simulation {
    pub(super) fn timer(&mut self) -> Result<(), String> {
        let now = self.schedule.now();
        if now < self.frozen.0 {
            self.schedule.after(self.frozen.0 - now, Event::Timer);
            return Ok(());
        }
        let at = self.host.market.now();
        while self.host.market.jobs.sweep(at, 3).more {}
        let late = self.faults.strikes(Fault::LateTimer, &mut self.rng);
        let delay = match late {
            true => self.rng.u64(5_000..60_000),
            false => self.rng.u64(2_000..limits::SWEEP_SECONDS * 1_000),
        };
        self.schedule.after(delay, Event::Timer);
        self.stepped()
    }

    pub(super) fn matched(&mut self, horizon: Horizon) -> Result<(), String> {
        let now = self.schedule.now();
        if now < self.frozen.0 {
            self.schedule
                .after(self.frozen.0 - now, Event::Matched(horizon));
            return Ok(());
        }
        self.match_due = false;
        let mut random = [0; 32];
        self.rng.fill(&mut random);
        let at: Timestamp = self.host.market.now();
        self.host.market.jobs.match_jobs(at, random, horizon);
        self.stepped()
    }

    pub(super) fn sync(&mut self) -> Result<(), String> {
        let now = self.schedule.now();
        if now < self.frozen.0 {
            self.schedule.after(self.frozen.0 - now, Event::Sync);
            return Ok(());
        }
        let lags = self.faults.strikes(Fault::SyncLag, &mut self.rng);
        let limit = if lags { 1 } else { limits::PAGE_MAX };
        let (records, more) = self.host.sync(limit);
        self.watch.synced(&records);
        let delay = match (lags, more) {
            (true, _) => self.rng.u64(10_000..120_000),
            (false, true) => 100,
            (false, false) => 10_000,
        };
        self.schedule.after(delay, Event::Sync);
        if records.is_empty() {
            Ok(())
        } else {
            self.stepped()
        }
    }

    /// Prices, payout accounts and workers change.
    pub(super) fn churn(&mut self) -> Result<(), String> {
        let i = self.rng.usize(..self.workers.len());
        let (kind, number) = (self.workers[i].kind, self.workers[i].provider);
        let operator = self.workers[i].operator;
        let told = match self.rng.u8(..20) {
            _ if self.plan.even_prices => Ok(()),
            0 if kind != Kind::Honest => self.host.drain(number, operator),
            1 => {
                let account = payout(number + if self.rng.bool() { 100 } else { 0 });
                self.host.move_payout(number, account)
            }
            // Nobody reaches a canister that stands still.
            2..5 if self.schedule.now() >= self.frozen.0 => {
                self.change_stake(number)?;
                self.stepped()?;
                Ok(())
            }
            5 if self.schedule.now() >= self.frozen.0 => {
                self.give_canaries()?;
                self.stepped()?;
                Ok(())
            }
            _ => {
                let offers = self.prices(kind);
                self.workers[i].price(offers);
                Ok(())
            }
        };
        let delay = self.rng.u64(10_000..60_000);
        self.schedule.after(delay, Event::Churn);
        told.map_err(|error| format!("the registry refused: {error:?}"))
    }

    /// What follows every step: all checks, and the faults that come between steps.
    pub(super) fn stepped(&mut self) -> Result<(), String> {
        self.steps += 1;
        self.host.market.audit()?;
        self.watch.look(&mut self.host, &self.truths)?;
        if self.steps.is_multiple_of(self.plan.check_every) {
            self.check()?;
        }
        if self.host.market.jobs.needs_match() && !self.match_due {
            self.match_due = true;
            let (horizon, delay) = (self.host.market.jobs.horizon(), self.rng.u64(500..3_000));
            self.schedule.after(delay, Event::Matched(horizon));
        }
        self.strike()
    }

    pub(super) fn check(&mut self) -> Result<(), String> {
        self.host.market.check()?;
        self.watch.look_around(&mut self.host)
    }

    pub(super) fn strike(&mut self) -> Result<(), String> {
        let now = self.schedule.now();
        for (fault, stopped) in [(Fault::Stall, false), (Fault::Stop, true)] {
            if self.faults.strikes(fault, &mut self.rng) {
                let most = if self.rng.u8(..5) == 0 {
                    4_000_000
                } else {
                    60_000
                };
                let time = self.rng.u64(1_000..most);
                // One fault may follow upon the other in the same step; the longer one counts.
                if now + time > self.frozen.0 {
                    self.host
                        .stands_still(time - self.frozen.0.saturating_sub(now));
                    self.frozen = (now + time, stopped);
                }
            }
        }
        if self.faults.strikes(Fault::ClockJump, &mut self.rng) {
            let most = if self.rng.u8(..5) == 0 {
                72 * 3_600
            } else {
                300
            };
            self.host.jump(self.rng.u64(1..most) * 1_000);
        }
        if self.faults.strikes(Fault::Upgrade, &mut self.rng) {
            self.vault
                .upgrade_market(&mut self.host.market, self.watch.books())?;
        }
        if self.faults.strikes(Fault::Replay, &mut self.rng) {
            self.host.market.rebuild()?;
        }
        let i = self.rng.usize(..self.workers.len());
        if self.faults.strikes(Fault::Crash, &mut self.rng) {
            self.workers[i].crash(now + self.rng.u64(1_000..60_000));
        }
        if self.faults.strikes(Fault::Partition, &mut self.rng) {
            let until = now + self.rng.u64(1_000..200_000);
            for worker in 0..self.workers.len() {
                if worker == i || self.rng.bool() {
                    self.cut_off.insert(worker, until);
                }
            }
        }
        if self.faults.strikes(Fault::Pause, &mut self.rng) {
            self.workers[i].pause(now + self.rng.u64(1_000..200_000));
        }
        Ok(())
    }
}
