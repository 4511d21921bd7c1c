//! What becomes of calls and answers on their way.

use assay_protocol::TransferId;

use super::VaultWorld;
use crate::{
    testing::{Market, MemoryMarket},
    vault::{Move, Outcome, TransferCall},
};

/// A call on its way, or its answer.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) call: TransferCall,
    pub(super) answer: Option<Outcome>,
    /// Whether nobody waits for its answer any more.
    pub(super) forgotten: bool,
}

impl Flight {
    pub(super) fn attaches(&self) -> bool {
        matches!(self.call.call, Move::Attach { .. })
    }
}

impl VaultWorld {
    /// Makes a call, unless the canister cannot.
    pub(super) fn call(&mut self, market: &mut MemoryMarket, call: TransferCall) {
        if self.rng.u8(..30) == 0 {
            let outcome = Outcome::Refused("out of cycles".into());
            self.settle(market, call.transfer, outcome);
            *self.counts.entry("out of cycles").or_default() += 1;
            return;
        }
        self.flights.push(Flight {
            call,
            answer: None,
            forgotten: false,
        });
    }

    fn settle(&mut self, market: &mut MemoryMarket, id: TransferId, outcome: Outcome) {
        self.answers.push((id, outcome.clone()));
        let now = market.now();
        market.jobs.settle_transfer(now, id, outcome);
    }

    /// The ledger gets one of the calls, in any order.
    pub(super) fn deliver_request(
        &mut self,
        market: &mut MemoryMarket,
    ) -> Result<&'static str, String> {
        let Some(i) = self.some_flight(|flight| flight.answer.is_none()) else {
            return Ok("nothing to deliver");
        };
        self.execute(market, i)?;
        Ok("request delivered")
    }

    fn execute(&mut self, market: &mut MemoryMarket, i: usize) -> Result<(), String> {
        let flight = &mut self.flights[i];
        let id = flight.call.transfer;
        // The ledger traps, and nothing happens there.
        let answer = if !flight.attaches() && self.rng.u8(..12) == 0 {
            Outcome::Unknown("trapped".into())
        } else {
            self.ledger.execute(market.now(), &flight.call)
        };
        if flight.forgotten {
            self.flights.swap_remove(i);
        } else {
            flight.answer = Some(answer);
        }
        let times = self.ledger.executed(id);
        if times > 1 || (times == 1 && self.transfers[&id].end == Some(false)) {
            return Err(format!(
                "transfer {id} happened {times} times, and ended as {:?}",
                self.transfers[&id].end
            ));
        }
        Ok(())
    }

    /// The market gets one of the answers; its callback may trap, and then forgets it.
    pub(super) fn deliver_answer(
        &mut self,
        market: &mut MemoryMarket,
        faults: bool,
    ) -> &'static str {
        let Some(i) = self.some_flight(|flight| flight.answer.is_some()) else {
            return "nothing to answer";
        };
        let Flight { call, answer, .. } = self.flights.swap_remove(i);
        if faults && self.rng.u8(..12) == 0 {
            return "callback traps";
        }
        let answer = answer.expect("it was looked for");
        self.settle(market, call.transfer, answer);
        "answer delivered"
    }

    /// A wait for the ledger ends without an answer; the call may still arrive.
    pub(super) fn time_out(&mut self, market: &mut MemoryMarket) -> &'static str {
        let waits = |flight: &Flight| !flight.attaches() && !flight.forgotten;
        let Some(i) = self.some_flight(waits) else {
            return "nothing to wait for";
        };
        let id = self.flights[i].call.transfer;
        if self.flights[i].answer.is_some() {
            self.flights.swap_remove(i);
        } else {
            self.flights[i].forgotten = true;
        }
        self.settle(market, id, Outcome::Unknown("no answer in time".into()));
        "timed out"
    }

    /// A call never arrives.
    pub(super) fn lose(&mut self, market: &mut MemoryMarket) -> &'static str {
        let lost = |flight: &Flight| !flight.attaches() && flight.answer.is_none();
        let Some(i) = self.some_flight(lost) else {
            return "nothing to lose";
        };
        let flight = self.flights.swap_remove(i);
        if !flight.forgotten {
            let outcome = Outcome::Unknown("lost".into());
            self.settle(market, flight.call.transfer, outcome);
        }
        "lost"
    }

    pub(super) fn retry(&mut self, market: &mut MemoryMarket) {
        let (now, budget) = (market.now(), self.rng.usize(1..=20));
        for call in market.jobs.due_transfers(now, budget).calls {
            self.call(market, call);
        }
    }

    /// The canister is upgraded. What carries cycles has come to its end by then, heard of or not; of other calls
    /// nobody hears again.
    pub(super) fn upgrade(&mut self, market: &mut MemoryMarket) -> Result<&'static str, String> {
        while let Some(i) = self.some_flight(|flight| flight.attaches() && flight.answer.is_none())
        {
            self.execute(market, i)?;
        }
        for flight in std::mem::take(&mut self.flights) {
            match flight.answer {
                Some(answer) if self.rng.bool() => {
                    self.settle(market, flight.call.transfer, answer)
                }
                Some(_) => {}
                None => self.flights.push(Flight {
                    forgotten: true,
                    ..flight
                }),
            }
        }
        market.reopen();
        Ok("upgrade")
    }

    /// The market hears an old answer once more.
    pub(super) fn repeat(&mut self, market: &mut MemoryMarket) -> &'static str {
        if self.answers.is_empty() {
            return "nothing to repeat";
        }
        let i = self.rng.usize(..self.answers.len());
        let (id, outcome) = self.answers[i].clone();
        let now = market.now();
        market.jobs.settle_transfer(now, id, outcome);
        "repeat"
    }

    fn some_flight(&mut self, fits: impl Fn(&Flight) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = (0..self.flights.len())
            .filter(|&i| fits(&self.flights[i]))
            .collect();
        (!fitting.is_empty()).then(|| fitting[self.rng.usize(..fitting.len())])
    }
}
