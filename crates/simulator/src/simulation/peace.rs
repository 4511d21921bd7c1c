//! The time of peace: everything comes to its end, and the market answers what it is asked.

use assay_jobs_core::testing::{Market, ensure};
use assay_protocol::limits;

use super::{Simulation, network::CALL_LIFE};
use crate::{message::Party, plan::AMPLE, probe::Probes};

impl Simulation {
    /// The time of peace: everything comes to its end, and the market answers what it is asked.
    pub(super) fn settle_down(&mut self) -> Result<(), String> {
        self.faults.calm();
        self.cut_off.clear();
        self.plan.vault = false;
        self.fund(AMPLE)?;
        for requester in &mut self.requesters {
            requester.stop();
        }
        if self.plan.jobs_max.is_none() {
            self.plan.even_prices = true;
            for worker in 0..self.workers.len() {
                let offers = self.prices(self.workers[worker].kind);
                self.workers[worker].price(offers);
                self.workers[worker].calm();
                self.wake(Party::Worker(worker), 0);
            }
        }
        let longest = u64::from(self.watch.longest().max(limits::DEADLINE_SECONDS_MIN));
        let peace = self.schedule.now().max(self.frozen.0);
        let until = peace + 3 * longest * 1_000;
        self.watch.expect_quiet(self.host.market.now().plus_seconds(
            (peace - self.schedule.now() + 2 * CALL_LIFE) / 1_000 + 2 * limits::REVEAL_SECONDS,
        ));
        while self.watch.open() > 0 {
            ensure(self.schedule.now() < until, || {
                format!(
                    "{} jobs are open three times the longest deadline, {longest} s, after the last fault",
                    self.watch.open()
                )
            })?;
            self.advance()?;
        }
        if self.plan.jobs_max.is_some() {
            return Ok(());
        }
        self.probe()
    }

    /// Asks one question of every assurance.
    pub(super) fn probe(&mut self) -> Result<(), String> {
        // What is still on its way arrives, and offers of those who are gone count no more.
        let calm = self.schedule.now() + 2 * CALL_LIFE + limits::OFFER_SECONDS * 1_000;
        while self.schedule.now() < calm {
            self.advance()?;
        }
        let mut probes = Probes::new(&mut self.rng, &self.host.fixture);
        let until = self.schedule.now() + 3 * u64::from(Probes::SECONDS) * 1_000;
        if let Some(call) = probes.ask() {
            let id = self.send(Party::Requester(0), call);
            probes.waits_for(id);
        }
        self.probes = Some(probes);
        while self.probes.as_ref().is_some_and(Probes::are_unasked) || self.watch.open() > 0 {
            let refusal = self.probes.as_ref().and_then(Probes::refusal);
            if let Some(refusal) = refusal {
                return Err(format!("a question asked in peace was refused: {refusal}"));
            }
            ensure(self.schedule.now() < until, || {
                "a question asked in peace was not answered in time".into()
            })?;
            self.advance()?;
        }
        let probes = self.probes.take().ok_or("BUG: probes were sent")?;
        self.watch.report.probes += probes.check(&mut self.host.market)?;
        Ok(())
    }
}
